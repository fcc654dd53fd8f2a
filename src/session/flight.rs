//! Single flight: however many ask at once, one mint is under way per key, and all get its outcome.
//!
//! A user may have a few flights under way, for different rooms; more are refused, so that one who asks for hundreds of
//! rooms does not stand before all others in the line at the provider (T-54).

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::key::SessionKey;
use super::{Entry, How, SessionError};
use crate::lifecycle::Lifecycle;
use crate::shared::{Fence, TierTime};

/// How a flight ended.
pub(super) type Outcome = Result<(Arc<Entry>, How), SessionError>;

/// What waits for the outcome of a flight.
#[derive(Clone)]
pub(super) struct Waiter {
    outcome: watch::Receiver<Option<Outcome>>,
    /// Cancelled when the user leaves.
    left: CancellationToken,
}

/// From when on what a flight brings counts, once that is known: a sign-out elsewhere before it does not end it.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(Arc<AtomicU64>);

impl Begun {
    /// Notes the fence.
    pub(super) fn set(&self, fence: Fence) {
        self.0.store(fence.time().as_micros(), Ordering::Relaxed);
    }

    /// The fence; `None` before there is one.
    fn fence(&self) -> Option<Fence> {
        let micros = self.0.load(Ordering::Relaxed);
        (micros > 0).then(|| Fence::at(TierTime::from_micros(micros)))
    }
}

/// What flies: a mint, and what becomes of its outcome.
pub(super) trait Mission: Send + Sync + 'static {
    /// Mints.
    fn mint(&self) -> impl Future<Output = Outcome> + Send;

    /// Takes over what the mint brought, while no other request can begin the same flight.
    fn land(&self, entry: &Arc<Entry>);

    /// Looks after what came when the user had left.
    fn take_back(&self) -> impl Future<Output = ()> + Send;

    /// Does what no request waits for. `landed` says whether the outcome was taken over.
    fn settle(&self, landed: bool) -> impl Future<Output = ()> + Send;
}

/// Calls to providers that one user may have under way: as many rooms as a page opens at once.
const MOST: usize = 16; // T-54: mints of one user

/// Flights under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    table: Mutex<Table>,
    next: AtomicU64,
}

#[derive(Default)]
struct Table {
    listed: HashMap<SessionKey, Flight>,
    /// By what the user is called.
    users: HashMap<Box<str>, User>,
}

impl std::fmt::Debug for Table {
    /// The table is full of user ids.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("listed", &self.listed.len()).finish_non_exhaustive()
    }
}

/// One flight.
struct Flight {
    number: u64,
    waiter: Waiter,
    begun: Begun,
}

/// What is under way for one user.
#[derive(Default)]
struct User {
    /// Flights and other calls, listed or not.
    running: usize,
    listed: Vec<SessionKey>,
    /// Cancelled, and replaced, when the user leaves.
    left: CancellationToken,
}

/// What comes of the wish to join a flight.
pub(super) enum Join {
    /// A flight has ended in the meantime: no mint is needed.
    Cached(Arc<Entry>),
    /// A flight is under way.
    Waits(Waiter),
    /// A flight begins here.
    Began(Waiter),
    /// No flight begins for this user now.
    Refused(SessionError),
}

