//! Takes what is due, brings it to a target, and says what became of it; at the end of the service it brings what is left to
//! the fallback.

use std::collections::VecDeque;
use std::future::Future as _;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::message::Message;
use super::outcome::Class;
use super::retry;
use super::target::{Parts, Role, Target, TargetStatus, Way};
use crate::clock::{Clock, Moment};
use crate::lifecycle::Lifecycle;
use crate::metrics::{DeliveryFamilies, Lag};
use crate::pacing::BreakerState;
use crate::webhook::store::{Settled, Standing, Store, Taken};

/// A target that is down for so long is not waited for where there is another.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of an answer that are read so that the connection can be used again.
const ANSWER_BYTES: usize = 16 * 1024;

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
    requests: TaskTracker,
    lifecycle: Lifecycle,
    lag_seconds: Lag,
}

/// How the deliveries of one webhook stand.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    /// Name of the webhook.
    pub webhook: String,
    /// Events that wait.
    pub pending: usize,
    /// Age of the oldest of them.
    pub oldest_pending: Option<Duration>,
    /// Events that were put aside.
    pub dead: usize,
    /// The addresses of the application.
    pub targets: Vec<TargetStatus>,
}

impl DeliveryStatus {
    /// Shows it as gauges.
    pub fn show(&self, families: &DeliveryFamilies) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        families.pending(&self.webhook).set(number(self.pending));
        families.dead(&self.webhook).set(number(self.dead));
        let age = self.oldest_pending.map_or(0, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        families.oldest_pending_seconds(&self.webhook).set(age);
        for TargetStatus { target, calls } in &self.targets {
            families.target_up(&self.webhook, target).set(i64::from(calls.breaker == BreakerState::Closed));
        }
    }
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
            requests: parts.requests.clone(),
            lifecycle: lifecycle.clone(),
            lag_seconds: families.lag_seconds(webhook),
        }
    }

    /// Begins. It ends with the service: when it drains, what is under way is finished, and what waits goes to the fallback
    /// until the drain deadline.
    pub fn start(self: &Arc<Self>) {
        self.lifecycle.spawn(Arc::clone(self).run());
    }

    /// How things stand now.
    pub fn status(&self) -> DeliveryStatus {
        let Standing { pending, dead, oldest } = self.store.standing(&self.webhook);
        let oldest_pending = oldest.map(|oldest| self.clock.now().since(oldest));
        let targets = std::iter::once(&self.to).chain(&self.fallback).map(Target::status).collect();
        DeliveryStatus { webhook: self.webhook.to_string(), pending, oldest_pending, dead, targets }
    }

    async fn run(self: Arc<Self>) {
        let mut hand = VecDeque::new();
        loop {
            let place = tokio::select! {
                biased;
                () = self.lifecycle.draining().cancelled() => break,
                place = self.ready(&mut hand) => place,
            };
            self.begin(&mut hand, place).await;
        }
        tokio::select! {
            biased;
            () = self.lifecycle.cut().cancelled() => {}
            () = self.drain(hand) => {}
        }
        let left = self.store.standing(&self.webhook).pending;
        if left > 0 && !self.store.is_shared() {
            tracing::warn!(webhook = &*self.webhook, left, "stopping: events are left that were not delivered");
        }
    }

    /// Waits until an event is in `hand` that may be sent now, and there is a place for it. What is in hand and may not be
    /// sent stays there: it was due before all that comes later.
    async fn ready(&self, hand: &mut VecDeque<Taken>) -> Option<OwnedSemaphorePermit> {
        loop {
            let most = self.passage().await;
            // W-21: attempts at once
            let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
            if hand.is_empty() {
                hand.extend(self.store.take(&self.webhook, most).await);
            }
            // That may have taken hours.
            if self.wait(self.clock.moment()).is_none() {
                return Some(place);
            }
        }
    }

    /// Waits until events may pass, and says how many.
    async fn passage(&self) -> usize {
        loop {
            let now = self.clock.moment();
            let Some(wait) = self.wait(now) else {
                let is_up = matches!(self.ways(now), (Way::Up, _) | (_, Some(Way::Up)));
                return if is_up { self.at_once } else { 1 };
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

    /// How long no event may pass; `None` where one may.
    fn wait(&self, now: Moment) -> Option<Duration> {
        match self.ways(now) {
            (Way::Up | Way::Probe, _) | (_, Some(Way::Up | Way::Probe)) => None,
            (Way::Closed { wait, .. }, Some(Way::Closed { wait: other, .. })) => Some(wait.min(other)),
            (Way::Closed { since, wait }, None) if self.fallback.is_some() => {
                Some(wait.min(since.plus(PATIENCE).since(now)))
            }
            (Way::Closed { wait, .. }, None) => Some(wait),
        }
    }

    /// What may be sent to `to` now, and to the fallback if that is in use.
    fn ways(&self, now: Moment) -> (Way, Option<Way>) {
        let way = self.to.way(now);
        let fallback = self.fallback.as_ref();
        match way {
            _ if self.lifecycle.draining().is_cancelled() && !self.store.is_shared() => match fallback {
                Some(fallback) => (Way::Closed { since: now, wait: Duration::MAX }, Some(fallback.way(now))),
                None => (way, None),
            },
            Way::Closed { since, .. } if now >= since.plus(PATIENCE) => (way, fallback.map(|target| target.way(now))),
            _ => (way, None),
        }
    }

    /// Where an event goes now; `None` where it has to wait.
    fn route(&self, now: Moment) -> Option<&Target> {
        match self.ways(now) {
            (Way::Up | Way::Probe, _) => Some(&self.to),
            (_, Some(Way::Up | Way::Probe)) => self.fallback.as_ref(),
            _ => None,
        }
    }

    /// Begins an attempt for the first event in hand.
    async fn begin(self: &Arc<Self>, hand: &mut VecDeque<Taken>, place: Option<OwnedSemaphorePermit>) {
        let (Some(event), Some(place)) = (hand.pop_front(), place) else { return };
        let (own, cut) = (Arc::clone(self), self.lifecycle.cut().clone());
        let mut attempt = Box::pin(async move {
            tokio::select! {
                biased;
                // It is still in the store.
                () = cut.cancelled() => {}
                () = own.deliver(&event, place) => {}
            }
        });
        // The attempt passes the gate here, so that the next event finds a probe under way.
        let ended = std::future::poll_fn(|context| Poll::Ready(attempt.as_mut().poll(context).is_ready())).await;
        if !ended {
            self.lifecycle.spawn(attempt);
        }
    }

    async fn deliver(&self, event: &Taken, place: OwnedSemaphorePermit) {
        let settled = self.attempt(event).await;
        // Another attempt has closed the target at this very moment.
        self.settle(event, settled.unwrap_or(Settled::Returned(Duration::ZERO)));
        drop(place);
        self.ended.notify_one();
    }

    /// What becomes of an event after an attempt; `None` where there was none.
    async fn attempt(&self, event: &Taken) -> Option<Settled> {
        let now = self.clock.moment();
        let target = self.route(now)?;
        let message = Message::of_taken(&self.webhook, event);
        let outcome = target.attempt(&message, now.plus(self.timeout), ANSWER_BYTES).await.ok()?;
        let now = self.clock.moment();
        let is_closed = matches!(target.way(now), Way::Closed { .. });
        let closed = is_closed.then(|| self.wait(now).unwrap_or_default());
        let age = self.clock.now().since(event.received);
        if outcome.class == Class::Delivered {
            self.lag_seconds.observe(age.as_secs_f64());
        }
        let settled = retry::settle(&outcome, event.attempts, age, closed);
        // At the end of the service the fallback is next, and no wait is waited for.
        let is_next = self.lifecycle.draining().is_cancelled() && target.role() == Role::To && self.fallback.is_some();
        Some(match settled {
            Settled::Again(_) if is_next => Settled::Again(Duration::ZERO),
            Settled::Returned(_) if is_next => Settled::Returned(Duration::ZERO),
            settled => settled,
        })
    }

    fn settle(&self, event: &Taken, settled: Settled) {
        if let Settled::Dead(reason) = settled {
            let (webhook, webhook_id) = (&*self.webhook, &*event.webhook_id);
            let attempts = event.attempts.saturating_add(1);
            tracing::warn!(webhook, webhook_id, reason, attempts, "event is put aside; see sidemint webhooks show");
        }
        self.store.settle(event.seq, settled);
    }

    /// Finishes what is under way, and waits for the requests that are still coming, because what they bring is answered 200;
    /// where there is a fallback, what waits goes there. A store that has failed hands out nothing more.
    async fn drain(self: &Arc<Self>, hand: VecDeque<Taken>) {
        self.requests.close();
        if self.fallback.is_some() && !self.store.is_shared() {
            tokio::select! {
                () = self.empty(hand) => {}
                _problem = self.store.failed() => {}
            }
        }
        self.requests.wait().await;
        let all = u32::try_from(self.at_once).unwrap_or(u32::MAX);
        drop(self.places.acquire_many(all).await);
    }

    /// Brings what waits to the fallback until no event is left and none can come.
    async fn empty(self: &Arc<Self>, mut hand: VecDeque<Taken>) {
        self.store.hurry(&self.webhook);
        loop {
            let may_come = !self.requests.is_empty();
            if !may_come && self.store.standing(&self.webhook).pending == 0 {
                return;
            }
            let place = tokio::select! {
                place = self.ready(&mut hand) => place,
                () = self.ended.notified() => continue,
                () = self.requests.wait(), if may_come => continue,
            };
            self.begin(&mut hand, place).await;
        }
    }
}
