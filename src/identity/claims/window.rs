//! The time in which claims hold: from `nbf` and `iat` until `exp`, with one leeway for clocks that do not agree.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Claims;
use crate::clock::{Clock, Timestamp};
use crate::identity::Refusal;

/// 9999-12-31T23:59:59Z: later times are mistakes, or milliseconds.
const LAST_SECOND: i64 = 253_402_300_799;

/// What a source asks of the claim `exp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::identity) enum Expiry {
    /// It is there, and has not passed.
    Required,
    /// If it is there, it has not passed.
    IfPresent,
    /// Nothing.
    Ignored,
}

/// When claims hold: from the first moment, and before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) struct Window {
    pub(in crate::identity) from: Timestamp,
    pub(in crate::identity) until: Timestamp,
    /// What claims are past `until`.
    late: Refusal,
}

impl Window {
    /// The time between two moments.
    pub(in crate::identity) const fn new(from: Timestamp, until: Timestamp) -> Self {
        Self { from, until, late: Refusal::Expired }
    }

    /// The time until `exp`. A claim that is there and no time is wrong, also where it need not be there.
    pub(in crate::identity) fn until_exp(claims: &Claims, expiry: Expiry, leeway: Duration) -> Result<Self, Refusal> {
        let exp = if expiry == Expiry::Ignored { None } else { time_of(claims, "exp")? };
        // T-21: exp
        if exp.is_none() && expiry == Expiry::Required {
            return Err(Refusal::Claim);
        }
        let exp = exp.unwrap_or(Timestamp::from_seconds(LAST_SECOND));
        Ok(Self::new(Timestamp::from_seconds(0), exp.plus(leeway)))
    }

    /// The same, beginning no sooner than this.
    #[must_use]
    pub(in crate::identity) fn from(self, from: Timestamp) -> Self {
        Self { from: self.from.max(from), ..self }
    }

    /// The same, ending no later than this, and what claims are past it.
    #[must_use]
    pub(in crate::identity) fn until(self, until: Timestamp, late: Refusal) -> Self {
        if until < self.until { Self { until, late, ..self } } else { self }
    }

    /// Whether `now` lies in it, and if not, how.
    pub(in crate::identity) fn check(self, now: Timestamp) -> Result<(), Refusal> {
        if now < self.from {
            Err(Refusal::NotYetValid)
        } else if now < self.until {
            Ok(())
        } else {
            Err(self.late)
        }
    }
}

/// What times in claims are held against.
#[derive(Clone, Debug)]
pub(in crate::identity) struct Validity {
    pub(in crate::identity) clock: Arc<dyn Clock>,
    /// For clocks that do not agree.
    pub(in crate::identity) leeway: Duration,
}

impl Validity {
    /// Whether claims have not ended yet.
    pub(in crate::identity) fn check(&self, claims: &Claims, expiry: Expiry) -> Result<(), Refusal> {
        Window::until_exp(claims, expiry, self.leeway)?.check(self.clock.now())
    }
}

/// The time in a claim, if the claim is there.
pub(in crate::identity) fn time_of(claims: &Claims, name: &str) -> Result<Option<Timestamp>, Refusal> {
    claims.get(name).map(|value| time(value).ok_or(Refusal::Claim)).transpose() // T-21: times are numbers
}

/// A `NumericDate` (RFC 7519, 2): seconds since 1970, perhaps with a fraction. Text, negative and boundless numbers are
/// none.
fn time(value: &Value) -> Option<Timestamp> {
    let since = match value.as_u64() {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::try_from_secs_f64(value.as_f64()?).ok()?,
    };
    let time = Timestamp::from_seconds(0).plus(since);
    (time.as_seconds() <= LAST_SECOND).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_numbers() {
        for (value, millis) in [(json!(1_777_920_000), 1_777_920_000_000), (json!(1.5), 1500), (json!(0), 0)] {
            assert_eq!(time(&value), Some(Timestamp::from_millis(millis)), "{value}");
        }
        for wrong in [
            json!("1777920000"),
            json!(-1),
            json!(-0.5),
            json!(1e300),
            json!(u64::MAX),
            json!(1_777_920_000_000_u64),
            json!(null),
            json!(true),
            json!([1]),
        ] {
            assert_eq!(time(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_missing_end_is_as_the_source_says() {
        let claims = |value: Value| value.as_object().expect("claims").clone();
        let until = |value: Value, expiry| {
            let window = Window::until_exp(&claims(value), expiry, Duration::from_secs(5))?;
            Ok(window.until)
        };
        let (ends, never) = (Timestamp::from_seconds(15), Timestamp::from_seconds(LAST_SECOND + 5));
        for expiry in [Expiry::Required, Expiry::IfPresent] {
            assert_eq!(until(json!({ "exp": 10 }), expiry), Ok(ends));
            assert_eq!(until(json!({ "exp": null }), expiry), Err(Refusal::Claim));
        }
        assert_eq!(until(json!({}), Expiry::Required), Err(Refusal::Claim));
        assert_eq!(until(json!({}), Expiry::IfPresent), Ok(never));
        assert_eq!(until(json!({ "exp": "never" }), Expiry::Ignored), Ok(never));
    }
}
