//! When to make no calls to another service: after failures of several users in a row, and for as long as it asks.
//!
//! What one user brings about must not take the service from all others (T-63). Whatever the other side answers, or does
//! not answer in time, is held against the user of the call, who is paused [alone](Blamed). It counts once for each user
//! in a row; so many different users in a row say that the other side itself fails. Two things say so at once: a
//! connection that cannot be made counts each time, whichever user it was for, and an answer about our account opens the
//! breaker.
//!
//! After a pause one call goes ahead, the probe. A user with failures of its own is never the probe: its call says nothing
//! about the other side unless it succeeds. Calls that were under way when the pause began say nothing either (T-64).

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::Backoff;
use super::blamed::{Blamed, PAUSES};
use super::failure::{Failure, Fault};
use crate::clock::Moment;

/// Users in a row whose failures open the breaker.
const THRESHOLD: usize = 5; // T-39: threshold

/// Whether a user with failures of its own has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnFailures {
    /// For as long as they say.
    Count,
    /// Not for this call.
    Ignored,
}

/// Why a call is not made, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<K> {
    /// Calls for this user failed, the last one in this way.
    User(K, Duration),
    /// The service asks for fewer calls.
    Limited(Duration),
    /// The service fails.
    Open(Duration),
    /// As many calls as there may be are under way, and none ended in time.
    Busy,
}

/// Whether calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// They are.
    Closed,
    /// One is under way after a pause; the others wait for its end.
    HalfOpen,
    /// None is before the end of the pause.
    Open,
}

/// A circuit breaker for calls to one service.
#[derive(Debug)]
pub(super) struct Breaker<K> {
    pub(super) state: Mutex<State<K>>,
    hasher: RandomState,
    /// Each failed probe makes the next pause longer.
    pauses: Backoff,
}

#[derive(Debug)]
pub(super) struct State<K> {
    /// Connections in a row that could not be made.
    pub(super) unconnected: usize,
    /// Users, as hashes, whose calls failed in this row; at most as many as open the breaker.
    pub(super) failed_for: Vec<u64>,
    /// No calls before this point, and whether the other side asked for fewer.
    pub(super) pause: Option<(Moment, bool)>,
    /// Pauses in a row.
    pub(super) pauses: u32,
    /// Pauses since the start. A call that was let through before the last one says nothing any more.
    pub(super) epoch: u64,
    /// A probe is under way after a pause.
    pub(super) probing: bool,
    /// A call for a user with failures of its own is under way after a pause.
    pub(super) trying: bool,
    /// A call that gives way to the others is under way after a pause.
    pub(super) secondary_probing: bool,
    /// None of those before this point.
    pub(super) secondary_rests: Option<Moment>,
    blamed: Blamed<K>,
}

/// What a call says about the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Ordinary,
    /// The first call after a pause.
    Probe,
    /// A call after a pause for a user with failures of its own.
    Trial,
}

/// How the breaker changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// No calls are made for so long.
    Opened(Duration),
    /// The other side works again.
    Closed,
}

/// Permission for one call. Its outcome must be reported; one that is dropped without (a cancelled call) frees the probe.
#[derive(Debug)]
pub(super) struct Permit<'b, K: Copy> {
    breaker: &'b Breaker<K>,
    user: u64,
    role: Role,
    epoch: u64,
    reported: bool,
}

impl<K: Copy> Breaker<K> {
    pub(super) fn new(pauses: Backoff) -> Self {
        let state = State {
            unconnected: 0,
            failed_for: Vec::new(),
            pause: None,
            pauses: 0,
            epoch: 0,
            probing: false,
            trying: false,
            secondary_probing: false,
            secondary_rests: None,
            blamed: Blamed::default(),
        };
        Self { state: Mutex::new(state), hasher: RandomState::new(), pauses }
    }

    /// Whether calls are made now.
    pub(super) fn state(&self) -> BreakerState {
        let state = self.state.lock();
        match state.pause {
            None => BreakerState::Closed,
            Some(_) if state.probing || state.trying || state.secondary_probing => BreakerState::HalfOpen,
            Some(_) => BreakerState::Open,
        }
    }

    /// Says when to come back, where a call for `user` would not be let through.
    pub(super) fn check(&self, user: &str, own: OwnFailures, now: Moment) -> Result<(), Refusal<K>> {
        self.state.lock().check(self.hasher.hash_one(user), own, now)
    }

