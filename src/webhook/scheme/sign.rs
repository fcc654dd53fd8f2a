//! Signs as the provider does, so that an operator can try a webhook out.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64URL};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use super::jwt::JwtRule;
use super::mac::{MacRule, TimePlace};
use super::text::Piece;
use super::{DEPTH, Proof, Scheme, form};
use crate::clock::Timestamp;
use crate::provider::{Encode, TimeKind};
use crate::webhook::keys::ProvingKey;

/// How long a JWT is good, in seconds.
const LIFE: i64 = 300;

/// An event that is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'d> {
    /// What the event is called, where the scheme has a header for that.
    pub id: &'d str,
    /// When it is signed.
    pub at: Timestamp,
    /// Its body.
    pub body: &'d [u8],
}

/// What a provider sends beside the body.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Content type and proof among them.
    pub headers: HeaderMap,
    /// The query of the address.
    pub query: Option<String>,
}

/// Where time and id stand, and how they are written.
struct Written<'w> {
    time: String,
    draft: &'w Draft<'w>,
    /// The address that is signed.
    url: String,
    is_form: bool,
}

impl Scheme {
    /// Signs `draft` with `key`. `Err` says what only the provider could do.
    pub fn sign(&self, draft: &Draft<'_>, key: &ProvingKey) -> Result<Envelope, String> {
        let content_type = self.content_type(draft.body);
        let is_form = content_type == form::CONTENT_TYPE;
        let mut envelope = Envelope { headers: HeaderMap::new(), query: None };
        envelope.set(&header::CONTENT_TYPE, content_type)?;
        match &self.proof {
            Proof::Mac(rule) => rule.sign(&mut envelope, draft, key, is_form)?,
            Proof::Jwt(rule) => envelope.set(&rule.header, &rule.sign(draft, key)?)?,
            Proof::Basic => {
                let credentials = STANDARD.encode(key.secret().expose());
                envelope.set(&header::AUTHORIZATION, &format!("Basic {credentials}"))?;
            }
            Proof::Token { header, prefix } => {
                let token = key.secret().expose_text().ok_or("the secret is no text")?;
                envelope.set(header, &format!("{prefix}{token}"))?;
            }
        }
        Ok(envelope)
    }

    /// JSON for JSON where that is taken, and otherwise the first type that is.
    fn content_type(&self, body: &[u8]) -> &str {
        let json = self.accept.iter().find(|own| own.ends_with("json") && self.places.read(body, DEPTH).is_some());
        json.or(self.accept.first()).map_or("application/json", String::as_str)
    }
}

impl Envelope {
    fn set(&mut self, name: &HeaderName, value: &str) -> Result<(), String> {
        let mut value = HeaderValue::from_str(value).map_err(|_| format!("{name} cannot hold such a value"))?;
        value.set_sensitive(*name != header::CONTENT_TYPE);
        self.headers.insert(name, value);
        Ok(())
    }
}

impl MacRule {
    fn sign(&self, envelope: &mut Envelope, draft: &Draft<'_>, key: &ProvingKey, is_form: bool) -> Result<(), String> {
        let hash = match &self.algorithm {
            None => self.hash,
            Some(rule) => match (rule.absent, rule.map.first()) {
                (Some(hash), _) => hash,
                (None, Some((name, hash))) => {
                    let value = rule.member.as_ref().map_or_else(|| name.clone(), |member| format!("{member}={name}"));
                    envelope.set(&rule.header, &value)?;
                    *hash
                }
                (None, None) => self.hash,
            },
        };
        if let (Some(name), Some(id)) = (&self.key_id, key.id()) {
            envelope.set(name, id)?;
        }
        if let Some(name) = &self.id {
            envelope.set(name, draft.id)?;
        }
        envelope.query = self.query_of(draft.body, is_form);
        let behind = envelope.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let url = self.urls.first().map(|url| format!("{url}{behind}")).unwrap_or_default();
        let time = self.time.as_ref().map(|(_, rule)| written(rule.kind, draft.at)).unwrap_or_default();
        let told = Written { time, draft, url, is_form };
        let mut context = key.mac(hash).ok_or("no key makes such a MAC")?.begin();
        for piece in &self.pieces {
            context.update(&self.bytes(piece, &told)?);
        }
        let signature = self.signature.encode.encode(context.sign().as_ref());
        let signature = format!("{}{}{signature}", self.signature.prefix, self.signature.pick);
        match &self.time {
            Some((TimePlace::Member(name), _)) => {
                let list = self.signature.list.as_deref().unwrap_or_default();
                return envelope.set(&self.header, &format!("{name}={}{list}{signature}", told.time));
            }
            Some((TimePlace::Header(name), _)) => envelope.set(name, &told.time)?,
            None => {}
        }
        envelope.set(&self.header, &signature)
    }

    /// The query of the configured address, with the hash of the body where that belongs there.
    fn query_of(&self, body: &[u8], is_form: bool) -> Option<String> {
        let hash = self.body_hash.as_ref().filter(|_| !is_form);
        let hash = hash.map(|(name, encode)| format!("{name}={}", hash_of(*encode, body)));
        let parts: Vec<&str> = self.query.as_deref().into_iter().chain(hash.as_deref()).collect();
        (!parts.is_empty()).then(|| parts.join("&"))
    }

    fn bytes(&self, piece: &Piece, told: &Written<'_>) -> Result<Vec<u8>, String> {
        Ok(match piece {
            Piece::Literal(text) => text.clone().into_bytes(),
            Piece::Body => told.draft.body.to_vec(),
            Piece::Url => told.url.clone().into_bytes(),
            Piece::Form if told.is_form => {
                form::sorted(told.draft.body).map_err(|_| "the body is no form")?.into_bytes()
            }
            Piece::Form => Vec::new(),
            Piece::Time => told.time.clone().into_bytes(),
            Piece::Id => told.draft.id.as_bytes().to_vec(),
            Piece::Header(name) => match &self.time {
                _ if self.id.as_ref() == Some(name) => told.draft.id.as_bytes().to_vec(),
                Some((TimePlace::Header(own), _)) if own == name => told.time.clone().into_bytes(),
                _ => return Err(format!("the scheme signs {name}, and what stands there only the provider knows")),
            },
            Piece::Member(name) => match &self.time {
                Some((TimePlace::Member(own), _)) if own == name => told.time.clone().into_bytes(),
                _ => return Err(format!("the scheme signs {name}, and what stands there only the provider knows")),
            },
        })
    }
}

impl JwtRule {
    fn sign(&self, draft: &Draft<'_>, key: &ProvingKey) -> Result<String, String> {
        let now = draft.at.as_seconds();
        let mut claims = json!({ "iss": key.id(), "iat": now, "nbf": now, "exp": now.saturating_add(LIFE) });
        if let Value::Object(claims) = &mut claims {
            claims.insert(self.claim.clone(), hash_of(self.encode, draft.body).into());
        }
        let part = |value: Value| BASE64URL.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({ "alg": self.alg.0, "typ": "JWT" })), part(claims));
        let mac = key.mac(self.alg.1).ok_or("no key makes such a MAC")?.mac(signed.as_bytes());
        Ok(format!("{signed}.{}", BASE64URL.encode(mac)))
    }
}

fn hash_of(encode: Encode, body: &[u8]) -> String {
    encode.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body).as_ref())
}

fn written(kind: TimeKind, at: Timestamp) -> String {
    match kind {
        TimeKind::Seconds => at.as_seconds().to_string(),
        TimeKind::Milliseconds => at.as_millis().to_string(),
        TimeKind::Iso => at.to_rfc3339(),
    }
}
