//! A line of the log that is written once a minute at most, however often there is a reason for it.

use std::time::{Duration, Instant};

use crate::clock::Stopwatch;

const MINUTE: Duration = Duration::from_secs(60);

/// When the line was written last, and how many reasons there were since.
#[derive(Debug, Default)]
pub(super) struct OnceAMinute {
    last: Option<Instant>,
    count: u64,
}

impl OnceAMinute {
    /// Counts a reason. The count since the last line, where it is time for the next.
    pub(super) fn count(&mut self) -> Option<u64> {
        self.count_at(Stopwatch::start().started())
    }

    fn count_at(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < MINUTE) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_tells_how_many_there_were() {
        let (mut line, start) = (OnceAMinute::default(), Stopwatch::start().started());
        let told: Vec<_> = [0, 1, 59, 60, 61, 180, 181]
            .map(|second| line.count_at(start + Duration::from_secs(second)))
            .into_iter()
            .collect();
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2), None]);
    }
}
