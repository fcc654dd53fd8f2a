//! How a provider's events are proven: `[webhook]` of a definition, compiled.
//!
//! It is pure: a head, a body, keys and a time go in, and what is proven or the reason why not comes out. Before the body is
//! read, [`Scheme::examine`] refuses all that a head can be refused for; then [`Scheme::prove`] compares with every secret,
//! and only what is proven is looked into.

mod challenge;
mod compile;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gzip;
mod jwt;
mod mac;
mod sign;
mod signature;
mod text;
mod time;

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::Value;

pub use challenge::Answer;
pub use sign::{Draft, Envelope};

use super::event::{EventKey, ProofKey};
use super::keys::{KeyRule, Ring, Standing};
use super::refusal::{Reason, Refusal};
use crate::clock::Timestamp;
use crate::decode::members::Places;
use challenge::{Handshake, Question};
use jwt::{JwtRule, UnverifiedJwt};
use mac::{MacRule, Signed};
use time::TimeRule;

/// Depth of JSON that is looked into. What is deeper is delivered all the same: a user who writes such a message must not
/// have the event refused, but nothing is read out of it.
const DEPTH: u8 = 64;

/// The parts of a request that come before its body.
#[derive(Clone, Copy, Debug)]
pub struct Head<'r> {
    /// The method.
    pub method: &'r Method,
    /// The query as it came.
    pub query: Option<&'r str>,
    /// The headers.
    pub headers: &'r HeaderMap,
}

/// How events are proven.
#[derive(Debug)]
pub struct Scheme {
    proof: Proof,
    keys: KeyRule,
    accept: Vec<String>,
    unpack: bool,
    /// What is read of a body that is JSON.
    places: Places,
    /// The place of the time in the body.
    body_time: Option<(usize, TimeRule)>,
    id: Option<Field>,
    /// Whether the proof covers the id.
    id_is_signed: bool,
    event: Option<Field>,
    order: Option<Field>,
    questions: Vec<Question>,
    handshakes: Vec<Handshake>,
    forward: Vec<HeaderName>,
    memory: Memory,
    overlap: Duration,
    max_bytes: usize,
    cautions: Vec<String>,
}

/// How long repeats are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// By the key of the event.
    pub key: Duration,
    /// By the proof.
    pub proof: Duration,
}

#[derive(Debug)]
enum Proof {
    Mac(Box<MacRule>),
    Jwt(JwtRule),
    Basic,
    Token { header: HeaderName, prefix: String },
}

/// Where a request says something.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Header(HeaderName),
    /// The number of its place.
    Json(usize),
    Form(String),
}

/// What kind of body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Form,
    Other,
}

/// A request whose head is good. Nothing is proven yet.
pub struct Examined {
    evidence: Evidence,
    media: Media,
    id: Option<String>,
    event: Option<String>,
    order: Option<String>,
}

enum Evidence {
    Signed(Signed),
    Jwt(UnverifiedJwt),
    Credential(Vec<u8>),
}

/// A proven request.
#[derive(Clone)]
pub struct Proven {
    /// What a second use of the proof is known by.
    pub proof: ProofKey,
    /// What the provider calls this kind of event.
    pub event: Option<String>,
    /// What the provider calls this event.
    pub id: Option<String>,
    /// Whether the proof covers the id.
    pub id_is_signed: bool,
    /// What the provider calls the order that the event belongs to.
    pub order: Option<String>,
    /// Whether the secret that proved it is still given.
    pub standing: Standing,
    /// The proven bytes, unpacked.
    pub body: Bytes,
    /// The answer, where this is a question and no event.
    pub challenge: Option<Answer>,
}

impl Proven {
    /// What repeats are known by. It takes a second hash of the body where the proof does not cover an id, so only events that
    /// are kept are asked.
    pub fn key(&self) -> EventKey {
        match &self.id {
            Some(id) if self.id_is_signed => EventKey::of_signed_id(id),
            Some(id) => EventKey::of_unsigned_id(id, &self.body), // W-05: body beside an unsigned id
            None => EventKey::of_body(&self.body),
        }
    }
}

