//! What is counted of the tier that replicas share. Nothing of it is shown where there is none.

use super::families::families;
use super::{Counter, Gauge, Histogram};

families! {
    /// The shared tier, as this replica sees it.
    SharedFamilies, when_used {
        /// 1 where the shared tier answers, 0 where this replica works on alone.
        up(): Gauge = "sidemint_shared_up";
        /// Questions to the tier by how they ended: ok, timeout, lost (no connection), refused (loading, read-only, no
        /// permission), down (not asked, because it was known to be away).
        operations(op, outcome): Counter = "sidemint_shared_operations_total";
        /// Time of one question to the tier.
        operation_seconds(op): Histogram = "sidemint_shared_operation_duration_seconds";
        /// Times that a mint waited for the session that another replica was minting.
        waited(): Counter = "sidemint_shared_waited_total";
        /// Replicas that the tier has seen within five seconds.
        replicas(): Gauge = "sidemint_shared_replicas";
        /// The tier's time minus ours, in seconds.
        clock_offset(): Gauge = "sidemint_shared_clock_offset_seconds";
        /// Times that events may have been missed: the connection was away for two seconds, or the tier lost some.
        gaps(): Counter = "sidemint_shared_gaps_total";
        /// Sessions of the cache that were not confirmed since the last gap.
        unconfirmed(): Gauge = "sidemint_shared_unconfirmed";
        /// Values of the tier that did not open: malformed, key (not here), forged (not for this question).
        unopened(reason): Counter = "sidemint_shared_unopened_total";
        /// Sign-outs that the other replicas have not been told yet.
        signouts_pending(): Gauge = "sidemint_shared_signouts_pending";
    }
}
