//! Signs what the application gets, as Standard Webhooks says (<https://www.standardwebhooks.com>).

use std::fmt;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;

use crate::clock::Timestamp;
use crate::secrets::Secret;

/// What a shared key begins with.
const SHARED: &str = "whsec_";
/// What a private Ed25519 key begins with.
const PRIVATE: &str = "whsk_";
/// What the public half of it begins with.
const PUBLIC: &str = "whpk_";
/// Bytes of a shared key.
const SHARED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of a new shared key.
const NEW_BYTES: usize = 32;
/// Bytes of an Ed25519 seed, which the public half may follow.
const SEED_BYTES: usize = 32;

/// A key that deliveries are signed with.
pub enum SignKey {
    /// HMAC-SHA256, `v1,`: the application has the same key.
    Shared(Box<hmac::Key>),
    /// Ed25519, `v1a,`: the application has the public half.
    Private(Box<Ed25519KeyPair>),
}

impl SignKey {
    /// Reads `whsec_…` or `whsk_…`. `Err` says what to write instead, as the rest of a sentence that begins with the file.
    pub fn read(secret: &Secret) -> Result<Self, String> {
        let text = secret.expose_text().unwrap_or_default();
        let decoded = |text: &str| BASE64.decode(text).unwrap_or_default();
        if let Some(text) = text.strip_prefix(SHARED) {
            let key = Some(decoded(text)).filter(|key| SHARED_BYTES.contains(&key.len()));
            return key.map(|key| Self::Shared(Box::new(hmac::Key::new(HMAC_SHA256, &key)))).ok_or_else(|| {
                format!(
                    "must hold {SHARED} and the base64 of {} to {} bytes, in one line",
                    SHARED_BYTES.start(),
                    SHARED_BYTES.end()
                )
            });
        }
        if let Some(text) = text.strip_prefix(PRIVATE) {
            let key = decoded(text);
            let pair = match key.split_at_checked(SEED_BYTES) {
                Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
                Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
                None => Ed25519KeyPair::from_seed_unchecked(&[]),
            };
            return pair.map(|pair| Self::Private(Box::new(pair))).map_err(|_rejected| {
                format!("must hold {PRIVATE} and the base64 of an Ed25519 key of {SEED_BYTES} or 64 bytes, in one line")
            });
        }
        // W-24: keys not repeated
        Err(format!("must begin with {SHARED} or {PRIVATE}; make a key with sidemint keygen --alg webhook --out FILE"))
    }

    /// A new shared key, as text.
    pub fn generate_shared() -> Option<Secret> {
        let mut key = [0; NEW_BYTES];
        aws_lc_rs::rand::fill(&mut key).ok()?;
        Some(Secret::new(format!("{SHARED}{}", BASE64.encode(key)).into_bytes()))
    }

    /// A new private key, as text.
    pub fn generate_private() -> Option<Secret> {
        let mut seed = [0; SEED_BYTES];
        aws_lc_rs::rand::fill(&mut seed).ok()?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        let key = [&seed, pair.public_key().as_ref()].concat();
        Some(Secret::new(format!("{PRIVATE}{}", BASE64.encode(key)).into_bytes()))
    }

    /// The public half, as text; a shared key has none.
    pub fn public(&self) -> Option<String> {
        match self {
            Self::Shared(_) => None,
            Self::Private(pair) => Some(format!("{PUBLIC}{}", BASE64.encode(pair.public_key().as_ref()))),
        }
    }

    /// One entry of `webhook-signature`.
    fn sign(&self, id: &str, time: &str, body: &[u8]) -> String {
        // No part before the body holds a dot, so no other parts have the same bytes.
        let parts = [id.as_bytes(), b".", time.as_bytes(), b".", body];
        match self {
            Self::Shared(key) => {
                let mut context = hmac::Context::with_key(key);
                for part in parts {
                    context.update(part);
                }
                format!("v1,{}", BASE64.encode(context.sign().as_ref()))
            }
            Self::Private(pair) => format!("v1a,{}", BASE64.encode(pair.sign(&parts.concat()).as_ref())),
        }
    }
}

