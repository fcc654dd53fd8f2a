//! What is counted of webhooks: requests of providers, and the queue. Nothing of it is shown where there are none.

use super::families::families;
use super::{Counter, Gauge, Histogram, Size};

families! {
    /// What providers post, and what is kept of it.
    WebhookFamilies, when_used {
        /// Requests by how they ended: accepted, duplicate, filtered, challenge, or why they were refused.
        requests(name, outcome): Counter = "sidemint_webhook_requests_total";
        /// Time from the complete head of a request to its answer.
        request_seconds(name): Histogram = "sidemint_webhook_request_seconds";
        /// Proven events, by the secret that proves them: current, or previous within the overlap after a change.
        verified(name, secret): Counter = "sidemint_webhook_verified_total";
        /// Proven events whose id came with another body before.
        id_conflicts(name): Counter = "sidemint_webhook_id_conflicts_total";
        /// Signed times minus our time, in seconds: the median of the last 31 requests that had one.
        clock_skew(name): Gauge = "sidemint_webhook_clock_skew_seconds";
        /// Bytes of the events in the queue, those that were put aside as well.
        queue_bytes(): Gauge = "sidemint_webhook_queue_bytes";
        /// How full the queue is in percent, by events or by bytes, whichever is more.
        queue_fill(): Gauge = "sidemint_webhook_queue_fill_percent";
        /// Time of one commit of the queue: what was written is on disk.
        commit_seconds(): Histogram = "sidemint_webhook_commit_seconds";
        /// Events that one commit keeps.
        commit_events(): Size = "sidemint_webhook_commit_events";
        /// 1 where the queue is on a disk that outlives the process, 0 on tmpfs or a network file system.
        queue_durable(): Gauge = "sidemint_webhook_queue_durable";
    }
}
