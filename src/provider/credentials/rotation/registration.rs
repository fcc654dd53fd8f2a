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
        let credentials = self.access.vault.current().clone();
        let now = self.access.clock.now();
        let run = self.access.run(&credentials, None, self.access.clock.moment().plus(self.access.timeout));
        let (no_user, nothing) = (UserId::default(), Profile::default());
        let variables =
            Variables { key: Some(key), now, parts: &credentials.parts, ..Variables::of(&no_user, &nothing) };
        calls.run(&run, &variables).await.map(|_harvest| ())
    }
}
