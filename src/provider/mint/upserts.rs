//! Which users the provider knows already, so that a mint is one call and not two; and by which name, so that a request
//! without a name does not rename the user.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::Order;
use crate::clock::Moment;
use crate::metrics::{Counter, Metrics};
use crate::provider::Profile;
use crate::secrets::Fingerprint;

/// Users remembered at most; a forgotten one costs one harmless call.
const CAPACITY: u64 = 100_000;

/// Memory of users that were sent.
pub(in crate::provider) struct Upserts {
    sent: moka::sync::Cache<String, Sent>,
    hasher: RandomState,
    remember: Duration,
    done: Counter,
    skipped: Counter,
}

#[derive(Clone)]
struct Sent {
    fingerprint: u64,
    at: Moment,
    /// The profile that was sent, where it had a name.
    known_as: Option<Arc<KnownAs>>,
}

/// The profile of a user that was last sent.
#[derive(PartialEq, Eq)]
pub(in crate::provider) struct KnownAs {
    name: Box<str>,
    email: Option<Box<str>>,
    avatar: Option<Box<str>>,
}

impl KnownAs {
    fn of(order: &Order<'_>) -> Option<Self> {
        let Profile { name, email, avatar, .. } = order.profile;
        Some(Self { name: Box::from(name?), email: email.map(Box::from), avatar: avatar.map(Box::from) })
    }

    /// The order, with what it leaves open.
    pub(in crate::provider) fn fill<'o>(&'o self, order: &Order<'o>) -> Order<'o> {
        let (email, avatar) = (self.email.as_deref(), self.avatar.as_deref());
        let sent = &order.profile;
        let profile = Profile {
            name: Some(&self.name),
            email: sent.email.or(email),
            avatar: sent.avatar.or(avatar),
            ..sent.clone()
        };
        Order { profile, ..order.clone() }
    }
}

impl std::fmt::Debug for Upserts {
    /// The memory is full of user ids.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upserts").field("remember", &self.remember).finish_non_exhaustive()
    }
}

impl Upserts {
    pub(in crate::provider) fn new(remember: Duration, provider: &str, metrics: &Metrics) -> Self {
        Self {
            sent: moka::sync::Cache::new(CAPACITY),
            hasher: RandomState::new(),
            remember,
            done: metrics.provider.upserts(provider, "done"),
            skipped: metrics.provider.upserts(provider, "skipped"),
        }
    }

    /// How long a user is taken for known.
    pub(in crate::provider) fn remembered(&self) -> Duration {
        self.remember
    }

    /// Whether this profile was sent, here or by another process, and not too long ago.
    pub(in crate::provider) fn remembers(
        &self,
        user_id: &str,
        credentials: Fingerprint,
        order: &Order<'_>,
        now: Moment,
    ) -> bool {
        let sent = || self.sent.get(user_id);
        let known = order.is_known
            || sent().is_some_and(|sent| {
                sent.fingerprint == self.fingerprint(credentials, order) && now.since(sent.at) < self.remember
            });
        if known {
            self.skipped.inc();
        }
        known
    }

    /// Notes that this profile was sent.
    pub(in crate::provider) fn remember(
        &self,
        user_id: &str,
        credentials: Fingerprint,
        order: &Order<'_>,
        now: Moment,
    ) {
        self.done.inc();
        let (fingerprint, known_as) = (self.fingerprint(credentials, order), KnownAs::of(order).map(Arc::new));
        self.sent.insert(user_id.to_owned(), Sent { fingerprint, at: now, known_as });
    }

    /// The name by which the provider knows the user, where the order has none: some requests carry only a subject, which
    /// is not meant as a name.
    pub(in crate::provider) fn known_as(&self, user_id: &str, order: &Order<'_>) -> Option<Arc<KnownAs>> {
        if order.profile.name.is_some() {
            return None;
        }
        self.sent.get(user_id)?.known_as
    }

    pub(in crate::provider) fn forget(&self, user_id: &str) {
        self.sent.invalidate(user_id);
    }

    /// Inputs count as well: an upsert step may send them. So do the credentials that sessions end with:
    /// new ones may be those of another account, which has none of the users.
    fn fingerprint(&self, credentials: Fingerprint, order: &Order<'_>) -> u64 {
        let profile = &order.profile;
        let lists = (&profile.groups, &profile.roles, &order.inputs);
        self.hasher.hash_one((credentials, profile.name, profile.email, profile.avatar, lists))
    }
}
