//! Public keys that are registered with a provider, and the calls that do it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::provider::Provider;
use crate::provider::calls::error::ProviderError;
use crate::provider::calls::sequence::Sequence;
use crate::provider::credentials::Signer;
use crate::provider::keys::Alg;
use crate::provider::template::{Profile, Variables};
use crate::provider::user::UserId;

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
    /// The public half of a key; `None` for a shared secret.
    pub(in crate::provider) fn of(signer: &Signer) -> Option<Self> {
        let (kid, key) = (signer.id.clone(), &signer.key);
        Some(Self { alg: key.alg(), pem: key.public_pem()?, jwk: key.jwk(&kid)?, kid })
    }
}

impl Provider {
    /// Runs calls about `key`.
    pub(in crate::provider) async fn call_about(&self, key: &PublicKey, calls: &Sequence) -> Result<(), ProviderError> {
        let credentials = self.vault.current().clone();
        let now = self.clock.now();
        let run = self.run(&credentials, None, self.clock.moment().plus(self.timeout));
        let (nobody, nothing) = (UserId::default(), Profile::default());
        let variables =
            Variables { key: Some(key), now, parts: &credentials.parts, ..Variables::of(&nobody, &nothing) };
        calls.run(&run, &variables).await.map(|_harvest| ())
    }
}
