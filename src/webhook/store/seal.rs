//! Bodies and headers under AES-256-GCM, where the operator gives a key: for disks that others may read.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;

use crate::config::{ConfigError, Queue};
use crate::secrets::{Secret, read_text};

/// Bytes of its file at most.
const MOST_BYTES: u64 = 4096;
/// Bytes of a name.
const NAME_BYTES: usize = 16;

/// The key of `[queue] key_file`.
#[derive(Clone)]
pub struct SealKey {
    content: Arc<RandomizedNonceKey>,
    /// Makes names of what must not be guessed.
    names: hmac::Key,
}

/// Two pieces of one event are sealed for different places, so that they cannot be exchanged.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'e> {
    Head(&'e str),
    Body(&'e str),
    /// What tells whether the key is the one that the file was written with.
    Check,
}

impl Place<'_> {
    fn bytes(self) -> Vec<u8> {
        let (kind, id) = match self {
            Self::Head(id) => ("head ", id),
            Self::Body(id) => ("body ", id),
            Self::Check => ("check", ""),
        };
        [kind, id].concat().into_bytes()
    }
}

impl SealKey {
    /// The key of the section `[queue]`, read from its file.
    pub fn configured(queue: &Queue) -> Result<Option<Self>, ConfigError> {
        let Some(path) = &queue.key_file else { return Ok(None) };
        let mistake = |problem: String| {
            ConfigError::new(queue.origin.clone(), "queue.key_file", format!("{} {problem}", path.display()))
        };
        let text = read_text(path, MOST_BYTES).map_err(|error| mistake(error.to_string()))?;
        Self::parse(&Secret::new(text.into_bytes())).map(Some).map_err(mistake)
    }

    /// The key that stands in a file: 32 bytes as base64 or as hex.
    pub fn parse(secret: &Secret) -> Result<Self, String> {
        let key = secret.decode_key().and_then(|key| {
            let content = Arc::new(RandomizedNonceKey::new(&AES_256_GCM, key.expose()).ok()?);
            let names = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), b"names of the queue");
            Some(Self { content, names: hmac::Key::new(hmac::HMAC_SHA256, names.as_ref()) })
        });
        key.ok_or_else(|| "needs 32 bytes as base64 or hex: openssl rand -base64 32".to_owned())
    }

    /// Seals `plain`: the nonce, and then the sealed bytes with their tag. `None` where there is no randomness.
    pub(super) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let nonce = self.content.seal_in_place_append_tag(Aad::from(place.bytes()), &mut sealed).ok()?;
        sealed.splice(0..0, nonce.as_ref().iter().copied());
        Some(sealed)
    }

    /// A name for what others could guess, such as the hash of a room: equal for equal bytes, and tells nothing without the key.
    pub(super) fn blind(&self, bytes: &[u8]) -> String {
        let tag = hmac::sign(&self.names, bytes);
        HEXLOWER.encode(tag.as_ref().get(..NAME_BYTES).unwrap_or_default())
    }

    /// Opens what [`SealKey::seal`] made for the same place; `None` for anything else.
    pub(super) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut plain = sealed.to_vec();
        let length = self
            .content
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place.bytes()), &mut plain)
            .ok()?
            .len();
        plain.truncate(length);
        Some(plain)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    fn key(text: &str) -> Result<SealKey, String> {
        SealKey::parse(&Secret::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let one = key(&BASE64.encode(&[7; 32])).unwrap();
        let sealed = one.seal(Place::Body("evt_a"), b"hello").unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"hello"));
        assert_ne!(one.seal(Place::Body("evt_a"), b"hello").unwrap(), sealed);
        // The same bytes as hex are the same key.
        let same = key(&format!("{}\n", "07".repeat(32))).unwrap();
        assert_eq!(same.open(Place::Body("evt_a"), &sealed).unwrap(), b"hello");
        let other = key(&BASE64.encode(&[8; 32])).unwrap();
        assert_eq!(other.open(Place::Body("evt_a"), &sealed), None);
        assert_eq!(one.open(Place::Body("evt_b"), &sealed), None);
        assert_eq!(one.open(Place::Head("evt_a"), &sealed), None);
        assert_eq!(one.open(Place::Body("evt_a"), &sealed[..20]), None);
        assert_eq!(one.open(Place::Body("evt_a"), b""), None);
    }

    #[test]
    fn other_keys_are_refused() {
        for bad in ["", "short", &BASE64.encode(&[7; 31]), &BASE64.encode(&[7; 33]), &"07".repeat(31)] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }
}
