//! What is stored, sealed: it opens for the question that it was sealed for, and for no other.
//!
//! AES-256-GCM-SIV with random nonces (RFC 8452): a fleet with one key has no state in common, and plain GCM with random
//! nonces ends at 2^32 messages. Fence, key and whole question are bound to it, so a value that is copied under the name of
//! another user does not open (F-01), and two questions with one name are a miss (F-03).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use strum::{IntoStaticStr, VariantArray};

use super::tier::Fence;
use crate::clock::Moment;
use crate::definition::Mistake;
use crate::secrets::{KeyFolder, Secret, framed};

/// How long a new key opens before it seals, so that all replicas can open before any seals.
const ANNOUNCE: Duration = Duration::from_secs(300);
/// What a key is.
const NO_KEY: &str = "write 32 bytes as base64 or hex, as sidemint keygen --shared makes them";
/// The form of what is sealed.
const VERSION: u8 = 1;
/// What the associated data begins with.
const LABEL: &[u8] = b"sidemint session 1";

/// Why a value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Unopened {
    /// It is no value of this form.
    Malformed,
    /// Its key is not here: taken away, or not here yet.
    Key,
    /// It was not sealed for this question, or not by us.
    Forged,
}

struct Member {
    secret: Secret,
    key: RandomizedNonceKey,
    seals_from: Moment,
}

/// The keys, by id.
#[derive(Default)]
pub struct Keys {
    members: BTreeMap<String, Member>,
    /// Named by the file `signing`.
    named: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("keys", &self.members.len()).finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of `folder`. Those that `before` does not know open at once and seal five minutes later; at start there is none
    /// before, and all may seal.
    pub fn read(folder: &KeyFolder, before: Option<&Self>, now: Moment) -> Result<Self, Mistake> {
        let mut members = BTreeMap::new();
        for (id, file) in &folder.keys {
            let secret = file.secret.decode_key();
            let key = secret.as_ref().and_then(|own| RandomizedNonceKey::new(&AES_256_GCM_SIV, own.expose()).ok());
            let (Some(secret), Some(key)) = (secret, key) else {
                return Err(format!("has a key {id} that is none: {NO_KEY}").into());
            };
            let known = before.and_then(|before| before.members.get(id)).filter(|own| own.secret.same_as(&secret));
            let seals_from = match (known, before) {
                (Some(known), _) => known.seals_from,
                (None, Some(_)) => now.plus(ANNOUNCE),
                (None, None) => now,
            };
            members.insert(id.clone(), Member { secret, key, seals_from });
        }
        Ok(Self { members, named: folder.signing.clone() })
    }

    /// The key that seals now: the one that is named, else the last by name of those that opened long enough; where none did,
    /// the last.
    fn sealing(&self, now: Moment) -> Option<(&String, &Member)> {
        let named = self.named.as_ref().and_then(|name| self.members.get_key_value(name));
        let announced = || self.members.iter().rev().find(|(_, member)| member.seals_from <= now);
        named.or_else(announced).or_else(|| self.members.iter().next_back())
    }

    /// Seals `plain` for `question`. `None` where there is no randomness or the id of the key is too long.
    pub fn seal(&self, fence: Fence, question: &[u8], plain: &[u8], now: Moment) -> Option<Vec<u8>> {
        let (id, member) = self.sealing(now)?;
        let mut sealed = plain.to_vec();
        let nonce = member.key.seal_in_place_append_tag(Aad::from(bound(fence, id, question)), &mut sealed).ok()?;
        let head = [&[VERSION, u8::try_from(id.len()).ok()?][..], id.as_bytes(), nonce.as_ref()].concat();
        sealed.splice(0..0, head);
        Some(sealed)
    }

