//! Secrets and keys of one provider, published as whole generations.
//!
//! [`needs`] says what secrets are for. A [`Vault`] reads the sources, checks that what it [`read`] is usable (patterns,
//! header bytes, key against algorithm) and only then swaps it in. A bad new value keeps the last good one. The
//! [`ring`] remembers the keys of tokens: which one signs, and which are still published.

mod needs;
mod read;
mod ring;
pub(super) mod rotation;
mod signer;
mod vault;

use std::sync::Arc;

use http::HeaderValue;

use super::keys::mac::MacKey;
use crate::secrets::{Fingerprint, Secret, SecretSet};

pub(super) use needs::{HeaderRule, KeyRule, MacRule, Needs, PartKind, PartRule, Scheme, SignerRule};
pub(super) use ring::ANNOUNCE;
pub use ring::KeyStatus;
pub(super) use signer::Signer;
pub(super) use vault::Vault;

/// One generation.
#[derive(Debug)]
pub(super) struct Credentials {
    /// Counts accepted changes, from 1.
    pub(super) generation: u32,
    /// Name of the credentials that sessions end with.
    pub(super) sessions: Fingerprint,
    /// The same for other processes, with the keys of tokens in it: what they minted ends with those as well.
    pub(super) abroad: Fingerprint,
    /// How often sessions ended in a way that the secrets do not show: the key that verifies them was taken away, or the
    /// secrets are ones that sessions have ended with before.
    pub(super) endings: u32,
    /// One header for each [`HeaderRule`], in its order.
    pub(super) headers: Vec<HeaderText>,
    /// Secrets for bodies, in the order of [`Needs::texts`].
    pub(super) texts: Vec<Secret>,
    /// Public parts, in the order of [`Needs::parts`].
    pub(super) parts: Vec<String>,
    /// In the order of [`Needs::macs`].
    pub(super) macs: Vec<MacKey>,
    /// In the order of [`Needs::signers`].
    pub(super) signers: Vec<Signer>,
    /// The key that signs tokens.
    pub(super) signer: Option<Arc<Signer>>,
    /// The key of hashed user ids.
    pub(super) user_key: Option<MacKey>,
    secrets: Arc<SecretSet>,
}

/// The value of a header with a secret.
#[derive(Debug)]
pub(super) struct HeaderText {
    pub(super) value: HeaderValue,
    /// Every text in it that is secret, before it was encoded.
    pub(super) carries: Arc<[Secret]>,
}

impl Credentials {
    /// Whether `key` is one of the secrets.
    pub(super) fn has_secret(&self, key: &Secret) -> bool {
        self.secrets.holds(key)
    }

    /// Whether a secret is the same in `other`, or is in neither.
    pub(super) fn has_same_secret(&self, other: &Self, name: &str) -> bool {
        match (self.secrets.get(name), other.secrets.get(name)) {
            (Some(own), Some(other)) => own.same_as(other),
            (own, other) => own.is_none() && other.is_none(),
        }
    }
}

#[cfg(any(test, fuzzing))]
impl Credentials {
    /// One key for signatures, always the same.
    pub(super) fn for_fuzzing() -> Option<Self> {
        let secret = Secret::new(b"0123456789abcdef0123456789abcdef".to_vec());
        let key =
            MacKey::read_as(super::keys::mac::Hash::Sha256, &secret, &super::keys::material::Form::default()).ok()?;
        Some(Self {
            generation: 1,
            sessions: Fingerprint::default(),
            abroad: Fingerprint::default(),
            endings: 0,
            headers: Vec::new(),
            texts: Vec::new(),
            parts: Vec::new(),
            macs: vec![key],
            signers: Vec::new(),
            signer: None,
            user_key: None,
            secrets: Arc::default(),
        })
    }
}
