//! When a request was signed: read strictly, and held against a window.
//!
//! Strict means that a time has one way to be written. It is signed as text, and in some schemes the body follows it at
//! once: a byte that moves from one to the other must not leave a time (W-06).

use crate::clock::Timestamp;
use crate::provider::TimeKind;
use crate::webhook::refusal::Reason;

/// Digits of a number at most: what is longer is no time, and could not be counted.
const MOST_DIGITS: usize = 18;

/// How times are written, and how far from now they may lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeRule {
    pub(super) kind: TimeKind,
    /// Seconds that it may be old.
    pub(super) window: i64,
    /// Seconds that it may lie ahead.
    pub(super) ahead: i64,
}

impl TimeRule {
    /// Reads a time and holds it against the window. Whole seconds count, as in the official verifiers.
    pub(super) fn check(&self, text: &str, now: Timestamp) -> Result<(), Reason> {
        let at = self.read(text).ok_or(Reason::BadTimestamp)?;
        let age = now.as_seconds().saturating_sub(at.as_seconds());
        if age > self.window {
            Err(Reason::Stale) // W-07: stale
        } else if age < self.ahead.saturating_neg() {
            Err(Reason::Future) // W-07: future
        } else {
            Ok(())
        }
    }

    /// The time, whether or not it lies in the window.
    pub(super) fn read(&self, text: &str) -> Option<Timestamp> {
        match self.kind {
            TimeKind::Seconds => digits(text).map(Timestamp::from_seconds),
            TimeKind::Milliseconds => digits(text).map(Timestamp::from_millis),
            TimeKind::Iso => iso(text),
        }
    }
}

/// A whole number in its one form: no sign, no blank, no zero before it.
fn digits(text: &str) -> Option<i64> {
    let is_strict = text.len() <= MOST_DIGITS
        && text.bytes().all(|byte| byte.is_ascii_digit()) // W-07: digits only
        && (text == "0" || !text.starts_with('0'));
    is_strict.then(|| text.parse().ok())?
}

/// `2026-05-04T18:42:03Z`, perhaps with a fraction of the second. The `Z` ends it, and stands nowhere else.
fn iso(text: &str) -> Option<Timestamp> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let (date, rest) = text.as_bytes().split_at_checked(SHAPE.len())?;
    let fits = |(shape, byte): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { shape == byte };
    let fraction = rest.strip_suffix(b"Z")?;
    let is_fraction = match fraction {
        [] => true,
        [b'.', digits @ ..] => (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    (SHAPE.iter().zip(date).all(fits) && is_fraction).then(|| Timestamp::parse_rfc3339(text))? // W-06: strict time
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_777_920_123);

    fn rule(kind: TimeKind) -> TimeRule {
        TimeRule { kind, window: 300, ahead: 60 }
    }

    /// W-07: a time has one form, and whatever else it could be read as is none.
    #[test]
    fn times_are_read_strictly() {
        for text in [
            "",
            "+1777920123",
            "-1777920123",
            " 1777920123",
            "1777920123 ",
            "1777920123.0",
            "1e400",
            "1.77e9",
            "01777920123",
            "0x69f8",
            "1_777_920_123",
            "\u{661}777920123",
            "9999999999999999999",
            "inf",
            "NaN",
            "yesterday",
            "1777920123,1777920123",
        ] {
            for kind in [TimeKind::Seconds, TimeKind::Milliseconds] {
                assert_eq!(rule(kind).check(text, NOW), Err(Reason::BadTimestamp), "{text:?}");
            }
        }
        for text in [
            "",
            "1777920123",
            "2026-05-04T18:42:03",
            "2026-05-04T18:42:03Z{",
            "2026-05-04T18:42:03z",
            "2026-05-04t18:42:03Z",
            "2026-05-04 18:42:03Z",
            "2026-05-04T18:42:03+00:00",
            "2026-05-04T18:42Z",
            "2026-05-04T18:42:03.Z",
            "2026-05-04T18:42:03,5Z",
            "2026-05-04T18:42:03.0123456789Z",
            "+2026-05-04T18:42:03Z",
            "2026-13-04T18:42:03Z",
            "2026-05-04T25:42:03Z",
            "2026-05-04T18:42:03Z[UTC]",
            "2026-05-04T18:42:03ZZ",
        ] {
            assert_eq!(rule(TimeKind::Iso).check(text, NOW), Err(Reason::BadTimestamp), "{text:?}");
        }
    }

    #[test]
    fn the_window_has_both_ends() {
        for (kind, text, outcome) in [
            (TimeKind::Seconds, "1777920123", Ok(())),
            (TimeKind::Seconds, "1777919823", Ok(())),
            (TimeKind::Seconds, "1777919822", Err(Reason::Stale)),
            (TimeKind::Seconds, "0", Err(Reason::Stale)),
            (TimeKind::Seconds, "1777920183", Ok(())),
            (TimeKind::Seconds, "1777920184", Err(Reason::Future)),
            (TimeKind::Seconds, "999999999999999999", Err(Reason::Future)),
            (TimeKind::Milliseconds, "1777920123000", Ok(())),
            (TimeKind::Milliseconds, "1777920123", Err(Reason::Stale)),
            (TimeKind::Iso, "2026-05-04T18:42:03Z", Ok(())),
            (TimeKind::Iso, "2026-05-04T18:42:03.999Z", Ok(())),
            (TimeKind::Iso, "2026-05-04T18:37:02Z", Err(Reason::Stale)),
            (TimeKind::Iso, "2999-12-31T23:59:59Z", Err(Reason::Future)),
        ] {
            assert_eq!(rule(kind).check(text, NOW), outcome, "{text}");
        }
    }

    proptest! {
        /// W-06: what is left of a time when its end moves into the body, or the body's beginning into it, is outside the
        /// window or no time.
        #[test]
        fn no_byte_moves_between_time_and_body(age in 0_u64..300, moved in 1_usize..20, body in "[0-9A-Za-z.:{]{1,8}") {
            let at = NOW.minus(Duration::from_secs(age));
            for (kind, text) in [
                (TimeKind::Seconds, at.as_seconds().to_string()),
                (TimeKind::Milliseconds, at.as_millis().to_string()),
                (TimeKind::Iso, at.to_rfc3339()),
            ] {
                let shorter: String = text.chars().take(text.len().saturating_sub(moved)).collect();
                prop_assert!(rule(kind).check(&shorter, NOW).is_err(), "{shorter}");
                let longer = format!("{text}{body}");
                prop_assert!(rule(kind).check(&longer, NOW).is_err(), "{longer}");
            }
        }
    }
}
