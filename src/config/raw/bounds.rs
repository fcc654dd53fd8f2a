//! Numbers and spans with bounds. Each key declares its own with its type, so that no number is without: a semaphore, a
//! timer and an addition all have a largest value, and none of them may be the first to say so (T-74).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A thousandth of a second: what spans are bounded in.
pub(in crate::config) const MILLI: u64 = 1;
pub(in crate::config) const MINUTE: u64 = 60_000 * MILLI;
pub(in crate::config) const HOUR: u64 = 60 * MINUTE;
pub(in crate::config) const DAY: u64 = 24 * HOUR;

/// A span of time written as text: `"90s"`, `"5m"`, `"1h 30m"`. It lies between `MIN` and `MAX`, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Span<const MAX: u64 = HOUR, const MIN: u64 = 0>(pub(in crate::config) Duration);

impl<const MAX: u64, const MIN: u64> Span<MAX, MIN> {
    pub(in crate::config) const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
}

impl<const MAX: u64, const MIN: u64> fmt::Debug for Span<MAX, MIN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, const MAX: u64, const MIN: u64> Deserialize<'de> for Span<MAX, MIN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const MAX: u64, const MIN: u64>;
        impl<const MAX: u64, const MIN: u64> de::Visitor<'_> for Visitor<MAX, MIN> {
            type Value = Span<MAX, MIN>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let shown = |millis| humantime::format_duration(Duration::from_millis(millis));
                write!(f, "a span of time as text, from \"{}\" to \"{}\"", shown(MIN), shown(MAX))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let bounds = Duration::from_millis(MIN)..=Duration::from_millis(MAX);
                // T-74: largest span
                let span = humantime::parse_duration(text).ok().filter(|span| bounds.contains(span));
                span.map(Span).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// A whole number between `MIN` and `MAX`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Count<const MAX: u64, const MIN: u64 = 0>(pub(in crate::config) u64);

impl<const MAX: u64, const MIN: u64> Count<MAX, MIN> {
    pub(in crate::config) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MAX: u64, const MIN: u64> fmt::Debug for Count<MAX, MIN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, const MAX: u64, const MIN: u64> Deserialize<'de> for Count<MAX, MIN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const MAX: u64, const MIN: u64>;
        impl<const MAX: u64, const MIN: u64> de::Visitor<'_> for Visitor<MAX, MIN> {
            type Value = Count<MAX, MIN>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                let fits = (MIN..=MAX).contains(&number).then_some(Count(number)); // T-74: largest count
                fits.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                let whole =
                    u64::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))?;
                self.visit_u64(whole)
            }
        }
        deserializer.deserialize_u64(Visitor)
    }
}
