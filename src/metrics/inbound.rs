//! What is counted at the listeners.

use super::families::families;
use super::{Counter, Gauge, Histogram};

families! {
    /// Requests, connections and TLS.
    InboundFamilies {
        /// Requests on the front listener, by configured route and outcome code.
        requests(route, outcome): Counter = "sidemint_requests_total";
        /// Time from the complete request head to the answer, by configured route.
        request_seconds(route): Histogram = "sidemint_request_duration_seconds";
        /// Request heads that were refused before any route saw them, by reason.
        head_refusals(reason): Counter = "sidemint_head_refusals_total";
        /// Open connections on the front listener and on that of gRPC.
        connections(): Gauge = "sidemint_connections";
        /// Connections that may be open there at once.
        connections_limit(): Gauge = "sidemint_connections_limit";
        /// Connections that were cut, by reason.
        connections_closed(reason): Counter = "sidemint_connections_closed_total";
        /// Connections that were closed as soon as they came because no place was free for them, by reason.
        connections_refused(reason): Counter = "sidemint_connections_refused_total";
        /// TLS handshakes that failed, by the section of the listener and by reason.
        tls_handshake_failures(listener, reason): Counter = "sidemint_tls_handshake_failures_total";
        /// When the first certificate of the file expires, in seconds since 1970.
        tls_expiry(listener, file): Gauge = "sidemint_tls_expiry_timestamp_seconds";
        /// Generation of certificate, key and client authorities; grows with each accepted change.
        tls_generation(listener): Gauge = "sidemint_tls_generation";
        /// Changed certificates, keys or authorities that were not usable; the last good ones stay in service.
        tls_rejected(listener): Counter = "sidemint_tls_rejected_total";
    }
}
