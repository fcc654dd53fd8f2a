//! What everything that makes calls needs of the rest of the process.

use std::sync::Arc;

use super::Outbound;
use crate::clock::Clock;
use crate::metrics::Metrics;

/// The way out, the time and the counters.
#[derive(Clone, Debug)]
pub struct Services {
    /// The way out.
    pub outbound: Outbound,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

#[cfg(test)]
impl Services {
    /// One for all tests: a client reads every authority of the machine when it is made.
    pub(crate) fn for_test() -> Self {
        static SHARED: std::sync::LazyLock<Services> = std::sync::LazyLock::new(|| {
            let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock);
            let outbound = Outbound::new(Arc::clone(&clock)).expect("a client");
            Services { outbound, clock, metrics: Arc::new(Metrics::new().expect("metrics")) }
        });
        SHARED.clone()
    }
}