    /// Opens what [`Keys::seal`] made for the same fence and question.
    pub fn open(&self, fence: Fence, question: &[u8], value: &[u8]) -> Result<Vec<u8>, Unopened> {
        let parts = || {
            let (&[version, length], rest) = value.split_first_chunk::<2>()?;
            let (id, rest) = rest.split_at_checked(usize::from(length))?;
            let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
            (version == VERSION).then_some((std::str::from_utf8(id).ok()?, *nonce, sealed))
        };
        let (id, nonce, sealed) = parts().ok_or(Unopened::Malformed)?;
        let member = self.members.get(id).ok_or(Unopened::Key)?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = member.key.open_in_place(nonce, Aad::from(bound(fence, id, question)), &mut plain);
        let length = opened.map_err(|_| Unopened::Forged)?.len();
        plain.truncate(length);
        Ok(plain)
    }
}

/// What a value is bound to.
fn bound(fence: Fence, id: &str, question: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(question.len() + 96);
    let fence = fence.to_string();
    // F-01, F-03: question in the associated data
    framed([LABEL, fence.as_bytes(), id.as_bytes(), question], |part| bytes.extend_from_slice(part));
    bytes
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;
    use crate::secrets::KeyFile;
    use crate::shared::tier::TierTime;

    const NOW: Moment = Moment::from_millis(0);

    fn folder(keys: &[(&str, u8)]) -> KeyFolder {
        let file = |byte: u8| KeyFile { secret: Secret::new(BASE64.encode(&[byte; 32]).into_bytes()), written: None };
        let keys = keys.iter().map(|(id, byte)| ((*id).to_owned(), file(*byte))).collect();
        KeyFolder { keys, signing: None }
    }

    fn fence(micros: u64) -> Fence {
        Fence::at(TierTime::from_micros(micros))
    }

    #[test]
    fn a_value_opens_for_its_own_question_and_fence() {
        let keys = Keys::read(&folder(&[("a", 1)]), None, NOW).unwrap();
        let sealed = keys.seal(fence(7), b"ada", b"token", NOW).unwrap();
        assert_eq!(keys.open(fence(7), b"ada", &sealed), Ok(b"token".to_vec()));
        assert_eq!(keys.open(fence(7), b"bob", &sealed), Err(Unopened::Forged));
        assert_eq!(keys.open(fence(8), b"ada", &sealed), Err(Unopened::Forged));
        let other = Keys::read(&folder(&[("a", 2)]), None, NOW).unwrap();
        assert_eq!(other.open(fence(7), b"ada", &sealed), Err(Unopened::Forged));
        let renamed = Keys::read(&folder(&[("b", 1)]), None, NOW).unwrap();
        assert_eq!(renamed.open(fence(7), b"ada", &sealed), Err(Unopened::Key));
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        assert_ne!(keys.seal(fence(7), b"ada", b"token", NOW).unwrap(), sealed);
        for end in 0..sealed.len() {
            assert!(keys.open(fence(7), b"ada", &sealed[..end]).is_err());
        }
    }

    /// The id of the key that seals stands in the value.
    fn sealed_with(keys: &Keys, now: Moment) -> u8 {
        keys.seal(fence(1), b"q", b"p", now).unwrap()[2]
    }

    #[test]
    fn a_new_key_opens_at_once_and_seals_when_all_can_open() {
        let old = Keys::read(&folder(&[("a", 1)]), None, NOW).unwrap();
        let both = Keys::read(&folder(&[("a", 1), ("b", 2)]), Some(&old), NOW).unwrap();
        let before = NOW.plus(ANNOUNCE).minus(Duration::from_millis(1));
        assert_eq!((sealed_with(&both, before), sealed_with(&both, NOW.plus(ANNOUNCE))), (b'a', b'b'));
        let again = Keys::read(&folder(&[("a", 1), ("b", 2)]), Some(&both), before).unwrap();
        assert_eq!(sealed_with(&again, NOW.plus(ANNOUNCE)), b'b', "the time is counted once");
        let new = Keys::read(&folder(&[("b", 2)]), Some(&both), NOW).unwrap();
        assert_eq!(sealed_with(&new, NOW), b'b', "the only one seals");
        let start = Keys::read(&folder(&[("a", 1), ("b", 2)]), None, NOW).unwrap();
        assert_eq!(sealed_with(&start, NOW), b'b');
        let ahead = start.seal(fence(1), b"q", b"p", NOW).unwrap();
        assert_eq!(both.open(fence(1), b"q", &ahead), Ok(b"p".to_vec()));
    }
}
