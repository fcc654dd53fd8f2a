//! When a token ends, in every form that providers write it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::provider::definition::{Expires, ExpiryKind};

/// Ends later than year 9999 cannot be written as RFC 3339 and mean that a unit was mistaken.
const LATEST: i64 = 253_402_300_799_999;

/// The end of `token` by several rules: the earliest counts.
pub(in crate::provider) fn earliest(
    rules: &[Expires],
    answer: &Value,
    token: &str,
    now: Timestamp,
    requested: Timestamp,
) -> Result<Option<Timestamp>, &'static str> {
    let mut earliest: Option<Option<Timestamp>> = None;
    for rule in rules {
        match read(rule, answer, token, now, requested)? {
            End::Unset => {}
            End::Never => earliest = earliest.or(Some(None)),
            End::At(point) => earliest = Some(Some(earliest.flatten().map_or(point, |other| other.min(point)))),
        }
    }
    earliest.ok_or("no expiry in the answer")
}

/// What one rule finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    At(Timestamp),
    Never,
    /// This rule finds no end; another rule of the list does.
    Unset,
}

fn read(
    rule: &Expires,
    answer: &Value,
    token: &str,
    now: Timestamp,
    requested: Timestamp,
) -> Result<End, &'static str> {
    let found = rule.at.as_deref().and_then(|at| answer.pointer(at)).filter(|value| !value.is_null());
    let kind = match (found, rule.absent) {
        (None, Some(instead)) if rule.kind.is_read() => instead,
        _ => rule.kind,
    };
    if found.zip(rule.never).is_some_and(|(value, never)| whole(value) == Some(never)) {
        return Ok(End::Never);
    }
    let point = match kind {
        ExpiryKind::None => return Ok(End::Never),
        ExpiryKind::Other => return Ok(End::Unset),
        ExpiryKind::Requested => requested,
        ExpiryKind::Jwt => jwt_expiry(token).ok_or("no expiry in the answer, and none in the token")?,
        _ => parse_end(kind, found.ok_or("no expiry in the answer")?, now).ok_or("expiry cannot be read")?,
    };
    if point.as_millis() > LATEST {
        return Err("expiry is absurdly late");
    }
    if point <= now { Err("expiry is in the past") } else { Ok(End::At(point)) }
}

fn parse_end(kind: ExpiryKind, value: &Value, now: Timestamp) -> Option<Timestamp> {
    match kind {
        ExpiryKind::Iso => Timestamp::parse_rfc3339(value.as_str()?),
        ExpiryKind::Seconds => whole(value).map(Timestamp::from_seconds),
        ExpiryKind::Milliseconds => whole(value).map(Timestamp::from_millis),
        ExpiryKind::Relative => whole(value).map(|seconds| later(now, seconds.saturating_mul(1000))),
        ExpiryKind::RelativeMilliseconds => whole(value).map(|milliseconds| later(now, milliseconds)),
        ExpiryKind::Jwt | ExpiryKind::Requested | ExpiryKind::None | ExpiryKind::Other => None,
    }
}

fn later(now: Timestamp, milliseconds: i64) -> Timestamp {
    Timestamp::from_millis(now.as_millis().saturating_add(milliseconds))
}

/// A number, or a number as text, as some providers send it.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The claim `exp` of a JWT that came straight from the provider, so its signature is not checked.
fn jwt_expiry(token: &str) -> Option<Timestamp> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Value = serde_json::from_slice(&BASE64URL.decode(claims).ok()?).ok()?;
    let expires = claims.get("exp")?;
    // RFC 7519, 4.1.4: a NumericDate may have a fraction.
    let seconds = expires.as_i64().or_else(|| whole_part(expires.as_f64()?))?;
    Some(Timestamp::from_seconds(seconds))
}