impl Scheme {
    /// Looks at all that can be refused without the body: the proof is there and well written, its time is in the window.
    pub fn examine(&self, head: &Head<'_>, now: Timestamp) -> Result<Examined, Reason> {
        let media = self.media(head.headers);
        let evidence = match &self.proof {
            Proof::Mac(rule) => Evidence::Signed(rule.examine(head, media, now)?),
            Proof::Jwt(rule) => {
                let token = header(head.headers, &rule.header, Reason::MissingAuthorization)?;
                Evidence::Jwt(rule.read(token.to_str().map_err(|_| Reason::Malformed)?, now)?)
            }
            Proof::Basic => {
                let value = header(head.headers, &header::AUTHORIZATION, Reason::MissingAuthorization)?;
                Evidence::Credential(basic(value).ok_or(Reason::BadFormat)?)
            }
            Proof::Token { header: name, prefix } => {
                let value = header(head.headers, name, Reason::MissingAuthorization)?;
                let token = value.as_bytes().strip_prefix(prefix.as_bytes()).ok_or(Reason::BadFormat)?;
                Evidence::Credential(token.to_vec())
            }
        };
        let id = match &self.id {
            // W-01: id twice
            Some(Field::Header(name)) if head.headers.contains_key(name) => {
                let value = header(head.headers, name, Reason::BadId)?;
                Some(value.to_str().map_err(|_| Reason::BadId)?.to_owned())
            }
            _ => None,
        };
        let said = |field: &Option<Field>| match field {
            Some(Field::Header(name)) => {
                header(head.headers, name, Reason::BadFormat).ok()?.to_str().ok().map(str::to_owned)
            }
            _ => None,
        };
        Ok(Examined { evidence, media, id, event: said(&self.event), order: said(&self.order) })
    }

    /// When the request says that it was signed, where its head says so.
    pub fn signed_at(&self, head: &Head<'_>) -> Option<Timestamp> {
        if let Proof::Mac(rule) = &self.proof { rule.signed_at(head) } else { None }
    }

    /// Whether bodies may be packed.
    pub fn unpacks(&self) -> bool {
        self.unpack
    }

    /// Whether a body of this kind is taken: its content type is accepted, and its coding is none that is not unpacked.
    /// A request that names no type is taken for the first that is accepted.
    pub fn takes(&self, headers: &HeaderMap) -> bool {
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let (own, more) = (types.next(), types.next());
        let is_accepted = own.is_none_or(|own| essence(own).is_some_and(|own| self.accept.contains(&own)));
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        let is_known = |coding: &HeaderValue| {
            let is = |known: &str| coding.as_bytes().eq_ignore_ascii_case(known.as_bytes());
            is("identity") || self.unpack && is("gzip")
        };
        is_accepted && more.is_none() && codings.all(is_known)
    }

    /// Compares the request with every key of `ring`, and reads out of it what events are known by. `body` may unpack to
    /// `most` bytes.
    pub fn prove(
        &self,
        examined: &Examined,
        body: Bytes,
        most: usize,
        ring: &Ring,
        now: Timestamp,
    ) -> Result<Proven, Refusal> {
        let body = if self.unpack { gzip::unpack(body, most)? } else { body };
        let (standing, proof) = self.evidence(&examined.evidence, &body, ring)?;
        let is_read = examined.media == Media::Other && !self.places.is_empty();
        let said_inside = if is_read { self.places.read(&body, DEPTH) } else { None };
        let inside = |place: &usize| said_inside.as_ref()?.at(*place).map(text_of);
        if let Some((at, rule)) = &self.body_time {
            let time = inside(at);
            rule.check(&time.ok_or(Reason::MissingTimestamp)?, now)?;
        }
        let say = |field: &Option<Field>, said: &Option<String>| match field {
            None => None,
            Some(Field::Header(_)) => said.clone(),
            Some(Field::Json(at)) => inside(at),
            Some(Field::Form(name)) => (examined.media == Media::Form).then(|| form::field(&body, name))?,
        };
        let id = say(&self.id, &examined.id).filter(|id| !id.is_empty());
        let asked = said_inside.as_ref().and_then(|said| self.questions.iter().find_map(|own| own.answer(said)));
        let (event, order) = (say(&self.event, &examined.event), say(&self.order, &examined.order));
        let order = order.filter(|order| !order.is_empty());
        let (id_is_signed, challenge) = (self.id_is_signed, asked.transpose()?);
        Ok(Proven { proof, event, id, id_is_signed, order, standing, body, challenge })
    }

