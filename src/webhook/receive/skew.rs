//! How far the clock of a provider and ours lie apart, as far as its requests tell (W-26).

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Requests that are looked at. A median of so many is not moved by a few that were captured or forged.
const LAST: usize = 31;

/// Differences between the signed times of the last requests and our time, in seconds.
#[derive(Debug, Default)]
pub(super) struct Skew(Mutex<VecDeque<i64>>);

impl Skew {
    /// Takes the next difference, and gives the median of the last ones.
    pub(super) fn note(&self, seconds: i64) -> i64 {
        let mut last = self.0.lock();
        if last.len() == LAST {
            last.pop_front();
        }
        last.push_back(seconds);
        let mut sorted: Vec<i64> = last.iter().copied().collect();
        sorted.sort_unstable(); // W-26: median
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W-26: the median of the last ones, whatever a few of them say.
    #[test]
    fn the_median_of_the_last_requests() {
        let skew = Skew::default();
        for _ in 0..15 {
            assert_eq!(skew.note(600), 600);
        }
        assert_eq!(skew.note(i64::MIN), 600);
        for _ in 0..15 {
            assert_eq!(skew.note(600), 600);
        }
        for _ in 0..31 {
            skew.note(-1);
        }
        assert_eq!(skew.note(-1), -1, "what was is forgotten");
    }
}
