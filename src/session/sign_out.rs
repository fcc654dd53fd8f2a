//! Signing out: no session of the user is handed out any more, and providers that can take tokens back are asked to.
//! A user who is denied loses the same, and what is minted meanwhile is taken back in both cases (T-66).

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use tokio::sync::mpsc;

use super::key::{Question, SessionKey};
use super::{Plan, SessionError, Sessions, SignedOut};
use crate::identity::Identity;
use crate::trace::Origin;

impl Sessions {
    /// Drops every session of the user, on all routes; those under way are not handed out. Then each provider
    /// with a call for it takes the user's tokens back, all at once and within the deadline of the route; the first
    /// failure is told after all have answered. One that takes longer is not waited for, but goes on.
    ///
    /// In a fleet, the other replicas are told at once; and once more when the provider has taken tokens back, because it took
    /// those that they got meanwhile as well.
    pub async fn sign_out(
        self: &Arc<Self>,
        plan: &Plan,
        identity: &Identity<'_>,
        origin: Origin,
    ) -> Result<SignedOut, SessionError> {
        let user = identity.chat_subject();
        // First, and whatever the rate: it costs nothing, and a user who signs out must be out.
        self.forget(&user); // T-66: forgotten at any rate
        if let Err(error) = self.count(&user) {
            self.sign_out_later(&user);
            return Err(error);
        }
        let reached = self.sign_out_everywhere(&user).await;
        let mut asked = BTreeSet::new();
        let mut keys = Vec::new();
        for plan in &self.plans {
            if plan.provider.can_revoke() && asked.insert(plan.provider.name()) {
                keys.push(SessionKey::from(plan.key(identity, &[]).as_slice()));
            }
        }
        if keys.is_empty() {
            return Ok(reached);
        }
        let running = Arc::new(self.flights.pass(&self.names.of(&user))?);
        let (report, mut reports) = mpsc::channel(keys.len());
        for key in keys {
            let (own, report, origin) = (Arc::clone(self), report.clone(), origin.clone());
            let running = Arc::clone(&running);
            self.lifecycle.spawn(async move {
                let revoked = own.revoke(&key, origin).await;
                let _told_or_kept = own.sign_out_everywhere(key.chat_subject()).await;
                let _unheard = report.send(revoked).await;
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
        self.within(plan, all).await?;
        Ok(reached)
    }

    /// Drops every session of a user, named as [`Identity::chat_subject`] does. That the provider knows the user stays
    /// known.
    pub fn forget(&self, chat_subject: &str) {
        self.forget_name(&self.names.of(chat_subject));
    }

    /// The same for one who is called so in our lists.
    pub(super) fn forget_name(&self, user: &str) {
        self.flights.dismiss(user);
        self.store.remove_user(user);
        // F-18: mints of the rooms before
        if let Some(before) = self.before.get().and_then(Weak::upgrade) {
            before.forget_name(user);
        }
    }

    /// Drops the user's other sessions at this provider, which a new one has ended.
    pub(super) fn drop_others(&self, key: &SessionKey, plan: &Plan) {
        for other in self.store.of(&self.names.of(key.chat_subject())) {
            let is_of_it = |(_, own): (Question<'_>, &Arc<Plan>)| own.provider.name() == plan.provider.name();
            if other != *key && self.asked_by(&other).is_some_and(is_of_it) {
                self.store.remove(std::borrow::Borrow::borrow(&other));
            }
        }
    }

    /// Has the provider take back what it minted for a user who signed out or was denied meanwhile. It was not handed
    /// it. So it is left alone where the user has come back: the call would end the new sessions as well.
    pub(super) async fn take_back(&self, key: &SessionKey) {
        let Some((_, plan)) = self.asked_by(key).filter(|(_, plan)| plan.provider.can_revoke()) else { return };
        let same = |other: &SessionKey| {
            self.asked_by(other).is_some_and(|(_, other)| other.provider.name() == plan.provider.name())
        };
        let user = self.names.of(key.chat_subject());
        if self.flights.of(&user).iter().chain(&self.store.of(&user)).any(same) {
            return;
        }
        if let Err(error) = self.revoke(key, Origin::default()).await {
            tracing::warn!(route = plan.route.path, provider = plan.provider.name(), %error, "a token of a user who left while it was minted could not be taken back; it was not handed out");
        }
    }

    async fn revoke(&self, key: &SessionKey, origin: Origin) -> Result<(), SessionError> {
        let (question, plan) = self.asked_by(key).ok_or(SessionError::Internal)?;
        let revoked = match Self::order(plan, &question, origin) {
            Ok(order) => plan.provider.revoke(&order).await.map_err(SessionError::from),
            Err(error) => Err(error),
        };
        // A subject that cannot be a user there has no tokens there.
        if matches!(revoked, Err(SessionError::UserId | SessionError::Input)) { Ok(()) } else { revoked }
    }
}
