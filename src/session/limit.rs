//! A limit on what one user makes us do: mints and sign-outs, not answers from the cache.
//!
//! It is keyed on the proven user, never on an address (T-54), and its memory is bounded: a user whose rate is rested is forgotten
//! first, because a user who never came is treated the same.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;
use crate::pacing::{Pace, Rate};

/// Users that are remembered at most.
const CAPACITY: usize = 100_000;

/// The rate of each user.
pub(super) struct UserRate {
    pace: Pace,
    capacity: usize,
    /// When the next request of a user would be due, by a keyed hash. That two users share one is as likely as to guess
    /// a key of 64 bits, and they would share a rate then and nothing else.
    due: Mutex<HashMap<u64, i128, ahash::RandomState>>,
    hasher: ahash::RandomState,
}

impl std::fmt::Debug for UserRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserRate").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl UserRate {
    /// A limit of `rate` for each user; half of it may come at once, as a page does that opens several rooms.
    pub(super) fn new(rate: Rate) -> Self {
        let pace = Pace::new(rate, rate.count().div_ceil(2));
        Self { pace, capacity: CAPACITY, due: Mutex::default(), hasher: ahash::RandomState::new() }
    }

    /// Counts one request of `user`, or says when there is room for it.
    pub(super) fn count(&self, user: &str, now: Moment) -> Result<(), Duration> {
        let user = self.hasher.hash_one(user); // T-54: rate of a user
        let mut users = self.due.lock();
        if users.len() >= self.capacity && !users.contains_key(&user) {
            self.make_room(&mut users, now);
        }
        let due = users.entry(user).or_insert(Pace::UNUSED);
        self.pace.take(due, now).map_err(|slot| slot.since(now))
    }

    /// Forgets those who are rested; where that is not a quarter of all, those who are nearest to it.
    fn make_room(&self, users: &mut HashMap<u64, i128, ahash::RandomState>, now: Moment) {
        users.retain(|_, due| !self.pace.is_rested(*due, now));
        let keep = self.capacity - self.capacity.div_ceil(4);
        let surplus = users.len().saturating_sub(keep);
        if surplus > 0 {
            let mut all: Vec<i128> = users.values().copied().collect();
            let (_, bound, _) = all.select_nth_unstable(surplus - 1);
            let bound = *bound;
            let mut left = surplus;
            users.retain(|_, due| {
                let goes = left > 0 && *due <= bound;
                left -= usize::from(goes);
                !goes
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(1_777_920_000);

    fn rate(text: &str) -> UserRate {
        UserRate::new(text.parse().expect("a rate"))
    }

    #[test]
    fn half_comes_at_once_and_the_rest_evenly() {
        let rate = rate("30/min");
        for n in 0..15 {
            assert_eq!(rate.count("alice", NOW), Ok(()), "{n}");
        }
        // 16 places come free in a minute.
        assert_eq!(rate.count("alice", NOW), Err(Duration::from_millis(3_750)));
        assert_eq!(rate.count("bob", NOW), Ok(()), "each user has a rate of their own");
        let passed = (0..60).filter(|n| rate.count("alice", NOW.plus(Duration::from_secs(*n))).is_ok()).count();
        assert_eq!(passed, 15, "30 in the minute");
    }

    #[test]
    fn memory_is_bounded_and_who_is_busy_is_kept() {
        let rate = UserRate { capacity: 100, ..rate("2/min") };
        assert_eq!(rate.count("busy", NOW), Ok(()));
        for n in 0..90 {
            assert_eq!(rate.count(&format!("user{n}"), NOW), Ok(()));
        }
        let later = NOW.plus(Duration::from_secs(20));
        assert!(rate.count("busy", later).is_err());
        let rested = NOW.plus(Duration::from_mins(1));
        assert_eq!(rate.count("busy", rested), Ok(()));
        for n in 0..5_000 {
            assert_eq!(rate.count(&format!("other{n}"), rested), Ok(()));
            assert!(rate.due.lock().len() <= 100);
        }
        // As busy as the others, so no user is owed more.
        assert!(rate.due.lock().len() >= 75);
    }
}
