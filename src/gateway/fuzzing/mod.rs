//! What must hold for any target, query and body: what arrives is what was matched and checked.

pub(super) mod judge;
pub(super) mod sample;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};

use super::answer::{Needles, Scrubber};
use super::refusal::Refusal;
use sample::{Granted, Made, make};

/// A method and a target, with a blank between them.
pub(crate) fn gateway_target(bytes: &[u8]) {
    let Ok((method, target)) = std::str::from_utf8(bytes).map(|text| text.split_once(' ').unwrap_or(("GET", text)))
    else {
        return;
    };
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method.as_bytes()), Uri::try_from(target)) else { return };
    let call = sample::Call { method, uri, headers: HeaderMap::new(), body: None, user: None };
    if let Ok(made) = make(&call, &Granted::All) {
        judge::operation(&made);
    }
}

/// Secrets, a text and where it is cut: parts with a zero byte between them, the cuts first.
pub(crate) fn gateway_scrub(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0);
    let (Some(cuts), Some(text)) = (parts.next(), parts.next()) else { return };
    let needles = Arc::new(Needles::new(parts.take(3)));
    let (whole, count) = needles.mask(text).unwrap_or_else(|| (text.to_vec(), 0));
    assert_eq!(whole.len(), text.len());
    assert!(needles.mask(&whole).is_none() || whole.contains(&b'*'));
    let (mut scrubber, mut given, mut rest) = (Scrubber::new(Arc::clone(&needles)), Vec::new(), text);
    for cut in cuts {
        let (piece, behind) = rest.split_at(usize::from(*cut).min(rest.len()));
        given.extend_from_slice(&scrubber.push(Bytes::copy_from_slice(piece), false));
        rest = behind;
    }
    given.extend_from_slice(&scrubber.push(Bytes::copy_from_slice(rest), true));
    assert_eq!((given, scrubber.count(), scrubber.held()), (whole, count, 0));
}

/// A query.
pub(crate) fn gateway_query(bytes: &[u8]) {
    let Ok(uri) = Uri::try_from([b"/users?", bytes].concat()) else { return };
    let call = sample::Call { method: Method::GET, uri, headers: HeaderMap::new(), body: None, user: None };
    if let Ok(made) = make(&call, &Granted::All) {
        judge::operation(&made);
    }
}

/// A body of JSON.
pub(crate) fn gateway_json(bytes: &[u8]) {
    for path in ["/rooms", "/broadcast", "/notes", "/rooms/a/messages"] {
        for user in [None, Some("alice")] {
            if let Ok(made) = post(path, "application/json", bytes, user) {
                judge::operation(&made);
                judge::body(&made, bytes, user);
            }
        }
    }
}

/// A body of protobuf.
pub(crate) fn gateway_protobuf(bytes: &[u8]) {
    let post = |bytes: &[u8]| post("/rooms", "application/protobuf", bytes, None);
    if let Ok(made) = post(bytes) {
        judge::operation(&made);
        assert!(made.call.body.as_deref().unwrap_or_default() == bytes, "it passes as it is");
        let room = judge::last_string(bytes, 1).unwrap_or_default();
        assert!(made.parameters == [("room".to_owned(), room)], "other readers see the same");
        assert!(post(&[bytes, b"\x0a\x01b"].concat()).err() == Some(Refusal::BodyInvalid), "the field comes once");
        assert!(post(&[bytes, b"\x20\x01"].concat()).err() == Some(Refusal::BodyDenied), "what is forbidden is seen");
    }
}

fn post(path: &'static str, content_type: &'static str, body: &[u8], user: Option<&str>) -> Result<Made, Refusal> {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let uri = Uri::from_static(path);
    let call = sample::Call { method: Method::POST, uri, headers, body: Some(body.to_vec().into()), user };
    make(&call, &Granted::All)
}
