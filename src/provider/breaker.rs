//! When to leave a provider alone: after failures in a row, and for as long as it asks.
//!
//! What one user brings about must not take the service from all others: an answer that could be about the user (a 500,
//! or one that makes no sense) counts once for each user in a row of failures. No answer at all, and the statuses of
//! gateways and overload, say something about the provider whoever asks.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::error::{Class, ProviderError};
use crate::clock::Moment;
use crate::metrics::Gauge;

/// Failures in a row that open the breaker.
const THRESHOLD: u32 = 5;
/// First pause; it doubles with each failed probe.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause, also where the provider asks for more: it may have meant another unit.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A circuit breaker for one provider.
#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
    hasher: RandomState,
    gauge: Gauge,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Users, as hashes, whose answers failed in this row; at most as many as open the breaker.
    failed_for: Vec<u64>,
    /// No calls before this point, and why.
    pause: Option<(Moment, Class)>,
    /// A probe is under way after a pause.
    probing: bool,
    pauses: u32,
}

/// Permission for one mint. Its outcome must be told; one that is dropped untold (a cancelled call) frees the probe.
#[derive(Debug)]
pub(super) struct Permit<'b> {
    breaker: &'b Breaker,
    told: bool,
}

impl Breaker {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self { state: Mutex::default(), hasher: RandomState::new(), gauge }
    }

    /// Lets a mint through, or says when to come back.
    pub(super) fn admit(&self, now: Moment) -> Result<Permit<'_>, ProviderError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, class)) = state.pause {
            let refuse = |wait: Duration| {
                let detail =
                    if class == Class::RateLimited { "paused by the provider's advice" } else { "breaker open" };
                ProviderError::new(class, "breaker", detail).retry_after(Some(wait.max(FIRST_PAUSE)))
            };
            if now < until {
                return Err(refuse(until.since(now)));
            }
            if state.probing {
                return Err(refuse(FIRST_PAUSE));
            }
            state.probing = true;
            self.gauge.set(1);
        }
        Ok(Permit { breaker: self, told: false })
    }

    fn succeeded(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Mostly nothing changes; the gauge is then left alone.
        if state.failures > 0 || state.pause.is_some() {
            *state = State::default();
            self.gauge.set(0);
        }
    }

    fn failed(&self, error: &ProviderError, user: &str, now: Moment) {
        let user = self.hasher.hash_one(user);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let probed = std::mem::take(&mut state.probing);
        match error.class {
            Class::RateLimited => {
                let wait = error.retry_after.unwrap_or(FIRST_PAUSE).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                state.pause = Some((now.plus(wait), Class::RateLimited));
                self.gauge.set(2);
            }
            Class::Unavailable | Class::BadResponse => {
                if may_be_about_the_user(error) && !probed {
                    if state.failed_for.contains(&user) {
                        return;
                    }
                    state.failed_for.push(user);
                }
                state.failures = state.failures.saturating_add(1);
                if probed || state.failures >= THRESHOLD {
                    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(state.pauses).unwrap_or(u32::MAX));
                    let wait = error.retry_after.unwrap_or(doubled).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                    state.pauses = (state.pauses + 1).min(6);
                    state.pause = Some((now.plus(wait), Class::Unavailable));
                    state.failed_for.clear();
                    self.gauge.set(2);
                }
            }
            // The provider works; it is our credential or this user that it does not like.
            Class::Rejected | Class::CredentialRejected | Class::UserMissing | Class::SessionLost => {
                *state = State::default();
                self.gauge.set(0);
            }
        }
    }
}

/// Whether the provider works and answered, so that the failure may come from what this user brought.
fn may_be_about_the_user(error: &ProviderError) -> bool {
    error.class == Class::BadResponse || error.status.is_some_and(|status| !matches!(status, 408 | 502..=504))
}

