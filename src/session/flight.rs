//! Single flight: however many ask at once, one mint is under way per key, and all get its outcome.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::SessionError;
use super::key::SessionKey;
use super::store::Entry;
use crate::lifecycle::Lifecycle;

/// How a flight ended.
pub(super) type Outcome = Result<Arc<Entry>, SessionError>;

/// A seat on a flight.
pub(super) type Seat = watch::Receiver<Option<Outcome>>;

/// Flights under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    under_way: Mutex<HashMap<SessionKey, (u64, Seat)>>,
    next: std::sync::atomic::AtomicU64,
}

/// What a request finds when it wants to fly.
pub(super) enum Boarding {
    /// Somebody else's flight landed in the meantime: no mint is needed.
    Landed(Arc<Entry>),
    /// A seat on a flight that somebody else began.
    Joined(Seat),
    /// A seat on a flight that begins here.
    Began(Seat),
}

impl Flights {
    /// Takes a seat on the flight for `key`; begins it with `mint` if none is under way. `cached` is asked once more
    /// under the lock: a flight that has just landed is in the cache before it is gone from here.
    ///
    /// The flight is a task of its own, so it goes on when those who wait for it have left. Its outcome counts, by
    /// `land`, only while it is still listed: a flight that was [dismissed](Self::dismiss) lands unseen.
    pub(super) fn board<F>(
        self: &Arc<Self>,
        key: &SessionKey,
        lifecycle: &Lifecycle,
        cached: impl FnOnce() -> Option<Arc<Entry>>,
        mint: impl FnOnce() -> F,
        land: impl FnOnce(&Arc<Entry>) + Send + 'static,
    ) -> Boarding
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut under_way = self.lock();
        if let Some((_, seat)) = under_way.get(key) {
            return Boarding::Joined(seat.clone());
        }
        if let Some(entry) = cached() {
            return Boarding::Landed(entry);
        }
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (report, seat) = watch::channel(None);
        under_way.insert(key.clone(), (number, seat.clone()));
        drop(under_way);
        // Frees the key even if the mint panics; those who wait then see the channel close.
        let guard = Listed { flights: Arc::clone(self), key: key.clone(), number };
        let mint = mint();
        lifecycle.spawn(async move {
            let outcome = mint.await;
            let _alone = report.send(Some(outcome.clone()));
            guard.strike_off(|| {
                if let Ok(entry) = &outcome {
                    land(entry);
                }
            });
        });
        Boarding::Began(seat)
    }

    /// Lets the flight for `key` go on, but keeps its outcome out of the cache: the user signed out meanwhile.
    pub(super) fn dismiss(&self, key: &[u8]) {
        self.lock().remove(key);
    }

    /// The same for all flights whose keys begin so.
    pub(super) fn dismiss_all(&self, beginning: &[u8]) {
        self.lock().retain(|key, _| !key.begins_with(beginning));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionKey, (u64, Seat)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Listed {
    flights: Arc<Flights>,
    key: SessionKey,
    number: u64,
}

impl Listed {
    /// Takes the flight off the list, and runs `land` under the same lock if it was still on it.
    fn strike_off(&self, land: impl FnOnce()) {
        let mut under_way = self.flights.lock();
        if under_way.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            land();
            under_way.remove(&self.key);
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.strike_off(|| {});
    }
}

/// Waits for the outcome of a flight.
pub(super) async fn wait(mut seat: Seat) -> Outcome {
    match seat.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or(Err(SessionError::Internal)),
        // The task ended without an outcome: it panicked, or the process is stopping.
        Err(_closed) => Err(SessionError::Internal),
    }
}
