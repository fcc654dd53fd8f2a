//! Single flight: however many ask at once, one mint is under way per key, and all get its outcome.
//!
//! A user may have a few flights under way, for different rooms; more are refused, so that one who asks for hundreds of
//! rooms does not stand before everybody else in the line at the provider (T-54).

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::SessionError;
use super::key::SessionKey;
use super::store::Entry;
use crate::lifecycle::Lifecycle;

/// How a flight ended.
pub(super) type Outcome = Result<Arc<Entry>, SessionError>;

/// A seat on a flight.
pub(super) type Seat = watch::Receiver<Option<Outcome>>;

/// Calls to providers that one user may have under way: as many rooms as a page opens at once.
const MOST: usize = 16;

/// Flights under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    table: Mutex<Table>,
    next: std::sync::atomic::AtomicU64,
}

#[derive(Default)]
struct Table {
    listed: HashMap<SessionKey, (u64, Seat)>,
    /// By chat subject.
    users: HashMap<Box<str>, User>,
}

impl std::fmt::Debug for Table {
    /// The table is full of user ids.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("listed", &self.listed.len()).finish_non_exhaustive()
    }
}

/// What is under way for one user.
#[derive(Default)]
struct User {
    /// Flights and other calls, listed or not.
    running: usize,
    listed: Vec<SessionKey>,
}

/// What a request finds when it wants to fly.
pub(super) enum Boarding {
    /// Somebody else's flight landed in the meantime: no mint is needed.
    Landed(Arc<Entry>),
    /// A seat on a flight that somebody else began.
    Joined(Seat),
    /// A seat on a flight that begins here.
    Began(Seat),
    /// No flight begins for this user now.
    Refused(SessionError),
}

impl Flights {
    /// Takes a seat on the flight for `key`; begins it with `mint` if none is under way. `cached` is asked once more
    /// under the lock: a flight that has just landed is in the cache before it is gone from here. `mint` may refuse, and
    /// is asked only where a flight would begin.
    ///
    /// The flight is a task of its own, so it goes on when those who wait for it have left. Its outcome counts, by
    /// `land`, only while it is still listed: a flight that was [dismissed](Self::dismiss) lands unseen.
    pub(super) fn board<F>(
        self: &Arc<Self>,
        key: &SessionKey,
        lifecycle: &Lifecycle,
        cached: impl FnOnce() -> Option<Arc<Entry>>,
        mint: impl FnOnce() -> Result<F, SessionError>,
        land: impl FnOnce(&Arc<Entry>) + Send + 'static,
    ) -> Boarding
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut table = self.lock();
        if let Some((_, seat)) = table.listed.get(key) {
            return Boarding::Joined(seat.clone());
        }
        if let Some(entry) = cached() {
            return Boarding::Landed(entry);
        }
        let user = key.chat_subject();
        if !table.has_room(user) {
            return Boarding::Refused(SessionError::Busy);
        }
        let mint = match mint() {
            Ok(mint) => mint,
            Err(error) => return Boarding::Refused(error),
        };
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (report, seat) = watch::channel(None);
        table.listed.insert(key.clone(), (number, seat.clone()));
        let own = table.users.entry(Box::from(user)).or_default();
        own.running += 1;
        own.listed.push(key.clone());
        drop(table);
        // Frees the key even if the mint panics; those who wait then see the channel close.
        let running = Running { flights: Arc::clone(self), user: Box::from(user) };
        let guard = Listed { running, key: key.clone(), number };
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

    /// Lets a call pass that is no flight, but is made for one user just the same.
    pub(super) fn pass(self: &Arc<Self>, chat_subject: &str) -> Result<Running, SessionError> {
        let mut table = self.lock();
        if !table.has_room(chat_subject) {
            return Err(SessionError::Busy);
        }
        table.users.entry(Box::from(chat_subject)).or_default().running += 1;
        Ok(Running { flights: Arc::clone(self), user: Box::from(chat_subject) })
    }

    /// Lets the user's flights go on, but keeps their outcomes out of the cache: the user signed out meanwhile.
    pub(super) fn dismiss(&self, chat_subject: &str) {
        let mut table = self.lock();
        let keys = table.users.get_mut(chat_subject).map(|user| std::mem::take(&mut user.listed)).unwrap_or_default();
        for key in keys {
            table.listed.remove(&key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn has_room(&self, user: &str) -> bool {
        self.users.get(user).is_none_or(|user| user.running < MOST)
    }
}

/// A call that is under way for a user; whoever drops it has ended.
#[derive(Debug)]
pub(super) struct Running {
    flights: Arc<Flights>,
    user: Box<str>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut table = self.flights.lock();
        if let Some(user) = table.users.get_mut(&self.user) {
            user.running = user.running.saturating_sub(1);
            if user.running == 0 {
                table.users.remove(&self.user);
            }
        }
    }
}

struct Listed {
    running: Running,
    key: SessionKey,
    number: u64,
}

impl Listed {
    /// Takes the flight off the list, and runs `land` under the same lock if it was still on it.
    fn strike_off(&self, land: impl FnOnce()) {
        let mut table = self.running.flights.lock();
        if table.listed.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            land();
            table.listed.remove(&self.key);
            if let Some(user) = table.users.get_mut(&self.running.user) {
                user.listed.retain(|key| *key != self.key);
            }
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
