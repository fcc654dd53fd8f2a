//! Public keys that are registered with a provider.

use serde_json::Value;

use super::keys::Alg;

/// A public key, as steps that register and retire it see it.
#[derive(Debug)]
pub(super) struct PublicKey {
    pub(super) kid: String,
    pub(super) alg: Alg,
    /// PEM text (`SubjectPublicKeyInfo`).
    pub(super) pem: String,
    /// The key as a JWK.
    pub(super) jwk: Value,
}
