//! The cache: finished answers by key, bounded in entries and bytes.
//!
//! moka keeps what is used and frees what is not; when a session ends is decided by the clock in [`Entry`], not by the
//! cache's own timers.

mod entry;
mod index;

use std::sync::Arc;

pub(super) use entry::Cached;
pub use entry::Entry;

use index::Index;

use crate::config;
use crate::metrics::{Gauge, Metrics};
use crate::session::fleet::UserNames;
use crate::session::key::SessionKey;
use crate::shared::Fence;

/// Memory of one entry beyond key and answer: entry, map slot, queue nodes, frequency sketch, place in the index.
const OVERHEAD: usize = 500;

/// The cache.
#[derive(Debug)]
pub(super) struct Store {
    entries: moka::sync::Cache<SessionKey, Arc<Entry>, ahash::RandomState>,
    index: Arc<Index>,
    max_entries: u64,
    /// Sessions in doubt, where replicas share any.
    doubted: Option<Gauge>,
}

impl Store {
    pub(super) fn new(limits: config::Cache, names: UserNames, metrics: &Metrics) -> Self {
        let doubted = names.are_shared().then(|| metrics.shared.unconfirmed());
        // One limit for both: an entry weighs its bytes, or its share of the entry limit if that is more.
        let least = limits.max_bytes.checked_div(limits.max_entries).unwrap_or(1).max(1);
        let least = u32::try_from(least).unwrap_or(u32::MAX);
        let evictions = metrics.session.cache_evictions("sessions");
        let index = Arc::new(Index::new(names));
        let (listed, doubts) = (Arc::clone(&index), doubted.clone());
        let entries = moka::sync::Cache::builder()
            .max_capacity(if limits.max_entries == 0 { 0 } else { limits.max_bytes })
            .weigher(move |key: &SessionKey, entry: &Arc<Entry>| weight(key, entry).max(least))
            .eviction_listener(move |key: Arc<SessionKey>, entry: Arc<Entry>, cause| {
                listed.remove(&key, &entry);
                if !entry.is_confirmed() {
                    doubts.iter().for_each(Gauge::dec);
                }
                if cause == moka::notification::RemovalCause::Size {
                    evictions.inc();
                }
            })
            // Keyed at random like the standard hasher, at a third of its price for keys of this length.
            .build_with_hasher(ahash::RandomState::new());
        Self { entries, index, max_entries: limits.max_entries, doubted }
    }

