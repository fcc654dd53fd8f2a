//! The one table of outcomes, and the only place that knows status codes.

#![warn(clippy::wildcard_enum_match_arm)]

pub(super) mod observe;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, PRAGMA,
    REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use strum::VariantArray;
use warp::reply::Response;

use crate::clock::{Clock as _, SystemClock};
use crate::identity::Refusal;
use crate::inbound::connection::HeadFault;
use crate::inbound::request::RequestId;
use crate::provider::{Class, Dialect, Problem};
use crate::session::SessionError;

/// Id of the request, in every answer and log line.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Clients that were given no advice come back after this.
const DEFAULT_RETRY: Duration = Duration::from_secs(5);

/// How a request on a front route ends. The first column of the table in `docs/errors.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
pub enum Outcome {
    /// A session, or a subrequest that passes with one.
    Ok,
    /// A subrequest that passes without one: nobody is signed in.
    Anonymous,
    /// The user signed out.
    SignedOut,
    /// An answer to OPTIONS.
    Options,
    /// No identity, or an ambiguous one.
    Unauthorized,
    /// The peer may not tell identity.
    PeerUntrusted,
    /// The user is denied, or not among those who are allowed.
    UserDenied,
    /// A browser request from another site.
    OriginRefused,
    /// The required header is missing.
    HeaderMissing,
    /// A host that is not served.
    HostRefused,
    /// Input that nobody declared, or malformed input.
    InputInvalid,
    /// Input that the operator does not allow this user.
    InputRefused,
    /// A body larger than the limit.
    BodyTooLarge,
    /// A request that HTTP does not allow, or that two hops could read differently.
    RequestMalformed,
    /// More header lines, or more bytes of them, than the limit.
    HeadTooLarge,
    /// An address longer than the limit.
    TargetTooLong,
    /// No memory for requests that are not complete.
    Overloaded,
    /// The subject cannot be a user id at this provider.
    UserIdInvalid,
    /// Too many requests by one user.
    RateLimited,
    /// The keys that verify identity are not there.
    IdentityUnavailable,
    /// The provider is down, slow or left alone by the breaker.
    ProviderUnavailable,
    /// The provider asks to slow down.
    ProviderRateLimited,
    /// The provider answers nonsense.
    ProviderBadAnswer,
    /// The provider refuses our credential.
    ProviderCredentials,
    /// The service is stopping.
    Draining,
    /// Nothing is served there.
    NotFound,
    /// Not with this method.
    MethodNotAllowed,
    /// A defect of ours.
    Internal,
}

/// One row: status, text for people, code for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// HTTP status on a session route.
    pub status: StatusCode,
    /// Member `error`: short text that browser clients show.
    pub error: &'static str,
    /// Member `code`: stable.
    pub code: &'static str,
}

impl Outcome {
    /// The row of the table.
    pub const fn row(self) -> Row {
        let (status, error, code) = match self {
            Self::Ok => (StatusCode::OK, "", "ok"),
            Self::Anonymous => (StatusCode::OK, "", "anonymous"),
            Self::SignedOut => (StatusCode::NO_CONTENT, "", "signed_out"),
            Self::Options => (StatusCode::NO_CONTENT, "", "options"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized", "unauthorized"),
            Self::PeerUntrusted => (StatusCode::FORBIDDEN, "Forbidden", "peer_untrusted"),
            Self::UserDenied => (StatusCode::FORBIDDEN, "Forbidden", "user_denied"),
            Self::OriginRefused => (StatusCode::FORBIDDEN, "Forbidden", "origin_refused"),
            Self::HeaderMissing => (StatusCode::FORBIDDEN, "Forbidden", "header_missing"),
            Self::HostRefused => (StatusCode::MISDIRECTED_REQUEST, "Misdirected request", "host_refused"),
            Self::InputInvalid => (StatusCode::BAD_REQUEST, "Bad request", "input_invalid"),
            Self::InputRefused => (StatusCode::FORBIDDEN, "Forbidden", "input_refused"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Body too large", "body_too_large"),
            Self::RequestMalformed => (StatusCode::BAD_REQUEST, "Bad request", "request_malformed"),
            Self::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers too large", "head_too_large"),
            Self::TargetTooLong => (StatusCode::URI_TOO_LONG, "Address too long", "target_too_long"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "overloaded"),
            Self::UserIdInvalid => (StatusCode::UNPROCESSABLE_ENTITY, "User not accepted", "user_id_invalid"),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too many requests", "rate_limited"),
            Self::IdentityUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "identity_unavailable"),
            Self::ProviderUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "provider_unavailable"),
            Self::ProviderRateLimited => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "provider_rate_limited"),
            Self::ProviderBadAnswer => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "provider_bad_answer"),
            Self::ProviderCredentials => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "provider_credentials"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "draining"),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found", "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "method_not_allowed"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Internal error", "internal"),
        };
        Row { status, error, code }
    }

    const fn has_retry_advice(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::Overloaded
                | Self::IdentityUnavailable
                | Self::ProviderUnavailable
                | Self::ProviderRateLimited
                | Self::ProviderBadAnswer
        )
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSource
            | Refusal::PeerUntrusted
            | Refusal::PeerSecret
            | Refusal::PeerSignature
            | Refusal::PeerSignatureVersion
            | Refusal::PeerSignatureTime
            | Refusal::PeerWorkload
            | Refusal::CallerRoute => Self::PeerUntrusted,
            Refusal::Denied | Refusal::NotAllowed => Self::UserDenied,
            Refusal::KeysUnavailable => Self::IdentityUnavailable,
            Refusal::SubjectTooLong => Self::UserIdInvalid,
            Refusal::Absent
            | Refusal::SubjectMissing
            | Refusal::Malformed
            | Refusal::Duplicate
            | Refusal::Alias
            | Refusal::ListedInConnection
            | Refusal::Template // T-53: refusals look alike
            | Refusal::Encoding
            | Refusal::Character
            | Refusal::Condition
            | Refusal::TooLong
            | Refusal::Body
            | Refusal::TokenMalformed
            | Refusal::TokenAlgorithm
            | Refusal::TokenHeader
            | Refusal::KeyUnknown
            | Refusal::Signature
            | Refusal::Expired
            | Refusal::NotYetValid
            | Refusal::TooOld
            | Refusal::Issuer
            | Refusal::Audience
            | Refusal::Claim
            | Refusal::Machine
            | Refusal::Namespace => Self::Unauthorized,
        }
    }
}

