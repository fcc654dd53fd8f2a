//! `auth` read backwards: where an SDK puts its key, and whether what stands there was made with a caller's own.
//!
//! An SDK proves a call as the provider wants it. A caller of the gateway gives it a key of its own, so the same proof, held
//! against that key, tells the caller: a text is compared, a JWT or a signature over the request is verified.

mod compile;
mod form;
mod jwt;
mod presented;

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, SHA256};
use http::HeaderName;
use http::header::AUTHORIZATION;
use strum::IntoStaticStr;

use super::auth::{Carrier, StepAuth};
use crate::clock::Timestamp;
use crate::provider::keys::mac::{Encode, Hash, MacKey};
use crate::provider::keys::material;
use crate::provider::template::{Profile, RequestText, Variables};
use crate::provider::user::UserId;
use crate::secrets::Secret;

use form::KeyForm;
use jwt::JwtRule;
pub use presented::Presented;

/// Where the key of an SDK stands, and what it is like.
#[derive(Debug)]
pub struct VirtualScheme {
    kind: Kind,
    /// Where the name of the caller stands, if that is apart from the key.
    key_id: Option<Place>,
    /// Where the time of the request stands, and how far it may lie from now.
    time: Option<(Place, Duration)>,
    form: KeyForm,
    reads_body: bool,
    hashes_body: bool,
}

/// What an SDK sends as proof.
#[derive(Debug)]
enum Kind {
    /// The key itself.
    Header { name: HeaderName, word: String },
    /// The key itself, in the query.
    Query(String),
    /// User and key (RFC 7617). Without a user of its own, the form of the key holds both.
    Basic { has_user: bool },
    /// A JWT.
    Jwt { header: HeaderName, word: String, rule: JwtRule, hash: Hash, form: material::Form },
    /// A signature over the request, as the proof of this number makes it.
    Signature { auth: usize, hash: Hash, form: material::Form },
}

/// Where something stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Claim(String),
    Query(String),
    Header(HeaderName),
}

/// What of a caller's key is kept for one provider.
pub struct FittedKey(Fitted);

enum Fitted {
    /// Digest of what is shown: all are of one length.
    Digest(digest::Digest),
    Mac(Box<MacKey>),
}

impl std::fmt::Debug for FittedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FittedKey(…)")
    }
}

/// What a request shows as proof, taken apart once, before it is held against keys.
pub struct Shown {
    /// The caller that it names, where the scheme has one.
    key_id: Option<String>,
    proof: Proof,
}

impl std::fmt::Debug for Shown {
    /// A signature that is good is a key for its request.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown(…)")
    }
}

enum Proof {
    Digest(digest::Digest),
    Mac { text: Vec<u8>, tag: Vec<u8>, encode: Option<Encode> },
}

/// Why a request shows nothing that could be held against a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum NotShown {
    /// There is none, or there are several.
    KeyMissing,
    /// It is not of the form that the SDK gives it.
    KeyMalformed,
    /// It names another algorithm.
    KeyAlgorithm,
    /// It has expired, or is not valid yet.
    KeyExpired,
    /// Its time is too far from now.
    KeyTime,
    /// It is for another body.
    KeyBody,
    /// It was made for a user.
    KeyOfUser,
}

impl VirtualScheme {
    /// Whether the body must be there before a request can be held against keys.
    pub fn reads_body(&self) -> bool {
        self.reads_body
    }

    /// Whether what is signed holds a hash of the body, which is compared once the body is there.
    pub fn hashes_body(&self) -> bool {
        self.hashes_body
    }

    /// Whether the name of the caller stands beside the key, so that the keys of no other caller come into question.
    pub fn names_caller(&self) -> bool {
        self.key_id.is_some()
    }

    /// The key of `caller` as its SDK takes it.
    pub fn printed(&self, caller: &str, key: &str) -> String {
        self.form.fill(caller, key)
    }

