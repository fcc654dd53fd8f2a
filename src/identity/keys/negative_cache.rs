//! Key ids that the source does not know. A client that makes up key ids costs this service a few kilobytes (T-25).

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::clock::Moment;

/// Key ids remembered at most.
const MOST: usize = 1024;
/// A key may be used before it is published everywhere: what was unknown is asked for again after this long.
const MEMORY: Duration = Duration::from_secs(60);

/// Key ids that the source was asked for in vain. Only their fingerprints are kept.
#[derive(Debug, Default)]
pub(super) struct NegativeCache {
    hasher: ahash::RandomState,
    known: HashSet<u64>,
    /// Oldest first.
    order: VecDeque<(u64, Moment)>,
}

impl NegativeCache {
    /// Whether `kid` was asked for in vain a moment ago.
    pub(super) fn holds(&mut self, kid: &str, now: Moment) -> bool {
        while let Some((print, _)) = self.order.front().filter(|(_, at)| now.since(*at) >= MEMORY).copied() {
            self.known.remove(&print);
            self.order.pop_front();
        }
        self.known.contains(&self.hasher.hash_one(kid))
    }

    /// Remembers that `kid` was asked for in vain; the oldest makes room.
    pub(super) fn remember(&mut self, kid: &str, now: Moment) {
        let print = self.hasher.hash_one(kid);
        if !self.known.insert(print) {
            return;
        }
        self.order.push_back((print, now));
        // T-25: memory of unknown keys
        if self.order.len() > MOST
            && let Some((oldest, _)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// The keys have changed: everything may be known now.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T-25: the memory of unknown key ids has an end.
    #[test]
    fn memory_is_bounded_in_number_and_time() {
        let (mut unknown, start) = (NegativeCache::default(), Moment::from_millis(1_000_000));
        for n in 0..5000 {
            unknown.remember(&n.to_string(), start);
        }
        assert_eq!((unknown.order.len(), unknown.known.len()), (MOST, MOST));
        assert!(unknown.holds("4999", start) && !unknown.holds("0", start));
        assert!(unknown.holds("4999", start.plus(Duration::from_secs(59))));
        assert!(!unknown.holds("4999", start.plus(MEMORY)));
        assert_eq!((unknown.order.len(), unknown.known.len()), (0, 0));
        unknown.remember("a", start);
        unknown.clear();
        assert!(!unknown.holds("a", start));
    }
}