impl Permit<'_> {
    /// Tells how it went for `user`.
    pub(super) fn tell<T>(mut self, outcome: &Result<T, ProviderError>, user: &str, now: Moment) {
        self.told = true;
        match outcome {
            Ok(_) => self.breaker.succeeded(),
            Err(error) => self.breaker.failed(error, user, now),
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner).probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(1_000_000);

    fn breaker() -> Breaker {
        Breaker::new(Gauge::new("state", "state").expect("a gauge"))
    }

    fn fail(breaker: &Breaker, class: Class, advice: Option<u64>, now: Moment) {
        let error = ProviderError::new(class, "step", "test").retry_after(advice.map(Duration::from_secs));
        breaker.admit(now).expect("admitted").tell::<()>(&Err(error), "alice", now);
    }

    fn fail_for(breaker: &Breaker, user: &str, error: ProviderError) {
        breaker.admit(START).expect("admitted").tell::<()>(&Err(error), user, START);
    }

    #[test]
    fn five_failures_open_it_and_one_probe_is_let_through() {
        let breaker = breaker();
        for _ in 0..THRESHOLD {
            fail(&breaker, Class::Unavailable, None, START);
        }
        let refused = breaker.admit(START).expect_err("open");
        assert_eq!((refused.class, refused.retry_after), (Class::Unavailable, Some(Duration::from_secs(1))));
        let later = START.plus(Duration::from_secs(1));
        let probe = breaker.admit(later).expect("a probe");
        assert!(breaker.admit(later).is_err(), "one probe at a time");
        probe.tell(&Ok(()), "alice", later);
        assert!(breaker.admit(later).is_ok());
        assert_eq!(breaker.gauge.get(), 0);
    }

    #[test]
    fn pauses_double_up_to_the_limit() {
        let breaker = breaker();
        let mut now = START;
        for _ in 0..THRESHOLD {
            fail(&breaker, Class::Unavailable, None, now);
        }
        for expected in [1_u64, 2, 4, 8, 16, 32, 60, 60] {
            let wait = breaker.admit(now).expect_err("open").retry_after.expect("advice");
            assert_eq!(wait.as_secs(), expected);
            now = now.plus(wait);
            fail(&breaker, Class::Unavailable, None, now);
        }
    }

    #[test]
    fn advice_is_followed_within_reason() {
        for (advice, waits) in [(Some(7), 7), (None, 1), (Some(0), 1), (Some(86_400), 60)] {
            let breaker = breaker();
            fail(&breaker, Class::RateLimited, advice, START);
            let refused = breaker.admit(START).expect_err("paused");
            assert_eq!((refused.class, refused.retry_after), (Class::RateLimited, Some(Duration::from_secs(waits))));
        }
    }

    #[test]
    fn refusals_of_one_user_or_key_do_not_open_it() {
        let breaker = breaker();
        for class in [Class::Rejected, Class::CredentialRejected, Class::UserMissing, Class::SessionLost] {
            for _ in 0..20 {
                fail(&breaker, class, None, START);
            }
        }
        assert!(breaker.admit(START).is_ok());
    }

    /// T-54: whatever answers one user brings about, others are served.
    #[test]
    fn answers_to_one_user_do_not_open_it_and_answers_to_many_do() {
        let of = |class, status| ProviderError { status, ..ProviderError::new(class, "step", "test") };
        for (class, status, opens) in [
            (Class::Unavailable, Some(500), false),
            (Class::BadResponse, Some(200), false),
            (Class::BadResponse, None, false),
            (Class::Unavailable, Some(503), true),
            (Class::Unavailable, None, true),
        ] {
            let breaker = breaker();
            for n in 0..THRESHOLD * 4 {
                if breaker.admit(START).is_err() {
                    break;
                }
                fail_for(&breaker, "mallory", of(class, status));
                assert!(n < THRESHOLD || !opens);
            }
            assert_eq!(breaker.admit(START).is_err(), opens, "{class:?} {status:?}");
        }
        let breaker = breaker();
        for user in ["a", "b", "a", "c", "d", "d"] {
            fail_for(&breaker, user, of(Class::Unavailable, Some(500)));
        }
        assert!(breaker.admit(START).is_ok(), "four users");
        fail_for(&breaker, "e", of(Class::BadResponse, None));
        assert!(breaker.admit(START).is_err(), "five users");
    }

    #[test]
    fn a_cancelled_probe_frees_the_next() {
        let breaker = breaker();
        fail(&breaker, Class::RateLimited, Some(1), START);
        let later = START.plus(Duration::from_secs(1));
        drop(breaker.admit(later).expect("a probe"));
        assert!(breaker.admit(later).is_ok());
    }
}
