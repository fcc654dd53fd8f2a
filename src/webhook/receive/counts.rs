//! What is counted of the requests to one webhook.

use std::time::Duration;

use super::ended::{Ended, Refused, Taken};
use crate::metrics::{ByVariant, Counter, Gauge, Histogram, Label, Metrics};
use crate::webhook::keys::Standing;
use crate::webhook::refusal::Reason;

/// The series of one webhook.
#[derive(Debug)]
pub(super) struct Counts {
    taken: ByVariant<Taken>,
    unproven: ByVariant<Reason>,
    refused: ByVariant<Refused>,
    seconds: Histogram,
    current: Counter,
    previous: Counter,
    id_conflicts: Counter,
    skew: Gauge,
}

impl Counts {
    pub(super) fn new(name: &str, metrics: &Metrics) -> Self {
        let families = &metrics.webhook;
        Self {
            taken: each(name, metrics),
            unproven: each(name, metrics),
            refused: each(name, metrics),
            seconds: families.request_seconds(name),
            current: families.verified(name, "current"),
            previous: families.verified(name, "previous"),
            id_conflicts: families.id_conflicts(name),
            skew: families.clock_skew(name),
        }
    }

    /// A request has ended.
    pub(super) fn ended(&self, ended: &Ended, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        match ended {
            Ended::Taken(taken) => self.taken.inc(*taken),
            Ended::Challenge(_) => self.taken.inc(Taken::Challenge),
            Ended::Relayed(_) => self.taken.inc(Taken::Accepted),
            Ended::Unproven(reason) => self.unproven.inc(*reason),
            Ended::Refused(refused) => self.refused.inc(*refused),
        }
    }

    /// A request was proven.
    pub(super) fn proven(&self, by: Standing) {
        match by {
            Standing::Current => self.current.inc(),
            Standing::Previous(_) => self.previous.inc(),
        }
    }

    /// An id came with another body.
    pub(super) fn id_conflict(&self) {
        self.id_conflicts.inc();
    }

    /// How far the clocks lie apart, in seconds.
    pub(super) fn skew(&self, seconds: i64) {
        self.skew.set(seconds);
    }
}

fn each<E: Label>(name: &str, metrics: &Metrics) -> ByVariant<E> {
    ByVariant::new(|outcome: E| metrics.webhook.requests(name, outcome.label()))
}
