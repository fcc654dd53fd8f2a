//! How many calls providers have at work.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{Counter, Gauge};

/// The series of every provider.
#[derive(Debug)]
pub(super) struct CallMetrics {
    running: IntGaugeVec,
    waiting: IntGaugeVec,
    refused: IntCounterVec,
}

impl CallMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let running = Opts::new("sidemint_calls_running", "Mints and sign-outs that have the provider at work.");
        let waiting = Opts::new(
            "sidemint_calls_waiting",
            "Mints and sign-outs that wait because calls_at_once of them are at work.",
        );
        let refused = Opts::new(
            "sidemint_calls_refused_total",
            "Mints and sign-outs that waited too long for that, or found too many before them.",
        );
        let own = Self {
            running: IntGaugeVec::new(running, &["provider"])?,
            waiting: IntGaugeVec::new(waiting, &["provider"])?,
            refused: IntCounterVec::new(refused, &["provider"])?,
        };
        registry.register(Box::new(own.running.clone()))?;
        registry.register(Box::new(own.waiting.clone()))?;
        registry.register(Box::new(own.refused.clone()))?;
        Ok(own)
    }

    pub(super) fn of(&self, provider: &str) -> (Gauge, Gauge, Counter) {
        (
            self.running.with_label_values(&[provider]),
            self.waiting.with_label_values(&[provider]),
            self.refused.with_label_values(&[provider]),
        )
    }
}
