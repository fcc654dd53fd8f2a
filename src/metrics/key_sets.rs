//! What is counted of one key set.

use super::Counter;

/// What is counted of one key set.
#[derive(Clone, Debug)]
pub struct KeySetMetrics {
    pub(super) looks: Vec<(&'static str, Counter)>,
    pub(super) unknown: Counter,
}

impl KeySetMetrics {
    /// The source has told its keys.
    pub fn fetched(&self) {
        self.count("ok");
    }

    /// A look brought nothing.
    pub fn failed(&self, outcome: &str) {
        self.count(outcome);
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
