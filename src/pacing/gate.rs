//! Whether a call to another service may be made now: not while the service fails or asks for a pause, and not where too
//! many calls are under way.

use std::sync::Arc;

use serde::Serialize;

use super::Backoff;
use super::blamed::PAUSES;
use super::breaker::{Breaker, BreakerState, Change, OwnFailures, Permit, Refusal};
use super::concurrency::{ConcurrencyLimit, InFlight};
use super::failure::Failure;
use super::secondary::Secondary;
use crate::clock::{Clock, Moment};
use crate::metrics::Counter;

/// The gate before one service. `K` are the kinds of its failures.
#[derive(Debug)]
pub struct Gate<K> {
    breaker: Breaker<K>,
    calls: ConcurrencyLimit,
}

/// How a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// Whether calls are made.
    pub breaker: BreakerState,
    /// Calls under way.
    pub running: usize,
    /// Calls that wait because as many as are allowed are under way.
    pub waiting: usize,
}

/// A call that may be made, and is counted until this is dropped. Its outcome is to be reported, unless it says nothing
/// about the service.
#[derive(Debug)]
pub struct Admitted<'g, K: Copy> {
    permit: Permit<'g, K>,
    _in_flight: InFlight<'g>,
}

impl<K: Copy> Gate<K> {
    /// A gate that lets `calls_at_once` pass, and counts in `refused` those that could not wait or waited in vain.
    pub fn new(calls_at_once: usize, refused: Counter) -> Self {
        Self::with_pauses(PAUSES, calls_at_once, refused)
    }

    /// The same with other pauses after failures.
    pub fn with_pauses(pauses: Backoff, calls_at_once: usize, refused: Counter) -> Self {
        Self { breaker: Breaker::new(pauses), calls: ConcurrencyLimit::new(calls_at_once, refused) }
    }

    /// Says when to come back, where a call for `user` would not be let through now.
    pub fn check(&self, user: &str, own: OwnFailures, now: Moment) -> Result<(), Refusal<K>> {
        self.breaker.check(user, own, now)
    }

    /// Says when to come back, where a call that gives way to all others would not be let through now.
    pub fn check_secondary(&self, now: Moment) -> Result<(), Refusal<K>> {
        self.breaker.check_secondary(now)
    }

    /// Lets such a call pass. It takes none of the places of the others, so whoever makes them bounds them. `alone` says
    /// that no others are made.
    pub fn admit_secondary(&self, alone: bool, now: Moment) -> Result<Secondary<'_, K>, Refusal<K>> {
        self.breaker.admit_secondary(alone, now)
    }

    /// How it stands now.
    pub fn status(&self) -> GateStatus {
        let (running, waiting) = self.calls.load();
        GateStatus { breaker: self.breaker.state(), running, waiting }
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
