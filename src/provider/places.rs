//! How many calls to one provider are under way at once.
//!
//! Each call holds a connection and the descriptor of it, so without a bound a provider that stops answering takes all
//! descriptors of the process, and users whose session is in the cache are not served either (T-64). Calls beyond the
//! bound wait in the order they came. A place is free again when its call ends, which is at its timeout at the latest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::calls::error::ProviderError;
use crate::clock::{Clock, Moment};
use crate::metrics::{Counter, Gauge};

/// Calls that may wait, for each that may be under way.
const LINE: usize = 8;

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    free: Semaphore,
    waiting: AtomicUsize,
    line: usize,
    metrics: PlaceMetrics,
}

/// What is shown of them.
#[derive(Debug)]
pub(super) struct PlaceMetrics {
    pub(super) running: Gauge,
    pub(super) waiting: Gauge,
    pub(super) refused: Counter,
}

/// A place that is taken; whoever drops it has ended.
#[derive(Debug)]
pub(super) struct Place<'p> {
    _permit: SemaphorePermit<'p>,
    running: &'p Gauge,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.running.dec();
    }
}

/// A place in the line.
struct Waiting<'p>(&'p Places);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.waiting.dec();
    }
}

impl Places {
    /// Places for so many calls.
    pub(super) fn new(count: usize, metrics: PlaceMetrics) -> Self {
        let line = count.saturating_mul(LINE);
        // T-64: bounded calls
        Self { free: Semaphore::new(count.min(Semaphore::MAX_PERMITS)), waiting: AtomicUsize::new(0), line, metrics }
    }

    /// Takes a place, now or before `until`. Whoever finds too many before it is refused at once.
    pub(super) async fn take(&self, clock: &Arc<dyn Clock>, until: Moment) -> Result<Place<'_>, ProviderError> {
        if let Ok(permit) = self.free.try_acquire() {
            return Ok(self.place(permit));
        }
        let taken = self.wait(clock, until).await;
        taken.ok_or_else(|| {
            self.metrics.refused.inc();
            ProviderError::busy_here()
        })
    }

    async fn wait(&self, clock: &Arc<dyn Clock>, until: Moment) -> Option<Place<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        self.metrics.waiting.inc();
        let _waiting = Waiting(self);
        if before >= self.line {
            return None;
        }
        tokio::select! {
            biased;
            permit = self.free.acquire() => permit.ok().map(|permit| self.place(permit)),
            () = clock.sleep_until(until) => None,
        }
    }

    fn place<'p>(&'p self, permit: SemaphorePermit<'p>) -> Place<'p> {
        self.metrics.running.inc();
        Place { _permit: permit, running: &self.metrics.running }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    fn places(count: usize) -> Places {
        let gauge = |name: &str| Gauge::new(name, name).expect("a gauge");
        let refused = Counter::new("refused", "refused").expect("a counter");
        Places::new(count, PlaceMetrics { running: gauge("running"), waiting: gauge("waiting"), refused })
    }

    fn shown(places: &Places) -> (i64, i64, u64) {
        (places.metrics.running.get(), places.metrics.waiting.get(), places.metrics.refused.get())
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// T-64: so many and no more; the others in the order they came, and not for ever.
    #[test]
    fn calls_at_once_are_bounded_and_the_rest_waits_in_order() {
        let manual = Arc::new(ManualClock::new(Timestamp::from_seconds(1000)));
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&manual);
        let places = places(1);
        let until = manual.moment().plus(Duration::from_secs(5));
        let first = poll(pin!(places.take(&clock, until))).expect("a place").expect("is free");
        let (mut second, mut third) = (pin!(places.take(&clock, until)), pin!(places.take(&clock, until)));
        assert!(poll(second.as_mut()).is_none() && poll(third.as_mut()).is_none());
        assert_eq!(shown(&places), (1, 2, 0));
        drop(first);
        assert!(poll(third.as_mut()).is_none(), "the second came before");
        let second = poll(second).expect("its turn").expect("a place");
        assert_eq!(shown(&places), (1, 1, 0));
        manual.advance(Duration::from_secs(5));
        let refused = poll(third).expect("time is up").expect_err("refused");
        assert_eq!((refused.is_ours(), refused.retry_after), (true, Some(Duration::from_secs(1))));
        assert_eq!(shown(&places), (1, 0, 1));
        drop(second);
        assert_eq!(shown(&places), (0, 0, 1));
    }

    #[test]
    fn the_line_is_bounded() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_seconds(1000)));
        let places = places(1);
        let until = clock.moment().plus(Duration::from_secs(5));
        let _first = poll(pin!(places.take(&clock, until))).expect("a place").expect("is free");
        let mut line: Vec<_> = (0..LINE).map(|_| Box::pin(places.take(&clock, until))).collect();
        assert!(line.iter_mut().all(|waiting| poll(waiting.as_mut()).is_none()));
        assert!(poll(pin!(places.take(&clock, until))).expect("at once").is_err());
        line.pop();
        assert!(poll(pin!(places.take(&clock, until))).is_none(), "one has left");
    }
}
