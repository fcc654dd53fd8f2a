//! What identity refused, and what it left out.

use prometheus::{IntCounterVec, Opts, Registry};

use super::{Counter, Metrics};

/// The series of identity.
#[derive(Debug)]
pub(super) struct IdentityMetrics {
    refusals: IntCounterVec,
    left_out: IntCounterVec,
}

impl IdentityMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refusals = Opts::new("sidemint_identity_refusals_total", "Requests whose identity was refused, by reason.");
        let left_out = Opts::new(
            "sidemint_identity_values_left_out_total",
            "Identity headers that were too long to be read; users are signed in without what they hold.",
        );
        let own = Self {
            refusals: IntCounterVec::new(refusals, &["reason"])?,
            left_out: IntCounterVec::new(left_out, &["source", "value"])?,
        };
        registry.register(Box::new(own.refusals.clone()))?;
        registry.register(Box::new(own.left_out.clone()))?;
        Ok(own)
    }
}

impl Metrics {
    /// Identity refusals for `reason`.
    pub fn identity_refusals(&self, reason: &str) -> Counter {
        self.identity.refusals.with_label_values(&[reason])
    }

    /// Values of `source` that were too long to be read.
    pub fn identity_left_out(&self, source: &str, value: &str) -> Counter {
        self.identity.left_out.with_label_values(&[source, value])
    }
}
