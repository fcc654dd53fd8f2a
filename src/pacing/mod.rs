//! How often something may happen, and when again after a failure.

pub mod jitter;
mod rate;

pub use rate::{Pace, Rate};
