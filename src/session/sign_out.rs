//! Signing out: no session of the user is handed out any more, and providers that can take tokens back are asked to.

use std::collections::BTreeSet;

use super::key::SessionKey;
use super::{SessionError, Sessions};
use crate::identity::Identity;
use crate::trace::TraceContext;

impl Sessions {
    /// Drops every session of the user, on all routes, and keeps those under way out of the cache. Then each provider
    /// with a call for it takes the user's tokens back; the first failure is told after all have been asked.
    pub async fn sign_out(&self, identity: &Identity<'_>, trace: Option<TraceContext>) -> Result<(), SessionError> {
        self.drop_sessions(identity);
        let mut asked = BTreeSet::new();
        let mut outcome = Ok(());
        for plan in &self.plans {
            if !plan.provider.can_revoke() || !asked.insert(plan.provider.name()) {
                continue;
            }
            let key = SessionKey::from(plan.key(identity, &[]).as_slice());
            let question = key.question().ok_or(SessionError::Internal)?;
            let revoked = match Self::order(plan, &question, trace.clone()) {
                Ok(order) => plan.provider.revoke(&order).await.map_err(SessionError::from),
                Err(error) => Err(error),
            };
            // Somebody who cannot be a user there has no tokens there.
            let revoked =
                if matches!(revoked, Err(SessionError::UserId | SessionError::Input)) { Ok(()) } else { revoked };
            outcome = outcome.and(revoked);
        }
        outcome
    }

    fn drop_sessions(&self, identity: &Identity<'_>) {
        for plan in &self.plans {
            if plan.provider.inputs().is_empty() {
                let key = plan.key(identity, &[]);
                self.flights.dismiss(&key);
                self.store.remove(&key);
            } else {
                // Nobody knows here which inputs the user has sessions for.
                let user = plan.user(identity);
                self.flights.dismiss_all(&user);
                self.store.remove_all(&user);
            }
            plan.provider.forget_user(identity.subject());
        }
    }
}