    /// Whether anything is kept at all.
    pub(super) fn is_off(&self) -> bool {
        self.max_entries == 0
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    pub(super) fn insert(&self, key: SessionKey, entry: Arc<Entry>) {
        if self.is_off() {
            return;
        }
        // Listed first: what is in the cache can then always be found.
        let surplus = self.index.add(&key, &entry);
        self.entries.insert(key, entry);
        if let Some(oldest) = surplus {
            self.entries.invalidate(&oldest);
        }
    }

    pub(super) fn remove(&self, key: &[u8]) {
        self.entries.invalidate(key);
    }

    /// All sessions of a user.
    pub(super) fn of(&self, user: &str) -> Vec<SessionKey> {
        self.index.of(user)
    }

    /// Puts a session in doubt.
    pub(super) fn doubt(&self, entry: &Entry) {
        if entry.doubt() {
            self.doubted.iter().for_each(Gauge::inc);
        }
    }

    /// Takes a session out of doubt.
    pub(super) fn confirm(&self, entry: &Entry) {
        if entry.confirm() {
            self.doubted.iter().for_each(Gauge::dec);
        }
    }

    /// Every session.
    pub(super) fn all(&self) -> impl Iterator<Item = (Arc<SessionKey>, Arc<Entry>)> {
        self.entries.iter()
    }

    /// Removes all sessions of a user.
    pub(super) fn remove_user(&self, user: &str) {
        // T-37: sessions of the user
        for key in self.of(user) {
            self.entries.invalidate(&key);
        }
    }

    /// Removes the sessions of a user that a sign-out at `mark` ends.
    pub(super) fn remove_up_to(&self, user: &str, mark: Fence) {
        for key in self.of(user) {
            // F-09: sessions that a mark ends
            if self.entries.get(&key).is_some_and(|entry| entry.fence <= mark) {
                self.entries.invalidate(&key);
            }
        }
    }

    /// Settles pending work, and tells how many sessions there are and how many bytes they take, keys included.
    pub(super) fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

fn weight(key: &SessionKey, entry: &Entry) -> u32 {
    u32::try_from(key.len() + entry.answer.len() + OVERHEAD).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32};

    use super::*;
    use crate::clock::Moment;
    use crate::identity::{Identity, Roles};
    use crate::provider::ProfileUse;
    use crate::secrets::Fingerprint;
    use crate::session::{Answer, key};

    const NO_ROLES: &Roles = &Roles::none();

    fn store(max_entries: u64) -> Store {
        let metrics = Metrics::new().expect("metrics");
        Store::new(config::Cache { max_entries, max_bytes: 1 << 24 }, UserNames::default(), &metrics)
    }

    fn key_of(route: u8, subject: &str, name: &str, room: Option<&str>) -> SessionKey {
        let identity = Identity::of_operator(subject, Some(name)).expect("an identity");
        let uses = ProfileUse { name: true, ..ProfileUse::default() };
        let depends = key::Depends { credentials: Fingerprint::default(), uses, roles: NO_ROLES };
        SessionKey::from(
            key::encode(Fingerprint([route; 8]), depends, &identity, &[room.map(str::to_owned)]).as_slice(),
        )
    }

    fn entry() -> Arc<Entry> {
        Arc::new(Entry {
            answer: Answer::TooLong,
            user: OnceLock::new(),
            began: Moment::from_millis(0),
            usable_until: Moment::from_millis(2),
            ends: None,
            renew_at: Moment::from_millis(1),
            due: AtomicI64::new(1),
            fence: Fence::NONE,
            used: AtomicBool::new(false),
            failures: AtomicU32::new(0),
        })
    }

    fn has(store: &Store, key: &SessionKey) -> bool {
        store.get(std::borrow::Borrow::borrow(key)).is_some()
    }

    /// A sign-out ends all sessions of a user, on every route, whatever was added to the requests and whatever the user
    /// was called then, and no other.
    #[test]
    fn all_sessions_of_a_user_can_be_removed() {
        let store = store(100);
        let own = [
            key_of(0, "alice", "Alice", None),
            key_of(0, "alice", "Alice Before", None),
            key_of(0, "alice", "Alice", Some("b")),
            key_of(1, "alice", "Alice", Some("a")),
        ];
        let others = [key_of(0, "alicea", "Alice", None), key_of(0, "bob", "Alice", Some("a"))];
        for key in own.iter().chain(&others) {
            store.insert(key.clone(), entry());
        }
        store.remove_user("alice");
        assert!(!own.iter().any(|key| has(&store, key)));
        assert!(others.iter().all(|key| has(&store, key)));
        assert_eq!(store.index.len(), others.len());
    }

    #[test]
    fn the_index_holds_what_the_cache_holds() {
        let store = store(50);
        for n in 0..2_000 {
            let subject = format!("user{}", n % 300);
            store.insert(key_of(0, &subject, "x", None), entry());
            store.insert(key_of(0, &subject, "x", Some(&n.to_string())), entry());
        }
        let held = usize::try_from(store.size().0).expect("small");
        assert!((10..=50).contains(&held), "{held}");
        assert_eq!(store.index.len(), held);
    }

    /// T-54: one user cannot fill the cache with sessions of theirs.
    #[test]
    fn one_user_has_so_many_sessions_and_no_more() {
        let store = store(100_000);
        let bob = key_of(0, "bob", "Bob", None);
        store.insert(bob.clone(), entry());
        let keys: Vec<SessionKey> = (0..1_000).map(|n| key_of(0, "mallory", "M", Some(&n.to_string()))).collect();
        for key in &keys {
            store.insert(key.clone(), entry());
        }
        assert_eq!(keys.iter().filter(|key| has(&store, key)).count(), Index::MOST);
        assert!(keys.iter().rev().take(Index::MOST).all(|key| has(&store, key)), "the last ones");
        assert!(has(&store, &bob));
    }
}
