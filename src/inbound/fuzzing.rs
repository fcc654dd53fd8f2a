//! What must hold for any query, body and origin.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HOST, HeaderValue, ORIGIN};

use super::reply::observe::shown_origin;
use super::routes::browser::Rules;
use super::routes::input;
use crate::config;
use crate::decode::origin;
use crate::decode::{form, json};

pub(crate) use super::connection::fuzzing::heads;
pub(crate) use super::grpc::fuzzing::check;

/// A body or a query. Another reader of JSON sees the same members; a pair survives being written and read again.
pub(crate) fn input(bytes: &[u8]) {
    if let Ok(members) = json::object(bytes, u8::MAX) {
        assert_eq!(serde_json::from_slice(bytes).ok(), Some(members), "what is read here is the same to others");
    }
    if let Some(pairs) = form::pairs(bytes) {
        let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        assert_eq!(form::pairs(written.as_bytes()), Some(pairs), "decode and encode are inverses");
    }
    for media in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        let read = input::body(&headers, bytes);
        assert!(media != "text/plain" || read.is_err(), "only declared types are read");
    }
}

/// `Origin` and `Host` in one line each: only the listed origin, byte for byte but for a default port, is let read the
/// answer.
pub(crate) fn origins(bytes: &[u8]) {
    const LISTED: &str = "https://shop.example.com";
    let mut halves = bytes.splitn(2, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in [ORIGIN, HOST] {
        if let Some(value) = halves.next().and_then(|half| HeaderValue::from_bytes(half).ok()) {
            headers.insert(name, value);
        }
    }
    let origin = headers.get(ORIGIN).map(|value| value.as_bytes().to_vec());
    let browser = config::Browser {
        allow_origins: [LISTED.to_owned()].into(),
        allow_hosts: ["app.example.com".to_owned()].into(),
        require_header: None,
    };
    let rules = Rules::new(browser, [].iter());
    let request = super::request::Request::for_fuzzing(headers);
    let cors = rules.cors(&request);
    let is_listed = origin.as_deref().and_then(|bytes| bytes.strip_prefix(LISTED.as_bytes()));
    assert_eq!(cors.is_some(), is_listed.is_some_and(|rest| matches!(rest, b"" | b":443")), "listed, byte for byte");
    let ours = |value: &HeaderValue| [LISTED, "true", "Retry-After, X-Request-Id"].iter().any(|own| value == own);
    assert!(cors.iter().flat_map(HeaderMap::values).all(ours), "nothing of the request is in it");
    if let Some(told) = shown_origin(&request) {
        let whole = told == "null" || origin::parse(told) == Some(told);
        assert!(whole && told.is_ascii() && told.len() <= 300, "an origin and nothing else is logged");
    }
    if rules.check(&request).is_ok() {
        assert_eq!(request.host().as_deref(), Some("app.example.com"));
    }
}
