//! The tier in memory, on a clock of its own: what the scripts do, said once more, for tests and simulations.
//!
//! It is not a tier to be used: it is not shared with any other process. Each script is held to it by a property test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::names::{AccountName, BudgetName, LeaseToken, ProfileName, SessionName, UserName};
use super::tier::{
    Asked, Away, Beat, Beaten, CALLS_A_TAKE, DeniedPage, EVENTS_A_BEAT, EVENTS_KEPT, End, Enter, Entered, Event, Fence,
    LEASE, Land, Landed, MAX_VALUE, Outcome, RAISED, SEEN, Slots, Take, Taken, Tier, TierTime,
};
use crate::clock::{Clock, Moment};

/// What stands under a key, and when it ends.
#[derive(Clone, Debug)]
struct Held<T> {
    value: T,
    until: Moment,
}

/// The tier's time, which may be set, and the moment by which things end.
#[derive(Clone, Copy, Debug)]
struct Now {
    time: TierTime,
    at: Moment,
}

/// The mark of a user, and the highest fence that was given above the tier's time.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    signed_out: Fence,
    highest: Fence,
}

#[derive(Debug, Default)]
struct State {
    /// Milliseconds that the tier's clock is ahead of the wall clock.
    ahead: i64,
    away: Option<Away>,
    full: bool,
    sessions: BTreeMap<SessionName, Held<(Fence, Vec<u8>)>>,
    leases: BTreeMap<SessionName, Held<LeaseToken>>,
    marks: BTreeMap<UserName, Held<Mark>>,
    sent: BTreeMap<(UserName, AccountName), Held<ProfileName>>,
    rates: BTreeMap<UserName, Held<u64>>,
    budgets: BTreeMap<BudgetName, Held<u64>>,
    pauses: BTreeMap<BudgetName, Moment>,
    number: u64,
    events: BTreeMap<u64, Event>,
    replicas: BTreeMap<LeaseToken, TierTime>,
    denied: BTreeMap<UserName, TierTime>,
    asked: u64,
}

/// A tier in memory.
#[derive(Debug)]
pub struct Model {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Model {
    /// An empty tier whose time is the wall clock of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// From now on nothing is answered, or everything again.
    pub fn set_away(&self, away: Option<Away>) {
        self.state.lock().away = away;
    }

    /// From now on nothing new is kept, or everything again.
    pub fn set_full(&self, full: bool) {
        self.state.lock().full = full;
    }

    /// Moves the tier's clock against the wall clock, by so many milliseconds in all.
    pub fn set_ahead(&self, millis: i64) {
        self.state.lock().ahead = millis;
    }

    /// Forgets everything, as a flush does.
    pub fn flush(&self) {
        let mut state = self.state.lock();
        *state =
            State { ahead: state.ahead, away: state.away, full: state.full, asked: state.asked, ..State::default() };
    }

    /// Forgets who signed out, as whoever may write there can do.
    pub fn lose_marks(&self) {
        self.state.lock().marks.clear();
    }

    /// Questions that were asked, beats aside.
    pub fn asked(&self) -> u64 {
        self.state.lock().asked
    }

    fn answer<T: Send + 'static>(&self, act: impl FnOnce(&mut State, Now) -> Result<T, Away>) -> Asked<'static, T> {
        let mut state = self.state.lock();
        let millis = self.clock.now().as_millis().saturating_add(state.ahead);
        let time = TierTime::from_micros(u64::try_from(millis).unwrap_or(0).saturating_mul(1000));
        let now = Now { time, at: self.clock.moment() };
        let answer = match state.away {
            Some(Away::Timeout) => {
                drop(state);
                return Box::pin(std::future::pending());
            }
            Some(away) => Err(away),
            None => act(&mut state, now),
        };
        drop(state);
        Box::pin(std::future::ready(answer))
    }
}

/// What stands there and has not ended.
fn alive<K: Ord, T: Clone>(map: &BTreeMap<K, Held<T>>, key: &K, now: Now) -> Option<T> {
    map.get(key).filter(|held| held.until > now.at).map(|held| held.value.clone())
}

/// Takes up to `calls` slots; says how many, and after what time the next is free.
fn take(due: &mut u64, slots: Slots, calls: u64, now: TierTime) -> (u64, Duration) {
    let now = now.as_micros();
    // What is out of reach was not put there by us (F-08).
    *due = (*due).clamp(now, now.saturating_add(slots.period.saturating_mul(2)));
    let latest = now.saturating_add(slots.tolerance);
    if *due > latest {
        return (0, Duration::from_micros(*due - latest));
    }
    let free = (latest - *due) / slots.interval.max(1) + 1;
    let taken = free.min(calls);
    *due = due.saturating_add(taken.saturating_mul(slots.interval));
    (taken, Duration::ZERO)
}

impl State {
    fn mark(&self, user: &UserName, now: Now) -> Mark {
        alive(&self.marks, user, now).unwrap_or_default()
    }

