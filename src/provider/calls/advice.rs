//! When to come back: the advice of a refusing provider, wherever it puts it.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, RETRY_AFTER};
use serde_json::Value;

use crate::clock::Timestamp;

/// Longer advice is cut to this: it is a mistake, or a call that waits for it comes too late.
const LONGEST: Duration = Duration::from_hours(24);
/// No provider asks for a wait of thirty years: a larger number is a point in time, in seconds since 1970.
const UNIX_SECONDS: f64 = 1e9;
/// This many seconds lie centuries ahead: a larger number counts milliseconds since 1970.
const UNIX_MILLIS: f64 = 1e11;

/// Places of a body where advice stands.
const PLACES: [&str; 4] = ["", "/error", "/details", "/error/details"];
/// Members that hold it, and what one of their units is in seconds.
const MEMBERS: [(&str, f64); 4] =
    [("retry_after", 1.0), ("retryAfter", 1.0), ("retry_after_seconds", 1.0), ("retry_after_ms", 1e-3)];

/// How long the provider asks to wait: `Retry-After` first (RFC 9110, 10.2.3), then the headers that the definition
/// names, then the body. What cannot be understood, or lies in the past, is no advice.
///
/// Headers hold seconds, a date, or a point in time as a number; seconds may have a fraction, and a header whose name
/// ends in `-ms` counts milliseconds.
pub(in crate::provider) fn advice(
    headers: &HeaderMap,
    body: Option<&Value>,
    extra_headers: &[HeaderName],
    now: Timestamp,
) -> Option<Duration> {
    let usual = [RETRY_AFTER, HeaderName::from_static("retry_after")];
    let from_headers = usual.iter().chain(extra_headers).find_map(|name| {
        let text = headers.get(name)?.to_str().ok()?.trim();
        let unit = if name.as_str().ends_with("-ms") { 1e-3 } else { 1.0 };
        text.parse().ok().and_then(|number: f64| span(number * unit, now)).or_else(|| until_date(text, now))
    });
    from_headers.or_else(|| in_body(body?, now))
}

/// How long `Retry-After` asks to wait, in an answer of others than providers.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    advice(headers, None, &[], now)
}

fn in_body(body: &Value, now: Timestamp) -> Option<Duration> {
    let places = PLACES.iter().filter_map(|place| body.pointer(place));
    places.flat_map(|place| MEMBERS.iter().map(move |(name, unit)| (place.get(name), unit))).find_map(
        |(member, unit)| {
            let number = match member? {
                Value::Number(number) => number.as_f64()?,
                Value::String(text) => text.trim().parse().ok()?,
                _ => return None,
            };
            span(number * unit, now)
        },
    )
}

/// The wait that a number of seconds means.
fn span(number: f64, now: Timestamp) -> Option<Duration> {
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    let seconds = if number > UNIX_MILLIS { number / 1e3 } else { number };
    // What does not fit is beyond every limit, as a span and as a point in time.
    let Ok(span) = Duration::try_from_secs_f64(seconds) else { return Some(LONGEST) };
    // fuzzing: longest advice
    if seconds > UNIX_SECONDS { until(Timestamp::from_seconds(0).plus(span), now) } else { Some(span.min(LONGEST)) }
}

fn until_date(text: &str, now: Timestamp) -> Option<Duration> {
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    until(Timestamp::from_seconds(0).plus(date), now)
}

