//! What is counted of providers: calls, what holds them back, credentials and signing keys.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::families::families;
use super::{Counter, Gauge, Histogram};

families! {
    /// Calls to providers, their credentials and their signing keys.
    ProviderFamilies {
        /// Calls to the provider, by step and outcome class.
        calls(provider, step, outcome): Counter = "sidemint_provider_calls_total";
        /// Time of one call to the provider, by step.
        call_seconds(provider, step): Histogram = "sidemint_provider_call_duration_seconds";
        /// User upserts: done, or skipped because the profile is known to the provider.
        upserts(provider, result): Counter = "sidemint_upserts_total";
        /// State of the provider's circuit breaker: 0 closed, 1 half open, 2 open.
        breaker(provider): Gauge = "sidemint_breaker_state";
        /// Mints and sign-outs that have the provider at work.
        calls_running(provider): Gauge = "sidemint_calls_running";
        /// Mints and sign-outs that wait because as many as are allowed are at work.
        calls_waiting(provider): Gauge = "sidemint_calls_waiting";
        /// Mints and sign-outs that waited too long for that, or found too many before them.
        calls_refused(provider): Counter = "sidemint_calls_refused_total";
        /// Calls that wait for their turn under our own limit for the provider.
        limiter_waiting(provider): Gauge = "sidemint_limiter_waiting";
        /// Calls that our own limit for the provider refused.
        limiter_refused(provider): Counter = "sidemint_limiter_refused_total";
        /// Generation of the provider's secrets and keys; grows with each accepted change.
        credentials_generation(provider): Gauge = "sidemint_credentials_generation";
        /// Changed secrets or keys that were not usable; the last good ones stay in service.
        credentials_rejected(provider): Counter = "sidemint_credentials_rejected_total";
        /// 1 for the key that signs new tokens, 0 for one that is only published or accepted.
        signing_key_signs(provider, kid, alg): Gauge = "sidemint_signing_key_signs";
        /// When the file of the key was written, in seconds since 1970.
        signing_key_since(provider, kid, alg): Gauge = "sidemint_signing_key_since_timestamp_seconds";
    }
}

/// What is told of a signing key.
#[derive(Clone, Debug)]
pub struct SigningKeyLine {
    /// Provider, key id and algorithm.
    pub labels: [String; 3],
    /// Whether it signs new tokens.
    pub signs: bool,
    /// When its file was written, in seconds since 1970.
    pub since: i64,
}

/// Labels of the signing keys that are shown. Keys come and go, so their series are the only ones that are taken away.
#[derive(Debug, Default)]
pub(super) struct ShownKeys(Mutex<BTreeSet<[String; 3]>>);

impl ShownKeys {
    /// Shows these keys, and no others.
    pub(super) fn show(&self, families: &ProviderFamilies, keys: &[SigningKeyLine]) {
        let mut shown = self.0.lock();
        let mut gone = std::mem::take(&mut *shown);
        for key in keys {
            let [provider, kid, alg] = key.labels.each_ref().map(String::as_str);
            families.signing_key_signs(provider, kid, alg).set(i64::from(key.signs));
            families.signing_key_since(provider, kid, alg).set(key.since);
            gone.remove(&key.labels);
            shown.insert(key.labels.clone());
        }
        for labels in gone {
            for family in [&families.signing_key_signs, &families.signing_key_since] {
                // An error would mean that it is not there.
                let _gone = family.remove_label_values(&labels);
            }
        }
    }
}
