//! When to leave a provider alone: after failures of several users in a row, and for as long as it asks.
//!
//! What one user brings about must not take the service from all others (T-63). Whatever a provider answers, or does not
//! answer in time, is held against the user it was about, who is left alone [by itself](Blamed). It counts once for each
//! user in a row; so many different users in a row say that it is the provider. Two things say so at once: a connection
//! that cannot be made, whoever asks, counts each time, and an answer that the definition says is about the account
//! pauses it.
//!
//! After a pause one call goes ahead, the probe. A user with failures of its own is never the probe: its call says nothing
//! about the provider unless it succeeds. Calls that were under way when the pause began say nothing either (T-64).

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use parking_lot::Mutex;

use super::blamed::Blamed;
use super::calls::error::{Class, Meant, ProviderError};
use crate::clock::Moment;
use crate::metrics::Gauge;
use crate::pacing::Backoff;

/// Users in a row whose failures open the breaker.
const THRESHOLD: usize = 5; // T-39: threshold
/// Pauses: each failed probe makes the next one longer.
const PAUSES: Backoff = Backoff { first: FIRST_PAUSE, longest: Duration::from_mins(1), jitter: false };
/// The first of them, and the shortest wait that a refused call is told.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A circuit breaker for one provider.
#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
    hasher: RandomState,
    gauge: Gauge,
}

#[derive(Debug, Default)]
struct State {
    /// Connections in a row that could not be made.
    unconnected: usize,
    /// Users, as hashes, whose calls failed in this row; at most as many as open the breaker.
    failed_for: Vec<u64>,
    /// No calls before this point, and why.
    pause: Option<(Moment, Class)>,
    /// Pauses in a row.
    pauses: u32,
    /// Pauses since the start. A call that was let through before the last one says nothing any more.
    epoch: u64,
    /// A probe is under way after a pause.
    probing: bool,
    /// A call for a user with failures of its own is under way after a pause.
    trying: bool,
    blamed: Blamed,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// A token.
    Mint,
    /// Taking tokens back. A user with failures of its own does not have to wait for that: they would be a way to keep
    /// tokens.
    Revoke,
}

/// What a call says about the provider.
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
pub(super) enum Change {
    /// The provider is left alone for so long.
    Opened(Duration),
    /// The provider is well again.
    Closed,
}

/// Permission for one mint. Its outcome must be told; one that is dropped untold (a cancelled call) frees the probe.
#[derive(Debug)]
pub(super) struct Permit<'b> {
    breaker: &'b Breaker,
    user: u64,
    role: Role,
    epoch: u64,
    told: bool,
}

