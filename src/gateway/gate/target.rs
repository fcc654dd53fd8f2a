//! Targets of requests: what stands between their slashes, decoded once. What is odd is refused and never repaired.

use std::borrow::Cow;

use http::Uri;

use crate::decode::percent;
use crate::gateway::refusal::Refusal;

/// Bytes of a target at most.
const MAX_BYTES: usize = 8 * 1024;

/// A target in origin form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'r> {
    segments: Vec<Cow<'r, str>>,
    query: Option<&'r str>,
}

impl<'r> Target<'r> {
    /// Reads the target of a request. A whole address names a host, and no request chooses one.
    pub fn of(uri: &'r Uri) -> Result<Self, Refusal> {
        // G-01: absolute form
        if uri.scheme().is_some() || uri.authority().is_some() {
            return Err(Refusal::TargetInvalid);
        }
        Self::read(uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str)).ok_or(Refusal::TargetInvalid)
    }

    fn read(text: &'r str) -> Option<Self> {
        let is_plain = |text: &str| text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        let text = Some(text).filter(|text| is_plain(text) && !text.contains('#'))?;
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        let segments = path.strip_prefix('/')?.split('/').map(segment).collect::<Option<_>>()?;
        Some(Self { segments, query })
    }

    /// What stands between the slashes, decoded. There is at least one, and none is empty or only dots.
    pub fn segments(&self) -> &[Cow<'r, str>] {
        &self.segments
    }

    /// What stands behind the question mark, as it was sent.
    pub fn query(&self) -> Option<&'r str> {
        self.query
    }

    /// The same below its first segments, which must be these.
    pub fn below(mut self, first: &[&str]) -> Result<Self, Refusal> {
        let is_below =
            self.segments.len() > first.len() && self.segments.iter().zip(first).all(|(own, name)| own == name);
        if !is_below {
            return Err(Refusal::OperationUnknown);
        }
        self.segments.drain(..first.len());
        Ok(self)
    }
}

/// A segment, decoded; `None` where another program could see something else in it.
fn segment(encoded: &str) -> Option<Cow<'_, str>> {
    let text = percent::decode(encoded.as_bytes())?;
    let is_path = matches!(text.as_ref(), "" | "." | ".."); // G-02, G-03: dots
    let is_odd = |c: char| matches!(c, '/' | '\\' | '%') || c.is_control(); // G-02, G-03: odd characters
    (!is_path && !text.chars().any(is_odd)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<Cow<'_, str>>> {
        Target::read(text).map(|target| target.segments)
    }

    #[test]
    fn segments_are_decoded_once() {
        for (text, segments) in [
            ("/users", &["users"][..]),
            ("/users/%40a%3Ab?x=/..", &["users", "@a:b"]),
            ("/a/b;c=d/J%c3%b6rg", &["a", "b;c=d", "J\u{f6}rg"]),
            ("/a../..b/...", &["a..", "..b", "..."]),
            ("/twirp/livekit.RoomService/CreateRoom", &["twirp", "livekit.RoomService", "CreateRoom"]),
            ("/a?", &["a"]),
        ] {
            assert_eq!(read(text).as_deref().expect(text), segments, "{text}");
        }
        let target = Target::read("/gateway/live/a?b=%zz?c").expect("a target").below(&["gateway", "live"]);
        let target = target.expect("below");
        assert_eq!((target.segments(), target.query()), (&[Cow::Borrowed("a")][..], Some("b=%zz?c")));
    }

    /// G-02, G-03: what is refused is refused wherever it stands.
    #[test]
    fn what_two_programs_read_in_two_ways_is_refused() {
        for part in [
            "",
            ".",
            "..",
            "%2e",
            "%2E%2e",
            ".%2e",
            "%2e.",
            "%2F",
            "a%2fb",
            "a%5cb",
            "a\\b",
            "%",
            "%2",
            "%zz",
            "%252e",
            "%25",
            "%252F",
            "%00",
            "a%0d%0ab",
            "%7f",
            "%c2%80",
            "%ff",
            "%c0%ae",
            "%c0%af",
            "%ed%a0%80",
            "a b",
            "a\tb",
            "\u{e9}",
            "a#b",
        ] {
            for text in [format!("/{part}"), format!("/a/{part}"), format!("/{part}/a"), format!("/a/{part}/b?c=d")] {
                assert_eq!(read(&text), None, "{text}");
            }
        }
        for text in ["", "*", "a", "//", "/a/", "?a", "http://a/b", "/a?b c", "/a?b=\u{e9}"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(read(&format!("/{}", "a".repeat(MAX_BYTES - 1))).is_some());
        assert_eq!(read(&format!("/{}", "a".repeat(MAX_BYTES))), None);
    }

    /// G-01: the form says no host.
    #[test]
    fn a_target_names_no_host() {
        for text in
            ["http://evil.example/users", "HTTPS://evil.example/users", "evil.example:443", "*", "//evil.example/users"]
        {
            let uri: Uri = text.parse().expect(text);
            assert_eq!(Target::of(&uri), Err(Refusal::TargetInvalid), "{text}");
        }
        for text in ["/@evil.example/users", "/users@evil.example", "/evil.example:80/users"] {
            assert!(Target::of(&text.parse().expect(text)).is_ok(), "{text}");
        }
    }

    #[test]
    fn only_what_is_below_a_mount_is_seen() {
        let below = |text: &'static str| Target::read(text).expect(text).below(&["gateway", "live"]);
        assert!(below("/gateway/live/users").is_ok());
        for text in ["/gateway/live", "/gateway/other/users", "/users", "/gateway/Live/users", "/x/gateway/live/users"]
        {
            assert_eq!(below(text), Err(Refusal::OperationUnknown), "{text}");
        }
    }
}