    /// What the SDK takes beside the key as its id, where it takes one.
    pub fn printed_id<'c>(&self, caller: &'c str) -> Option<&'c str> {
        let apart = self.key_id.is_some() || matches!(self.kind, Kind::Basic { has_user: true });
        apart.then_some(caller)
    }

    /// What is kept of a key of `caller`. The message is the rest of a sentence about the key.
    pub fn fit(&self, caller: &str, key: &str) -> Result<FittedKey, String> {
        let text = self.form.fill(caller, key);
        Ok(FittedKey(match &self.kind {
            Kind::Header { .. } | Kind::Query(_) => Fitted::Digest(digest::digest(&SHA256, text.as_bytes())),
            Kind::Basic { .. } => {
                let pair = if text.contains(':') { text } else { format!("{caller}:{text}") };
                Fitted::Digest(digest::digest(&SHA256, pair.as_bytes()))
            }
            Kind::Jwt { hash, form, .. } | Kind::Signature { hash, form, .. } => {
                let secret = Secret::new(text.into_bytes());
                Fitted::Mac(Box::new(MacKey::read_as(*hash, &secret, form).map_err(|error| error.to_string())?))
            }
        }))
    }

    /// What a request shows. `auths` are the proofs that this scheme was made of, and `parts` the public parts of secrets.
    pub(in crate::provider) fn read(
        &self,
        request: &Presented<'_>,
        auths: &[StepAuth],
        parts: &[String],
        now: Timestamp,
    ) -> Result<Shown, NotShown> {
        let digest = |text: &str| Proof::Digest(digest::digest(&SHA256, text.as_bytes()));
        let mut claims = None;
        let proof = match &self.kind {
            Kind::Header { name, word } => digest(request.word(name, word)?),
            Kind::Query(name) => digest(&request.parameter(name)?),
            Kind::Basic { .. } => digest(&request.basic()?),
            Kind::Jwt { header, word, rule, .. } => {
                let jwt = rule.read(request.word(header, word)?, now)?;
                claims = Some(jwt.claims);
                Proof::Mac { text: jwt.text, tag: jwt.tag, encode: None }
            }
            Kind::Signature { auth, .. } => match auths.get(*auth) {
                Some(StepAuth::Signature { mac, carrier, prefix }) => {
                    let shown = match carrier {
                        Carrier::Query(name) => request.parameter(name)?,
                        Carrier::Header(name) => request.line(name)?.to_owned(),
                    };
                    let tag = shown.strip_prefix(prefix.as_str()).ok_or(NotShown::KeyMalformed)?.as_bytes().to_vec();
                    let without = if let Carrier::Query(name) = carrier { Some(name.as_str()) } else { None };
                    let url = request.address(without)?;
                    let told = request.text(&url);
                    let text = mac.text.render_signed(&variables(&told, parts, now));
                    let text = text.map_err(|_not_ours| NotShown::KeyMalformed)?.into_bytes();
                    Proof::Mac { text, tag, encode: Some(mac.encode) }
                }
                _ => return Err(NotShown::KeyMissing),
            },
        };
        let at = |place: &Place| request.at(place, claims.as_ref());
        if let Some((place, skew)) = &self.time {
            let time: i64 = at(place)?.parse().map_err(|_error| NotShown::KeyMalformed)?;
            let far = now.as_seconds().abs_diff(time);
            // G-15: late replay
            if far > skew.as_secs() {
                return Err(NotShown::KeyTime);
            }
        }
        let key_id = self.key_id.as_ref().map(at).transpose()?;
        Ok(Shown { key_id, proof })
    }

    /// Headers and query parameters that say who calls.
    pub(in crate::provider) fn places(&self) -> (Vec<HeaderName>, Vec<String>) {
        let (mut headers, mut query) = (Vec::new(), Vec::new());
        match &self.kind {
            Kind::Header { name, .. } | Kind::Jwt { header: name, .. } => headers.push(name.clone()),
            Kind::Query(name) => query.push(name.clone()),
            // The carrier of a signature is that of the proof.
            Kind::Basic { .. } | Kind::Signature { .. } => headers.push(AUTHORIZATION),
        }
        for place in self.key_id.iter().chain(self.time.iter().map(|(place, _)| place)) {
            match place {
                Place::Claim(_) => {}
                Place::Query(name) => query.push(name.clone()),
                Place::Header(name) => headers.push(name.clone()),
            }
        }
        (headers, query)
    }
}

fn variables<'v>(request: &'v RequestText<'v>, parts: &'v [String], now: Timestamp) -> Variables<'v> {
    static NO_USER: LazyLock<(UserId, Profile<'static>)> = LazyLock::new(Default::default);
    let (no_user, nothing) = &*NO_USER;
    Variables { request: Some(request), parts, now, ..Variables::of(no_user, nothing) }
}

impl Shown {
    /// The caller that it names, where the scheme has one.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Whether it was made with this key. It takes the same time for every key of a kind.
    pub fn fits(&self, key: &FittedKey) -> bool {
        match (&self.proof, &key.0) {
            (Proof::Digest(shown), Fitted::Digest(own)) => {
                verify_slices_are_equal(shown.as_ref(), own.as_ref()).is_ok() // G-14: key of a caller
            }
            (Proof::Mac { text, tag, encode }, Fitted::Mac(key)) => {
                let own = key.mac(text);
                let own = encode.map_or(own.clone(), |encode| encode.encode(&own).into_bytes());
                verify_slices_are_equal(&own, tag).is_ok() // G-15: signature of a caller
            }
            _ => false,
        }
    }
}
