//! Takes what is due, brings it to a target, and says what became of it; at the end of the service it brings what is left to
//! the fallback.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::message::Message;
use super::outcome::Class;
use super::retry;
use super::target::{Closed, Parts, Target, Way};
use crate::clock::{Clock, Moment};
use crate::lifecycle::Lifecycle;
use crate::metrics::{Gauge, Lag};
use crate::webhook::store::{Settled, Store, Taken};

/// A target that is down for so long is not waited for where there is another.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of an answer that are read so that the connection can be used again.
const ANSWER_BYTES: usize = 16 * 1024;
/// How often it is shown what waits.
const SHOW: Duration = Duration::from_secs(5);

/// Delivers the events of one webhook.
#[derive(Debug)]
pub struct Deliveries {
    webhook: Arc<str>,
    store: Arc<dyn Store>,
    to: Target,
    fallback: Option<Target>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    /// A place for each attempt at once.
    at_once: usize,
    places: Arc<Semaphore>,
    /// An attempt has ended.
    ended: Notify,
    lifecycle: Lifecycle,
    lag_seconds: Lag,
    shown: Shown,
}

/// What is shown of the events that wait.
#[derive(Debug)]
struct Shown {
    pending: Gauge,
    oldest: Gauge,
    dead: Gauge,
}

impl Deliveries {
    /// Deliveries of the events that `store` holds of `webhook`.
    pub fn new(
        webhook: &Arc<str>,
        store: Arc<dyn Store>,
        to: Target,
        fallback: Option<Target>,
        parts: &Parts,
        lifecycle: &Lifecycle,
    ) -> Self {
        let families = &parts.metrics.delivery;
        Self {
            webhook: Arc::clone(webhook),
            store,
            to,
            fallback,
            clock: Arc::clone(&parts.clock),
            timeout: parts.timeout,
            at_once: parts.at_once,
            places: Arc::new(Semaphore::new(parts.at_once.min(Semaphore::MAX_PERMITS))),
            ended: Notify::new(),
            lifecycle: lifecycle.clone(),
            lag_seconds: families.lag_seconds(webhook),
            shown: Shown {
                pending: families.pending(webhook),
                oldest: families.oldest_pending_seconds(webhook),
                dead: families.dead(webhook),
            },
        }
    }

    /// Begins. It ends with the service: when it drains, what is under way is finished, and what waits goes to the fallback
    /// until the drain deadline.
    pub fn start(self) {
        let own = Arc::new(self);
        own.lifecycle.spawn(Arc::clone(&own).show());
        own.lifecycle.spawn(Arc::clone(&own).run());
    }

    async fn run(self: Arc<Self>) {
        loop {
            let taken = tokio::select! {
                biased;
                () = self.lifecycle.draining().cancelled() => break,
                taken = self.next() => taken,
            };
            self.hand_out(taken).await;
        }
        tokio::select! {
            biased;
            () = self.lifecycle.cut().cancelled() => {}
            () = self.drain() => {}
        }
        let left = self.show_standing();
        if left > 0 {
            tracing::warn!(webhook = &*self.webhook, left, "stopping: events are left that were not delivered");
        }
    }

    /// Events that may be sent now, once there are any.
    async fn next(&self) -> Vec<Taken> {
        let most = self.passage().await;
        // Places are only ever taken by attempts, which end.
        drop(self.places.acquire().await);
        self.store.take(&self.webhook, most).await
    }

