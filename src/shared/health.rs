//! Whether the tier is asked at all: it goes down at the first signs of trouble and comes up by beats alone, so that no request
//! ever probes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::tier::Away;
use crate::clock::Moment;

/// So many questions without an answer within [`WITHIN`] are enough.
const FAILURES: usize = 3;
const WITHIN: Duration = Duration::from_secs(1);
/// Beats in a row that bring it up again.
const BEATS: u32 = 2;

/// Up or down.
#[derive(Debug, Default)]
pub(super) struct Health {
    up: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When questions had no answer, the last ones.
    failed: [Option<Moment>; FAILURES],
    /// Beats with an answer, in a row.
    beats: u32,
}

/// What a question changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The tier is asked from now on.
    Up,
    /// It is asked no more.
    Down,
}

impl Health {
    /// Whether requests may ask.
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// A question had no answer.
    pub(super) fn failed(&self, away: Away, now: Moment) -> Change {
        let mut state = self.state.lock();
        state.beats = 0;
        state.failed.rotate_left(1);
        if let Some(last) = state.failed.last_mut() {
            *last = Some(now);
        }
        let since = now.minus(WITHIN);
        let all = state.failed.iter().all(|at| at.is_some_and(|at| at > since));
        if away == Away::Lost || all { self.set(&mut state, false) } else { Change::None }
    }

    /// A beat had its answer.
    pub(super) fn beat(&self) -> Change {
        let mut state = self.state.lock();
        state.beats = state.beats.saturating_add(1);
        if state.beats >= BEATS { self.set(&mut state, true) } else { Change::None }
    }

    fn set(&self, state: &mut State, up: bool) -> Change {
        if up {
            state.failed = [None; FAILURES];
        }
        match (self.up.swap(up, Ordering::Relaxed), up) {
            (false, true) => Change::Up,
            (true, false) => Change::Down,
            _ => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Moment {
        Moment::from_millis(millis)
    }

    fn up() -> Health {
        let health = Health::default();
        assert!(!health.is_up(), "down at the start");
        assert_eq!((health.beat(), health.beat()), (Change::None, Change::Up));
        health
    }

    #[test]
    fn three_timeouts_within_a_second_bring_it_down_and_two_beats_up() {
        let health = up();
        for (millis, change) in [(0, Change::None), (500, Change::None), (999, Change::Down)] {
            assert_eq!(health.failed(Away::Timeout, at(millis)), change);
        }
        assert!(!health.is_up());
        assert_eq!(health.beat(), Change::None);
        assert_eq!(health.failed(Away::Timeout, at(1500)), Change::None);
        assert_eq!((health.beat(), health.beat()), (Change::None, Change::Up), "two in a row");
        assert!(health.is_up());
    }

    #[test]
    fn timeouts_that_lie_apart_do_not_count() {
        let health = up();
        for millis in [0, 400, 1000, 1401, 2001] {
            assert_eq!(health.failed(Away::Timeout, at(millis)), Change::None, "{millis}");
        }
    }

    #[test]
    fn a_lost_connection_brings_it_down_at_once() {
        let health = up();
        assert_eq!(health.failed(Away::Lost, at(0)), Change::Down);
        assert_eq!(health.failed(Away::Lost, at(1)), Change::None, "once");
    }
}
