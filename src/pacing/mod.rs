//! How often something may happen, and when again after a failure.

mod backoff;
pub mod jitter;
mod rate;

pub use backoff::Backoff;
pub use rate::{Pace, Rate};