    fn enter(&mut self, ask: &Enter, now: Now) -> Entered {
        let user = &ask.name.user;
        let mark = self.mark(user, now);
        let stored = alive(&self.sessions, &ask.name, now);
        let sent = alive(&self.sent, &(user.clone(), ask.account.clone()), now);
        let last = stored.as_ref().map_or(Fence::NONE, |(fence, _)| *fence);
        let outcome = match stored {
            Some((fence, value)) if fence > mark.signed_out && fence > ask.known => Outcome::Hit { fence, value },
            _ => self.begin(ask, mark, last, now),
        };
        Entered { time: now.time, mark: mark.signed_out, sent, outcome }
    }

    fn begin(&mut self, ask: &Enter, mark: Mark, last: Fence, now: Now) -> Outcome {
        let Some(lease) = &ask.lease else { return Outcome::Nothing };
        if let Some(held) = self.leases.get(&ask.name).filter(|held| held.until > now.at) {
            return Outcome::Busy(held.until.since(now.at));
        }
        let user = &ask.name.user;
        if let Some(slots) = ask.rate {
            let mut due = alive(&self.rates, user, now).unwrap_or_default();
            let (taken, wait) = take(&mut due, slots, 1, now.time);
            if taken == 0 {
                return Outcome::Limited(wait);
            }
            if !self.full {
                let until = now.at.plus(Duration::from_micros(slots.period));
                self.rates.insert(user.clone(), Held { value: due, until });
            }
        }
        let fence = [mark.signed_out.next(), mark.highest.next(), last.next(), ask.known.next()]
            .into_iter()
            .fold(Fence::at(now.time), Ord::max);
        if self.full {
            return Outcome::Alone(fence);
        }
        if fence > Fence::at(now.time) {
            let mark = Mark { highest: fence, ..mark };
            let until = self.marks.get(user).map_or(now.at, |held| held.until).max(now.at.plus(RAISED));
            self.marks.insert(user.clone(), Held { value: mark, until });
        }
        self.leases.insert(ask.name.clone(), Held { value: lease.clone(), until: now.at.plus(LEASE) });
        Outcome::Go(fence)
    }

    fn land(&mut self, ask: &Land, now: Now) -> Landed {
        if alive(&self.leases, &ask.name, now).is_some_and(|lease| lease == ask.lease) {
            self.leases.remove(&ask.name);
        }
        if self.mark(&ask.name.user, now).signed_out >= ask.fence {
            return Landed::SignedOut;
        }
        if let Some((account, profile, memory)) = &ask.sent
            && !self.full
        {
            let held = Held { value: profile.clone(), until: now.at.plus(*memory) };
            self.sent.insert((ask.name.user.clone(), account.clone()), held);
        }
        let later = alive(&self.sessions, &ask.name, now).is_some_and(|(fence, _)| fence > ask.fence);
        if later
            || ask.value.is_empty()
            || ask.value.len() > MAX_VALUE
            || ask.ends < now.time.plus(Duration::from_millis(1))
        {
            return Landed::Older;
        }
        if self.full {
            return Landed::Full;
        }
        let held = Held { value: (ask.fence, ask.value.clone()), until: now.at.plus(ask.ends.since(now.time)) };
        self.sessions.insert(ask.name.clone(), held);
        Landed::Kept
    }

    fn end(&mut self, ask: &End, now: Now) -> Fence {
        let old = self.mark(&ask.user, now);
        let own = || ask.sessions.iter().filter(|name| name.user == ask.user);
        let known = own().filter_map(|name| alive(&self.sessions, name, now)).map(|(fence, _)| fence);
        let mark = match ask.mark {
            Some(told) => told.max(old.signed_out),
            None => known.chain([old.signed_out, old.highest]).fold(Fence::at(now.time), Ord::max),
        };
        let kept = Mark { signed_out: mark, highest: old.highest };
        let held = Held { value: kept, until: now.at.plus(ask.hold) };
        self.marks.insert(ask.user.clone(), held);
        for name in own() {
            if alive(&self.sessions, name, now).is_none_or(|(fence, _)| fence <= mark) {
                self.sessions.remove(name);
            }
        }
        mark
    }

