//! The machine's clocks.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::{Clock, Moment, Sleep, Timestamp};

/// Longest single wait: timers stand still while the machine is suspended, and a wall clock may be set. Either is
/// noticed this late at most.
const SLICE: Duration = Duration::from_secs(30);

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(read(ClockId::Realtime))
    }

    /// Linux has a clock that goes on while the machine is suspended; tokens end meanwhile, so that is the one to ask.
    #[cfg(target_os = "linux")]
    fn moment(&self) -> Moment {
        Moment::from_millis(read(ClockId::Boottime))
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

/// What a clock of the kernel says, in milliseconds. Each request asks two of them, and the standard library takes twice as
/// long.
fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
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
