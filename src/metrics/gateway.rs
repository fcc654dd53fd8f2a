//! What is counted of the gateway. Nothing of it is shown where there is none: each family has labels.

use super::families::families;
use super::{Counter, Gauge, Histogram};

families! {
    /// Server-side calls of the application.
    GatewayFamilies {
        /// Calls by caller, provider, operation and how they ended. Caller and operation are empty where a refusal came
        /// before they were known.
        requests(caller, provider, operation, outcome): Counter = "sidemint_gateway_requests_total";
        /// Time from the complete head of a call to the end of its answer.
        seconds(provider, operation): Histogram = "sidemint_gateway_seconds";
        /// Answers of the gateway's own, by code. Caller and provider are empty where a refusal came before they were known.
        refusals(caller, provider, code): Counter = "sidemint_gateway_refusals_total";
        /// Calls under way.
        in_flight(caller): Gauge = "sidemint_gateway_in_flight";
        /// Bytes of bodies: in is to the provider, out is of its answers.
        bytes(provider, direction): Counter = "sidemint_gateway_bytes_total";
        /// Passages of answers that were masked because they repeated what the call carried.
        scrubbed(provider): Counter = "sidemint_gateway_scrubbed_total";
    }
}