    /// Lets a call for `user` through, or says when to come back.
    pub(super) fn admit(&self, user: &str, own: OwnFailures, now: Moment) -> Result<Permit<'_, K>, Refusal<K>> {
        let user = self.hasher.hash_one(user);
        let mut state = self.state.lock();
        state.check(user, own, now)?;
        let role = match state.pause {
            None => Role::Ordinary,
            Some(_) if state.blamed.holds(user, now) => Role::Trial, // T-63: blamed users
            Some(_) => Role::Probe,
        };
        if let Some(under_way) = state.under_way(role) {
            *under_way = true;
        }
        Ok(Permit { breaker: self, user, role, epoch: state.epoch, reported: false })
    }

    fn succeeded(&self, permit: &Permit<'_, K>) -> Option<Change> {
        let mut state = self.state.lock();
        state.blamed.forget(permit.user);
        if permit.epoch == state.epoch { Self::close(&mut state) } else { None }
    }

    fn failed(&self, permit: &Permit<'_, K>, failure: Failure<K>, now: Moment) -> Option<Change> {
        let mut state = self.state.lock();
        let counts = permit.epoch == state.epoch;
        let probed = permit.role == Role::Probe;
        // A pause has begun since, so it was the other side's; but advice was given to this user.
        if matches!(failure.fault, Fault::User | Fault::Unclear) && (counts || failure.retry_after.is_some()) {
            state.blamed.note(permit.user, failure, probed, now);
        }
        // T-64: calls before the pause
        if !counts {
            return None;
        }
        if let Some(under_way) = state.under_way(permit.role) {
            *under_way = false;
        }
        let opens = match (failure.fault, permit.role) {
            (Fault::Remote, Role::Ordinary) => {
                state.unconnected += 1;
                state.is_row()
            }
            (Fault::Account | Fault::Remote, _) | (Fault::Unclear, Role::Probe) => true,
            (Fault::Unclear, Role::Ordinary) => {
                // T-63: users counted once
                if !state.failed_for.contains(&permit.user) {
                    state.failed_for.push(permit.user);
                }
                state.is_row()
            }
            (Fault::Unclear, Role::Trial) | (Fault::User | Fault::Credential, Role::Ordinary) => false,
            // The other side works; what it refuses is this user, or our credential.
            (Fault::User | Fault::Credential, Role::Probe | Role::Trial) => return Self::close(&mut state),
        };
        opens.then(|| self.open(&mut state, failure.retry_after, failure.is_limit, now)).flatten()
    }

    /// Begins a pause, or another one.
    pub(super) fn open(
        &self,
        state: &mut State<K>,
        advice: Option<Duration>,
        is_limit: bool,
        now: Moment,
    ) -> Option<Change> {
        // T-39: advice of the other side
        let wait = self.pauses.after(state.pauses, advice);
        let was_open = state.pause.is_some();
        state.pause = Some((now.plus(wait), is_limit));
        state.pauses = state.pauses.saturating_add(1);
        state.epoch += 1;
        (state.probing, state.trying, state.secondary_probing, state.unconnected) = (false, false, false, 0);
        for user in std::mem::take(&mut state.failed_for) {
            state.blamed.pardon(user);
        }
        (!was_open).then_some(Change::Opened(wait))
    }

    pub(super) fn close(state: &mut State<K>) -> Option<Change> {
        state.failed_for.clear();
        (state.unconnected, state.pauses) = (0, 0);
        (state.probing, state.trying, state.secondary_probing) = (false, false, false);
        state.pause.take().map(|_pause| Change::Closed)
    }
}

impl<K: Copy> State<K> {
    fn check(&self, user: u64, own: OwnFailures, now: Moment) -> Result<(), Refusal<K>> {
        // T-63: calls that own failures stop
        if own == OwnFailures::Count
            && let Some((kind, wait)) = self.blamed.wait(user, now)
        {
            return Err(Refusal::User(kind, wait.max(PAUSES.first)));
        }
        let Some((until, is_limit)) = self.pause else { return Ok(()) };
        let blamed = self.blamed.holds(user, now);
        let wait = if now < until {
            until.since(now).max(PAUSES.first)
        } else if if blamed { self.trying } else { self.probing } {
            PAUSES.first
        } else {
            return Ok(());
        };
        Err(if is_limit { Refusal::Limited(wait) } else { Refusal::Open(wait) })
    }

    /// Whether so many failed in a row that it is the other side.
    pub(super) fn is_row(&self) -> bool {
        // T-63: distinct users
        self.unconnected + self.failed_for.len() >= THRESHOLD
    }

    /// Whether a call with this role is under way; ordinary ones are not counted.
    fn under_way(&mut self, role: Role) -> Option<&mut bool> {
        match role {
            Role::Ordinary => None,
            Role::Probe => Some(&mut self.probing),
            Role::Trial => Some(&mut self.trying),
        }
    }
}

impl<K: Copy> Permit<'_, K> {
    /// Reports how the call ended.
    pub(super) fn report(mut self, outcome: Result<(), Failure<K>>, now: Moment) -> Option<Change> {
        self.reported = true;
        match outcome {
            Ok(()) => self.breaker.succeeded(&self),
            Err(failure) => self.breaker.failed(&self, failure, now),
        }
    }
}

