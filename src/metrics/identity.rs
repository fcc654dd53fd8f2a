//! What identity refused, what it left out, and the keys, secrets and lists that it decides by.

use super::families::families;
use super::{Counter, Gauge};

families! {
    /// Identities, peers and key sets.
    IdentityFamilies {
        /// Requests whose identity was refused, by reason.
        refusals(reason): Counter = "sidemint_identity_refusals_total";
        /// Identity headers that were too long to be read; users are signed in without what they hold.
        values_left_out(source, value): Counter = "sidemint_identity_values_left_out_total";
        /// When the source last told its keys, in seconds since 1970; 0 before the first time.
        key_set_fetched(source): Gauge = "sidemint_key_set_fetched_timestamp_seconds";
        /// Keys of the source that are in use.
        key_set_keys(source): Gauge = "sidemint_key_set_keys";
        /// Looks at the source's keys, by outcome; after a failure the last good keys stay in use.
        key_set_fetches(source, outcome): Counter = "sidemint_key_set_fetches_total";
        /// Tokens that named a key which the source does not have.
        key_set_unknown(source): Counter = "sidemint_key_set_unknown_total";
        /// 1 when identity headers are believed from networks that hold every address.
        insecure_peers(): Gauge = "sidemint_insecure_peers";
        /// Generation of the secrets and keys that prove a peer; grows with each accepted change, 0 without any.
        peer_secrets_generation(): Gauge = "sidemint_peer_secrets_generation";
        /// Changed secrets of peers that were not usable; the last good ones stay in service.
        peer_secrets_rejected(): Counter = "sidemint_peer_secrets_rejected_total";
        /// Entries of the lists of denied users.
        denied_users(): Gauge = "sidemint_denied_users";
        /// Changed lists of denied users that were not usable; the last good one stays in service.
        deny_list_rejected(): Counter = "sidemint_deny_list_rejected_total";
    }
}

impl IdentityFamilies {
    /// What is counted of the key set of `source`; `faults` are the ways in which a look may fail.
    pub fn key_set(&self, source: &str, faults: impl IntoIterator<Item = &'static str>) -> KeySetMetrics {
        let looks = std::iter::once("ok").chain(faults);
        KeySetMetrics {
            looks: looks.map(|how| (how, self.key_set_fetches(source, how))).collect(),
            unknown: self.key_set_unknown(source),
        }
    }
}

/// What is counted of one key set.
#[derive(Clone, Debug)]
pub struct KeySetMetrics {
    looks: Vec<(&'static str, Counter)>,
    unknown: Counter,
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