fn until(point: Timestamp, now: Timestamp) -> Option<Duration> {
    (point >= now).then(|| point.since(now).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples, and a quarter of a second.
    const NOW: Timestamp = Timestamp::from_millis(784_111_777_250);
    /// 2026-05-30T12:00:00Z.
    const LATER: Timestamp = Timestamp::from_seconds(1_780_142_400);

    fn header(name: &'static str, text: &str, now: Timestamp) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::try_from(text).expect("a value"));
        let extra = ["retry-after-ms", "x-ratelimit-reset", "x-ratelimit-reset-ms"].map(HeaderName::from_static);
        advice(&headers, None, &extra, now)
    }

    fn body(body: &Value) -> Option<u128> {
        advice(&HeaderMap::new(), Some(body), &[], NOW).map(|span| span.as_millis())
    }

    #[test]
    fn retry_after_holds_seconds_or_a_date() {
        for (text, millis) in [
            ("120", Some(120_000)),
            (" 7 ", Some(7_000)),
            ("0", Some(0)),
            ("1.5", Some(1_500)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(9_750)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(59_750)),
            ("Sun Nov  6 08:50:37 1994", Some(59_750)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Thu, 06 Nov 2094 08:49:37 GMT", None),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(86_400_000)),
            ("-5", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("", None),
            ("10, 20", None),
            ("100000", Some(86_400_000)),
            ("1e300", Some(86_400_000)),
        ] {
            let told = header("retry-after", text, NOW).map(|span| span.as_millis());
            assert_eq!(told, millis, "{text}");
        }
    }

    #[test]
    fn other_headers_are_read_where_the_definition_names_them() {
        for (name, text, millis) in [
            ("retry_after", "3", Some(3_000)),
            ("retry-after-ms", "250", Some(250)),
            ("x-ratelimit-reset", "12.5", Some(12_500)),
            ("x-ratelimit-reset", "1780142430", Some(30_000)),
            ("x-ratelimit-reset", "1780142400500", Some(500)),
            ("x-ratelimit-reset-ms", "1780142400500", Some(500)),
            ("x-ratelimit-reset", "1780142399", None),
            ("x-ratelimit-reset", "1880142400", Some(86_400_000)),
            ("x-another", "3", None),
        ] {
            let told = header(name, text, LATER).map(|span| span.as_millis());
            assert_eq!(told, millis, "{name}: {text}");
        }
    }

    #[test]
    fn bodies_hold_it_at_the_top_or_with_the_error() {
        for (value, millis) in [
            (json!({"retry_after": 2}), Some(2_000)),
            (json!({"retry_after": 0.3}), Some(300)),
            (json!({"retry_after": "1.5"}), Some(1_500)),
            (json!({"retryAfter": 4}), Some(4_000)),
            (json!({"retry_after_seconds": 5}), Some(5_000)),
            (json!({"retry_after_ms": 1200}), Some(1_200)),
            (json!({"error": {"retry_after": 6}}), Some(6_000)),
            (json!({"details": {"retryAfter": 7}}), Some(7_000)),
            (json!({"error": {"details": {"retry_after_ms": "800"}}}), Some(800)),
            (json!({"retry_after": null, "retry_after_ms": 900}), Some(900)),
            (json!({"retry_after": -1, "error": {"retry_after": 8}}), Some(8_000)),
            (json!({"retry_after": 1e9}), Some(86_400_000)),
            (json!({"retry_after": true}), None),
            (json!({"retry_after": "later"}), None),
            (json!({"other": {"retry_after": 9}}), None),
            (json!({"error": "retry_after"}), None),
            (json!([1]), None),
            (json!(null), None),
        ] {
            assert_eq!(body(&value), millis, "{value}");
        }
    }

    #[test]
    fn headers_come_first() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-reset", HeaderValue::from_static("20"));
        let (value, extra) = (json!({"retry_after": 30}), [HeaderName::from_static("x-ratelimit-reset")]);
        let told = |headers: &HeaderMap, extra| advice(headers, Some(&value), extra, NOW).map(|span| span.as_secs());
        assert_eq!(told(&headers, &[]), Some(30));
        assert_eq!(told(&headers, &extra), Some(20));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
        assert_eq!(told(&headers, &extra), Some(10));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("whenever"));
        assert_eq!(told(&headers, &extra), Some(20));
        assert_eq!(advice(&HeaderMap::new(), None, &extra, NOW), None);
    }

    proptest! {
        #[test]
        fn no_number_and_no_text_asks_for_more_than_a_day(number in any::<f64>(), text in "[ -~]{0,40}") {
            for text in [number.to_string(), text] {
                let told = header("retry-after", &text, NOW);
                prop_assert!(told.is_none_or(|span| span <= LONGEST));
            }
            if number > 0.0 && number <= 86_400.0 {
                let told = header("retry-after", &number.to_string(), NOW).expect("advice");
                prop_assert!((told.as_secs_f64() - number).abs() < 1e-6);
            }
        }
    }
}