    fn tell(&mut self, event: &Event, now: Now) -> u64 {
        if let Event::Denied(user, until) = event {
            self.denied.insert(user.clone(), *until);
            self.denied.retain(|_, until| *until > now.time);
        }
        self.number += 1;
        self.events.insert(self.number, event.clone());
        while u64::try_from(self.events.len()).is_ok_and(|length| length > EVENTS_KEPT) {
            self.events.pop_first();
        }
        self.number
    }

    fn take(&mut self, ask: &Take, now: Now) -> Taken {
        let until = now.at.plus(ask.pause);
        let pause = self.pauses.get(&ask.budget).map_or(until, |own| until.max(*own));
        if pause > now.at {
            self.pauses.insert(ask.budget.clone(), pause);
            return Taken { calls: 0, wait: Duration::ZERO, pause: pause.since(now.at) };
        }
        let mut due = alive(&self.budgets, &ask.budget, now).unwrap_or_default();
        let calls = u64::from(ask.calls.min(CALLS_A_TAKE));
        let (calls, wait) = take(&mut due, ask.slots, calls, now.time);
        let until = now.at.plus(Duration::from_micros(ask.slots.period.saturating_mul(2)));
        self.budgets.insert(ask.budget.clone(), Held { value: due, until });
        Taken { calls: u32::try_from(calls).unwrap_or(0), wait, pause: Duration::ZERO }
    }

    fn beat(&mut self, ask: &Beat, now: Now) -> Beaten {
        self.replicas.insert(ask.replica.clone(), now.time);
        self.replicas.retain(|_, at| at.plus(SEEN) > now.time);
        let events = ask.seen.into_iter().flat_map(|seen| self.events.range(seen.saturating_add(1)..));
        let most = usize::try_from(EVENTS_A_BEAT).unwrap_or(usize::MAX);
        let events = events.take(most).map(|(number, event)| (*number, Some(event.clone()))).collect();
        let seen = self.replicas.values().filter(|at| **at <= now.time).count();
        let replicas = u64::try_from(seen).unwrap_or(u64::MAX);
        Beaten { time: now.time, number: self.number, replicas, events }
    }
}

impl Tier for Model {
    fn enter<'a>(&'a self, ask: &'a Enter) -> Asked<'a, Entered> {
        self.answer(|state, now| {
            state.asked += 1;
            Ok(state.enter(ask, now))
        })
    }

    fn land<'a>(&'a self, ask: &'a Land) -> Asked<'a, Landed> {
        self.answer(|state, now| {
            state.asked += 1;
            Ok(state.land(ask, now))
        })
    }

    fn keep<'a>(&'a self, name: &'a SessionName, lease: &'a LeaseToken) -> Asked<'a, bool> {
        self.answer(|state, now| {
            state.asked += 1;
            let held = state.leases.get_mut(name).filter(|held| held.until > now.at && held.value == *lease);
            Ok(held.map(|held| held.until = now.at.plus(LEASE)).is_some())
        })
    }

    fn end<'a>(&'a self, ask: &'a End) -> Asked<'a, Fence> {
        self.answer(|state, now| {
            state.asked += 1;
            if state.full { Err(Away::Refused) } else { Ok(state.end(ask, now)) }
        })
    }

    fn tell<'a>(&'a self, event: &'a Event) -> Asked<'a, u64> {
        self.answer(|state, now| {
            state.asked += 1;
            if state.full { Err(Away::Refused) } else { Ok(state.tell(event, now)) }
        })
    }

    fn take<'a>(&'a self, ask: &'a Take) -> Asked<'a, Taken> {
        self.answer(|state, now| {
            state.asked += 1;
            if state.full { Err(Away::Refused) } else { Ok(state.take(ask, now)) }
        })
    }

    fn beat<'a>(&'a self, ask: &'a Beat) -> Asked<'a, Beaten> {
        self.answer(|state, now| Ok(state.beat(ask, now)))
    }

    fn denied(&self, _page: u64) -> Asked<'_, DeniedPage> {
        self.answer(|state, _| {
            let users = state.denied.iter().map(|(user, until)| (user.clone(), *until)).collect();
            Ok(DeniedPage { next: 0, users })
        })
    }
}
