//! When a source is looked at next: ahead of the age that it states, and ever more seldom while it fails.

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL};

use crate::identity::definition::REFRESH_BOUNDS;
use crate::pacing::{Backoff, jitter};

/// The waits after failures.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(20), longest: Duration::from_mins(5), jitter: true };

/// When to look next.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Where the answer says nothing.
    usual: Duration,
    /// Failures since the last success.
    failures: u32,
}

impl Schedule {
    pub(super) fn new(usual: Duration) -> Self {
        Self { usual, failures: 0 }
    }

    /// The wait after an answer that stays fresh for so long: four fifths of it and a bit, so that the new keys are here
    /// before the old ones are too old.
    pub(super) fn after_success(&mut self, fresh_for: Option<Duration>) -> Duration {
        self.failures = 0;
        let (least, most) = REFRESH_BOUNDS;
        fresh_for.unwrap_or(self.usual).clamp(least, most).mul_f64(0.8 + 0.15 * jitter::fraction())
    }

    /// The wait after a failure.
    pub(super) fn after_failure(&mut self) -> Duration {
        let wait = PAUSES.after(self.failures, None);
        self.failures = self.failures.saturating_add(1);
        wait
    }
}

/// How long an answer stays fresh (RFC 9111, 5.2.2.1), less the time that it spent in caches on its way.
pub(super) fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let mut directives =
        headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let age = directives.find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| value.trim_matches('"').parse::<u64>().ok())?
    })?;
    let spent = headers.get(AGE).and_then(|value| value.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    Some(Duration::from_secs(age.saturating_sub(spent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_stated_age_is_read() {
        for (line, seconds) in [
            ("max-age=60", Some(60)),
            ("public, max-age=3600, must-revalidate", Some(3600)),
            ("Max-Age=\"7\"", Some(7)),
            ("no-store", None),
            ("max-age=soon", None),
            ("max-age=-1", None),
            ("s-maxage=9", None),
        ] {
            assert_eq!(fresh_for(&headers(&[(CACHE_CONTROL, line)])), seconds.map(Duration::from_secs), "{line}");
        }
        let old = headers(&[(CACHE_CONTROL, "max-age=3600"), (AGE, "600")]);
        assert_eq!(fresh_for(&old), Some(Duration::from_secs(3000)));
    }

    #[test]
    fn looks_come_ahead_of_the_age_and_within_bounds() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let mut schedule = Schedule::new(minutes(20));
        for (stated, age) in [
            (None, minutes(20)),
            (Some(minutes(0)), minutes(5)),
            (Some(minutes(60)), minutes(60)),
            (Some(minutes(100_000)), minutes(24 * 60)),
        ] {
            let wait = schedule.after_success(stated);
            assert!(wait >= age.mul_f64(0.8) && wait < age, "{stated:?}: {wait:?}");
        }
    }

    #[test]
    fn failures_make_the_waits_longer_up_to_five_minutes() {
        let mut schedule = Schedule::new(PAUSES.longest);
        for least in [10, 20, 40, 80, 150, 150, 150] {
            let wait = schedule.after_failure();
            let least = Duration::from_secs(least);
            assert!(wait >= least && wait <= least * 2, "{least:?}: {wait:?}");
        }
        schedule.after_success(None);
        assert!(schedule.after_failure() <= Duration::from_secs(20), "a success ends it");
    }
}
