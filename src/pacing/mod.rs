//! How often, how many at once, and when again: what keeps calls to others within bounds, whatever the calls are.
//!
//! A [`Limiter`] keeps to a [`Rate`]; a [`Gate`] lets calls pass while the other side works and not too many are under
//! way; a [`Backoff`] says how long to wait after failures.

mod backoff;
mod blamed;
mod breaker;
mod concurrency;
mod failure;
mod gate;
mod intake;
pub mod jitter;
mod limiter;
mod rate;
mod secondary;

pub use backoff::Backoff;
pub use breaker::{BreakerState, Change, OwnFailures, Refusal};
pub use failure::{Failure, Fault};
pub use gate::{Admitted, Gate, GateStatus};
pub use intake::{Intake, TooMuch};
pub use limiter::{FleetPace, Limiter, SlotAnswer, SlotOrder, Standing, Taking};
pub use rate::{Pace, Rate};
pub use secondary::{Secondary, SecondaryOutcome};