impl Breaker {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self { state: Mutex::default(), hasher: RandomState::new(), gauge }
    }

    /// Says when to come back, where a call for `user` would not be let through.
    pub(super) fn check(&self, user: &str, errand: Errand, now: Moment) -> Result<(), ProviderError> {
        self.state.lock().check(self.hasher.hash_one(user), errand, now)
    }

    /// Lets a call for `user` through, or says when to come back.
    pub(super) fn admit(&self, user: &str, errand: Errand, now: Moment) -> Result<Permit<'_>, ProviderError> {
        let user = self.hasher.hash_one(user);
        let mut state = self.state.lock();
        state.check(user, errand, now)?;
        let role = match state.pause {
            None => Role::Ordinary,
            Some(_) if state.blamed.holds(user, now) => Role::Trial, // T-63: blamed users
            Some(_) => Role::Probe,
        };
        if let Some(under_way) = state.under_way(role) {
            *under_way = true;
            self.gauge.set(1);
        }
        Ok(Permit { breaker: self, user, role, epoch: state.epoch, told: false })
    }

    fn succeeded(&self, permit: &Permit<'_>) -> Option<Change> {
        let mut state = self.state.lock();
        state.blamed.forget(permit.user);
        if permit.epoch == state.epoch { self.close(&mut state) } else { None }
    }

    fn failed(&self, permit: &Permit<'_>, error: &ProviderError, now: Moment) -> Option<Change> {
        let mut state = self.state.lock();
        let counts = permit.epoch == state.epoch;
        let meant = error.meant();
        let probed = permit.role == Role::Probe;
        // A pause has begun since, so it was the provider's; but advice was given to this user.
        if matches!(meant, Meant::User | Meant::Either) && (counts || error.retry_after.is_some()) {
            state.blamed.note(permit.user, error, probed, now);
        }
        // T-64: calls before the pause
        if !counts {
            return None;
        }
        if let Some(under_way) = state.under_way(permit.role) {
            *under_way = false;
        }
        let opens = match (meant, permit.role) {
            (Meant::Provider, Role::Ordinary) => {
                state.unconnected += 1;
                state.is_row()
            }
            (Meant::Account | Meant::Provider, _) | (Meant::Either, Role::Probe) => true,
            (Meant::Either, Role::Ordinary) => {
                // T-63: users counted once
                if !state.failed_for.contains(&permit.user) {
                    state.failed_for.push(permit.user);
                }
                state.is_row()
            }
            (Meant::Either, Role::Trial) | (Meant::User | Meant::Credential, Role::Ordinary) => false,
            // The provider works; it is this user, or our credential, that it does not like.
            (Meant::User | Meant::Credential, Role::Probe | Role::Trial) => return self.close(&mut state),
        };
        opens.then(|| self.open(&mut state, error, now)).flatten()
    }

    fn open(&self, state: &mut State, error: &ProviderError, now: Moment) -> Option<Change> {
        // T-39: advice of the provider
        let wait = PAUSES.after(state.pauses, error.retry_after);
        let was_open = state.pause.is_some();
        let class = if error.class == Class::RateLimited { Class::RateLimited } else { Class::Unavailable };
        state.pause = Some((now.plus(wait), class));
        state.pauses = state.pauses.saturating_add(1);
        state.epoch += 1;
        (state.probing, state.trying, state.unconnected) = (false, false, 0);
        for user in std::mem::take(&mut state.failed_for) {
            state.blamed.pardon(user);
        }
        self.gauge.set(2);
        (!was_open).then_some(Change::Opened(wait))
    }

    /// Mostly nothing changes; the gauge is then left alone.
    fn close(&self, state: &mut State) -> Option<Change> {
        state.failed_for.clear();
        (state.unconnected, state.pauses, state.probing, state.trying) = (0, 0, false, false);
        state.pause.take().map(|_pause| {
            self.gauge.set(0);
            Change::Closed
        })
    }
}

impl State {
    fn check(&self, user: u64, errand: Errand, now: Moment) -> Result<(), ProviderError> {
        // T-63: errands that blame
        if errand == Errand::Mint
            && let Some((class, wait)) = self.blamed.wait(user, now)
        {
            let detail = "this user is left alone after failures of its own";
            return Err(ProviderError::new(class, "breaker", detail).retry_after(Some(wait.max(FIRST_PAUSE))));
        }
        let Some((until, class)) = self.pause else { return Ok(()) };
        let blamed = self.blamed.holds(user, now);
        let wait = if now < until {
            until.since(now)
        } else if if blamed { self.trying } else { self.probing } {
            FIRST_PAUSE
        } else {
            return Ok(());
        };
        let detail = if class == Class::RateLimited { "paused by the provider's advice" } else { "breaker open" };
        Err(ProviderError::new(class, "breaker", detail).retry_after(Some(wait.max(FIRST_PAUSE))))
    }

