//! Every metric of the service: name, help text and labels, in one struct.
//!
//! Labels come from small closed sets (configured names and enums), never from requests. Handles are resolved once,
//! by the room that counts, so that counting on the warm path is one atomic addition.

mod calls;
mod identity;
mod key_sets;
mod label;

use std::collections::BTreeSet;

use parking_lot::Mutex;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use calls::CallMetrics;
use identity::IdentityMetrics;
pub use key_sets::KeySetMetrics;
pub use label::{ByVariant, Label};

/// A count that only grows.
pub type Counter = prometheus::IntCounter;
/// A value that goes up and down.
pub type Gauge = prometheus::IntGauge;
/// A distribution of durations in seconds.
pub type Histogram = prometheus::Histogram;

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

/// The registry and every family in it.
#[derive(Debug)]
#[expect(clippy::partial_pub_fields, reason = "families need labels, so they have methods; single gauges have none")]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    sessions: IntCounterVec,
    identity: IdentityMetrics,
    head_refusals: IntCounterVec,
    provider_calls: IntCounterVec,
    provider_seconds: HistogramVec,
    upserts: IntCounterVec,
    breaker: IntGaugeVec,
    calls: CallMetrics,
    credentials_generation: IntGaugeVec,
    credentials_rejected: IntCounterVec,
    signing_key_signs: IntGaugeVec,
    signing_key_since: IntGaugeVec,
    key_set_since: IntGaugeVec,
    key_set_keys: IntGaugeVec,
    key_set_fetches: IntCounterVec,
    key_set_unknown: IntCounterVec,
    /// Labels of the signing keys that are shown: those that are gone are taken away.
    shown_keys: Mutex<BTreeSet<[String; 3]>>,
    connections_closed: IntCounterVec,
    connections_refused: IntCounterVec,
    tls_handshake_failures: IntCounterVec,
    tls_expiry: IntGaugeVec,
    cache_evictions: IntCounterVec,
    gauges: IntGaugeVec,
    build_info: IntGaugeVec,
    /// Sessions in the cache.
    pub cache_entries: Gauge,
    /// Bytes of memory that the cached sessions take, keys and answers included.
    pub cache_bytes: Gauge,
    /// Open connections on the front listener.
    pub connections: Gauge,
    /// 1 while the service is ready.
    pub ready: Gauge,
    /// Configured files whose reading does not come to an end.
    pub files_stuck: Gauge,
    /// Lines of the log that were lost.
    pub log_lines_dropped: Counter,
    /// 1 when networks that hold everybody are believed.
    pub insecure_peers: Gauge,
    /// Generation of the secrets that prove a peer; 0 where there are none.
    pub peer_secrets_generation: Gauge,
    /// Changed secrets of peers that were not usable.
    pub peer_secrets_rejected: Counter,
    /// Generation of the certificates in service; 0 without TLS.
    pub tls_generation: Gauge,
    /// Changed certificates, keys or authorities that were not usable.
    pub tls_rejected: Counter,
    /// Entries of the lists of denied users.
    pub denied_users: Gauge,
    /// Changed lists of denied users that were not usable.
    pub deny_list_rejected: Counter,
}

/// Buckets from a cache hit (tens of microseconds) to the longest deadline.
const SECONDS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

