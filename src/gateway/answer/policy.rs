//! Which answers pass: by status, by encoding, by type, by size.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};

/// Bytes of an answer at most.
pub(super) const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Passes,
    /// The provider does not take our credential: that is no business of the caller, and such answers repeat what was sent.
    CredentialRefused,
    /// It does not pass, for a reason that the log tells.
    Bad(&'static str),
}

/// Judges an answer by its head. `streams` says whether the operation may be answered with events.
pub fn judge(status: u16, headers: &HeaderMap, streams: bool) -> Verdict {
    match status {
        401 => return Verdict::CredentialRefused, // G-12: 401
        304 => {}
        // G-11: redirects
        300..=399 => return Verdict::Bad("redirect"),
        0..=199 => return Verdict::Bad("upgrade"),
        _ => {}
    }
    let encodings = headers.get_all(CONTENT_ENCODING).iter();
    // G-12: encoded answers
    if encodings.into_iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Verdict::Bad("encoded");
    }
    if !streams && is_event_stream(headers) {
        return Verdict::Bad("event_stream");
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // G-22: declared length
    if length.is_some_and(|length| length > MOST_BYTES) {
        return Verdict::Bad("too_large");
    }
    Verdict::Passes
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let types = headers.get_all(CONTENT_TYPE).iter();
    types.into_iter().any(|own| {
        let media = own.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        media.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    })
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderName, HeaderValue};

    use super::*;

    fn of(status: u16, lines: &[(HeaderName, &'static str)], streams: bool) -> Verdict {
        let lines = lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        judge(status, &lines.collect(), streams)
    }

    /// G-11, G-12, G-22.
    #[test]
    fn answers_pass_by_status_encoding_type_and_size() {
        for status in [200, 201, 204, 206, 304, 400, 403, 404, 409, 429, 500, 503] {
            assert_eq!(of(status, &[], false), Verdict::Passes, "{status}");
        }
        for status in [300, 301, 302, 303, 305, 307, 308] {
            assert_eq!(of(status, &[], false), Verdict::Bad("redirect"), "{status}");
        }
        assert_eq!(of(101, &[], true), Verdict::Bad("upgrade"));
        assert_eq!(of(401, &[], true), Verdict::CredentialRefused);
        for (line, streams, expected) in [
            ((CONTENT_ENCODING, "identity"), false, Verdict::Passes),
            ((CONTENT_ENCODING, "gzip"), false, Verdict::Bad("encoded")),
            ((CONTENT_ENCODING, "identity, br"), false, Verdict::Bad("encoded")),
            ((CONTENT_TYPE, "text/event-stream"), true, Verdict::Passes),
            ((CONTENT_TYPE, "text/event-stream"), false, Verdict::Bad("event_stream")),
            ((CONTENT_TYPE, "Text/Event-Stream ; charset=utf-8"), false, Verdict::Bad("event_stream")),
            ((CONTENT_TYPE, "application/json"), false, Verdict::Passes),
            ((CONTENT_LENGTH, "16777216"), false, Verdict::Passes),
            ((CONTENT_LENGTH, "16777217"), false, Verdict::Bad("too_large")),
        ] {
            assert_eq!(of(200, std::slice::from_ref(&line), streams), expected, "{line:?}");
        }
    }
}
