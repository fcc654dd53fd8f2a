//! Durations as text: `"90s"`, `"1h"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|_| {
        serde::de::Error::custom(format!("\"{text}\" is not a duration; write text such as \"90s\" or \"1h\""))
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
