//! Patience with a connection: a request head has seconds, an idle connection has minutes, a stalled answer is cut.
//!
//! hyper's own header timer starts when a connection falls idle, so one number would have to serve both; and it makes a
//! new timer for each request. Here the timer is one for the life of the connection, and requests do not touch it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::clock::Stopwatch;
use crate::metrics::{Counter, Metrics};

/// How long to wait for what, and where cuts are counted.
#[derive(Clone, Debug)]
pub(in crate::inbound) struct Patience {
    head: Duration,
    idle: Duration,
    head_cuts: Counter,
    idle_cuts: Counter,
    stalled_cuts: Counter,
}

impl Patience {
    pub(in crate::inbound) fn new(head: Duration, idle: Duration, metrics: &Metrics) -> Self {
        let cuts = |reason| metrics.inbound.connections_closed(reason);
        let (head_cuts, idle_cuts, stalled_cuts) = (cuts("header_timeout"), cuts("idle_timeout"), cuts("stalled"));
        Self { head, idle, head_cuts, idle_cuts, stalled_cuts }
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The first byte of a connection, or the rest of a head.
    Head,
    /// The next request.
    Request,
    /// Us: the answer is not ready.
    Answer,
    /// The client: it does not take the answer.
    Taking,
}

/// Ticks after which the idle time is over for certain; the first may have come at once.
const QUIET_TICKS: u8 = 5;

/// What one connection waits for, and since when.
#[derive(Debug)]
pub(super) struct Waiting {
    patience: Arc<Patience>,
    /// While a head is incomplete or an answer is not taken.
    since: Option<(Wait, Instant)>,
    /// Quarters of the idle time that went by without a byte.
    quiet: u8,
    /// One timer for the life of the connection. Requests do not touch it: while the connection is idle it ticks four
    /// times in the idle time, and a tick finds out whether anything happened since the last.
    timer: Option<Pin<Box<Sleep>>>,
    /// Who the timer wakes, since it was last polled.
    waker: Option<Waker>,
}

impl Waiting {
    pub(super) fn new(patience: Arc<Patience>) -> Self {
        Self { patience, since: None, quiet: 0, timer: None, waker: None }
    }

    /// Something came.
    pub(super) fn stirred(&mut self) {
        self.quiet = 0;
    }

    /// What was waited for is here.
    pub(super) fn is_over(&mut self, wait: Wait) {
        if self.since.is_some_and(|(own, _)| own == wait) {
            // The timer goes with it: it may be set for longer than the next wait.
            (self.since, self.timer, self.waker) = (None, None, None);
        }
    }

    /// Called when nothing moves. Ready, and counted, when that has lasted too long.
    pub(super) fn poll(&mut self, wait: Wait, cx: &mut Context<'_>) -> Poll<()> {
        let over = match wait {
            // Bodies have their own deadline, and a provider may take its time. The timer ticks all the same: hyper does
            // not read again by itself after an answer that it waited for, so a tick must find the connection idle.
            Wait::Answer => {
                self.quiet = 0;
                let _ticking = self.poll_idle(cx);
                Poll::Pending
            }
            Wait::Request => self.poll_idle(cx),
            Wait::Head => self.poll_deadline(wait, self.patience.head, cx), // T-49: head deadline
            Wait::Taking => self.poll_deadline(wait, self.patience.idle, cx), // T-49: idle deadline
        };
        if over.is_ready() {
            let cuts = match wait {
                Wait::Head => &self.patience.head_cuts,
                Wait::Taking => &self.patience.stalled_cuts,
                Wait::Request | Wait::Answer => &self.patience.idle_cuts,
            };
            cuts.inc();
        }
        over
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let quarter = self.patience.idle / 4;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(quarter)));
        // Each request asks, and a poll is dear: one is needed only when the timer has fired or another task waits for it.
        if !timer.is_elapsed() && self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        while timer.as_mut().poll(cx).is_ready() {
            self.quiet += 1;
            if self.quiet >= QUIET_TICKS {
                return Poll::Ready(());
            }
            // From now, not from the last deadline: that may be long past, after a slow answer.
            timer.as_mut().reset(now() + quarter);
        }
        Poll::Pending
    }

    fn poll_deadline(&mut self, wait: Wait, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let since = match self.since {
            Some((own, since)) if own == wait => since,
            _ => {
                let since = now();
                self.since = Some((wait, since));
                since
            }
        };
        let deadline = since + patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
}

fn now() -> Instant {
    Instant::from_std(Stopwatch::start().started())
}
