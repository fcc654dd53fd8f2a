//! How many calls providers have at work, and how many wait.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{Counter, Gauge};

/// The series of every provider.
#[derive(Debug)]
pub(super) struct CallMetrics {
    running: IntGaugeVec,
    waiting: IntGaugeVec,
    refused: IntCounterVec,
    pub(super) limiter_waiting: IntGaugeVec,
    pub(super) limiter_refused: IntCounterVec,
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
        let limiter_waiting = Opts::new(
            "sidemint_limiter_waiting",
            "Calls that wait for their turn under our own limit for the provider.",
        );
        let limiter_refused =
            Opts::new("sidemint_limiter_refused_total", "Calls that our own limit for the provider refused.");
        let own = Self {
            running: IntGaugeVec::new(running, &["provider"])?,
            waiting: IntGaugeVec::new(waiting, &["provider"])?,
            refused: IntCounterVec::new(refused, &["provider"])?,
            limiter_waiting: IntGaugeVec::new(limiter_waiting, &["provider"])?,
            limiter_refused: IntCounterVec::new(limiter_refused, &["provider"])?,
        };
        for gauge in [&own.running, &own.waiting, &own.limiter_waiting] {
            registry.register(Box::new(gauge.clone()))?;
        }
        for counter in [&own.refused, &own.limiter_refused] {
            registry.register(Box::new(counter.clone()))?;
        }
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
