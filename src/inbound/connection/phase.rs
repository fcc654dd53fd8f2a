//! Where a connection is between two requests: shared by its stream and by whoever answers.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{Held, Share};
use crate::lifecycle::Lifecycle;

/// Where a connection is between two requests, and what belongs to all requests of it.
#[derive(Debug)]
pub struct Phase {
    now: AtomicU8,
    lifecycle: Lifecycle,
    /// Calls under way, where there are many at once and some never end by themselves.
    calls: Option<TaskTracker>,
    /// For bodies that are read.
    share: Share,
}

/// No request is in hand.
pub(super) const IDLE: u8 = 0;
/// hyper has a whole head, and nobody was asked yet.
pub(super) const GIVEN: u8 = 1;
/// A request is being answered.
pub(super) const SERVING: u8 = 2;

impl Phase {
    /// The phase of a new connection, and whether calls on it are told apart.
    pub(in crate::inbound) fn new(lifecycle: &Lifecycle, tells_calls_apart: bool, share: Share) -> Self {
        Self {
            now: AtomicU8::new(IDLE),
            lifecycle: lifecycle.clone(),
            calls: tells_calls_apart.then(TaskTracker::new),
            share,
        }
    }

    /// Holds a call to be under way until this is dropped.
    pub(in crate::inbound) fn under_way(&self) -> Option<TaskTrackerToken> {
        self.calls.as_ref().map(TaskTracker::token)
    }

    /// Completes once no call is under way; never where they are not told apart.
    pub(in crate::inbound) async fn all_answered(&self) {
        match &self.calls {
            None => std::future::pending().await,
            Some(calls) => {
                calls.close();
                calls.wait().await;
            }
        }
    }

    /// Whether the answer in hand is the last one of this connection: proxies that are told so let go of it, and have no
    /// request under way on it when it closes.
    pub(in crate::inbound) fn is_last(&self) -> bool {
        self.lifecycle.is_leaving()
    }

    /// Room for a body.
    pub(in crate::inbound) fn room(&self) -> Held {
        self.share.nothing()
    }

    /// hyper is handed a whole head.
    pub(super) fn given(&self) {
        self.now.store(GIVEN, Ordering::Relaxed);
    }

    /// The head was a request.
    pub(in crate::inbound) fn serving(&self) {
        self.now.store(SERVING, Ordering::Relaxed);
    }

    /// The answer is ready; the next head may come.
    pub(in crate::inbound) fn answered(&self) {
        self.now.store(IDLE, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> u8 {
        self.now.load(Ordering::Relaxed)
    }
}
