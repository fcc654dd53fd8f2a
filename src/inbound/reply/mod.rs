//! Answers as they go out: the headers that all of a route have, bodies, and what an outcome adds.

pub(super) mod gateway;
pub(super) mod observe;
mod outcome;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use warp::reply::Response;

pub use outcome::{Outcome, Row, Subrequest};

use crate::clock::{Clock as _, SystemClock};
use crate::inbound::request::RequestId;
use crate::provider::{Dialect, FailureView};

/// Id of the request, in every answer and log line.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Clients that were given no advice come back after this.
const DEFAULT_RETRY: Duration = Duration::from_secs(5);

/// What an answer carries beside its outcome.
#[derive(Clone, Debug, Default)]
pub(super) struct Extras {
    /// Advice for `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    /// Methods, for 405 and OPTIONS.
    pub(super) allow: Option<&'static str>,
    /// Headers for another origin.
    pub(super) cors: Option<HeaderMap>,
}

/// Headers that every answer of an identity route has, made once per route.
#[derive(Clone, Debug)]
pub(super) struct Base(HeaderMap);

impl Base {
    /// `read` are the headers that the answer depends on beside those of browsers, `content_type` is what bodies are, if
    /// there are any.
    pub(super) fn new(read: &[&HeaderName], content_type: Option<&'static str>) -> Self {
        let mut headers = HeaderMap::with_capacity(8);
        // Its place is the first: there it is found without a search. The value comes with each request.
        headers.insert(X_REQUEST_ID, HeaderValue::from_static(""));
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            // Keeps what a page may not read out of its process. Listed origins ask with CORS, which this does not touch.
            headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, private")); // T-31: not stored
        // A cache in front of the login tells users apart by their cookie or credential, not by what the proxy makes of it.
        let mut vary: Vec<&str> = read.iter().map(|name| name.as_str()).collect();
        let ambient = ["cookie", "authorization", "origin", "sec-fetch-site"]; // T-31: vary
        vary.extend(ambient.into_iter().filter(|name| !read.iter().any(|own| own.as_str() == *name)));
        let vary = vary.join(", ");
        headers.insert(VARY, HeaderValue::try_from(vary).unwrap_or_else(|_| HeaderValue::from_static("*")));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")); // T-45: no sniffing
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        Self(headers)
    }

    /// The same and one more.
    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.insert(name, value);
        self
    }

    /// A copy for one answer.
    pub(super) fn headers(&self, id: RequestId) -> HeaderMap {
        numbered(self.0.clone(), id)
    }

    /// The headers themselves, for answers that are finished when they are minted.
    pub(super) fn into_headers(self) -> HeaderMap {
        self.0
    }
}

/// Writes the request id into headers that began as a [`Base`].
pub(super) fn numbered(mut headers: HeaderMap, id: RequestId) -> HeaderMap {
    if let Some(value) = headers.values_mut().next() {
        *value = id.header();
    }
    headers
}

/// A finished body with the headers of its route.
pub(super) fn body(base: &Base, id: RequestId, status: StatusCode, body: Bytes, cors: Option<HeaderMap>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    *response.headers_mut() = base.headers(id);
    if let Some(cors) = cors {
        response.headers_mut().extend(cors);
    }
    response
}

/// The answer for an outcome that is not a session.
pub(super) fn problem(base: &Base, id: RequestId, outcome: Outcome, extras: Extras) -> Response {
    let (headers, body) = parts(base, id, outcome, extras);
    let mut response = Response::new(body.into());
    *response.status_mut() = outcome.row().status;
    *response.headers_mut() = headers;
    response
}

/// Puts such an answer into the form of a client library. An answer that is no failure has none.
pub(super) fn in_dialect(response: &mut Response, dialect: &Dialect, outcome: Outcome, id: RequestId) {
    let row = outcome.row();
    if row.status.is_success() {
        return;
    }
    let status = dialect.status_for(row.status);
    *response.status_mut() = status;
    let failure = FailureView { message: row.error, code: row.code, status, request_id: id.as_str() };
    let (body, content_type) =
        dialect.failure(&failure).unwrap_or_else(|| (Bytes::from(text(row, id)), "application/json"));
    *response.body_mut() = body.into();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
}

/// Headers and body of such an answer.
fn parts(base: &Base, id: RequestId, outcome: Outcome, extras: Extras) -> (HeaderMap, Bytes) {
    let row = outcome.row();
    // What is no failure has nothing to say.
    let empty = row.error.is_empty();
    let body = if empty { Bytes::new() } else { Bytes::from(text(row, id)) };
    let mut headers = base.headers(id);
    if empty {
        headers.remove(CONTENT_TYPE);
    }
    if outcome.has_retry_advice() {
        headers.insert(RETRY_AFTER, seconds(extras.retry_after.unwrap_or(DEFAULT_RETRY)));
    }
    if let Some(allow) = extras.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if outcome == Outcome::Draining {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if outcome == Outcome::Unauthorized {
        headers.insert(WWW_AUTHENTICATE, CHALLENGE);
    }
    headers.extend(extras.cors.unwrap_or_default());
    (headers, body)
}

/// A subrequest that passes, with these headers.
pub(super) fn passed(headers: HeaderMap) -> Response {
    empty(Outcome::Ok.row().status, headers)
}

/// A subrequest that is refused. One that may pass later says when.
pub(super) fn denied(base: &Base, id: RequestId, status: StatusCode, retry_after: Option<Duration>) -> Response {
    let mut headers = base.headers(id);
    if status == Outcome::Unauthorized.row().status {
        headers.insert(WWW_AUTHENTICATE, CHALLENGE);
    }
    if status.is_server_error() {
        headers.insert(RETRY_AFTER, seconds(retry_after.unwrap_or(DEFAULT_RETRY)));
    }
    empty(status, headers)
}

fn empty(status: StatusCode, headers: HeaderMap) -> Response {
    let mut response = Response::new(Bytes::new().into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Of the machine: this is no time that anything depends on.
fn since_1970() -> Duration {
    Duration::from_secs(u64::try_from(SystemClock.now().as_seconds()).unwrap_or(0))
}

/// The answer to a head that is refused, as it goes over HTTP/1: there is no request that hyper could answer.
pub(super) fn refused_head(base: &Base, id: RequestId, outcome: Outcome, is_of_head: bool) -> Vec<u8> {
    let (mut headers, body) = parts(base, id, outcome, Extras::default());
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_1970());
    let mut answer = format!("HTTP/1.1 {}\r\ndate: {date}\r\n", outcome.row().status).into_bytes();
    for (name, value) in &headers {
        answer.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    answer.extend_from_slice(b"\r\n");
    if !is_of_head {
        answer.extend_from_slice(&body);
    }
    answer
}

/// A scheme that makes no browser show a password box.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer");

fn text(row: Row, id: RequestId) -> String {
    // Constants and hexadecimal digits only: nothing here needs escaping.
    format!("{{\"error\":\"{}\",\"code\":\"{}\",\"requestId\":\"{}\"}}", row.error, row.code, id.as_str())
}

fn seconds(span: Duration) -> HeaderValue {
    let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    HeaderValue::from(whole.max(1))
}
