//! HMACs: what a request must have before its body is read, and the comparison with every secret.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::Tag;
use http::{HeaderMap, HeaderName};

use super::signature::SignatureRule;
use super::text::{self, Piece};
use super::time::TimeRule;
use super::{Head, Media, form, header};
use crate::clock::Timestamp;
use crate::provider::{Encode, Hash};
use crate::webhook::event::ProofKey;
use crate::webhook::keys::{ProvingKey, Ring, Standing};
use crate::webhook::refusal::Reason;

/// How an HMAC is made and sent.
#[derive(Clone, Debug)]
pub(super) struct MacRule {
    pub(super) header: HeaderName,
    pub(super) signature: SignatureRule,
    pub(super) hash: Hash,
    pub(super) algorithm: Option<AlgorithmRule>,
    pub(super) pieces: Vec<Piece>,
    /// The header that names the key.
    pub(super) key_id: Option<HeaderName>,
    pub(super) time: Option<(TimePlace, TimeRule)>,
    pub(super) id: Option<HeaderName>,
    /// The address that the provider was given, in the forms in which it may be signed, without its query.
    pub(super) urls: Vec<String>,
    /// The query of that address.
    pub(super) query: Option<String>,
    /// The query parameter with the hash of the body.
    pub(super) body_hash: Option<(String, Encode)>,
}

/// Where the time stands that is signed.
#[derive(Clone, Debug)]
pub(super) enum TimePlace {
    Header(HeaderName),
    /// A member of the header with the signature.
    Member(String),
}

/// How a request names the hash.
#[derive(Clone, Debug)]
pub(super) struct AlgorithmRule {
    pub(super) header: HeaderName,
    pub(super) member: Option<String>,
    pub(super) map: Vec<(String, Hash)>,
    pub(super) absent: Option<Hash>,
}

/// What a request has for its proof, the body aside.
pub(super) struct Signed {
    hash: Hash,
    signatures: Vec<Vec<u8>>,
    /// The key that the request names, where it has to name one.
    key_id: Option<String>,
    parts: Vec<Part>,
    urls: Vec<String>,
    /// The hash of the body as the query has it.
    body_hash: Option<(String, Encode)>,
}

enum Part {
    Bytes(Vec<u8>),
    Url,
    Body,
    Form,
}

impl AlgorithmRule {
    fn read(&self, headers: &HeaderMap) -> Result<Hash, Reason> {
        let mut values = headers.get_all(&self.header).iter();
        let (value, more) = (values.next(), values.next());
        if more.is_some() {
            return Err(Reason::BadAlgorithm);
        }
        let text = value.map(|value| value.to_str().map_err(|_| Reason::BadAlgorithm)).transpose()?.unwrap_or_default();
        let named = match &self.member {
            None => Some(text.trim()),
            Some(member) => text
                .split(',')
                .filter_map(|pair| pair.split_once('='))
                .find(|(name, value)| name.trim() == member && !value.trim().is_empty())
                .map(|(_, value)| value.trim()),
        };
        match named.filter(|name| !name.is_empty()) {
            None => self.absent.ok_or(Reason::BadAlgorithm),
            Some(name) => {
                let known = self.map.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
                known.map(|(_, hash)| *hash).ok_or(Reason::BadAlgorithm) // W-01: unknown algorithm
            }
        }
    }
}

impl MacRule {
    /// Looks at all that can be refused without the body.
    pub(super) fn examine(&self, head: &Head<'_>, media: Media, now: Timestamp) -> Result<Signed, Reason> {
        let value = header(head.headers, &self.header, Reason::MissingSignature)?; // W-01: missing or twice
        let value = value.to_str().map_err(|_| Reason::BadFormat)?;
        let hash = self.algorithm.as_ref().map_or(Ok(self.hash), |rule| rule.read(head.headers))?;
        let signatures = self.signature.read(value, hash.length())?;
        let key_id = self.key_id.as_ref().map(|name| named_key(head.headers, name)).transpose()?;
        let time = self.time(head, value, now)?;
        let body_hash = self.body_hash(head, media)?;
        let mut parts = Vec::with_capacity(self.pieces.len());
        for (at, piece) in self.pieces.iter().enumerate() {
            let part = match piece {
                Piece::Literal(text) => text.clone().into_bytes(),
                Piece::Body => {
                    parts.push(Part::Body);
                    continue;
                }
                Piece::Url => {
                    parts.push(Part::Url);
                    continue;
                }
                Piece::Form => {
                    parts.extend((media == Media::Form).then_some(Part::Form));
                    continue;
                }
                Piece::Time => time.clone().unwrap_or_default().into_bytes(),
                Piece::Id => {
                    let name = self.id.as_ref().ok_or(Reason::BadId)?;
                    header(head.headers, name, Reason::BadId)?.as_bytes().to_vec()
                }
                Piece::Header(name) => header(head.headers, name, Reason::BadFormat)?.as_bytes().to_vec(),
                Piece::Member(name) => self.signature.member(value, name).ok_or(Reason::BadFormat)?.as_bytes().to_vec(),
            };
            let holds = |text: &str| part.windows(text.len().max(1)).any(|window| window == text.as_bytes());
            // W-06: separator in a value
            if piece.is_free() && text::separators(&self.pieces, at).any(holds) {
                return Err(if *piece == Piece::Id { Reason::BadId } else { Reason::BadFormat });
            }
            parts.push(Part::Bytes(part));
        }
        let urls = self.urls(head)?;
        Ok(Signed { hash, signatures, key_id, parts, urls, body_hash })
    }

