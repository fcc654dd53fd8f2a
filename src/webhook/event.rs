//! An event that is proven: what it is known by, and what the application gets of it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use data_encoding::BASE32_NOPAD;
use http::{HeaderName, HeaderValue};

use crate::clock::Timestamp;
use crate::secrets::framed;

/// Letters of a webhook id behind its prefix: 130 bits.
const ID_LETTERS: usize = 26;

/// What an event is known by at one webhook: repeats of it have the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventKey([u8; 32]);

/// What a proof is known by: the MAC, or the signature of the JWT. Used a second time, it is a repeat.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProofKey([u8; 32]);

/// What events are delivered one after the other by, such as a room: in the order of their acceptance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderKey([u8; 16]);

/// An event that is proven and not yet kept.
#[derive(Clone)]
pub struct Event {
    /// Name of the webhook in the configuration.
    pub webhook: Arc<str>,
    /// What repeats are known by.
    pub key: EventKey,
    /// What a second use of the proof is known by.
    pub proof: ProofKey,
    /// The order it belongs to, if any.
    pub order: Option<OrderKey>,
    /// What the provider calls this kind of event.
    pub event: Option<String>,
    /// What the provider calls this event.
    pub id: Option<String>,
    /// When it was received.
    pub received: Timestamp,
    /// Headers that the application gets as they came: `Content-Type`, `traceparent` and those that the definition forwards.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The proven bytes, unpacked.
    pub body: Bytes,
}

impl EventKey {
    /// Of an id that the proof covers: it decides alone.
    pub fn of_signed_id(id: &str) -> Self {
        Self(hash(b"id", &[id.as_bytes()]))
    }

    /// Of an id that the proof does not cover: it decides together with the body, so that a captured event under the id of a
    /// later one does not make that one a repeat (W-05).
    pub fn of_unsigned_id(id: &str, body: &[u8]) -> Self {
        Self(hash(b"id and body", &[id.as_bytes(), body]))
    }

    /// Of an event without an id.
    pub fn of_body(body: &[u8]) -> Self {
        Self(hash(b"body", &[body]))
    }

    /// What the application knows the event by: equal on all attempts, replicas and replays. It holds no dot, which the
    /// scheme of the signature uses between its parts.
    pub fn webhook_id(&self, webhook: &str) -> String {
        let digest = hash(b"webhook id", &[webhook.as_bytes(), &self.0]);
        let mut letters = BASE32_NOPAD.encode(&digest).to_ascii_lowercase();
        letters.truncate(ID_LETTERS);
        format!("evt_{letters}")
    }

    /// The bytes, to be stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ProofKey {
    /// Of the bytes of a MAC or a signature.
    pub fn of(proof: &[u8]) -> Self {
        Self(hash(b"proof", &[proof]))
    }

    /// The bytes, to be stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl OrderKey {
    /// Of what the provider calls it, such as the id of a room.
    pub fn of(webhook: &str, name: &str) -> Self {
        let digest = hash(b"order", &[webhook.as_bytes(), name.as_bytes()]);
        let mut key = [0; 16];
        key.iter_mut().zip(digest).for_each(|(own, byte)| *own = byte);
        Self(key)
    }

    /// From its stored bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be stored.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// SHA-256 of `parts` for one `purpose`.
fn hash(purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    framed(std::iter::once(&purpose).chain(parts), |bytes| context.update(bytes));
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Bodies hold messages of users, and ids may name them.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("webhook", &self.webhook).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

macro_rules! opaque {
    ($($key:ident)*) => {$(
        /// A short form, for messages of tests.
        impl fmt::Debug for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let [first, second, ..] = self.0;
                write!(f, concat!(stringify!($key), "({:02x}{:02x}…)"), first, second)
            }
        }
    )*};
}
opaque!(EventKey ProofKey OrderKey);
