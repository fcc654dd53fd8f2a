//! One address of the application: attempts to deliver to it, and whether it is up.
//!
//! Five failures in a row that say that the target is down close it. While it is closed one event at a time probes it,
//! after pauses that grow from one to thirty seconds; what the application answers to an event says nothing against it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use url::Url;

use super::keys::Signer;
use super::message::Message;
use super::outcome::{Class, Outcome};
use crate::clock::{Clock, Moment, Stopwatch};
use crate::metrics::{ByVariant, Histogram, Label as _, Metrics};
use crate::outbound::Poster;
use crate::pacing::{Backoff, Change, Failure, Fault, Gate, GateStatus, OwnFailures, Refusal};
use crate::webhook::event::Event;

/// Pauses of a target that is down.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30), jitter: false };
/// It counts each time, whichever event it was: a target that is down is down for all of them.
const DOWN: Failure<()> = Failure { fault: Fault::Remote, kind: (), is_limit: false, retry_after: None };

/// Which of the addresses of a webhook it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// The one that events are for.
    To,
    /// The one for when that is down, or the service stops.
    Fallback,
}

/// What all targets of a webhook have in common.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The client.
    pub poster: Poster,
    /// Signs what is sent.
    pub signer: Arc<Signer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The requests that may still bring events. At the end of the service the deliveries close it and wait for them.
    pub requests: TaskTracker,
    /// Attempts at once, at each target.
    pub at_once: usize,
    /// Time of one attempt, connection included.
    pub timeout: Duration,
}

/// An address of the application.
#[derive(Debug)]
pub struct Target {
    webhook: Arc<str>,
    role: Role,
    url: Url,
    parts: Parts,
    gate: Gate<()>,
    closed_since: Mutex<Option<Moment>>,
    changed: Notify,
    seconds: Histogram,
    attempts: ByVariant<Class>,
}

/// How a target stands.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// `to` or `fallback`.
    pub target: &'static str,
    /// Its attempts, and whether they are made.
    pub calls: GateStatus,
}

/// The target is closed, or too many attempts are under way: nothing was sent. The wait until an attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed(pub Duration);

/// What may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Any event.
    Up,
    /// One event, to see whether the target is up again.
    Probe,
    /// None for so long.
    Closed { since: Moment, wait: Duration },
}

impl Target {
    /// The target of `webhook` at `url`.
    pub fn new(webhook: &Arc<str>, role: Role, url: Url, parts: &Parts) -> Self {
        let (families, target) = (&parts.metrics.delivery, role.into());
        Self {
            role,
            url,
            gate: Gate::with_pauses(PAUSES, parts.at_once, families.turned_away(webhook, target)),
            closed_since: Mutex::default(),
            changed: Notify::new(),
            seconds: families.seconds(webhook),
            attempts: ByVariant::new(|class: Class| families.attempts(webhook, class.label())),
            parts: parts.clone(),
            webhook: Arc::clone(webhook),
        }
    }

    /// Sends an event that is not kept, and keeps an answer of `keep` bytes at most. Waits for a place among the attempts
    /// under way, and for the answer, until `deadline`.
    pub async fn send(&self, event: &Event, deadline: Moment, keep: usize) -> Result<Outcome, Closed> {
        self.attempt(&Message::of_event(event), deadline, keep).await
    }

    pub(super) async fn attempt(
        &self,
        message: &Message<'_>,
        deadline: Moment,
        keep: usize,
    ) -> Result<Outcome, Closed> {
        let Parts { poster, signer, clock, .. } = &self.parts;
        let admitted = self.gate.admit("", OwnFailures::Ignored, clock, deadline).await.map_err(closed)?;
        let watch = Stopwatch::start();
        let call = message.call(&self.url, &signer.keys(), clock.now());
        let outcome = Outcome::of(poster.send(call, deadline, keep).await, clock.now());
        let took = watch.elapsed();
        self.seconds.observe(took.as_secs_f64());
        self.attempts.inc(outcome.class);
        if outcome.class != Class::Delivered {
            self.log(message, &outcome, took);
        }
        let change = admitted.report(if outcome.is_down { Err(DOWN) } else { Ok(()) }, clock.moment());
        self.note(change, &outcome);
        Ok(outcome)
    }

    /// Which of the addresses it is.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// How it stands now.
    pub(super) fn status(&self) -> TargetStatus {
        TargetStatus { target: self.role.into(), calls: self.gate.status() }
    }

    /// What may be sent now.
    pub(super) fn way(&self, now: Moment) -> Way {
        let since = *self.closed_since.lock();
        match self.gate.check("", OwnFailures::Ignored, now) {
            Ok(()) => since.map_or(Way::Up, |_since| Way::Probe),
            Err(refusal) => Way::Closed { since: since.unwrap_or(now), wait: closed(refusal).0 },
        }
    }

    /// Waits until an attempt has ended that may have changed what may be sent. For one that waits.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn note(&self, change: Option<Change>, outcome: &Outcome) {
        let (webhook, destination) = (&*self.webhook, <&str>::from(self.role));
        match change {
            Some(Change::Opened(_)) => {
                *self.closed_since.lock() = Some(self.parts.clock.moment());
                let reason = outcome.problem.unwrap_or_else(|| outcome.class.label());
                let status = outcome.status;
                tracing::warn!(
                    webhook,
                    destination,
                    reason,
                    status,
                    "target is down: events wait, one at a time probes it"
                );
            }
            Some(Change::Closed) => {
                let since = self.closed_since.lock().take();
                let seconds = since.map(|since| self.parts.clock.moment().since(since).as_secs());
                tracing::info!(webhook, destination, seconds, "target is up again");
            }
            None => {}
        }
        self.changed.notify_one();
    }

    /// Never a body, and no id of the provider's.
    fn log(&self, message: &Message<'_>, outcome: &Outcome, took: Duration) {
        tracing::info!(
            webhook = message.webhook,
            webhook_id = &*message.webhook_id,
            destination = <&str>::from(self.role),
            outcome = outcome.class.label(),
            reason = outcome.problem,
            status = outcome.status,
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "delivery failed"
        );
    }
}

fn closed(refusal: Refusal<()>) -> Closed {
    Closed(match refusal {
        Refusal::User((), wait) | Refusal::Limited(wait) | Refusal::Open(wait) => wait,
        Refusal::Busy => PAUSES.first,
    })
}