    /// When the request says that it was signed.
    pub(super) fn signed_at(&self, head: &Head<'_>) -> Option<Timestamp> {
        let (place, rule) = self.time.as_ref()?;
        let name = if let TimePlace::Header(name) = place { name } else { &self.header };
        let value = header(head.headers, name, Reason::MissingTimestamp).ok()?.to_str().ok()?;
        let text = if let TimePlace::Member(name) = place { self.signature.member(value, name)? } else { value };
        rule.read(text)
    }

    fn time(&self, head: &Head<'_>, signature: &str, now: Timestamp) -> Result<Option<String>, Reason> {
        let Some((place, rule)) = &self.time else { return Ok(None) };
        let text = match place {
            TimePlace::Header(name) => header(head.headers, name, Reason::MissingTimestamp)?.to_str().ok(),
            TimePlace::Member(name) => Some(self.signature.member(signature, name).ok_or(Reason::MissingTimestamp)?),
        };
        let text = text.ok_or(Reason::BadTimestamp)?;
        rule.check(text, now)?;
        Ok(Some(text.to_owned()))
    }

    /// The hash that the query has. Where the body is no form, nothing else speaks of it.
    fn body_hash(&self, head: &Head<'_>, media: Media) -> Result<Option<(String, Encode)>, Reason> {
        let Some((name, encode)) = &self.body_hash else { return Ok(None) };
        let mut values = query(head).filter_map(|pair| pair.split_once('=')).filter(|(own, _)| own == name);
        match (values.next(), values.next()) {
            (Some((_, hash)), None) if !hash.is_empty() => Ok(Some((hash.to_owned(), *encode))),
            (None, None) if media == Media::Form => Ok(None),
            _ => Err(Reason::HashMissing), // W-13: hash of the body required
        }
    }

    /// The address as it may be signed: that of the configuration, whose query the request must repeat. What the request
    /// says of hosts has no part in it (W-12), and nothing of the form can move into the query.
    fn urls(&self, head: &Head<'_>) -> Result<Vec<String>, Reason> {
        if self.urls.is_empty() {
            return Ok(Vec::new());
        }
        let is_hash = |pair: &&str| {
            self.body_hash.as_ref().is_some_and(|(name, _)| pair.split_once('=').is_some_and(|(own, _)| own == name))
        };
        let known = self.query.as_deref().into_iter().flat_map(|query| query.split('&'));
        // W-06: query of the configuration
        if !query(head).filter(|pair| !is_hash(pair)).eq(known) {
            return Err(Reason::Mismatch);
        }
        // W-12: address of the configuration
        let behind = head.query.map(|query| format!("?{query}")).unwrap_or_default();
        Ok(self.urls.iter().map(|url| format!("{url}{behind}")).collect())
    }
}

fn query<'h>(head: &Head<'h>) -> impl Iterator<Item = &'h str> {
    head.query.into_iter().flat_map(|query| query.split('&'))
}

fn named_key(headers: &HeaderMap, name: &HeaderName) -> Result<String, Reason> {
    let value = header(headers, name, Reason::UnknownKey)?;
    value.to_str().map(str::to_owned).map_err(|_| Reason::UnknownKey)
}

impl Signed {
    /// Which secret made one of the signatures. Every secret is tried with every signature, whatever was found before.
    pub(super) fn prove(&self, body: &[u8], ring: &Ring) -> Result<(Standing, ProofKey), Reason> {
        let is_form = self.parts.iter().any(|part| matches!(part, Part::Form));
        let form = if is_form { form::sorted(body)? } else { String::new() };
        let (mut proven, mut is_known) = (None, false);
        for (standing, key) in
            ring.iter().filter(|(_, key)| self.key_id.is_none() || key.id() == self.key_id.as_deref())
        {
            is_known = true;
            let urls = self.urls.iter().map(String::as_str).chain(self.urls.is_empty().then_some(""));
            for tag in urls.filter_map(|url| self.mac(key, url, body, form.as_bytes())) {
                for signature in &self.signatures {
                    // W-01, W-23: comparison
                    if verify_slices_are_equal(signature, tag.as_ref()).is_ok() && proven.is_none() {
                        proven = Some((standing, ProofKey::of(tag.as_ref())));
                    }
                }
            }
        }
        let proven = proven.ok_or(if is_known { Reason::Mismatch } else { Reason::UnknownKey })?;
        if let Some((hash, encode)) = &self.body_hash {
            super::jwt::check_hash(*encode, hash, body)?; // W-13: hash of the body
        }
        Ok(proven)
    }

    fn mac(&self, key: &ProvingKey, url: &str, body: &[u8], form: &[u8]) -> Option<Tag> {
        let mut context = key.mac(self.hash)?.begin();
        for part in &self.parts {
            context.update(match part {
                Part::Bytes(bytes) => bytes,
                Part::Url => url.as_bytes(),
                Part::Body => body,
                Part::Form => form,
            });
        }
        Some(context.sign())
    }
}
