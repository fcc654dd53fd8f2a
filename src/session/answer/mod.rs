//! A session as it goes out: JSON for browsers and apps, headers for a reverse proxy, or the form of the provider's own
//! client library. Rendered once, when the token is minted; a cached session is finished bytes.

mod header_limit;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::utf8_percent_encode;

use crate::provider::{Dialect, HEADER_TEXT, Minted, Profile};

/// Bytes of a header set at most: nginx reads all headers of an auth answer into one page of 4 KiB.
pub(super) const MAX_HEADER_BYTES: usize = 3584;

/// The token.
const TOKEN: HeaderName = HeaderName::from_static("x-chat-token");
/// Its end, RFC 3339.
const TOKEN_EXPIRES_AT: HeaderName = HeaderName::from_static("x-chat-token-expires-at");
/// Address that the browser uses.
const API_URL: HeaderName = HeaderName::from_static("x-chat-api-url");
/// The user's id at the provider, percent-encoded.
const USER_ID: HeaderName = HeaderName::from_static("x-chat-user-id");
/// Display name, percent-encoded UTF-8.
const DISPLAY_NAME: HeaderName = HeaderName::from_static("x-chat-display-name");
/// `ok`, `anonymous`, `denied`, `unavailable` or `limited`.
pub const STATUS: HeaderName = HeaderName::from_static("x-chat-status");

/// The five headers that carry a session; with [`STATUS`] they are the complete set.
pub const SESSION_HEADERS: [HeaderName; 5] = [TOKEN, TOKEN_EXPIRES_AT, API_URL, USER_ID, DISPLAY_NAME];

/// Tells Envoy which of the client's own headers to drop: those that an answer leaves empty.
pub const ENVOY_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// In which form a route answers.
#[derive(Clone, Debug)]
pub enum Form {
    /// JSON.
    Json,
    /// What the provider's own client library expects.
    Client(Arc<Dialect>),
    /// Headers, beginning with these, which every answer of the route has.
    Headers(HeaderMap),
}

/// A finished answer.
#[derive(Clone)]
pub enum Answer {
    /// A body.
    Body(Bytes),
    /// A body, and headers beside those of the route.
    Whole(Bytes, Box<HeaderMap>),
    /// All headers of the answer, status `ok` included.
    Headers(Box<HeaderMap>),
    /// The session cannot be written in headers, or not within a proxy's limits. Kept like any other answer: asking the
    /// provider again would bring the same.
    TooLong,
    /// The session lacks what a client must be told. Kept likewise.
    Incomplete,
}

impl std::fmt::Debug for Answer {
    /// Answers hold tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Body(_) | Self::Whole(..) => "Body(…)",
            Self::Headers(_) => "Headers(…)",
            Self::TooLong => "TooLong",
            Self::Incomplete => "Incomplete",
        })
    }
}

impl Answer {
    /// Renders `minted` for the user of `profile` and for what the request added.
    pub fn render(form: &Form, minted: &Minted, api_url: &str, profile: &Profile<'_>, inputs: &[Option<&str>]) -> Self {
        match form {
            Form::Json => Self::Body(session(minted, api_url, profile)),
            Form::Client(dialect) => match dialect.session(minted, api_url, profile, inputs) {
                Some((body, headers)) if headers.is_empty() => Self::Body(body),
                Some((body, headers)) => Self::Whole(body, Box::new(headers)),
                None => Self::Incomplete,
            },
            Form::Headers(frame) => headers(frame, minted, api_url, profile)
                .filter(|headers| header_bytes(headers) <= MAX_HEADER_BYTES)
                .map_or(Self::TooLong, |headers| Self::Headers(Box::new(headers))),
        }
    }

