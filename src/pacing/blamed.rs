//! Users whose own calls fail: each is paused alone, for as long as the other side asks or longer each time.
//!
//! One failure is an accident and costs nothing, unless it comes with advice on when to come back. Memory is bounded,
//! whatever number of users an attacker brings: the oldest failures are forgotten first.

use std::collections::HashMap;
use std::time::Duration;

use super::{Backoff, Failure};
use crate::clock::Moment;

/// Pauses after failures, of one user and of the other side as a whole: each failure after a pause makes the next one
/// longer. No refusal names a shorter wait than the first. Nothing is held any more against a user who has not failed for
/// the longest of them after a pause.
pub(super) const PAUSES: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_mins(1), jitter: false };
/// Users in one half of the memory.
const HALF: usize = 4096;

/// What is held against one user.
#[derive(Clone, Copy, Debug)]
struct Blame<K> {
    /// Failures without a success between them.
    failures: u32,
    /// No calls for this user before this point.
    until: Moment,
    /// Kind of the last failure.
    kind: K,
    /// Whether the failures are more than an accident.
    proven: bool,
}

/// The users, as hashes, in two halves: those with the latest failures, and those before them.
#[derive(Debug)]
pub(super) struct Blamed<K> {
    young: HashMap<u64, Blame<K>>,
    old: HashMap<u64, Blame<K>>,
}

impl<K> Default for Blamed<K> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Copy> Blamed<K> {
    fn get(&self, user: u64, now: Moment) -> Option<&Blame<K>> {
        let blame = self.young.get(&user).or_else(|| self.old.get(&user))?;
        (now < blame.until.plus(PAUSES.longest)).then_some(blame)
    }

    /// How long no call is made for the user, and after which kind of failure.
    pub(super) fn wait(&self, user: u64, now: Moment) -> Option<(K, Duration)> {
        let blame = self.get(user, now)?;
        (now < blame.until).then(|| (blame.kind, blame.until.since(now)))
    }

    /// Whether the user's failures are more than an accident, so that the next call may well fail too.
    pub(super) fn holds(&self, user: u64, now: Moment) -> bool {
        self.get(user, now).is_some_and(|blame| blame.proven)
    }

    /// Notes a failure. That of a `probe` is no accident: the next probe has to be a call for another user.
    pub(super) fn note(&mut self, user: u64, failure: Failure<K>, probe: bool, now: Moment) {
        let failures = self.get(user, now).map_or(0, |blame| blame.failures).saturating_add(1);
        // A first failure without advice is an accident, unless it asks for fewer calls.
        let accidents = u32::from(failure.retry_after.is_none() && !failure.is_limit);
        let before = failures.checked_sub(1 + accidents);
        let pause = before.map(|before| PAUSES.after(before, failure.retry_after));
        let until = pause.map_or(now, |pause| now.plus(pause));
        // T-63: young users
        if self.young.len() >= HALF && !self.young.contains_key(&user) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user, Blame { failures, until, kind: failure.kind, proven: probe || pause.is_some() });
    }

    /// A success: nothing is held against the user any more.
    pub(super) fn forget(&mut self, user: u64) {
        self.young.remove(&user);
        self.old.remove(&user);
    }

    /// Takes back a first failure: it was the other side's.
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
    use super::super::Fault;
    use super::*;

    const START: Moment = Moment::from_millis(1_000_000);

    fn failure(is_limit: bool, advice: Option<u64>) -> Failure<&'static str> {
        let kind = if is_limit { "limit" } else { "other" };
        Failure { fault: Fault::Unclear, kind, is_limit, retry_after: advice.map(Duration::from_secs) }
    }

    fn seconds(blamed: &Blamed<&'static str>, now: Moment) -> Option<u64> {
        blamed.wait(1, now).map(|(_, wait)| wait.as_secs())
    }

    #[test]
    fn one_failure_is_an_accident_and_more_of_them_cost_more_each_time() {
        let (mut blamed, mut now) = (Blamed::default(), START);
        for expected in [None, Some(1), Some(2), Some(4), Some(8), Some(16), Some(32), Some(60), Some(60)] {
            blamed.note(1, failure(false, None), false, now);
            assert_eq!(seconds(&blamed, now), expected);
            assert_eq!(blamed.holds(1, now), expected.is_some());
            assert_eq!((blamed.wait(2, now), blamed.holds(2, now)), (None, false), "another user");
            now = now.plus(Duration::from_secs(expected.unwrap_or(0)));
            assert_eq!(seconds(&blamed, now), None);
        }
        blamed.forget(1);
        blamed.note(1, failure(false, None), false, now);
        assert_eq!(seconds(&blamed, now), None, "a success between them");
        let later = now.plus(PAUSES.longest);
        blamed.note(1, failure(false, None), false, later);
        assert_eq!(seconds(&blamed, later), None, "long ago");
    }

    #[test]
    fn advice_and_limits_count_from_the_first_time() {
        for (is_limit, advice, expected) in
            [(true, Some(7), 7), (true, None, 1), (true, Some(0), 1), (true, Some(86_400), 60), (false, Some(9), 9)]
        {
            let mut blamed = Blamed::default();
            let failure = failure(is_limit, advice);
            blamed.note(1, failure, false, START);
            assert_eq!(blamed.wait(1, START), Some((failure.kind, Duration::from_secs(expected))));
            assert!(blamed.holds(1, START));
        }
    }

    #[test]
    fn a_failed_probe_is_no_accident_and_what_was_the_other_sides_is_taken_back_once() {
        let mut blamed = Blamed::default();
        blamed.note(1, failure(false, None), true, START);
        assert!(blamed.holds(1, START));
        blamed.pardon(1);
        assert!(!blamed.holds(1, START));
        (0..2).for_each(|_| blamed.note(1, failure(false, None), false, START));
        blamed.pardon(1);
        assert!(blamed.holds(1, START), "more than the one that was the other side's");
    }

    /// T-63: many users fill no memory, and the latest failures are known.
    #[test]
    fn memory_is_bounded() {
        let mut blamed = Blamed::default();
        for user in 0..50_000 {
            blamed.note(user, failure(true, Some(60)), false, START);
            assert!(blamed.young.len() + blamed.old.len() <= 2 * HALF);
            assert!(blamed.wait(user, START).is_some());
        }
        assert!(blamed.wait(50_000 - 4000, START).is_some());
    }
}