impl Metrics {
    /// Creates and registers every family. Fails only if two families had one name, which a test excludes.
    #[expect(clippy::too_many_lines, reason = "a list: one family after the other")]
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let family = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| -> Result<HistogramVec, prometheus::Error> {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let family = HistogramVec::new(options, labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let single = |name: &str, help: &str| -> Result<Gauge, prometheus::Error> {
            let gauge = Gauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let plain = |name: &str, help: &str| -> Result<Counter, prometheus::Error> {
            let counter = Counter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Self {
            requests: counter(
                "sidemint_requests_total",
                "Requests on the front listener, by configured route and outcome code.",
                &["route", "outcome"],
            )?,
            request_seconds: histogram(
                "sidemint_request_duration_seconds",
                "Time from the complete request head to the answer, by configured route.",
                &["route"],
            )?,
            sessions: counter(
                "sidemint_sessions_total",
                "Sessions by route and how they came about: hit, stale (served while a refresh runs), minted (the request \
                 waited), renewed (by the clock), expired (left unused).",
                &["route", "how"],
            )?,
            identity: IdentityMetrics::register(&registry)?,
            head_refusals: counter(
                "sidemint_head_refusals_total",
                "Request heads that were refused before any route saw them, by reason.",
                &["reason"],
            )?,
            provider_calls: counter(
                "sidemint_provider_calls_total",
                "Calls to the provider, by step and outcome class.",
                &["provider", "step", "outcome"],
            )?,
            provider_seconds: histogram(
                "sidemint_provider_call_duration_seconds",
                "Time of one call to the provider, by step.",
                &["provider", "step"],
            )?,
            upserts: counter(
                "sidemint_upserts_total",
                "User upserts: done, or skipped because the profile is known to the provider.",
                &["provider", "result"],
            )?,
            breaker: gauge(
                "sidemint_breaker_state",
                "State of the provider's circuit breaker: 0 closed, 1 half open, 2 open.",
                &["provider"],
            )?,
            calls: CallMetrics::register(&registry)?,
            credentials_generation: gauge(
                "sidemint_credentials_generation",
                "Generation of the provider's secrets and keys; grows with each accepted change.",
                &["provider"],
            )?,
            credentials_rejected: counter(
                "sidemint_credentials_rejected_total",
                "Changed secrets or keys that were not usable; the last good ones stay in service.",
                &["provider"],
            )?,
            signing_key_signs: gauge(
                "sidemint_signing_key_signs",
                "1 for the key that signs new tokens, 0 for one that is only published or accepted.",
                &["provider", "kid", "alg"],
            )?,
            signing_key_since: gauge(
                "sidemint_signing_key_since_timestamp_seconds",
                "When the file of the key was written, in seconds since 1970.",
                &["provider", "kid", "alg"],
            )?,
            key_set_since: gauge(
                "sidemint_key_set_fetched_timestamp_seconds",
                "When the source last told its keys, in seconds since 1970; 0 before the first time.",
                &["source"],
            )?,
            key_set_keys: gauge("sidemint_key_set_keys", "Keys of the source that are in use.", &["source"])?,
            key_set_fetches: counter(
                "sidemint_key_set_fetches_total",
                "Looks at the source's keys, by outcome; after a failure the last good keys stay in use.",
                &["source", "outcome"],
            )?,
            key_set_unknown: counter(
                "sidemint_key_set_unknown_total",
                "Tokens that named a key which the source does not have.",
                &["source"],
            )?,
            shown_keys: Mutex::default(),
            connections_closed: counter(
                "sidemint_connections_closed_total",
                "Connections that were cut, by reason.",
                &["reason"],
            )?,
            connections_refused: counter(
                "sidemint_connections_refused_total",
                "Connections that were closed as soon as they came because no place was free for them, by reason.",
                &["reason"],
            )?,
            tls_handshake_failures: counter(
                "sidemint_tls_handshake_failures_total",
                "TLS handshakes on the front listener that failed, by reason.",
                &["reason"],
            )?,
            tls_expiry: gauge(
                "sidemint_tls_expiry_timestamp_seconds",
                "When the first certificate of the file expires, in seconds since 1970.",
                &["file"],
            )?,
            cache_evictions: counter(
                "sidemint_cache_evictions_total",
                "Sessions dropped to keep within the limits of the cache.",
                &["cache"],
            )?,
            gauges: gauge(
                "sidemint_renewals_pending",
                "Sessions that wait for their point of renewal or removal.",
                &["queue"],
            )?,
            build_info: gauge("sidemint_build_info", "Always 1; the version is the label.", &["version"])?,
            cache_entries: single("sidemint_cache_entries", "Sessions in the cache.")?,
            cache_bytes: single("sidemint_cache_bytes", "Bytes that cached sessions take, keys included.")?,
            connections: single("sidemint_connections", "Open connections on the front listener.")?,
            ready: single("sidemint_ready", "1 while the service is ready.")?,
            files_stuck: single(
                "sidemint_files_stuck",
                "Configured files whose reading does not come to an end; their last good content stays in service.",
            )?,
            log_lines_dropped: plain(
                "sidemint_log_lines_dropped_total",
                "Lines of the log that were lost, because standard output was not read or could not be written.",
            )?,
            insecure_peers: single(
                "sidemint_insecure_peers",
                "1 when identity headers are believed from networks that hold everybody.",
            )?,
            peer_secrets_generation: single(
                "sidemint_peer_secrets_generation",
                "Generation of the secrets and keys that prove a peer; grows with each accepted change, 0 without any.",
            )?,
            peer_secrets_rejected: plain(
                "sidemint_peer_secrets_rejected_total",
                "Changed secrets of peers that were not usable; the last good ones stay in service.",
            )?,
            tls_generation: single(
                "sidemint_tls_generation",
                "Generation of certificate, key and client authorities; grows with each accepted change, 0 without TLS.",
            )?,
            tls_rejected: plain(
                "sidemint_tls_rejected_total",
                "Changed certificates, keys or authorities that were not usable; the last good ones stay in service.",
            )?,
            denied_users: single("sidemint_denied_users", "Entries of the lists of denied users.")?,
            deny_list_rejected: plain(
                "sidemint_deny_list_rejected_total",
                "Changed lists of denied users that were not usable; the last good one stays in service.",
            )?,
            registry,
        }
        .with_build_info())
    }

    fn with_build_info(self) -> Self {
        self.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        self
    }

    /// Requests of `route` that ended with `outcome`.
    pub fn requests(&self, route: &str, outcome: &str) -> Counter {
        self.requests.with_label_values(&[route, outcome])
    }

    /// Durations of requests of `route`.
    pub fn request_seconds(&self, route: &str) -> Histogram {
        self.request_seconds.with_label_values(&[route])
    }

    /// Sessions of `route` that came about by `how`.
    pub fn sessions(&self, route: &str, how: &str) -> Counter {
        self.sessions.with_label_values(&[route, how])
    }

    /// Heads that were refused for `reason`.
    pub fn head_refusals(&self, reason: &str) -> Counter {
        self.head_refusals.with_label_values(&[reason])
    }

    /// Calls of `step` at `provider` that ended with `outcome`.
    pub fn provider_calls(&self, provider: &str, step: &str, outcome: &str) -> Counter {
        self.provider_calls.with_label_values(&[provider, step, outcome])
    }

    /// Durations of calls of `step` at `provider`.
    pub fn provider_seconds(&self, provider: &str, step: &str) -> Histogram {
        self.provider_seconds.with_label_values(&[provider, step])
    }

    /// Upserts at `provider` with `result` (`done` or `skipped`).
    pub fn upserts(&self, provider: &str, result: &str) -> Counter {
        self.upserts.with_label_values(&[provider, result])
    }

    /// State of the breaker of `provider`.
    pub fn breaker(&self, provider: &str) -> Gauge {
        self.breaker.with_label_values(&[provider])
    }

    /// Mints and sign-outs at work at `provider`, those that wait, and those that were refused.
    pub fn calls(&self, provider: &str) -> (Gauge, Gauge, Counter) {
        self.calls.of(provider)
    }

    /// Calls that wait for their turn under the limit of `provider`.
    pub fn limiter_waiting(&self, provider: &str) -> Gauge {
        self.calls.limiter_waiting.with_label_values(&[provider])
    }

    /// Calls that the limit of `provider` refused.
    pub fn limiter_refused(&self, provider: &str) -> Counter {
        self.calls.limiter_refused.with_label_values(&[provider])
    }

    /// Generation of the credentials of `provider`.
    pub fn credentials_generation(&self, provider: &str) -> Gauge {
        self.credentials_generation.with_label_values(&[provider])
    }

    /// Changed credentials of `provider` that were not usable.
    pub fn credentials_rejected(&self, provider: &str) -> Counter {
        self.credentials_rejected.with_label_values(&[provider])
    }

    /// Shows the signing keys of all providers, and no others.
    pub fn show_keys(&self, keys: &[SigningKeyLine]) {
        let mut shown = self.shown_keys.lock();
        let mut gone = std::mem::take(&mut *shown);
        for key in keys {
            let labels = key.labels.each_ref().map(String::as_str);
            self.signing_key_signs.with_label_values(&labels).set(i64::from(key.signs));
            self.signing_key_since.with_label_values(&labels).set(key.since);
            gone.remove(&key.labels);
            shown.insert(key.labels.clone());
        }
        for labels in gone {
            let labels = labels.each_ref().map(String::as_str);
            for family in [&self.signing_key_signs, &self.signing_key_since] {
                // An error would mean that it is not there.
                let _gone = family.remove_label_values(&labels);
            }
        }
    }

    /// What is counted of the key set of `source`; `faults` are the ways in which a look may fail.
    pub fn key_set(&self, source: &str, faults: impl IntoIterator<Item = &'static str>) -> KeySetMetrics {
        let looks = std::iter::once("ok").chain(faults);
        KeySetMetrics {
            since: self.key_set_since.with_label_values(&[source]),
            keys: self.key_set_keys.with_label_values(&[source]),
            looks: looks.map(|how| (how, self.key_set_fetches.with_label_values(&[source, how]))).collect(),
            unknown: self.key_set_unknown.with_label_values(&[source]),
        }
    }

    /// Connections that were cut for `reason`.
    pub fn connections_closed(&self, reason: &str) -> Counter {
        self.connections_closed.with_label_values(&[reason])
    }

    /// Connections that got no place for `reason`.
    pub fn connections_refused(&self, reason: &str) -> Counter {
        self.connections_refused.with_label_values(&[reason])
    }

    /// TLS handshakes that failed for `reason`.
    pub fn tls_handshake_failures(&self, reason: &str) -> Counter {
        self.tls_handshake_failures.with_label_values(&[reason])
    }

    /// When the first certificate of `file` (`certificate` or `client_ca`) expires.
    pub fn tls_expiry(&self, file: &str) -> Gauge {
        self.tls_expiry.with_label_values(&[file])
    }

    /// Entries of `cache` dropped to keep within its limits.
    pub fn cache_evictions(&self, cache: &str) -> Counter {
        self.cache_evictions.with_label_values(&[cache])
    }

    /// Items waiting in the renewal queue.
    pub fn renewals_pending(&self) -> Gauge {
        self.gauges.with_label_values(&["sessions"])
    }

    /// Everything as Prometheus text.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// Content type of [`Metrics::render`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";
}
