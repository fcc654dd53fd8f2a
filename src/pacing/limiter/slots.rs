//! Where the processes of a fleet take the slots of one rate.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::clock::Moment;

/// The place where all processes of a fleet take their slots for one service.
pub trait FleetPace: Send + Sync + fmt::Debug {
    /// How the fleet stands.
    fn standing(&self) -> Standing;

    /// Takes slots. It ends within [`FleetPace::time_limit`], with `None` where there was no answer.
    fn take(&self, order: SlotOrder) -> Taking;

    /// The longest time of a question.
    fn time_limit(&self) -> Duration;
}

/// An answer to come.
pub type Taking = Pin<Box<dyn Future<Output = Option<SlotAnswer>> + Send>>;

/// How a fleet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its processes.
    pub replicas: u32,
    /// Since when slots are given out; `None` while they are not.
    pub since: Option<Moment>,
}

/// What is asked for, by the generic cell rate algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotOrder {
    /// Slots that are wanted; none where only a pause is told.
    pub wanted: u32,
    /// Microseconds from one slot to the next.
    pub interval: u64,
    /// How much earlier than evenly spaced a slot may be taken, in microseconds.
    pub tolerance: u64,
    /// What is taken further ahead than twice this, in microseconds, was not taken by us: the rate's period at least.
    pub period: u64,
    /// The service wants no calls for so long.
    pub pause: Duration,
}

/// What was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotAnswer {
    /// Slots; none where all are taken, or in a pause.
    pub taken: u32,
    /// How long until the next one may be free.
    pub next: Duration,
    /// The rest of a pause that the service asked for.
    pub pause: Option<Duration>,
}
