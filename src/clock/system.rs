//! The machine's clocks.

use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};

use super::{Clock, Moment, Sleep, Timestamp};

/// Longest single wait: timers stand still while the machine is suspended, and a wall clock may be set. Either is
/// noticed this late at most.
const SLICE: Duration = Duration::from_secs(30);

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// Through the C library, so that tools that give one process a time of its own are heeded. The standard library asks
    /// the same, and takes twice as long. This clock is always there, so asking for it does not fail.
    fn now(&self) -> Timestamp {
        let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME);
        Timestamp::from_millis(time.map_or(0, |time| millis(time.tv_sec(), time.tv_nsec())))
    }

    /// Linux has a clock that goes on while the machine is suspended; tokens end meanwhile, so that is the one to ask.
    #[cfg(target_os = "linux")]
    fn moment(&self) -> Moment {
        let time = clock_gettime(ClockId::Boottime);
        Moment::from_millis(millis(time.tv_sec, time.tv_nsec))
    }

    #[cfg(not(target_os = "linux"))]
    fn moment(&self) -> Moment {
        static START: std::sync::LazyLock<Stopwatch> = std::sync::LazyLock::new(Stopwatch::start);
        Moment::from_millis(super::millis(START.elapsed()))
    }

    fn sleep_until(&self, point: Moment) -> Sleep {
        Box::pin(async move { sleep_while(|| point.since(Self.moment())).await })
    }

    fn sleep_until_time(&self, point: Timestamp) -> Sleep {
        Box::pin(async move { sleep_while(|| point.since(Self.now())).await })
    }
}

fn millis(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)
}

/// Sleeps as long as something is left.
async fn sleep_while(left: impl Fn() -> Duration + Send) {
    loop {
        let left = left();
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(SLICE)).await;
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

    #[tokio::test]
    async fn waits_end_at_their_point_and_not_before() {
        let span = Duration::from_millis(20);
        let (moment, time) = (SystemClock.moment().plus(span), SystemClock.now().plus(span));
        SystemClock.sleep_until(moment).await;
        assert!(SystemClock.moment() >= moment);
        SystemClock.sleep_until_time(time).await;
        assert!(SystemClock.now() >= time);
        SystemClock.sleep_until(moment.minus(span)).await;
    }
}
