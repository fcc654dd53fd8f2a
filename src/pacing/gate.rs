//! Whether a call to another service may be made now: not while the service fails or asks for a pause, and not where too
//! many calls are under way.

use std::sync::Arc;

use super::Backoff;
use super::breaker::{Breaker, Change, OwnFailures, PAUSES, Permit, Refusal};
use super::concurrency::{ConcurrencyLimit, ConcurrencyMetrics, InFlight};
use super::failure::Failure;
use crate::clock::{Clock, Moment};
use crate::metrics::Gauge;

/// The gate before one service. `K` are the kinds of its failures.
#[derive(Debug)]
pub struct Gate<K> {
    breaker: Breaker<K>,
    calls: ConcurrencyLimit,
}

/// A call that may be made, and is counted until this is dropped. Its outcome is to be reported, unless it says nothing
/// about the service.
#[derive(Debug)]
pub struct Admitted<'g, K: Copy> {
    permit: Permit<'g, K>,
    _in_flight: InFlight<'g>,
}

impl<K: Copy> Gate<K> {
    /// A gate that lets `calls_at_once` pass. `breaker` shows its state.
    pub fn new(breaker: Gauge, calls_at_once: usize, calls: ConcurrencyMetrics) -> Self {
        Self::with_pauses(PAUSES, breaker, calls_at_once, calls)
    }

    /// The same with other pauses than those of a provider, which last from a second to a minute.
    pub fn with_pauses(pauses: Backoff, breaker: Gauge, calls_at_once: usize, calls: ConcurrencyMetrics) -> Self {
        Self { breaker: Breaker::new(breaker, pauses), calls: ConcurrencyLimit::new(calls_at_once, calls) }
    }

    /// Says when to come back, where a call for `user` would not be let through now.
    pub fn check(&self, user: &str, own: OwnFailures, now: Moment) -> Result<(), Refusal<K>> {
        self.breaker.check(user, own, now)
    }

    /// Lets a call for `user` pass, now or before `until`. The breaker is asked twice: a call that it refuses does not
    /// wait, and while a call waits those before it may fail.
    pub async fn admit(
        &self,
        user: &str,
        own: OwnFailures,
        clock: &Arc<dyn Clock>,
        until: Moment,
    ) -> Result<Admitted<'_, K>, Refusal<K>> {
        self.breaker.check(user, own, clock.moment())?;
        let in_flight = self.calls.begin(clock, until).await.ok_or(Refusal::Busy)?;
        let permit = self.breaker.admit(user, own, clock.moment())?;
        Ok(Admitted { permit, _in_flight: in_flight })
    }
}

impl<K: Copy> Admitted<'_, K> {
    /// Reports how the call ended.
    pub fn report(self, outcome: Result<(), Failure<K>>, now: Moment) -> Option<Change> {
        self.permit.report(outcome, now)
    }
}