    fn evidence(&self, evidence: &Evidence, body: &[u8], ring: &Ring) -> Result<(Standing, ProofKey), Reason> {
        match (evidence, &self.proof) {
            (Evidence::Signed(signed), _) => signed.prove(body, ring),
            (Evidence::Jwt(jwt), Proof::Jwt(rule)) => {
                let standing = verify(jwt, rule, ring)?;
                rule.check_hash(jwt, body)?;
                Ok((standing, ProofKey::of(&jwt.signature)))
            }
            (Evidence::Credential(sent), _) => {
                let mut proven = None;
                for (standing, key) in ring.iter() {
                    if key.credential().is(sent) && proven.is_none() {
                        proven = Some(standing);
                    }
                }
                // The credential is the same in all requests: what is used once only is the body.
                Ok((proven.ok_or(Reason::Mismatch)?, ProofKey::of(digest(&SHA256, body).as_ref())))
            }
            (Evidence::Jwt(_), _) => Err(Reason::Malformed),
        }
    }

    fn media(&self, headers: &HeaderMap) -> Media {
        let own = headers.get(header::CONTENT_TYPE).and_then(essence);
        let own = own.as_ref().or(self.accept.first());
        if own.is_some_and(|own| own == form::CONTENT_TYPE) { Media::Form } else { Media::Other }
    }

    /// The answer to a question that nothing proves. The caller asks only where the operator allows that.
    pub fn handshake(&self, head: &Head<'_>, ring: &Ring) -> Option<Result<Answer, Reason>> {
        self.handshakes.iter().find_map(|own| own.answer(head, ring))
    }

    /// How keys are read out of secrets.
    pub fn keys(&self) -> &KeyRule {
        &self.keys
    }

    /// Headers that the application gets as they came.
    pub fn forward(&self) -> &[HeaderName] {
        &self.forward
    }

    /// How long repeats are known.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// How long the previous secret is taken, where the operator does not say.
    pub fn overlap(&self) -> Duration {
        self.overlap
    }

    /// Whether it says what events are called.
    pub fn names_events(&self) -> bool {
        self.event.is_some()
    }

    /// Bytes of a body at most, where the operator does not say.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Whether unproven questions are answered where the operator allows it.
    pub fn has_handshakes(&self) -> bool {
        !self.handshakes.is_empty()
    }

    /// What the operator should know: one sentence each.
    pub fn cautions(&self) -> &[String] {
        &self.cautions
    }
}

/// Credentials are sent as they are, and ids may name users.
impl fmt::Debug for Examined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Examined").field("media", &self.media).finish_non_exhaustive()
    }
}

/// Bodies hold messages of users.
impl fmt::Debug for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proven").field("proof", &self.proof).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// Which secret signed a JWT. Every one that has its key id is tried.
fn verify(jwt: &UnverifiedJwt, rule: &JwtRule, ring: &Ring) -> Result<Standing, Reason> {
    let (mut proven, mut is_known) = (None, false);
    // W-08: key of the issuer
    for (standing, key) in ring.iter().filter(|(_, key)| key.id() == Some(&jwt.key_id)) {
        is_known = true;
        let Some(mac) = key.mac(rule.alg.1) else { continue };
        let tag = mac.mac(jwt.signed.as_bytes());
        // W-08: signature of the token
        if aws_lc_rs::constant_time::verify_slices_are_equal(&tag, &jwt.signature).is_ok() && proven.is_none() {
            proven = Some(standing);
        }
    }
    proven.ok_or(if is_known { Reason::BadSignature } else { Reason::UnknownKey })
}

/// The value of a header that stands there once and is not empty.
fn header<'h>(headers: &'h HeaderMap, name: &HeaderName, missing: Reason) -> Result<&'h HeaderValue, Reason> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => Ok(value),
        _ => Err(missing),
    }
}

/// A content type without its parameters, in lower case.
fn essence(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The credentials of `Authorization: Basic` (RFC 7617).
fn basic(value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    STANDARD.decode(credentials.trim_start_matches(' ')).ok()
}

/// What stands at a place, as a text.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
