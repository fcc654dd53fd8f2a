//! What one process of a fleet may call alone: `rate ÷ replicas`. Each of its calls is charged to it, so that it knows them
//! when it alone counts.

use crate::clock::Moment;
use crate::pacing::{Pace, Rate, jitter};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ordinary,
    /// A call that gives way to the others.
    Secondary,
}

/// What this process may call alone.
#[derive(Debug)]
pub(super) struct Share {
    replicas: u32,
    pace: Pace,
    secondary: Pace,
    due: i128,
}

impl Share {
    pub(super) fn of(rate: Rate, burst: u32, replicas: u32) -> Self {
        let pace = Pace::new(rate.share(replicas), burst / replicas.max(1));
        Self { replicas, pace, secondary: pace.keeping(burst / replicas.max(1) / 4), due: Pace::UNUSED }
    }

    /// Goes by the share of one of `replicas`; what was called counts on.
    pub(super) fn divide(&mut self, rate: Rate, burst: u32, replicas: u32, now: Moment) {
        if replicas == self.replicas {
            return;
        }
        let mut divided = Self::of(rate, burst, replicas);
        divided.due = divided.pace.converted(self.due, &self.pace);
        let spread = rate.share(replicas).period();
        if spread > rate.period() {
            // Fewer calls than processes: they do not make their first ones together.
            divided.due = divided.due.max(divided.pace.due_at(now.plus(spread.mul_f64(jitter::fraction()))));
        }
        *self = divided;
    }

    pub(super) fn slot(&self, kind: Kind, now: Moment, before: usize) -> Moment {
        self.pace(kind).slot(self.due, now, before)
    }

    pub(super) fn take(&mut self, kind: Kind, now: Moment) -> Result<(), Moment> {
        self.pace(kind).take(&mut self.due, now)
    }

    pub(super) fn give_back(&mut self) {
        self.pace.give_back(&mut self.due);
    }

    pub(super) fn charge(&mut self, now: Moment) {
        self.pace.charge(&mut self.due, now);
    }

    fn pace(&self, kind: Kind) -> Pace {
        if kind == Kind::Secondary { self.secondary } else { self.pace }
    }
}
