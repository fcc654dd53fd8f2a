//! Where a connection is between two requests: shared by its stream and by the handler.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio_util::task::task_tracker::TaskTrackerToken;

use super::streams::Streams;
use super::{Held, Share};
use crate::lifecycle::Lifecycle;

/// Where a connection is between two requests, and what belongs to all requests of it.
#[derive(Debug)]
pub(in crate::inbound) struct Phase {
    now: AtomicU8,
    lifecycle: Lifecycle,
    /// Where there may be many requests at once, and some never end by themselves.
    streams: Option<Streams>,
    /// For bodies that are read.
    share: Share,
}

/// No request is in hand.
pub(super) const IDLE: u8 = 0;
/// hyper has a whole head, and no handler was called yet.
pub(super) const GIVEN: u8 = 1;
/// A request is being answered.
pub(super) const SERVING: u8 = 2;

impl Phase {
    /// The phase of a new connection, and whether there may be many requests at once on it.
    pub(in crate::inbound) fn new(lifecycle: &Lifecycle, has_streams: bool, share: Share) -> Self {
        Self {
            now: AtomicU8::new(IDLE),
            lifecycle: lifecycle.clone(),
            streams: has_streams.then(Streams::default),
            share,
        }
    }

    /// One in which a request is in hand.
    #[cfg(test)]
    pub(in crate::inbound) fn busy_for_test() -> std::sync::Arc<Self> {
        let phase = Self::new(&Lifecycle::default(), false, super::Budget::new(0).share(false));
        phase.serving();
        std::sync::Arc::new(phase)
    }

    /// Whether a request is in hand.
    pub(in crate::inbound) fn is_busy(&self) -> bool {
        self.streams.as_ref().map_or_else(|| self.now() != IDLE, Streams::is_busy)
    }

    /// Holds a call to be under way until this is dropped.
    pub(in crate::inbound) fn under_way(&self) -> Option<TaskTrackerToken> {
        self.streams.as_ref().map(Streams::call)
    }

    /// Holds an answer to go on until this is dropped.
    pub(in crate::inbound) fn answering(&self) -> Option<TaskTrackerToken> {
        self.streams.as_ref().map(Streams::answer)
    }

    /// Completes once there was no stream for this long; never where there are none.
    pub(in crate::inbound) async fn unused(&self, span: Duration) {
        match &self.streams {
            None => std::future::pending().await,
            Some(streams) => streams.unused(span).await,
        }
    }

    /// Completes once no call is under way; never where they are not told apart.
    pub(in crate::inbound) async fn all_answered(&self) {
        match &self.streams {
            None => std::future::pending().await,
            Some(streams) => streams.all_answered().await,
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
