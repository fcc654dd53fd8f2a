//! What is open on a connection that carries many requests at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// A connection without a stream is looked at so often in the time that it may stay so.
const LOOKS: u32 = 4;

/// The requests and answers of one connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Requests in hand.
    calls: TaskTracker,
    /// Answers that go on, as those of watchers do.
    answers: TaskTracker,
    /// Whether a request came since the last look.
    used: AtomicBool,
}

impl Streams {
    /// Holds a request to be in hand until this is dropped.
    pub(super) fn call(&self) -> TaskTrackerToken {
        self.used.store(true, Ordering::Relaxed);
        self.calls.token()
    }

    /// Holds an answer to be under way until this is dropped.
    pub(super) fn answer(&self) -> TaskTrackerToken {
        self.answers.token()
    }

    /// Whether a request is in hand.
    pub(super) fn is_busy(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Completes once no request is in hand.
    pub(super) async fn all_answered(&self) {
        self.calls.close();
        self.calls.wait().await;
    }

    /// Completes once there was no stream for this long. Frames that belong to none, such as pings, do not count.
    pub(super) async fn unused(&self, span: Duration) {
        // A span of nothing would never let another task run.
        let pause = (span / LOOKS).max(Duration::from_millis(10));
        let mut quiet = 0;
        while quiet < LOOKS {
            tokio::time::sleep(pause).await;
            quiet = if self.is_used() { 0 } else { quiet + 1 };
        }
    }

    /// Whether there is a stream, or was one since this was asked last.
    fn is_used(&self) -> bool {
        // T-70: unread answers
        self.used.swap(false, Ordering::Relaxed) || self.is_busy() || !self.answers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T-70: requests and answers that go on count, and nothing else does.
    #[test]
    fn only_streams_keep_a_connection() {
        let streams = Streams::default();
        assert!(!streams.is_used());
        let call = streams.call();
        assert!(streams.is_busy() && streams.is_used() && streams.is_used(), "as long as it lasts");
        let answer = streams.answer();
        drop(call);
        assert!(!streams.is_busy() && streams.is_used(), "a client watches");
        drop(answer);
        assert!(!streams.is_used());
        drop(streams.call());
        assert!(streams.is_used() && !streams.is_used(), "one that came and went is seen once");
    }
}
