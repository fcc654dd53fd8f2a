//! Durations as text: `"90s"`, `"1h"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Longest span that a definition may hold: ten years. Beyond it, sums of times have no meaning.
const LONGEST: Duration = Duration::from_hours(10 * 366 * 24);

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).ok().filter(|span| *span <= LONGEST).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "\"{text}\" is not a span of time; write text such as \"90s\" or \"1h\", 3660 days at most"
        ))
    })
}

/// Durations that may be left out.
pub(super) mod optional {
    use std::time::Duration;

    use serde::Deserializer;

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}
