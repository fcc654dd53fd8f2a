//! What is counted of one key set.

use super::{Counter, Gauge};

/// What is counted of one key set.
#[derive(Clone, Debug)]
pub struct KeySetMetrics {
    pub(super) since: Gauge,
    pub(super) keys: Gauge,
    pub(super) looks: Vec<(&'static str, Counter)>,
    pub(super) unknown: Counter,
}

impl KeySetMetrics {
    /// The source has told `keys` keys at this second.
    pub fn fetched(&self, now: i64, keys: usize) {
        self.since.set(now);
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        self.count("ok");
    }

    /// A look brought nothing.
    pub fn failed(&self, outcome: &str) {
        self.count(outcome);
    }

    /// The last good keys are too old to be used.
    pub fn dropped(&self) {
        self.keys.set(0);
    }

    /// A token named a key that the source does not have.
    pub fn unknown(&self) {
        self.unknown.inc();
    }

    /// How many looks ended so.
    pub fn of(&self, outcome: &str) -> Option<&Counter> {
        self.looks.iter().find(|(own, _)| *own == outcome).map(|(_, counter)| counter)
    }

    fn count(&self, outcome: &str) {
        self.of(outcome).into_iter().for_each(Counter::inc);
    }
}
