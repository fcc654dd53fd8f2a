//! What is counted of sessions.

use super::families::families;
use super::{Counter, Gauge};

families! {
    /// Sessions, their cache and their renewal.
    SessionFamilies {
        /// Sessions by route and how they came about: hit, stale (served while a refresh runs), shared (taken over
        /// from another replica), minted (the request waited), renewed (by the clock), expired (left unused).
        sessions(route, how): Counter = "sidemint_sessions_total";
        /// Sessions in the cache.
        cache_entries(): Gauge = "sidemint_cache_entries";
        /// Bytes of memory that the cached sessions take, keys and answers included.
        cache_bytes(): Gauge = "sidemint_cache_bytes";
        /// Sessions dropped to keep within the limits of the cache.
        cache_evictions(cache): Counter = "sidemint_cache_evictions_total";
        /// Sessions that wait for their point of renewal or removal.
        renewals_pending(queue): Gauge = "sidemint_renewals_pending";
    }
}
