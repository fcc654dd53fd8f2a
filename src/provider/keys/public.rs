//! The public half of a key, as it is registered with a provider.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Alg, SigningKey};

/// A public key, as steps that register and retire it see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::provider) struct PublicKey {
    pub(in crate::provider) kid: String,
    pub(in crate::provider) alg: Alg,
    /// PEM text (`SubjectPublicKeyInfo`).
    pub(in crate::provider) pem: String,
    /// The key as a JWK.
    pub(in crate::provider) jwk: Value,
}

impl PublicKey {
    /// The public half of `key`; `None` for a shared secret.
    pub(in crate::provider) fn of(key: &SigningKey, kid: &str) -> Option<Self> {
        Some(Self { kid: kid.to_owned(), alg: key.alg(), pem: key.public_pem()?, jwk: key.jwk(kid)? })
    }
}
