//! The calls that register a public key with a provider, and retire it.

use crate::provider::Provider;
use crate::provider::calls::error::ProviderError;
use crate::provider::calls::sequence::Sequence;
use crate::provider::keys::PublicKey;
use crate::provider::template::{Profile, Variables};
use crate::provider::user::UserId;

impl Provider {
    /// Runs calls about `key`.
    pub(in crate::provider) async fn call_about(&self, key: &PublicKey, calls: &Sequence) -> Result<(), ProviderError> {
        let credentials = self.vault.current().clone();
        let now = self.clock.now();
        let run = self.run(&credentials, None, self.clock.moment().plus(self.timeout));
        let (no_user, nothing) = (UserId::default(), Profile::default());
        let variables =
            Variables { key: Some(key), now, parts: &credentials.parts, ..Variables::of(&no_user, &nothing) };
        calls.run(&run, &variables).await.map(|_harvest| ())
    }
}
