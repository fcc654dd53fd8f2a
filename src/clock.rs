//! Wall-clock time as a parameter.
//!
//! Everything that decides by time (expiry, margins, renewal, deadlines, back-off) asks a [`Clock`], so that tests
//! move time by hand. Only this file reads the machine's clocks; the linter holds that.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point `milliseconds` after the Unix epoch.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// The point `seconds` after the Unix epoch; saturates at the ends of the scale.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down: a token never claims to live longer than it does.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This point moved later by `span`.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// This point moved earlier by `span`.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// Time from `earlier` to this point; zero when `earlier` is in fact later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 text in UTC with milliseconds and `Z`, the only form that every browser client reads.
    pub fn to_rfc3339(self) -> String {
        const PRINTER: jiff::fmt::temporal::DateTimePrinter =
            jiff::fmt::temporal::DateTimePrinter::new().precision(Some(3));
        // Out-of-range values (beyond year 9999) are refused where expiries are read, so this is the last resort.
        let point = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        PRINTER.timestamp_to_string(&point)
    }

    /// Reads RFC 3339 text with any offset.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let point: jiff::Timestamp = text.parse().ok()?;
        Some(Self(point.as_millisecond()))
    }
}

impl From<SystemTime> for Timestamp {
    /// What a file system says; times before 1970 are the beginning of 1970.
    fn from(time: SystemTime) -> Self {
        Self(millis(time.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A wait for a point in time; see [`Clock::sleep_until`].
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Completes when the clock has reached `point`; at once when it already has.
    fn sleep_until(&self, point: Timestamp) -> Sleep;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Longest single wait: a wall clock that was set forward is noticed this late at most.
    const SLICE: Duration = Duration::from_secs(30);
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    fn sleep_until(&self, point: Timestamp) -> Sleep {
        Box::pin(async move {
            loop {
                let left = point.since(Self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(Self::SLICE)).await;
            }
        })
    }
}

/// A clock that stands still until it is told to move: for tests.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<ManualState>,
}

#[derive(Debug)]
struct ManualState {
    now: Timestamp,
    sleepers: Vec<(Timestamp, tokio::sync::oneshot::Sender<()>)>,
}

impl ManualClock {
    /// A clock standing at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { state: Mutex::new(ManualState { now, sleepers: Vec::new() }) }
    }

    /// Moves the clock forward and wakes whoever waited for a point up to there.
    pub fn advance(&self, span: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = state.now.plus(span);
        let now = state.now;
        let (due, waiting) = std::mem::take(&mut state.sleepers).into_iter().partition(|(point, _)| *point <= now);
        state.sleepers = waiting;
        let due: Vec<_> = due;
        drop(state);
        for (_, wake) in due {
            // A sleeper that has gone away in the meantime needs no waking.
            let _gone = wake.send(());
        }
    }

    /// How many waits are pending whose waiter is still there; lets a test move time only once someone waits for it.
    pub fn sleepers(&self) -> usize {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sleepers.retain(|(_, wake)| !wake.is_closed());
        state.sleepers.len()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    fn sleep_until(&self, point: Timestamp) -> Sleep {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if point <= state.now {
            return Box::pin(std::future::ready(()));
        }
        let (wake, woken) = tokio::sync::oneshot::channel();
        state.sleepers.push((point, wake));
        Box::pin(async move {
            if woken.await.is_err() {
                // The clock itself is gone: nobody will move time again, so this point is never reached.
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Measures how long something took, for metrics and logs only; decisions ask a [`Clock`].
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The instant of the start, for timers on the same scale.
    pub fn started(self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_has_milliseconds_and_z() {
        assert_eq!(Timestamp::from_millis(1_780_142_400_000).to_rfc3339(), "2026-05-30T12:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1_780_142_400_007).to_rfc3339(), "2026-05-30T12:00:00.007Z");
    }

    #[test]
    fn rfc3339_reads_offsets_and_refuses_the_rest() {
        assert_eq!(
            Timestamp::parse_rfc3339("2026-05-30T14:00:00+02:00"),
            Some(Timestamp::from_millis(1_780_142_400_000))
        );
        for bad in ["soon", "", "2026-05-30", "2026-05-30T12:00:00", "1780142400"] {
            assert_eq!(Timestamp::parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::from_seconds(i64::MAX).as_millis(), i64::MAX);
        assert_eq!(Timestamp::from_millis(i64::MAX).plus(Duration::MAX).as_millis(), i64::MAX);
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
        assert_eq!(Timestamp::from_millis(-1).as_seconds(), -1);
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_those_whose_time_has_come() {
        let clock = ManualClock::new(Timestamp::from_seconds(100));
        let early = clock.sleep_until(Timestamp::from_seconds(110));
        let late = clock.sleep_until(Timestamp::from_seconds(200));
        assert_eq!(clock.sleepers(), 2);
        clock.advance(Duration::from_secs(10));
        early.await;
        assert_eq!(clock.sleepers(), 1);
        drop(late);
        assert_eq!(clock.sleepers(), 0);
    }
}