    /// Bytes of memory.
    pub fn len(&self) -> usize {
        match self {
            Self::Body(body) => body.len(),
            Self::Whole(body, headers) => body.len() + held(headers),
            Self::Headers(headers) => held(headers),
            Self::TooLong | Self::Incomplete => 0,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The session in the documented order: `token`, `expiresAt`, `apiUrl`, `chatUserId`, `displayName`, then the rest.
fn session(minted: &Minted, api_url: &str, profile: &Profile<'_>) -> Bytes {
    let mut out = Vec::with_capacity(minted.token.len() + api_url.len() + 256);
    let mut member = |before: &str, value: Option<&str>| {
        out.extend_from_slice(before.as_bytes());
        let written = serde_json::to_writer(&mut out, &value);
        debug_assert!(written.is_ok(), "text can be written to memory");
    };
    let expires = minted.expires.map(crate::clock::Timestamp::to_rfc3339);
    member("{\"token\":", Some(&minted.token));
    member(",\"expiresAt\":", expires.as_deref());
    member(",\"apiUrl\":", Some(api_url));
    member(",\"chatUserId\":", Some(&minted.user_id));
    member(",\"displayName\":", Some(profile.display_name()));
    for (name, value) in &minted.extra {
        out.push(b',');
        let written = serde_json::to_writer(&mut out, name);
        debug_assert!(written.is_ok(), "text can be written to memory");
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.push(b'}');
    // Exact size: a cached answer carries no slack.
    Bytes::from(out.into_boxed_slice())
}

/// All headers of an answer, however long; `None` where something in them cannot be said in one.
pub(super) fn headers(frame: &HeaderMap, minted: &Minted, api_url: &str, profile: &Profile<'_>) -> Option<HeaderMap> {
    let expires = minted.expires.map(crate::clock::Timestamp::to_rfc3339).unwrap_or_default();
    let mut headers = frame.clone();
    headers.insert(TOKEN, HeaderValue::try_from(minted.token.as_str()).ok()?);
    headers.insert(TOKEN_EXPIRES_AT, HeaderValue::try_from(expires).ok()?); // T-05: every header
    headers.insert(API_URL, HeaderValue::try_from(api_url).ok()?);
    headers.insert(USER_ID, encoded(&minted.user_id)?);
    headers.insert(DISPLAY_NAME, encoded(profile.display_name())?);
    headers.insert(STATUS, HeaderValue::from_static("ok"));
    if let Some(names) = left_empty(&headers) {
        headers.insert(ENVOY_REMOVE, names);
    }
    Some(headers)
}

/// The names of [`SESSION_HEADERS`] that have no value, as a list; `None` where all have one.
pub fn left_empty(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_empty = |name: &HeaderName| headers.get(name).is_none_or(HeaderValue::is_empty);
    let names: Vec<HeaderName> = SESSION_HEADERS.into_iter().filter(is_empty).collect();
    let list = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(",");
    if list.is_empty() { None } else { HeaderValue::try_from(list).ok() }
}

/// Visible ASCII, whatever the text.
fn encoded(text: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(utf8_percent_encode(text, HEADER_TEXT).to_string()).ok() // T-46: percent-encoded
}

/// Bytes of memory that headers take.
fn held(headers: &HeaderMap) -> usize {
    header_bytes(headers) + headers.capacity() * size_of::<HeaderValue>()
}

/// Bytes that they take on the wire.
pub(super) fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn minted(token: &str) -> Minted {
        Minted {
            token: token.to_owned(),
            expires: Some(Timestamp::from_millis(1_780_142_400_000)),
            minted: Timestamp::from_seconds(0),
            user_id: "user abc".to_owned(),
            extra: vec![("chatSettings".to_owned(), b"{\"a\":1}".to_vec())],
            upserted: false,
        }
    }

    #[test]
    fn json_has_the_documented_order_and_escapes_everything() {
        let profile = Profile { subject: "s", name: Some("Zoë \"x\"\u{2028}"), ..Profile::default() };
        let Answer::Body(body) = Answer::render(&Form::Json, &minted("tok"), "https://a/v1", &profile, &[]) else {
            panic!("JSON")
        };
        assert_eq!(
            std::str::from_utf8(&body).expect("text"),
            "{\"token\":\"tok\",\"expiresAt\":\"2026-05-30T12:00:00.000Z\",\"apiUrl\":\"https://a/v1\",\"chatUserId\":\"user abc\",\
             \"displayName\":\"Zoë \\\"x\\\"\u{2028}\",\"chatSettings\":{\"a\":1}}"
        );
        let endless = Minted { expires: None, extra: vec![], ..minted("tok") };
        let Answer::Body(body) = Answer::render(&Form::Json, &endless, "https://a", &profile, &[]) else {
            panic!("JSON")
        };
        assert!(std::str::from_utf8(&body).expect("text").contains("\"expiresAt\":null"));
    }

    #[test]
    fn header_values_are_visible_ascii_and_complete() {
        for name in ["Zoë", "a\r\nX-Evil: 1", "\u{560A}\u{560D}", "nul\0", "del\u{7f}", "100%"] {
            let profile = Profile { subject: "s", name: Some(name), ..Profile::default() };
            let Answer::Headers(headers) =
                Answer::render(&Form::Headers(HeaderMap::new()), &minted("tok"), "https://a", &profile, &[])
            else {
                panic!("headers")
            };
            assert_eq!(headers.len(), SESSION_HEADERS.len() + 1);
            for (name, value) in headers.iter() {
                assert!(value.as_bytes().iter().all(|b| (0x21..0x7f).contains(b)), "{name}: {value:?}");
            }
            let shown = headers[DISPLAY_NAME].to_str().expect("ASCII");
            assert_eq!(percent_encoding::percent_decode_str(shown).decode_utf8().expect("UTF-8"), name);
        }
    }

    #[test]
    fn what_is_empty_is_listed_for_removal() {
        let profile = Profile { subject: "s", ..Profile::default() };
        let of = |minted: &Minted, api_url: &str| match Answer::render(
            &Form::Headers(HeaderMap::new()),
            minted,
            api_url,
            &profile,
            &[],
        ) {
            Answer::Headers(headers) => headers.get(ENVOY_REMOVE).cloned(),
            other => panic!("{other:?}"),
        };
        let endless = Minted { expires: None, ..minted("tok") };
        assert_eq!(of(&minted("tok"), "https://a"), None);
        assert_eq!(of(&endless, "https://a").expect("a list"), "x-chat-token-expires-at");
        assert_eq!(of(&endless, "").expect("a list"), "x-chat-token-expires-at,x-chat-api-url");
        let all = left_empty(&HeaderMap::new()).expect("a list");
        assert_eq!(all.to_str().expect("ASCII").split(',').count(), SESSION_HEADERS.len());
    }

    #[test]
    fn a_set_beyond_the_proxies_limits_is_not_rendered() {
        let profile = Profile { subject: "s", ..Profile::default() };
        let of = |bytes: usize| {
            Answer::render(&Form::Headers(HeaderMap::new()), &minted(&"t".repeat(bytes)), "https://a", &profile, &[])
        };
        assert!(matches!(of(3000), Answer::Headers(_)));
        assert!(matches!(of(3600), Answer::TooLong));
    }
}