    /// Whether so many failed in a row that it is the provider.
    fn is_row(&self) -> bool {
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

impl Permit<'_> {
    /// Tells how it went.
    pub(super) fn tell<T>(mut self, outcome: &Result<T, ProviderError>, now: Moment) -> Option<Change> {
        self.told = true;
        match outcome {
            Ok(_) => self.breaker.succeeded(&self),
            Err(error) => self.breaker.failed(&self, error, now),
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.told {
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
    use super::super::calls::error::{Blame, Cause};
    use super::*;

    const START: Moment = Moment::from_millis(1_000_000);

    fn breaker() -> Breaker {
        Breaker::new(Gauge::new("state", "state").expect("a gauge"))
    }

    fn error(class: Class, advice: Option<u64>) -> ProviderError {
        ProviderError::new(class, "step", "test").retry_after(advice.map(Duration::from_secs))
    }

    fn down() -> ProviderError {
        error(Class::Unavailable, None)
    }

    fn refused() -> ProviderError {
        down().cause(Cause::Refused)
    }

    fn admit<'b>(breaker: &'b Breaker, user: &str, now: Moment) -> Permit<'b> {
        breaker.admit(user, Errand::Mint, now).expect("admitted")
    }

    fn is_open_for(breaker: &Breaker, user: &str, now: Moment) -> bool {
        breaker.check(user, Errand::Mint, now).is_ok()
    }

    fn fail(breaker: &Breaker, user: &str, error: ProviderError, now: Moment) -> Option<Change> {
        admit(breaker, user, now).tell::<()>(&Err(error), now)
    }

    /// A breaker that the failures of five users have opened.
    fn opened() -> Breaker {
        let breaker = breaker();
        let changes: Vec<_> = (0..5).map(|n| fail(&breaker, &format!("user{n}"), down(), START)).collect();
        assert_eq!(changes, [None, None, None, None, Some(Change::Opened(FIRST_PAUSE))]);
        breaker
    }

    fn later(seconds: u64) -> Moment {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn five_users_open_it_and_one_probe_is_let_through() {
        let breaker = opened();
        let refused = breaker.check("alice", Errand::Mint, START).expect_err("open");
        assert_eq!((refused.class, refused.retry_after), (Class::Unavailable, Some(Duration::from_secs(1))));
        let probe = admit(&breaker, "alice", later(1));
        assert!(!is_open_for(&breaker, "bob", later(1)), "one probe at a time");
        assert_eq!(probe.tell(&Ok(()), later(1)), Some(Change::Closed));
        assert!(is_open_for(&breaker, "bob", later(1)));
        assert_eq!(breaker.gauge.get(), 0);
    }

    #[test]
    fn pauses_double_up_to_the_limit() {
        let (breaker, mut now) = (opened(), START);
        for (n, expected) in [1_u64, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            let user = format!("probe{n}");
            let wait = breaker.check(&user, Errand::Mint, now).expect_err("open").retry_after.expect("advice");
            assert_eq!(wait.as_secs(), expected);
            now = now.plus(wait);
            assert_eq!(fail(&breaker, &user, down(), now), None, "it was open before");
        }
    }

    /// T-64: what was under way when the pause began makes it no longer, however much that was.
    #[test]
    fn only_a_probe_doubles_the_pause() {
        let breaker = breaker();
        let under_way: Vec<_> = (0..40).map(|n| admit(&breaker, &format!("user{n}"), START)).collect();
        let late = admit(&breaker, "late", START);
        for permit in under_way {
            permit.tell::<()>(&Err(down()), later(5));
        }
        assert_eq!(admit(&breaker, "probe", later(6)).tell(&Ok(()), later(6)), Some(Change::Closed));
        late.tell::<()>(&Err(down()), later(7));
        let state = breaker.state.lock();
        assert!(state.failed_for.is_empty(), "nor does it count for the next pause");
    }

    /// T-63: whatever one user brings about, others are served; the user is left alone where that goes on.
    #[test]
    fn answers_to_one_user_do_not_open_it_and_answers_to_many_do() {
        let of = |class, status| ProviderError { status, ..error(class, None) };
        for (class, status, many) in [
            (Class::RateLimited, Some(429), true),
            (Class::Unavailable, Some(500), true),
            (Class::Unavailable, Some(503), true),
            (Class::Unavailable, None, true),
            (Class::BadResponse, Some(200), true),
            (Class::BadResponse, None, true),
            (Class::Rejected, Some(400), false),
            (Class::UserMissing, Some(404), false),
            (Class::SessionLost, Some(410), false),
        ] {
            let breaker = breaker();
            let refused = (0..20).filter(|n| {
                let now = later(*n);
                let refused = !is_open_for(&breaker, "mallory", now);
                if !refused {
                    fail(&breaker, "mallory", of(class, status), now);
                }
                assert!(is_open_for(&breaker, "alice", now), "{class:?} {status:?}: nobody else waits");
                refused
            });
            assert!(refused.count() > 12, "{class:?}");
            assert!(is_open_for(&breaker, "alice", later(20)), "{class:?} {status:?}");
            let users = ["a", "b", "a", "c", "d", "d"];
            for user in users {
                if is_open_for(&breaker, user, later(20)) {
                    fail(&breaker, user, of(class, status), later(20));
                }
            }
            assert_eq!(
                is_open_for(&breaker, "alice", later(20)),
                !many,
                "{class:?} {status:?}: with mallory five users"
            );
        }
    }

    #[test]
    fn the_users_own_advice_is_followed_and_that_of_the_provider_within_reason() {
        for (advice, waits) in [(Some(7), 7), (None, 1), (Some(0), 1), (Some(86_400), 60)] {
            let breaker = breaker();
            for n in 0..5 {
                fail(&breaker, &format!("user{n}"), error(Class::RateLimited, advice), START);
                let own = breaker.check(&format!("user{n}"), Errand::Mint, START).expect_err("left alone");
                assert_eq!((own.class, own.retry_after), (Class::RateLimited, Some(Duration::from_secs(waits))));
                assert_eq!(is_open_for(&breaker, "alice", START), n < 4, "{n}");
            }
            let refused = breaker.check("alice", Errand::Mint, START).expect_err("paused");
            assert_eq!((refused.class, refused.retry_after), (Class::RateLimited, Some(Duration::from_secs(waits))));
        }
    }

    #[test]
    fn what_the_definition_says_is_meant_counts() {
        let breaker = breaker();
        for n in 0..20 {
            fail(&breaker, &format!("user{n}"), error(Class::RateLimited, Some(9)).blame(Some(Blame::User)), START);
        }
        assert!(is_open_for(&breaker, "alice", START));
        let change = fail(&breaker, "bob", error(Class::RateLimited, Some(9)).blame(Some(Blame::Account)), START);
        assert_eq!(change, Some(Change::Opened(Duration::from_secs(9))));
        assert!(!is_open_for(&breaker, "alice", later(8)));
        assert!(is_open_for(&breaker, "bob", later(9)), "nothing is held against whom it met");
    }

    #[test]
    fn connections_that_cannot_be_made_count_whoever_asks() {
        let breaker = breaker();
        (0..5).for_each(|_| _ = fail(&breaker, "alice", refused(), START));
        assert!(!is_open_for(&breaker, "bob", START));
        assert!(is_open_for(&breaker, "alice", later(1)), "nothing is held against alice");
    }

    #[test]
    fn refusals_of_our_credential_are_held_against_nobody() {
        let breaker = breaker();
        (0..20)
            .for_each(|n| _ = fail(&breaker, &format!("user{}", n % 7), error(Class::CredentialRejected, None), START));
        assert!(is_open_for(&breaker, "user0", START));
    }

    /// T-63: a user who always fails would keep the provider paused for ever.
    #[test]
    fn a_blamed_user_is_never_the_probe() {
        let breaker = breaker();
        fail(&breaker, "mallory", error(Class::RateLimited, Some(2)), START);
        for n in 0..4 {
            fail(&breaker, &format!("user{n}"), down(), START);
        }
        fail(&breaker, "mallory", error(Class::RateLimited, Some(2)), later(3));
        let trial = admit(&breaker, "mallory", later(5));
        assert!(!is_open_for(&breaker, "mallory", later(5)), "one at a time");
        let probe = admit(&breaker, "alice", later(5));
        trial.tell::<()>(&Err(error(Class::RateLimited, Some(2))), later(5));
        assert!(!is_open_for(&breaker, "bob", later(5)), "the probe is under way");
        probe.tell(&Ok(()), later(5));
        assert!(is_open_for(&breaker, "bob", later(5)));
    }

    #[test]
    fn where_only_blamed_users_come_one_that_succeeds_is_enough() {
        let breaker = opened();
        for (n, at) in [(0, 1), (1, 3), (2, 7)] {
            fail(&breaker, &format!("user{n}"), down(), later(at));
        }
        let at = later(15);
        fail(&breaker, "user0", down(), at);
        assert!(is_open_for(&breaker, "user1", at), "a trial that fails makes no pause");
        assert_eq!(admit(&breaker, "user1", at).tell(&Ok(()), at), Some(Change::Closed));
        fail(&opened(), "user0", refused(), later(1));
    }

    /// Failures of one's own are no way to keep tokens.
    #[test]
    fn tokens_are_taken_back_from_a_blamed_user() {
        let breaker = breaker();
        fail(&breaker, "mallory", error(Class::RateLimited, Some(60)), START);
        assert!(!is_open_for(&breaker, "mallory", START));
        assert!(breaker.check("mallory", Errand::Revoke, START).is_ok());
        assert!(opened().check("alice", Errand::Revoke, START).is_err(), "the provider is left alone all the same");
    }

    #[test]
    fn a_cancelled_probe_frees_the_next() {
        let breaker = opened();
        drop(admit(&breaker, "alice", later(1)));
        assert!(is_open_for(&breaker, "bob", later(1)));
    }
}