impl Flights {
    /// Joins the flight for `key`; begins it where none is under way. `cached` is asked once more under the
    /// lock: a flight that has just landed is in the cache before it is gone from here. `may_begin` is asked only where a
    /// flight would begin.
    ///
    /// The flight is a task of its own, so it goes on when those who wait for it have left. Its outcome counts only while
    /// it is still listed: what comes after a user was [dismissed](Self::dismiss) is taken back.
    pub(super) fn join<M: Mission>(
        self: &Arc<Self>,
        (key, user): (&SessionKey, &str),
        lifecycle: &Lifecycle,
        cached: impl FnOnce() -> Option<Arc<Entry>>,
        may_begin: impl FnOnce() -> Result<(), SessionError>,
        mission: impl FnOnce(Begun) -> M,
    ) -> Join {
        let mut table = self.table.lock();
        if let Some(flight) = table.listed.get(key) {
            return Join::Waits(flight.waiter.clone());
        }
        if let Some(entry) = cached() {
            return Join::Cached(entry);
        }
        if !table.has_room(user) {
            return Join::Refused(SessionError::Busy);
        }
        if let Err(error) = may_begin() {
            return Join::Refused(error);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (report, outcome) = watch::channel(None);
        let own = table.users.entry(Box::from(user)).or_default();
        own.running += 1;
        own.listed.push(key.clone());
        let (waiter, begun) = (Waiter { outcome, left: own.left.child_token() }, Begun::default());
        let flight = Flight { number, waiter: waiter.clone(), begun: begun.clone() };
        table.listed.insert(key.clone(), flight);
        drop(table);
        // Frees the key even if the mint panics; those who wait then see the channel close.
        let running = Running { flights: Arc::clone(self), user: Box::from(user), left: waiter.left.clone() };
        let guard = Listed { running, key: key.clone(), number };
        let mission = mission(begun);
        lifecycle.spawn(async move {
            let outcome = mission.mint().await;
            let landed = guard.strike_off(|| {
                if let Ok((entry, _)) = &outcome {
                    mission.land(entry);
                }
            });
            if landed {
                let _alone = report.send(Some(outcome));
            // T-66: taken back
            } else if outcome.is_ok() {
                mission.take_back().await;
            }
            drop(guard);
            mission.settle(landed).await;
        });
        Join::Began(waiter)
    }

    /// Lets a call pass that is no flight, but is made for one user just the same.
    pub(super) fn pass(self: &Arc<Self>, user: &str) -> Result<Running, SessionError> {
        let mut table = self.table.lock();
        if !table.has_room(user) {
            return Err(SessionError::Busy);
        }
        let own = table.users.entry(Box::from(user)).or_default();
        own.running += 1;
        let left = own.left.clone();
        drop(table);
        Ok(Running { flights: Arc::clone(self), user: Box::from(user), left })
    }

    /// The user signed out or was denied. Requests that wait for a flight of this user are told so at once; the flights go on,
    /// and their outcomes are taken back.
    pub(super) fn dismiss(&self, user: &str) {
        let mut table = self.table.lock();
        let Some(user) = table.users.get_mut(user) else { return };
        std::mem::take(&mut user.left).cancel(); // T-66: dismissed mints
        for key in std::mem::take(&mut user.listed) {
            table.listed.remove(&key);
        }
    }

    /// The same for a sign-out elsewhere, for the flights that it ends. One whose fence is not known yet will have a later
    /// one, or finds the mark when it comes back.
    pub(super) fn dismiss_up_to(&self, user: &str, mark: Fence) {
        let mut table = self.table.lock();
        let Table { listed, users } = &mut *table;
        let Some(user) = users.get_mut(user) else { return };
        let is_ended = |flight: &Flight| flight.begun.fence().is_some_and(|fence| fence <= mark);
        user.listed.retain(|key| {
            let ended = listed.get(key).is_some_and(is_ended); // F-10: flights that a mark ends
            if ended && let Some(flight) = listed.remove(key) {
                flight.waiter.left.cancel();
            }
            !ended
        });
    }

    /// What is under way for the user, since the user last left.
    pub(super) fn of(&self, user: &str) -> Vec<SessionKey> {
        self.table.lock().users.get(user).map(|user| user.listed.clone()).unwrap_or_default()
    }
}

impl Table {
    fn has_room(&self, user: &str) -> bool {
        self.users.get(user).is_none_or(|user| user.running < MOST)
    }
}

/// A call that is under way for a user; dropping it says that it has ended.
#[derive(Debug)]
pub(super) struct Running {
    flights: Arc<Flights>,
    user: Box<str>,
    left: CancellationToken,
}

impl Running {
    /// Whether the user has left since the call began.
    pub(super) fn is_dismissed(&self) -> bool {
        self.left.is_cancelled()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut table = self.flights.table.lock();
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
    /// Takes the flight off the list, and runs `land` under the same lock if it was still on it. Says whether it was.
    fn strike_off(&self, land: impl FnOnce()) -> bool {
        let mut table = self.running.flights.table.lock();
        let listed = table.listed.get(&self.key).is_some_and(|flight| flight.number == self.number);
        if listed {
            land();
            table.listed.remove(&self.key);
            if let Some(user) = table.users.get_mut(&self.running.user) {
                user.listed.retain(|key| *key != self.key);
            }
        }
        listed
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let _struck_off_before = self.strike_off(|| {});
    }
}

/// Waits for the outcome of a flight, or for the user to leave.
pub(super) async fn wait(mut waiter: Waiter) -> Outcome {
    let outcome = async {
        match waiter.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(SessionError::Internal)),
            // The task ended without an outcome: it panicked, or the process is stopping.
            Err(_closed) => Err(SessionError::Internal),
        }
    };
    tokio::select! {
        biased;
        () = waiter.left.cancelled() => Err(SessionError::SignedOut),
        outcome = outcome => outcome,
    }
}