fn whole_part(seconds: f64) -> Option<i64> {
    format!("{:.0}", seconds.floor()).parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_777_920_000);

    fn rule(kind: ExpiryKind, absent: Option<ExpiryKind>) -> Expires {
        Expires { at: Some("/e".to_owned()), kind, absent, never: Some(0) }
    }

    fn end(kind: ExpiryKind, value: Value) -> Result<Option<i64>, &'static str> {
        earliest(&[rule(kind, None)], &json!({ "e": value }), "opaque", NOW, NOW)
            .map(|point| point.map(Timestamp::as_seconds))
    }

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.c2ln", BASE64URL.encode(claims.to_string()))
    }

    #[test]
    fn every_form_is_read() {
        let later = 1_777_923_600;
        assert_eq!(end(ExpiryKind::Iso, json!("2026-05-04T19:40:00.000Z")), Ok(Some(later)));
        assert_eq!(end(ExpiryKind::Seconds, json!(later)), Ok(Some(later)));
        assert_eq!(end(ExpiryKind::Seconds, json!(later.to_string())), Ok(Some(later)));
        assert_eq!(end(ExpiryKind::Milliseconds, json!(later * 1000)), Ok(Some(later)));
        assert_eq!(end(ExpiryKind::Relative, json!(3600)), Ok(Some(later)));
        assert_eq!(end(ExpiryKind::RelativeMilliseconds, json!(3_600_000)), Ok(Some(later)));
        assert_eq!(end(ExpiryKind::Relative, json!("3600")), Ok(Some(later)));
        assert_eq!(end(ExpiryKind::None, json!(null)), Ok(None));
        assert_eq!(end(ExpiryKind::Milliseconds, json!(0)), Ok(None), "a number may stand for never");
    }

    #[test]
    fn of_several_ends_the_earliest_counts() {
        let at =
            |at: &str, kind| Expires { at: Some(at.to_owned()), kind, absent: Some(ExpiryKind::Other), never: None };
        let rules = [at("/at", ExpiryKind::Seconds), at("/in", ExpiryKind::Relative)];
        let end = |answer: &Value| earliest(&rules, answer, "opaque", NOW, NOW);
        let at = |seconds: i64| Ok(Some(Timestamp::from_seconds(NOW.as_seconds() + seconds)));
        let absolute = NOW.as_seconds() + 100;
        assert_eq!(end(&json!({"at": absolute, "in": 50})), at(50));
        assert_eq!(end(&json!({"at": absolute, "in": 500})), at(100));
        assert_eq!(end(&json!({"at": absolute})), at(100));
        assert_eq!(end(&json!({"in": 7})), at(7));
        assert!(end(&json!({})).is_err());
    }

    #[test]
    fn wrong_types_and_impossible_ends_are_refused() {
        for (kind, value) in [
            (ExpiryKind::Iso, json!("soon")),
            (ExpiryKind::Iso, json!(1_777_923_600)),
            (ExpiryKind::Iso, json!({})),
            (ExpiryKind::Iso, json!("2026-05-04T18:40:00.000Z")),
            (ExpiryKind::Seconds, json!("2026-05-04T19:40:00.000Z")),
            (ExpiryKind::Seconds, json!(1.5)),
            (ExpiryKind::Seconds, json!(1_777_923_600_000_i64)),
            (ExpiryKind::Seconds, json!(-1)),
            (ExpiryKind::Relative, json!(-1)),
            (ExpiryKind::Relative, json!(i64::MAX)),
            (ExpiryKind::Milliseconds, json!(true)),
        ] {
            assert!(end(kind, value.clone()).is_err(), "{kind:?} {value}");
        }
    }

    #[test]
    fn the_end_is_in_the_token_where_the_answer_has_none() {
        let rule = rule(ExpiryKind::Iso, Some(ExpiryKind::Jwt));
        let token = jwt(&json!({"exp": 1_777_923_600}));
        let nothing = json!({});
        assert_eq!(read(&rule, &nothing, &token, NOW, NOW), Ok(End::At(Timestamp::from_seconds(1_777_923_600))));
        let fraction = jwt(&json!({"exp": 1_777_923_600.7}));
        assert_eq!(read(&rule, &nothing, &fraction, NOW, NOW), Ok(End::At(Timestamp::from_seconds(1_777_923_600))));
        for token in
            ["opaque", "a.b", "a.!.c", &jwt(&json!({})), &jwt(&json!({"exp": "x"})), &jwt(&json!({"exp": 1e300}))]
        {
            assert!(read(&rule, &nothing, token, NOW, NOW).is_err(), "{token}");
        }
        // Present but unreadable is an error, not a reason to look elsewhere.
        assert!(read(&rule, &json!({"e": "soon"}), &token, NOW, NOW).is_err());
    }
}
