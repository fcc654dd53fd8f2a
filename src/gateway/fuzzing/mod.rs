//! What must hold for any target, query and body: what arrives is what was matched and checked.

pub(super) mod judge;
pub(super) mod sample;

use http::{HeaderMap, HeaderValue, Method, Uri};

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
