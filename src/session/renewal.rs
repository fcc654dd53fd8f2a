//! Renewal by the clock: a queue of points in time, and one task that waits for the next.
//!
//! A session that was used since it was minted is renewed at some 80 % of its usable life, before a request finds it old.
//! One that was not is left alone and removed when its time is over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::Entry;
use super::flight::{self, Join};
use super::key::SessionKey;
use super::{How, Plan, SessionError, Sessions};
use crate::clock::Moment;
use crate::pacing::Backoff;
use crate::trace::Origin;

/// The waits after failed renewals.
const RETRIES: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_mins(1), jitter: true };

/// When an entry is renewed or dropped.
struct Item {
    at: Moment,
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
    /// Beyond this, points of entries that the cache has dropped are thrown out.
    limit: usize,
}

impl std::fmt::Debug for Renewals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewals").finish_non_exhaustive()
    }
}

impl Renewals {
    pub(super) fn new(max_entries: u64) -> Self {
        // A quarter of slack keeps the cost of throwing out small, and a dead one holds a key and an entry.
        let limit = usize::try_from(max_entries.saturating_add(max_entries / 4)).unwrap_or(usize::MAX).max(1024);
        Self { queue: Mutex::default(), changed: Notify::new(), limit }
    }

    /// Schedules `entry` for `at`.
    pub(super) fn schedule(&self, at: Moment, key: SessionKey, entry: &Arc<Entry>) {
        let mut queue = self.queue.lock();
        if queue.len() >= self.limit {
            queue.retain(|Reverse(item)| item.entry.strong_count() > 0);
        }
        let first = queue.peek().is_none_or(|Reverse(next)| at < next.at);
        queue.push(Reverse(Item { at, key, entry: Arc::downgrade(entry) }));
        drop(queue);
        if first {
            self.changed.notify_one();
        }
    }

    /// Sessions that wait for their point.
    pub(super) fn pending(&self) -> usize {
        self.queue.lock().len()
    }

    /// The next point, if there is one.
    pub(super) fn next_at(&self) -> Option<Moment> {
        let queue = self.queue.lock();
        queue.peek().map(|Reverse(item)| item.at)
    }

    /// Waits until an earlier point was scheduled than those before.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes the next entry whose time has come and that is still there.
    pub(super) fn take_due(&self, now: Moment) -> Option<(SessionKey, Arc<Entry>)> {
        let mut queue = self.queue.lock();
        while queue.peek().is_some_and(|Reverse(item)| item.at <= now) {
            let Reverse(item) = queue.pop()?;
            if let Some(entry) = item.entry.upgrade() {
                return Some((item.key, entry));
            }
        }
        None
    }
}

impl Sessions {
    /// Renews what is in use, by the clock, until the service drains.
    pub async fn run_renewals(self: Arc<Self>) {
        let stop = self.lifecycle.draining().clone();
        loop {
            let next = async {
                match self.renewals.next_at() {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.renewals.changed() => continue,
                () = next => {}
            }
            while let Some((key, entry)) = self.renewals.take_due(self.clock.moment()) {
                let Ok(permit) = Arc::clone(&self.renewing).acquire_owned().await else { return };
                self.renew_or_drop(&key, &entry, permit);
            }
        }
    }

    fn renew_or_drop(self: &Arc<Self>, key: &SessionKey, entry: &Arc<Entry>, permit: OwnedSemaphorePermit) {
        let bytes: &[u8] = std::borrow::Borrow::borrow(key);
        let in_service = self.store.get(bytes).is_some_and(|current| Arc::ptr_eq(&current, entry));
        let Some((question, plan)) = self.asked_by(key).filter(|_| in_service) else { return };
        let outdated = question.credentials != plan.provider.session_credentials();
        if outdated || !self.is_usable(entry) {
            self.store.remove(bytes);
            plan.counters.expired.inc();
            return;
        }
        if entry.was_used() {
            self.renew(key, entry, Some(permit));
        } else {
            self.renewals.schedule(entry.usable_until, key.clone(), entry);
        }
    }

    /// Mints a successor of `entry` in the background. If that fails, `entry` stays in service and the clock says when
    /// to try again.
    pub(super) fn renew(self: &Arc<Self>, key: &SessionKey, entry: &Arc<Entry>, permit: Option<OwnedSemaphorePermit>) {
        let replaced = || self.usable(key).filter(|current| !Arc::ptr_eq(current, entry));
        let waiter = match self.join(key, Origin::default(), false, replaced) {
            Join::Began(waiter) => waiter,
            Join::Refused(_) => {
                // So many sessions of one user were due at once; this one has time left.
                let at = self.clock.moment().plus(RETRIES.after(0, None));
                return self.renewals.schedule(at, key.clone(), entry);
            }
            // The request that began a flight handles its failure; once is enough.
            Join::Cached(_) | Join::Waits(_) => return,
        };
        let (own, key, entry) = (Arc::clone(self), key.clone(), Arc::clone(entry));
        self.lifecycle.spawn(async move {
            let outcome = flight::wait(waiter).await;
            drop(permit);
            let Some((_, plan)) = own.asked_by(&key) else { return };
            match outcome {
                // Another replica renews it, and will have put its own in the tier by then.
                Ok((same, _)) if Arc::ptr_eq(&same, &entry) => {
                    let at = own.clock.moment().plus(RETRIES.after(1, None));
                    own.renewals.schedule(at, key.clone(), &entry);
                }
                // Another replica has renewed it; or the entry is gone as well.
                Ok((_, How::Shared)) | Err(SessionError::SignedOut | SessionError::Gone) => {}
                Ok(_) => plan.counters.renewed.inc(),
                Err(error) => own.renewal_failed(plan, &key, &entry, &error),
            }
        });
    }

    fn renewal_failed(&self, plan: &Plan, key: &SessionKey, entry: &Arc<Entry>, error: &SessionError) {
        let failures = entry.failures.fetch_add(1, Ordering::Relaxed);
        let advice = match error {
            SessionError::Provider(error) => error.retry_after,
            _ => None,
        };
        // Advice is given to all alike, so it makes a wait longer and never shorter.
        let wait = RETRIES.after(failures, None).max(advice.unwrap_or_default().min(RETRIES.longest));
        let now = self.clock.moment();
        // Towards the end the tries come closer: a provider that is back in the last minute still saves the session.
        let left = entry.usable_until.since(now);
        let wait = if left > 2 * RETRIES.first { wait.min(left / 2) } else { left };
        let at = now.plus(wait);
        tracing::warn!(route = plan.route.path, provider = plan.provider.name(), failures = failures + 1, %error, "session not renewed; the old one stays until its margin");
        self.renewals.schedule(at, key.clone(), entry);
    }
}
