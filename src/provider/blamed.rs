//! Users whose own calls went badly: each is left alone by itself, for as long as it was asked to or longer each time.
//!
//! One bad answer is an accident and costs nothing, but where it comes with advice on when to come back. Memory is
//! bounded, whatever number of users an attacker brings: who failed longest ago is forgotten first.

use std::collections::HashMap;
use std::time::Duration;

use super::calls::error::{Class, ProviderError};
use crate::clock::Moment;
use crate::pacing::Backoff;

/// Pauses of a user. Nothing is held any more against a user who has not failed for the longest of them after a pause.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_mins(1), jitter: false };
/// Users in one half of the memory.
const HALF: usize = 4096;

/// What is held against one user.
#[derive(Clone, Copy, Debug)]
struct Blame {
    /// Failures without a success between them.
    failures: u32,
    /// No calls for this user before this point.
    until: Moment,
    /// Class of the last failure.
    class: Class,
    /// Whether the failures are more than an accident.
    proven: bool,
}

/// The users, as hashes, in two halves: those who failed of late, and those who did so before them.
#[derive(Debug, Default)]
pub(super) struct Blamed {
    young: HashMap<u64, Blame>,
    old: HashMap<u64, Blame>,
}

impl Blamed {
    fn get(&self, user: u64, now: Moment) -> Option<&Blame> {
        let blame = self.young.get(&user).or_else(|| self.old.get(&user))?;
        (now < blame.until.plus(PAUSES.longest)).then_some(blame)
    }

    /// How long the user is to be left alone, and after which failure.
    pub(super) fn wait(&self, user: u64, now: Moment) -> Option<(Class, Duration)> {
        let blame = self.get(user, now)?;
        (now < blame.until).then(|| (blame.class, blame.until.since(now)))
    }

    /// Whether the user failed in a way that says nothing good about the next call.
    pub(super) fn holds(&self, user: u64, now: Moment) -> bool {
        self.get(user, now).is_some_and(|blame| blame.proven)
    }

    /// Notes a failure. That of a `probe` is no accident: another user's is wanted next.
    pub(super) fn note(&mut self, user: u64, error: &ProviderError, probe: bool, now: Moment) {
        let failures = self.get(user, now).map_or(0, |blame| blame.failures).saturating_add(1);
        // A first failure without advice is an accident, unless it asks for fewer calls.
        let accidents = u32::from(error.retry_after.is_none() && error.class != Class::RateLimited);
        let before = failures.checked_sub(1 + accidents);
        let pause = before.map(|before| PAUSES.after(before, error.retry_after));
        let until = pause.map_or(now, |pause| now.plus(pause));
        // T-63: young users
        if self.young.len() >= HALF && !self.young.contains_key(&user) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user, Blame { failures, until, class: error.class, proven: probe || pause.is_some() });
    }

    /// A success: nothing is held against the user any more.
    pub(super) fn forget(&mut self, user: u64) {
        self.young.remove(&user);
        self.old.remove(&user);
    }

    /// Takes back a first failure: it was the provider's.
    pub(super) fn pardon(&mut self, user: u64) {
        for half in [&mut self.young, &mut self.old] {
            if half.get(&user).is_some_and(|blame| blame.failures == 1) {
                half.remove(&user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(1_000_000);

    fn failure(class: Class, advice: Option<u64>) -> ProviderError {
        ProviderError::new(class, "step", "test").retry_after(advice.map(Duration::from_secs))
    }

    fn seconds(blamed: &Blamed, now: Moment) -> Option<u64> {
        blamed.wait(1, now).map(|(_, wait)| wait.as_secs())
    }

    #[test]
    fn one_failure_is_an_accident_and_more_of_them_cost_more_each_time() {
        let (mut blamed, mut now) = (Blamed::default(), START);
        for expected in [None, Some(1), Some(2), Some(4), Some(8), Some(16), Some(32), Some(60), Some(60)] {
            blamed.note(1, &failure(Class::Unavailable, None), false, now);
            assert_eq!(seconds(&blamed, now), expected);
            assert_eq!(blamed.holds(1, now), expected.is_some());
            assert_eq!((blamed.wait(2, now), blamed.holds(2, now)), (None, false), "another user");
            now = now.plus(Duration::from_secs(expected.unwrap_or(0)));
            assert_eq!(seconds(&blamed, now), None);
        }
        blamed.forget(1);
        blamed.note(1, &failure(Class::Unavailable, None), false, now);
        assert_eq!(seconds(&blamed, now), None, "a success between them");
        let later = now.plus(PAUSES.longest);
        blamed.note(1, &failure(Class::Unavailable, None), false, later);
        assert_eq!(seconds(&blamed, later), None, "long ago");
    }

    #[test]
    fn advice_and_limits_count_from_the_first_time() {
        for (class, advice, expected) in [
            (Class::RateLimited, Some(7), 7),
            (Class::RateLimited, None, 1),
            (Class::RateLimited, Some(0), 1),
            (Class::RateLimited, Some(86_400), 60),
            (Class::Unavailable, Some(9), 9),
        ] {
            let mut blamed = Blamed::default();
            blamed.note(1, &failure(class, advice), false, START);
            assert_eq!(blamed.wait(1, START), Some((class, Duration::from_secs(expected))));
            assert!(blamed.holds(1, START));
        }
    }

    #[test]
    fn a_failed_probe_is_no_accident_and_what_was_the_providers_is_taken_back_once() {
        let mut blamed = Blamed::default();
        blamed.note(1, &failure(Class::Unavailable, None), true, START);
        assert!(blamed.holds(1, START));
        blamed.pardon(1);
        assert!(!blamed.holds(1, START));
        (0..2).for_each(|_| blamed.note(1, &failure(Class::Unavailable, None), false, START));
        blamed.pardon(1);
        assert!(blamed.holds(1, START), "more than the one that was the provider's");
    }

    /// T-63: whoever brings many users fills no memory, and those who failed of late are known.
    #[test]
    fn memory_is_bounded() {
        let mut blamed = Blamed::default();
        for user in 0..50_000 {
            blamed.note(user, &failure(Class::RateLimited, Some(60)), false, START);
            assert!(blamed.young.len() + blamed.old.len() <= 2 * HALF);
            assert!(blamed.wait(user, START).is_some());
        }
        assert!(blamed.wait(50_000 - 4000, START).is_some());
    }
}
