//! How many calls to one service are under way at once.
//!
//! Each call holds a connection and the descriptor of it, so without a bound a service that stops answering takes all
//! descriptors of the process, and users whose session is in the cache are not served either (T-64). Calls beyond the
//! bound wait in the order they came. A place is free again when its call ends, which is at its timeout at the latest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::{Clock, Moment};
use crate::metrics::Counter;

/// Calls that may wait, for each that may be under way.
const QUEUE: usize = 8;

/// The bound.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    free: Semaphore,
    waiting: AtomicUsize,
    /// Calls that may be under way.
    count: usize,
    /// Calls that may wait.
    queue: usize,
    /// Calls that could not wait, or waited in vain.
    refused: Counter,
}

/// A call that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight<'l> {
    _permit: SemaphorePermit<'l>,
}

/// A call that waits.
struct Waiting<'l>(&'l ConcurrencyLimit);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConcurrencyLimit {
    /// So many calls at once.
    pub(super) fn new(count: usize, refused: Counter) -> Self {
        // T-64: bounded calls
        let (count, queue) = (count.min(Semaphore::MAX_PERMITS), count.saturating_mul(QUEUE));
        Self { free: Semaphore::new(count), waiting: AtomicUsize::new(0), count, queue, refused }
    }

    /// Calls that are under way, and calls that wait.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.count.saturating_sub(self.free.available_permits()), self.waiting.load(Ordering::Relaxed))
    }

    /// Begins a call, now or before `until`; `None` where too many wait already, or time is up.
    pub(super) async fn begin(&self, clock: &Arc<dyn Clock>, until: Moment) -> Option<InFlight<'_>> {
        if let Ok(permit) = self.free.try_acquire() {
            return Some(InFlight { _permit: permit });
        }
        let begun = self.wait(clock, until).await;
        if begun.is_none() {
            self.refused.inc();
        }
        begun
    }

    async fn wait(&self, clock: &Arc<dyn Clock>, until: Moment) -> Option<InFlight<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(self);
        if before >= self.queue {
            return None;
        }
        tokio::select! {
            biased;
            permit = self.free.acquire() => permit.ok().map(|permit| InFlight { _permit: permit }),
            () = clock.sleep_until(until) => None,
        }
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

    fn limit(count: usize) -> ConcurrencyLimit {
        ConcurrencyLimit::new(count, Counter::new("refused", "refused").expect("a counter"))
    }

    fn shown(limit: &ConcurrencyLimit) -> (usize, usize, u64) {
        let (running, waiting) = limit.load();
        (running, waiting, limit.refused.get())
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
        let limit = limit(1);
        let until = manual.moment().plus(Duration::from_secs(5));
        let first = poll(pin!(limit.begin(&clock, until))).expect("a place").expect("is free");
        let (mut second, mut third) = (pin!(limit.begin(&clock, until)), pin!(limit.begin(&clock, until)));
        assert!(poll(second.as_mut()).is_none() && poll(third.as_mut()).is_none());
        assert_eq!(shown(&limit), (1, 2, 0));
        drop(first);
        assert!(poll(third.as_mut()).is_none(), "the second came before");
        let second = poll(second).expect("its turn").expect("a place");
        assert_eq!(shown(&limit), (1, 1, 0));
        manual.advance(Duration::from_secs(5));
        assert!(poll(third).expect("time is up").is_none());
        assert_eq!(shown(&limit), (1, 0, 1));
        drop(second);
        assert_eq!(shown(&limit), (0, 0, 1));
    }

    #[test]
    fn the_queue_is_bounded() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_seconds(1000)));
        let limit = limit(1);
        let until = clock.moment().plus(Duration::from_secs(5));
        let _first = poll(pin!(limit.begin(&clock, until))).expect("a place").expect("is free");
        let mut line: Vec<_> = (0..QUEUE).map(|_| Box::pin(limit.begin(&clock, until))).collect();
        assert!(line.iter_mut().all(|waiting| poll(waiting.as_mut()).is_none()));
        assert!(poll(pin!(limit.begin(&clock, until))).expect("at once").is_none());
        line.pop();
        assert!(poll(pin!(limit.begin(&clock, until))).is_none(), "one has left");
    }
}
