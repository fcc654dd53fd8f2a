//! Signing out: no session of the user is handed out any more, and providers that can take tokens back are asked to.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::key::SessionKey;
use super::{Plan, SessionError, Sessions};
use crate::identity::Identity;
use crate::trace::Origin;

impl Sessions {
    /// Drops every session of the user, on all routes, and keeps those under way out of the cache. Then each provider
    /// with a call for it takes the user's tokens back, all at once and within the deadline of the route; the first
    /// failure is told after all have answered. One that takes longer is not waited for, but goes on.
    pub async fn sign_out(
        self: &Arc<Self>,
        plan: &Plan,
        identity: &Identity<'_>,
        origin: Origin,
    ) -> Result<(), SessionError> {
        let user = identity.chat_subject();
        self.count(&user)?;
        self.forget(&user);
        let mut asked = BTreeSet::new();
        let mut keys = Vec::new();
        for plan in &self.plans {
            if plan.provider.can_revoke() && asked.insert(plan.provider.name()) {
                keys.push(SessionKey::from(plan.key(identity, &[]).as_slice()));
            }
        }
        if keys.is_empty() {
            return Ok(());
        }
        let running = Arc::new(self.flights.pass(&user)?);
        let (report, mut reports) = mpsc::channel(keys.len());
        for key in keys {
            let (own, report, origin) = (Arc::clone(self), report.clone(), origin.clone());
            let running = Arc::clone(&running);
            self.lifecycle.spawn(async move {
                let _unheard = report.send(own.revoke(&key, origin).await).await;
                drop(running);
            });
        }
        drop(report);
        let all = async {
            let mut outcome = Ok(());
            while let Some(revoked) = reports.recv().await {
                outcome = outcome.and(revoked);
            }
            outcome
        };
        self.within(plan, all).await
    }

    /// Drops every session of a user, named as [`Identity::chat_subject`] does, and what providers are known to know.
    pub fn forget(&self, chat_subject: &str) {
        self.flights.dismiss(chat_subject);
        self.store.remove_user(chat_subject);
        for plan in &self.plans {
            plan.provider.forget_user(chat_subject);
        }
    }

    async fn revoke(&self, key: &SessionKey, origin: Origin) -> Result<(), SessionError> {
        let (question, plan) = self.asked_by(key).ok_or(SessionError::Internal)?;
        let revoked = match Self::order(plan, &question, origin) {
            Ok(order) => plan.provider.revoke(&order).await.map_err(SessionError::from),
            Err(error) => Err(error),
        };
        // Somebody who cannot be a user there has no tokens there.
        if matches!(revoked, Err(SessionError::UserId | SessionError::Input)) { Ok(()) } else { revoked }
    }
}
