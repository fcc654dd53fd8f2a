//! What was proven and taken lately, where no store remembers it.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use crate::clock::Moment;

/// Keys that are remembered for a time, the oldest of which go where there are too many.
#[derive(Debug)]
pub(super) struct Remembered<K> {
    most: usize,
    until: HashMap<K, Moment>,
    order: VecDeque<K>,
}

impl<K: Copy + Eq + Hash> Remembered<K> {
    /// Nothing yet, and so many keys at most.
    pub(super) fn new(most: usize) -> Self {
        Self { most, until: HashMap::new(), order: VecDeque::new() }
    }

    /// Remembers `key` for `span` from now.
    pub(super) fn remember(&mut self, key: K, now: Moment, span: Duration) {
        // All are remembered for as long, so the oldest end first.
        while let Some(oldest) = self.order.front().copied() {
            let is_over = self.until.get(&oldest).is_none_or(|until| *until <= now);
            if !is_over && self.order.len() < self.most {
                break;
            }
            self.order.pop_front();
            self.until.remove(&oldest);
        }
        if self.until.insert(key, now.plus(span)).is_none() {
            self.order.push_back(key);
        }
    }

    /// Whether `key` is remembered.
    pub(super) fn holds(&self, key: &K, now: Moment) -> bool {
        self.until.get(key).is_some_and(|until| now < *until) // W-03: end of a memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock, Timestamp};

    /// W-03: a key is known for its time, and memory has an end.
    #[test]
    fn keys_end_by_time_and_by_number() {
        let clock = ManualClock::new(Timestamp::from_seconds(0));
        let span = Duration::from_secs(10);
        let mut keys = Remembered::new(3);
        for key in 0..3 {
            keys.remember(key, clock.moment(), span);
        }
        assert!((0..3).all(|key| keys.holds(&key, clock.moment())));
        keys.remember(3, clock.moment(), span);
        assert!(!keys.holds(&0, clock.moment()) && keys.holds(&1, clock.moment()), "the oldest goes");
        clock.advance(span);
        assert!(!keys.holds(&3, clock.moment()));
        keys.remember(4, clock.moment(), span);
        assert_eq!((keys.until.len(), keys.order.len()), (1, 1), "what is over is dropped");
    }
}
