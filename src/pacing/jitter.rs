//! Randomness that is good enough to spread load, and never used for anything secret.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// A number that differs from call to call.
pub fn number() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// A number from 0 to 1.
pub fn fraction() -> f64 {
    f64::from(u32::try_from(number() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// Between half and the whole of `wait`, so that those who failed together do not come back together.
pub fn spread(wait: Duration) -> Duration {
    let half = wait / 2;
    half + half.mul_f64(fraction())
}
