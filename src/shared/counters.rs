//! What is counted of the tier.

use strum::{IntoStaticStr, VariantArray};

use super::seal::Unopened;
use super::tier::Away;
use crate::metrics::{ByVariant, Counter, Gauge, Histogram, Label as _, Metrics};

/// What the tier is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Op {
    Enter,
    Land,
    Keep,
    End,
    Tell,
    Take,
    Beat,
    Denied,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Ended {
    Ok,
    Timeout,
    Lost,
    Refused,
    Down,
}

impl From<Away> for Ended {
    fn from(away: Away) -> Self {
        match away {
            Away::Timeout => Self::Timeout,
            Away::Lost => Self::Lost,
            Away::Refused => Self::Refused,
        }
    }
}

#[derive(Debug)]
pub(super) struct Counters {
    pub(super) operations: ByVariant<Op, ByVariant<Ended>>,
    pub(super) seconds: ByVariant<Op, Histogram>,
    pub(super) unopened: ByVariant<Unopened>,
    pub(super) up: Gauge,
    pub(super) replicas: Gauge,
    pub(super) offset: Gauge,
    pub(super) gaps: Counter,
}

impl Counters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let own = &metrics.shared;
        let of = |op: Op| ByVariant::new(|ended: Ended| own.operations(op.label(), ended.label()));
        Self {
            operations: ByVariant::new(of),
            seconds: ByVariant::new(|op: Op| own.operation_seconds(op.label())),
            unopened: ByVariant::new(|reason: Unopened| own.unopened(reason.label())),
            up: own.up(),
            replicas: own.replicas(),
            offset: own.clock_offset(),
            gaps: own.gaps(),
        }
    }

    pub(super) fn ended(&self, op: Op, ended: Ended) {
        self.operations.get(op).iter().for_each(|own| own.inc(ended));
    }
}