/// All keys that are in use: each of them signs, so that the application may have any of them.
#[derive(Debug)]
pub(super) struct SignKeys(Vec<SignKey>);

impl SignKeys {
    /// These keys, the newest first.
    pub(super) fn new(keys: Vec<SignKey>) -> Self {
        Self(keys)
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, time: Timestamp, body: &[u8]) -> Option<HeaderValue> {
        let time = time.as_seconds().to_string();
        let entries: Vec<String> = self.0.iter().map(|key| key.sign(id, &time, body)).collect();
        HeaderValue::try_from(entries.join(" ")).ok()
    }
}

impl fmt::Debug for SignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    fn read(text: &str) -> Result<SignKey, String> {
        SignKey::read(&Secret::new(text.as_bytes().to_vec()))
    }

    /// The worked example of the Standard Webhooks libraries.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const TIME: Timestamp = Timestamp::from_seconds(1_614_265_330);

    #[test]
    fn a_shared_key_signs_as_the_libraries_do() {
        let keys = SignKeys::new(vec![read(KEY).expect("a key")]);
        assert_eq!(keys.sign(ID, TIME, BODY).expect("a header"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_key_signs_and_the_newest_stands_first() {
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let keys = SignKeys::new(vec![read(other).expect("a key"), read(KEY).expect("a key")]);
        let header = keys.sign(ID, TIME, BODY).expect("a header");
        let entries: Vec<_> = header.to_str().expect("text").split(' ').collect();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_ne!(entries[0], entries[1]);
    }

    #[test]
    fn a_private_key_signs_what_its_public_half_proves() {
        let new = SignKey::generate_private().expect("a key");
        let whole = new.expose_text().expect("text").to_owned();
        let bytes = BASE64.decode(whole.strip_prefix(PRIVATE).expect("a prefix")).expect("base64");
        let seed = format!("{PRIVATE}{}", BASE64.encode(&bytes[..32]));
        for text in [whole, seed] {
            let key = read(&text).expect("a key");
            let public = key.public().expect("a public half");
            let public = BASE64.decode(public.strip_prefix("whpk_").expect("a prefix")).expect("base64");
            let header = SignKeys::new(vec![key]).sign(ID, TIME, BODY).expect("a header");
            let proof = header.to_str().expect("text").strip_prefix("v1a,").expect("its version").to_owned();
            let signed = [ID.as_bytes(), b".1614265330.", BODY].concat();
            let proof = BASE64.decode(proof).expect("base64");
            UnparsedPublicKey::new(&ED25519, &public).verify(&signed, &proof).expect("proven");
        }
    }

    #[test]
    fn new_keys_are_good_ones_and_differ() {
        let new = || SignKey::generate_shared().expect("a key");
        let one = new();
        assert!(!one.same_as(&new()));
        assert!(read(one.expose_text().expect("text")).expect("good").public().is_none());
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let sized = |prefix: &str, bytes: usize| format!("{prefix}{}", BASE64.encode(vec![7; bytes]));
        for (text, problem) in [
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), "must begin with whsec_ or whsk_"),
            ("whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), "must begin with whsec_ or whsk_"),
            (String::new(), "must begin with whsec_ or whsk_"),
            (sized(SHARED, 23), "must hold whsec_ and the base64 of 24 to 64 bytes"),
            (sized(SHARED, 65), "must hold whsec_ and the base64 of 24 to 64 bytes"),
            ("whsec_not base64, which is long enough".to_owned(), "must hold whsec_"),
            (sized(PRIVATE, 31), "must hold whsk_ and the base64 of an Ed25519 key"),
            (sized(PRIVATE, 33), "must hold whsk_"),
            (sized(PRIVATE, 64), "must hold whsk_"),
        ] {
            let error = read(&text).expect_err("refused");
            assert!(error.starts_with(problem), "{error}");
            assert!(text.len() < 8 || !error.contains(text.as_str()), "{error}");
        }
        for good in [sized(SHARED, 24), sized(SHARED, 64), sized(PRIVATE, 32)] {
            assert_eq!(format!("{:?}", read(&good).expect("a key")), "SignKey(…)");
        }
    }
}