    /// Waits until events may pass, and says how many.
    async fn passage(&self) -> usize {
        loop {
            let now = self.clock.moment();
            let wait = match self.ways(now) {
                (Way::Up, _) | (_, Some(Way::Up)) => return self.at_once,
                (Way::Probe, _) | (_, Some(Way::Probe)) => return 1,
                (Way::Closed { wait, .. }, Some(Way::Closed { wait: other, .. })) => wait.min(other),
                (Way::Closed { since, wait }, None) if self.fallback.is_some() => {
                    wait.min(since.plus(PATIENCE).since(now))
                }
                (Way::Closed { wait, .. }, None) => wait,
            };
            tokio::select! {
                () = self.clock.sleep_until(now.plus(wait)) => {}
                () = self.to.changed() => {}
                () = async {
                    match &self.fallback {
                        Some(fallback) => fallback.changed().await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
        }
    }

    /// What may be sent to `to` now, and to the fallback if that is in use.
    fn ways(&self, now: Moment) -> (Way, Option<Way>) {
        let way = self.to.way(now);
        let fallback = self.fallback.as_ref();
        match way {
            _ if self.lifecycle.draining().is_cancelled() => match fallback {
                Some(fallback) => (Way::Closed { since: now, wait: Duration::MAX }, Some(fallback.way(now))),
                None => (way, None),
            },
            Way::Closed { since, .. } if now >= since.plus(PATIENCE) => (way, fallback.map(|target| target.way(now))),
            _ => (way, None),
        }
    }

    /// Where an event goes now.
    fn route(&self, now: Moment) -> Result<&Target, Closed> {
        match (self.ways(now), &self.fallback) {
            ((Way::Up | Way::Probe, _), _) => Ok(&self.to),
            ((_, Some(Way::Up | Way::Probe)), Some(fallback)) => Ok(fallback),
            ((Way::Closed { wait, .. }, None), _) | ((_, Some(Way::Closed { wait, .. })), _) => Err(Closed(wait)),
            ((Way::Closed { wait, .. }, Some(_)), None) => Err(Closed(wait)),
        }
    }

    /// Begins an attempt for each event, as places are free.
    async fn hand_out(self: &Arc<Self>, taken: Vec<Taken>) {
        for event in taken {
            // W-21: attempts at once
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let (own, cut) = (Arc::clone(self), self.lifecycle.cut().clone());
            self.lifecycle.spawn(async move {
                tokio::select! {
                    () = own.deliver(&event, place) => {}
                    // It is still in the store.
                    () = cut.cancelled() => {}
                }
            });
        }
    }

    async fn deliver(&self, event: &Taken, place: OwnedSemaphorePermit) {
        let settled = self.attempt(event).await.unwrap_or_else(|Closed(wait)| Settled::Returned(wait));
        self.settle(event, settled);
        drop(place);
        self.ended.notify_one();
    }

    async fn attempt(&self, event: &Taken) -> Result<Settled, Closed> {
        let now = self.clock.moment();
        let target = self.route(now)?;
        let message = Message::of_taken(&self.webhook, event);
        let outcome = target.attempt(&message, now.plus(self.timeout), ANSWER_BYTES).await?;
        let closed = match target.way(self.clock.moment()) {
            Way::Closed { wait, .. } => Some(wait),
            Way::Up | Way::Probe => None,
        };
        let age = self.clock.now().since(event.received);
        if outcome.class == Class::Delivered {
            self.lag_seconds.observe(age.as_secs_f64());
        }
        Ok(retry::settle(&outcome, event.attempts, age, closed))
    }

    fn settle(&self, event: &Taken, settled: Settled) {
        if let Settled::Dead(reason) = settled {
            let (webhook, webhook_id) = (&*self.webhook, &*event.webhook_id);
            let attempts = event.attempts.saturating_add(1);
            tracing::warn!(webhook, webhook_id, reason, attempts, "event is put aside; see sidemint webhooks show");
        }
        self.store.settle(event.seq, settled);
    }

    /// Finishes what is under way; where there is a fallback, what waits goes there.
    async fn drain(self: &Arc<Self>) {
        if self.fallback.is_some() {
            self.store.hurry(&self.webhook);
            while self.store.standing(&self.webhook).pending > 0 {
                let taken = tokio::select! {
                    taken = self.next() => taken,
                    () = self.ended.notified() => continue,
                };
                self.hand_out(taken).await;
            }
        }
        let all = u32::try_from(self.at_once).unwrap_or(u32::MAX);
        drop(self.places.acquire_many(all).await);
    }

    /// Shows what waits, as long as the service runs.
    async fn show(self: Arc<Self>) {
        loop {
            self.show_standing();
            tokio::select! {
                () = self.lifecycle.draining().cancelled() => return,
                () = self.clock.sleep_until(self.clock.moment().plus(SHOW)) => {}
            }
        }
    }

    /// Shows what waits, and says how many events that are.
    fn show_standing(&self) -> usize {
        let standing = self.store.standing(&self.webhook);
        let age = standing.oldest.map_or(0, |oldest| self.clock.now().since(oldest).as_secs());
        let shown = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.shown.pending.set(shown(standing.pending));
        self.shown.oldest.set(i64::try_from(age).unwrap_or(i64::MAX));
        self.shown.dead.set(shown(standing.dead));
        standing.pending
    }
}
