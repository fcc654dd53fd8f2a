//! The ids that came lately at one webhook, and what came with them: two bodies under one id are a mistake of the provider,
//! or an attack.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;

/// Ids that are known, the oldest of which go. Each takes 50 bytes, more or less.
const MOST: usize = 10_000;
/// Time between two lines of the log.
const PAUSE: Duration = Duration::from_secs(60);

/// The ids of one webhook.
#[derive(Debug, Default)]
pub(super) struct Ids {
    hashes: RandomState,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The hash of the body by that of the id.
    bodies: HashMap<u64, u64>,
    order: VecDeque<u64>,
    told: Option<Moment>,
}

/// An id that came with another body before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// Whether a line of the log is due.
    pub(super) is_news: bool,
}

impl Ids {
    /// Takes note of a proven event, and says whether its id was seen with another body.
    pub(super) fn note(&self, id: &str, body: &[u8], now: Moment) -> Option<Conflict> {
        let (id, body) = (self.hashes.hash_one(id), self.hashes.hash_one(body));
        let mut known = self.known.lock();
        if let Some(first) = known.bodies.get(&id) {
            if *first == body {
                return None;
            }
            let is_news = known.told.is_none_or(|told| now.since(told) >= PAUSE);
            if is_news {
                known.told = Some(now);
            }
            return Some(Conflict { is_news });
        }
        if known.order.len() >= MOST {
            let oldest = known.order.pop_front();
            oldest.and_then(|oldest| known.bodies.remove(&oldest));
        }
        known.order.push_back(id);
        known.bodies.insert(id, body);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock, Timestamp};

    #[test]
    fn two_bodies_under_one_id_are_a_conflict_and_repeats_are_none() {
        let (ids, clock) = (Ids::default(), ManualClock::new(Timestamp::from_seconds(0)));
        let note = |id: &str, body: &[u8]| ids.note(id, body, clock.moment()).map(|conflict| conflict.is_news);
        assert_eq!([note("a", b"1"), note("b", b"1"), note("a", b"1")], [None; 3]);
        assert_eq!([note("a", b"2"), note("b", b"2"), note("a", b"2")], [Some(true), Some(false), Some(false)]);
        clock.advance(PAUSE);
        assert_eq!([note("a", b"1"), note("a", b"2")], [None, Some(true)]);
    }

    #[test]
    fn only_so_many_ids_are_known() {
        let (ids, clock) = (Ids::default(), ManualClock::new(Timestamp::from_seconds(0)));
        for id in 0..=MOST {
            assert_eq!(ids.note(&id.to_string(), b"1", clock.moment()), None);
        }
        assert_eq!(ids.note("0", b"2", clock.moment()), None, "the oldest is forgotten");
        assert!(ids.note("2", b"2", clock.moment()).is_some());
        let known = ids.known.lock();
        assert_eq!((known.bodies.len(), known.order.len()), (MOST, MOST));
    }
}
