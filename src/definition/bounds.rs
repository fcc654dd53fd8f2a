//! Numbers and spans with bounds. Each key declares its own with its type, so that no number is without: a semaphore, a
//! timer and an addition all have a largest value, and none of them may be the first to say so (T-74).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A thousandth of a second: what spans are bounded in.
pub const MILLI: u64 = 1;
/// A minute of them.
pub const MINUTE: u64 = 60_000 * MILLI;
/// An hour.
pub const HOUR: u64 = 60 * MINUTE;
/// A day.
pub const DAY: u64 = 24 * HOUR;
/// A year, as humantime counts it.
pub const YEAR: u64 = 365 * DAY + 6 * HOUR;

/// A span of time written as text: `"90s"`, `"5m"`, `"1h 30m"`. It lies between `MIN` and `MAX`, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Span<const MAX: u64 = HOUR, const MIN: u64 = 0>(pub Duration);

impl<const MAX: u64, const MIN: u64> Span<MAX, MIN> {
    /// So many seconds.
    pub const fn seconds(n: u64) -> Self {
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
pub struct Count<const MAX: u64, const MIN: u64 = 0>(pub u64);

impl<const MAX: u64, const MIN: u64> Count<MAX, MIN> {
    /// The number as a size in memory.
    pub fn size(self) -> usize {
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

/// In the schema of definitions, a span is text.
#[cfg(test)]
impl<const MAX: u64, const MIN: u64> schemars::JsonSchema for Span<MAX, MIN> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

/// In the schema of definitions, a count has its bounds.
#[cfg(test)]
impl<const MAX: u64, const MIN: u64> schemars::JsonSchema for Count<MAX, MIN> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        u64::schema_name()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}