impl<K: Copy> Drop for Permit<'_, K> {
    fn drop(&mut self) {
        if !self.reported {
            let mut state = self.breaker.state.lock();
            if self.epoch == state.epoch
                && let Some(under_way) = state.under_way(self.role)
            {
                *under_way = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(1_000_000);
    const DOWN: Failure<u32> = Failure { fault: Fault::Unclear, kind: 500, is_limit: false, retry_after: None };
    const REFUSED: Failure<u32> = Failure { fault: Fault::Remote, ..DOWN };

    fn breaker() -> Breaker<u32> {
        Breaker::new(PAUSES)
    }

    fn limit(advice: Option<u64>) -> Failure<u32> {
        Failure { kind: 429, is_limit: true, retry_after: advice.map(Duration::from_secs), ..DOWN }
    }

    fn admit<'b>(breaker: &'b Breaker<u32>, user: &str, now: Moment) -> Permit<'b, u32> {
        breaker.admit(user, OwnFailures::Count, now).expect("admitted")
    }

    fn check(breaker: &Breaker<u32>, user: &str, now: Moment) -> Result<(), Refusal<u32>> {
        breaker.check(user, OwnFailures::Count, now)
    }

    fn is_open_for(breaker: &Breaker<u32>, user: &str, now: Moment) -> bool {
        check(breaker, user, now).is_ok()
    }

    fn fail(breaker: &Breaker<u32>, user: &str, failure: Failure<u32>, now: Moment) -> Option<Change> {
        admit(breaker, user, now).report(Err(failure), now)
    }

    /// A breaker that the failures of five users have opened.
    fn opened() -> Breaker<u32> {
        let breaker = breaker();
        let changes: Vec<_> = (0..5).map(|n| fail(&breaker, &format!("user{n}"), DOWN, START)).collect();
        assert_eq!(changes, [None, None, None, None, Some(Change::Opened(PAUSES.first))]);
        breaker
    }

    fn later(seconds: u64) -> Moment {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn five_users_open_it_and_one_probe_is_let_through() {
        let breaker = opened();
        assert_eq!(check(&breaker, "alice", START), Err(Refusal::Open(Duration::from_secs(1))));
        assert_eq!(breaker.state(), BreakerState::Open);
        let probe = admit(&breaker, "alice", later(1));
        assert!(!is_open_for(&breaker, "bob", later(1)), "one probe at a time");
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(probe.report(Ok(()), later(1)), Some(Change::Closed));
        assert!(is_open_for(&breaker, "bob", later(1)));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn pauses_double_up_to_the_limit() {
        let (breaker, mut now) = (opened(), START);
        for (n, expected) in [1_u64, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            let user = format!("probe{n}");
            let wait = Duration::from_secs(expected);
            assert_eq!(check(&breaker, &user, now), Err(Refusal::Open(wait)));
            now = now.plus(wait);
            assert_eq!(fail(&breaker, &user, DOWN, now), None, "it was open before");
        }
    }

    /// T-64: what was under way when the pause began makes it no longer, however much that was.
    #[test]
    fn only_a_probe_doubles_the_pause() {
        let breaker = breaker();
        let under_way: Vec<_> = (0..40).map(|n| admit(&breaker, &format!("user{n}"), START)).collect();
        let late = admit(&breaker, "late", START);
        for permit in under_way {
            permit.report(Err(DOWN), later(5));
        }
        assert_eq!(admit(&breaker, "probe", later(6)).report(Ok(()), later(6)), Some(Change::Closed));
        late.report(Err(DOWN), later(7));
        let state = breaker.state.lock();
        assert!(state.failed_for.is_empty(), "nor does it count for the next pause");
    }

    /// T-63: whatever one user brings about, others are served; the user is left alone where that goes on.
    #[test]
    fn answers_to_one_user_do_not_open_it_and_answers_to_many_do() {
        for (fault, is_limit, many) in
            [(Fault::Unclear, true, true), (Fault::Unclear, false, true), (Fault::User, false, false)]
        {
            let failure = Failure { fault, is_limit, ..DOWN };
            let breaker = breaker();
            let refused = (0..20).filter(|n| {
                let now = later(*n);
                let refused = !is_open_for(&breaker, "mallory", now);
                if !refused {
                    fail(&breaker, "mallory", failure, now);
                }
                assert!(is_open_for(&breaker, "alice", now), "{failure:?}: no other user waits");
                refused
            });
            assert!(refused.count() > 12, "{failure:?}");
            assert!(is_open_for(&breaker, "alice", later(20)), "{failure:?}");
            let users = ["a", "b", "a", "c", "d", "d"];
            for user in users {
                if is_open_for(&breaker, user, later(20)) {
                    fail(&breaker, user, failure, later(20));
                }
            }
            assert_eq!(is_open_for(&breaker, "alice", later(20)), !many, "{failure:?}: with mallory five users");
        }
    }

    #[test]
    fn advice_to_a_user_and_to_all_is_followed_within_reason() {
        for (advice, waits) in [(Some(7), 7), (None, 1), (Some(0), 1), (Some(86_400), 60)] {
            let breaker = breaker();
            for n in 0..5 {
                fail(&breaker, &format!("user{n}"), limit(advice), START);
                let wait = Duration::from_secs(waits);
                // The fifth says that it is the other side, so nothing is held against the user.
                let expected = if n < 4 { Refusal::User(429, wait) } else { Refusal::Limited(wait) };
                assert_eq!(check(&breaker, &format!("user{n}"), START), Err(expected));
                assert_eq!(is_open_for(&breaker, "alice", START), n < 4, "{n}");
            }
            assert_eq!(check(&breaker, "alice", START), Err(Refusal::Limited(Duration::from_secs(waits))));
        }
    }

    #[test]
    fn what_is_clear_counts_at_once() {
        let breaker = breaker();
        for n in 0..20 {
            fail(&breaker, &format!("user{n}"), Failure { fault: Fault::User, ..limit(Some(9)) }, START);
        }
        assert!(is_open_for(&breaker, "alice", START));
        let change = fail(&breaker, "bob", Failure { fault: Fault::Account, ..limit(Some(9)) }, START);
        assert_eq!(change, Some(Change::Opened(Duration::from_secs(9))));
        assert!(!is_open_for(&breaker, "alice", later(8)));
        assert!(is_open_for(&breaker, "bob", later(9)), "it says nothing about bob");
    }

    #[test]
    fn connections_that_cannot_be_made_count_for_any_user() {
        let breaker = breaker();
        (0..5).for_each(|_| _ = fail(&breaker, "alice", REFUSED, START));
        assert!(!is_open_for(&breaker, "bob", START));
        assert!(is_open_for(&breaker, "alice", later(1)), "nothing is held against alice");
    }

    #[test]
    fn refusals_of_our_credential_are_held_against_no_user() {
        let breaker = breaker();
        for n in 0..20 {
            fail(&breaker, &format!("user{}", n % 7), Failure { fault: Fault::Credential, ..DOWN }, START);
        }
        assert!(is_open_for(&breaker, "user0", START));
    }

    /// T-63: a user who always fails would keep the provider paused for ever.
    #[test]
    fn a_blamed_user_is_never_the_probe() {
        let breaker = breaker();
        fail(&breaker, "mallory", limit(Some(2)), START);
        for n in 0..4 {
            fail(&breaker, &format!("user{n}"), DOWN, START);
        }
        fail(&breaker, "mallory", limit(Some(2)), later(3));
        let trial = admit(&breaker, "mallory", later(5));
        assert!(!is_open_for(&breaker, "mallory", later(5)), "one at a time");
        let probe = admit(&breaker, "alice", later(5));
        trial.report(Err(limit(Some(2))), later(5));
        assert!(!is_open_for(&breaker, "bob", later(5)), "the probe is under way");
        probe.report(Ok(()), later(5));
        assert!(is_open_for(&breaker, "bob", later(5)));
    }

    #[test]
    fn where_only_blamed_users_come_one_that_succeeds_is_enough() {
        let breaker = opened();
        for (n, at) in [(0, 1), (1, 3), (2, 7)] {
            fail(&breaker, &format!("user{n}"), DOWN, later(at));
        }
        let at = later(15);
        fail(&breaker, "user0", DOWN, at);
        assert!(is_open_for(&breaker, "user1", at), "a trial that fails makes no pause");
        assert_eq!(admit(&breaker, "user1", at).report(Ok(()), at), Some(Change::Closed));
        fail(&opened(), "user0", REFUSED, later(1));
    }

    /// Tokens are taken back from a user whatever failed before.
    #[test]
    fn own_failures_can_be_ignored() {
        let breaker = breaker();
        fail(&breaker, "mallory", limit(Some(60)), START);
        assert!(!is_open_for(&breaker, "mallory", START));
        assert!(breaker.check("mallory", OwnFailures::Ignored, START).is_ok());
        assert!(opened().check("alice", OwnFailures::Ignored, START).is_err(), "a pause is for all calls");
    }

    #[test]
    fn a_cancelled_probe_frees_the_next() {
        let breaker = opened();
        drop(admit(&breaker, "alice", later(1)));
        assert!(is_open_for(&breaker, "bob", later(1)));
    }
}
