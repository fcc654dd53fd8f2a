//! Events as providers sign them, made and proven with aws-lc-rs alone.

use aws_lc_rs::{digest, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::setting;

/// The secret of every webhook here.
pub const SECRET: &str = "whsec_0123456789abcdef0123456789abcdef0123456789abcdef";

/// How an event is proven: `KIND`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `sendsar`: the hex of an HMAC of the body.
    Body,
    /// `livekit`: a JWT with the hash of the body.
    Jwt,
}

impl Kind {
    pub fn of_environment() -> Self {
        if setting("KIND", "sendsar".to_owned()) == "livekit" { Self::Jwt } else { Self::Body }
    }

    pub const fn header(self) -> &'static str {
        match self {
            Self::Body => "x-webhook-signature",
            Self::Jwt => "authorization",
        }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Body => "application/json",
            Self::Jwt => "application/webhook+json",
        }
    }

    /// What the header says of `body`.
    pub fn proof(self, key: &hmac::Key, body: &[u8]) -> String {
        match self {
            Self::Body => format!("sha256={}", hex(hmac::sign(key, body).as_ref())),
            Self::Jwt => {
                let hash = base64::engine::general_purpose::STANDARD.encode(digest::digest(&digest::SHA256, body));
                let now = jiff::Timestamp::now().as_second();
                let claims = format!(r#"{{"iss":"key_01","nbf":{now},"exp":{},"sha256":"{hash}"}}"#, now + 300);
                let signed = format!(
                    "{}.{}",
                    URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
                    URL_SAFE_NO_PAD.encode(claims)
                );
                format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(key, signed.as_bytes())))
            }
        }
    }

    /// The raw work of a proof: what no receiver can do without.
    pub fn proves(self, key: &hmac::Key, proof: &[u8], body: &[u8]) -> bool {
        match self {
            Self::Body => proof.strip_prefix(b"sha256=").and_then(unhex).is_some_and(|tag| hmac::verify(key, body, &tag).is_ok()),
            Self::Jwt => {
                let hash = digest::digest(&digest::SHA256, body);
                let Some(dot) = proof.iter().rposition(|byte| *byte == b'.') else { return false };
                let (signed, tag) = proof.split_at(dot);
                let tag = URL_SAFE_NO_PAD.decode(&tag[1..]).unwrap_or_default();
                hash.as_ref().len() == 32 && hmac::verify(key, signed, &tag).is_ok()
            }
        }
    }
}

pub fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes())
}

/// A JSON body of `bytes` with a number of its own.
pub fn body(number: u64, bytes: usize) -> String {
    let head = format!(r#"{{"event":"message.created","id":"EV_{number:012}","roomId":"r{}","sent":"#, number % 1000);
    let sent = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |span| span.as_nanos());
    let mut text = format!(r#"{head}"{sent}","text":""#);
    text.extend(std::iter::repeat_n('x', bytes.saturating_sub(text.len() + 2)));
    text.push_str("\"}");
    text
}

/// When a body was sent, in nanoseconds since 1970.
pub fn sent(body: &[u8]) -> Option<u128> {
    let text = std::str::from_utf8(body).ok()?;
    text.split_once(r#""sent":""#)?.1.split('"').next()?.parse().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    (0..text.len() / 2).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}
