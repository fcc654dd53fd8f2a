//! Renewal by the clock: a queue of points in time, and one task that waits for the next.
//!
//! A session that was used since it was minted is renewed at some 80 % of its usable life, before anybody finds it old.
//! One that was not is left alone and removed when its time is over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use super::key::SessionKey;
use super::store::Entry;
use crate::clock::Timestamp;
use crate::metrics::Gauge;

/// An appointment with an entry.
struct Item {
    at: Timestamp,
    key: SessionKey,
    entry: Weak<Entry>,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// The queue.
pub(super) struct Renewals {
    queue: Mutex<BinaryHeap<Reverse<Item>>>,
    changed: Notify,
    /// Beyond this, appointments with entries that the cache has dropped are thrown out.
    limit: usize,
    pending: Gauge,
}

impl std::fmt::Debug for Renewals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewals").finish_non_exhaustive()
    }
}

impl Renewals {
    pub(super) fn new(max_entries: u64, pending: Gauge) -> Self {
        // A quarter of slack keeps the cost of throwing out small, and a dead appointment holds a key and an entry.
        let limit = usize::try_from(max_entries.saturating_add(max_entries / 4)).unwrap_or(usize::MAX).max(1024);
        Self { queue: Mutex::default(), changed: Notify::new(), limit, pending }
    }

    /// Makes an appointment with `entry` at `at`.
    pub(super) fn schedule(&self, at: Timestamp, key: SessionKey, entry: &Arc<Entry>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= self.limit {
            queue.retain(|Reverse(item)| item.entry.strong_count() > 0);
        }
        let first = queue.peek().is_none_or(|Reverse(next)| at < next.at);
        queue.push(Reverse(Item { at, key, entry: Arc::downgrade(entry) }));
        self.pending.set(i64::try_from(queue.len()).unwrap_or(i64::MAX));
        drop(queue);
        if first {
            self.changed.notify_one();
        }
    }

    /// The next point, if there is one.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.peek().map(|Reverse(item)| item.at)
    }

    /// Waits until an earlier point was scheduled than those before.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes the next appointment whose time has come and whose entry is still there.
    pub(super) fn take_due(&self, now: Timestamp) -> Option<(SessionKey, Arc<Entry>)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while queue.peek().is_some_and(|Reverse(item)| item.at <= now) {
            let Reverse(item) = queue.pop()?;
            self.pending.set(i64::try_from(queue.len()).unwrap_or(i64::MAX));
            if let Some(entry) = item.entry.upgrade() {
                return Some((item.key, entry));
            }
        }
        None
    }
}
