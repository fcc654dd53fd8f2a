//! The end of a run: what it waits for, and for how long.

use std::time::Duration;

use super::Ended;
use crate::lifecycle::Lifecycle;
use crate::webhook::store::{Pending, Store};

/// Time for connections to notice that they were cut, and for the queue to write the rest.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// Completes when the queue cannot go on.
pub(super) async fn has_failed(store: Option<&dyn Store>) {
    match store {
        Some(store) => {
            let problem = store.failed().await;
            tracing::error!(
                "the queue cannot go on, so this process ends; the next one begins with what is on disk: {problem}"
            );
        }
        None => std::future::pending().await,
    }
}

/// Waits until everything in flight has ended; what has not at the `deadline` is cut.
pub(super) async fn drain(lifecycle: &Lifecycle, deadline: Duration) -> Ended {
    if tokio::time::timeout(deadline, lifecycle.finished()).await.is_ok() {
        return Ended::Drained;
    }
    let left = lifecycle.running();
    tracing::warn!(left, "drain deadline has passed: cutting what is left");
    lifecycle.cut().cancel();
    // A task that does not heed the cut ends with the process.
    let _ended = tokio::time::timeout(AFTER_CUT, lifecycle.finished()).await;
    Ended::Cut(left)
}

/// Waits until the store has written what it had. A disk that hangs does not hold up the end of the process: what was answered
/// is on it, and what was delivered meanwhile may come once more.
pub(super) async fn close(closing: Pending<'_, ()>) {
    if tokio::time::timeout(AFTER_CUT, closing).await.is_err() {
        tracing::warn!("the queue did not close in time: events that were delivered may come once more");
    }
}
