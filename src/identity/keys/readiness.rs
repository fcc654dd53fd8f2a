//! Readiness of the key sets: holds the service back until every source in use has had keys once. A later outage does not
//! change that, because the last good keys stay in use.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::lifecycle::Lifecycle;

/// Code of the objection to readiness.
const KEYS_MISSING: &str = "keys_missing";

/// Sources that have had no keys so far.
#[derive(Debug)]
pub(in crate::identity) struct KeyReadiness {
    lifecycle: Lifecycle,
    sources: Mutex<BTreeSet<String>>,
}

impl KeyReadiness {
    /// No source is waited for yet.
    pub(in crate::identity) fn new(lifecycle: Lifecycle) -> Self {
        Self { lifecycle, sources: Mutex::default() }
    }

    /// Waits for the keys of `source`.
    pub(super) fn add(&self, source: &str) {
        self.change(|sources| sources.insert(source.to_owned()));
    }

    /// The keys of `source` have come.
    pub(super) fn remove(&self, source: &str) {
        self.change(|sources| sources.remove(source));
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<String>) -> bool) {
        let mut sources = self.sources.lock();
        if !change(&mut sources) {
            return;
        }
        if sources.is_empty() {
            self.lifecycle.withdraw(KEYS_MISSING);
        } else {
            let names: Vec<&str> = sources.iter().map(String::as_str).collect();
            let detail = format!("no keys yet of {}; sidemint_key_set_fetches_total tells why", names.join(", "));
            self.lifecycle.object(KEYS_MISSING, detail);
        }
    }
}
