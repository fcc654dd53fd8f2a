//! Time as a parameter, on two scales.
//!
//! Everything that decides by time asks a [`Clock`], so that tests move time by hand. A [`Moment`] is a point on a scale
//! that cannot be set: deadlines, waits, rates, pauses and what is left of a life are counted there. A [`Timestamp`] is
//! what the wall clock says: it is written into tokens and read from them, from certificates and from files, and it may
//! be set back or forward at any time (T-65). The two are different types, so that neither is compared with the other.
//!
//! Only this room reads the machine's clocks; the linter holds that.

mod manual;
mod moment;
mod system;
mod timestamp;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use manual::ManualClock;
pub use moment::Moment;
pub use system::{Stopwatch, SystemClock};
pub use timestamp::Timestamp;

/// A wait for a point in time; see [`Clock::sleep_until`].
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// What the wall clock says.
    fn now(&self) -> Timestamp;

    /// The present moment. It never goes back, and time in which the machine was suspended counts.
    fn moment(&self) -> Moment;

    /// Completes when `point` is reached; at once when it already is.
    fn sleep_until(&self, point: Moment) -> Sleep;

    /// Completes when the wall clock says `point` or later, also where it was set: for what ends by the wall clock.
    fn sleep_until_time(&self, point: Timestamp) -> Sleep;
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
