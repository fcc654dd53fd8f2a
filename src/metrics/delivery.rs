//! What is counted of deliveries: attempts, targets, and the events that wait for them.

use super::families::families;
use super::{Counter, Gauge, Histogram, Lag};

families! {
    /// Deliveries of webhooks to the application.
    DeliveryFamilies {
        /// Attempts to deliver an event: delivered, refused (an answer that more attempts will hardly change), failed,
        /// timeout, unreachable.
        attempts(name, outcome): Counter = "sidemint_webhook_deliveries_total";
        /// Time of one attempt.
        seconds(name): Histogram = "sidemint_webhook_delivery_seconds";
        /// Time from the acceptance of an event to its delivery.
        lag_seconds(name): Lag = "sidemint_webhook_lag_seconds";
        /// 1 while events are posted to the target (to or fallback), 0 while it is down and only probed.
        target_up(name, target): Gauge = "sidemint_webhook_target_up";
        /// Events of webhooks without a queue that waited too long for a place among the attempts under way, or found too
        /// many before them.
        turned_away(name, target): Counter = "sidemint_webhook_deliveries_turned_away_total";
        /// Events that wait for their delivery.
        pending(name): Gauge = "sidemint_webhook_pending";
        /// Age of the oldest event that waits for its delivery.
        oldest_pending_seconds(name): Gauge = "sidemint_webhook_oldest_pending_seconds";
        /// Events that were put aside after their last attempt, until an operator replays or drops them.
        dead(name): Gauge = "sidemint_webhook_dead";
        /// Events that were put aside and deleted when their time was over.
        expired(name): Counter = "sidemint_webhook_expired_total";
    }
}
