//! How much work is taken from others, in a time and at once. What is more is refused and does not wait.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Pace, Rate};
use crate::clock::Clock;

/// When work that found no place may come again: most is done by then.
const UNTIL_A_PLACE_IS_FREE: Duration = Duration::from_secs(1);

/// The intake of work.
#[derive(Debug)]
pub struct Intake {
    /// With what is due of all together.
    pace: Option<(Pace, Mutex<i128>)>,
    places: Semaphore,
    clock: Arc<dyn Clock>,
}

/// Why work is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// The rate is used up for this long.
    Rate(Duration),
    /// As much as is allowed is under way.
    AtOnce,
}

impl Intake {
    /// One that takes work at this rate, half of it in a burst, and has so much under way at once.
    pub fn new(rate: Option<Rate>, at_once: usize, clock: Arc<dyn Clock>) -> Self {
        let pace = rate.map(|rate| (Pace::new(rate, rate.count().div_ceil(2)), Mutex::new(Pace::UNUSED)));
        Self { pace, places: Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)), clock }
    }

    /// Counts a piece of work.
    pub fn count(&self) -> Result<(), TooMuch> {
        let Some((pace, due)) = &self.pace else { return Ok(()) };
        let now = self.clock.moment();
        pace.take(&mut due.lock(), now).map_err(|slot| TooMuch::Rate(slot.since(now)))
    }

    /// Takes a place, until what is returned is dropped.
    pub fn begin(&self) -> Result<SemaphorePermit<'_>, TooMuch> {
        self.places.try_acquire().map_err(|_| TooMuch::AtOnce)
    }
}

impl TooMuch {
    /// Advice on when to come again.
    pub fn retry_after(self) -> Duration {
        match self {
            Self::Rate(wait) => wait,
            Self::AtOnce => UNTIL_A_PLACE_IS_FREE,
        }
    }
}