impl From<HeadFault> for Outcome {
    fn from(fault: HeadFault) -> Self {
        match fault {
            HeadFault::TooLarge | HeadFault::TooManyLines => Self::HeadTooLarge,
            HeadFault::TargetTooLong => Self::TargetTooLong,
            HeadFault::NoRoom => Self::Overloaded,
            HeadFault::Target
            | HeadFault::Version
            | HeadFault::Line
            | HeadFault::Length
            | HeadFault::HostMissing
            | HeadFault::HostTwice
            | HeadFault::HostInvalid
            | HeadFault::HostDiffers
            | HeadFault::Malformed => Self::RequestMalformed,
        }
    }
}

impl From<&SessionError> for Outcome {
    fn from(error: &SessionError) -> Self {
        match error {
            SessionError::SignedOut => Self::Unauthorized,
            SessionError::UserId => Self::UserIdInvalid,
            SessionError::Input => Self::InputRefused,
            SessionError::Rate(_) | SessionError::Busy => Self::RateLimited,
            SessionError::Provider(error) => match error.class {
                Class::Unavailable => Self::ProviderUnavailable,
                Class::RateLimited => Self::ProviderRateLimited,
                Class::CredentialRejected => Self::ProviderCredentials,
                Class::BadResponse | Class::Rejected | Class::UserMissing | Class::SessionLost => {
                    Self::ProviderBadAnswer
                }
            },
            SessionError::TooLarge => Self::ProviderBadAnswer,
            SessionError::Deadline => Self::ProviderUnavailable,
            SessionError::Draining => Self::Draining,
            SessionError::Internal => Self::Internal,
        }
    }
}

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
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
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
    let (headers, body) = told(base, id, outcome, extras);
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
    let problem = Problem { message: row.error, code: row.code, status, request_id: id.as_str() };
    let (body, content_type) =
        dialect.failure(&problem).unwrap_or_else(|| (Bytes::from(text(row, id)), "application/json"));
    *response.body_mut() = body.into();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
}

/// Headers and body of such an answer.
fn told(base: &Base, id: RequestId, outcome: Outcome, extras: Extras) -> (HeaderMap, Bytes) {
    let row = outcome.row();
    let empty = row.status == StatusCode::NO_CONTENT;
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
        headers.insert(http::header::WWW_AUTHENTICATE, CHALLENGE);
    }
    headers.extend(extras.cors.unwrap_or_default());
    (headers, body)
}

/// Of the machine: this is no time that anything depends on.
fn since_1970() -> Duration {
    Duration::from_secs(u64::try_from(SystemClock.now().as_seconds()).unwrap_or(0))
}

/// The answer to a head that is refused, as it goes over HTTP/1: there is no request that hyper could answer.
pub(super) fn last_words(base: &Base, id: RequestId, outcome: Outcome, is_of_head: bool) -> Vec<u8> {
    let (mut headers, body) = told(base, id, outcome, Extras::default());
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
pub(super) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer");

fn text(row: Row, id: RequestId) -> String {
    // Constants and hexadecimal digits only: nothing here needs escaping.
    format!("{{\"error\":\"{}\",\"code\":\"{}\",\"requestId\":\"{}\"}}", row.error, row.code, id.as_str())
}

fn seconds(span: Duration) -> HeaderValue {
    let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    HeaderValue::from(whole.max(1))
}
