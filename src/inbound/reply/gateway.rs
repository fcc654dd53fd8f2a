//! Answers of the gateway's own: one table of codes, and what they look like. An answer without `X-Chat-Gateway-Error` is the
//! provider's.

#![warn(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};

use super::{CHALLENGE, DEFAULT_RETRY, Row, X_REQUEST_ID, seconds, text};
use crate::gateway::refusal::Refusal;
use crate::inbound::request::RequestId;
use crate::provider::FailureView;

/// Says that an answer is the gateway's own, and which.
pub(in crate::inbound) const X_CHAT_GATEWAY_ERROR: HeaderName = HeaderName::from_static("x-chat-gateway-error");

/// The row of the table.
pub const fn gateway_row(refusal: Refusal) -> Row {
    let (status, error, code) = match refusal {
        Refusal::TargetInvalid => (StatusCode::BAD_REQUEST, "Malformed address", "target_invalid"),
        Refusal::HeaderInvalid => (StatusCode::BAD_REQUEST, "Malformed header", "header_invalid"),
        Refusal::BodyInvalid => (StatusCode::BAD_REQUEST, "Malformed body", "body_invalid"),
        Refusal::AsUserMissing => (StatusCode::BAD_REQUEST, "No user named", "as_user_missing"),
        Refusal::CallerUnauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized", "caller_unauthorized"),
        Refusal::OperationUnknown => (StatusCode::FORBIDDEN, "Unknown operation", "operation_unknown"),
        Refusal::OperationDenied => (StatusCode::FORBIDDEN, "Operation not granted", "operation_denied"),
        Refusal::ParameterDenied => (StatusCode::FORBIDDEN, "Parameter not granted", "parameter_denied"),
        Refusal::QueryDenied => (StatusCode::FORBIDDEN, "Query not allowed", "query_denied"),
        Refusal::BodyDenied => (StatusCode::FORBIDDEN, "Body not allowed", "body_denied"),
        Refusal::TenantDenied => (StatusCode::FORBIDDEN, "Another tenant", "tenant_denied"),
        Refusal::AsUserDenied => (StatusCode::FORBIDDEN, "User not granted", "as_user_denied"),
        Refusal::BrowserRefused => (StatusCode::FORBIDDEN, "Not for browsers", "browser_refused"),
        Refusal::MethodDenied => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "method_denied"),
        Refusal::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Body too large", "body_too_large"),
        Refusal::TypeDenied => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Type not allowed", "type_denied"),
        Refusal::HostRefused => (StatusCode::MISDIRECTED_REQUEST, "Misdirected request", "host_refused"),
        Refusal::UpgradeRefused => (StatusCode::NOT_IMPLEMENTED, "Not implemented", "upgrade_refused"),
        Refusal::CallerRateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too many requests", "caller_rate_limited"),
        Refusal::ProviderRateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too many requests", "provider_rate_limited"),
        Refusal::ProviderBadAnswer => (StatusCode::BAD_GATEWAY, "Bad answer of the provider", "provider_bad_answer"),
        Refusal::ProviderTimeout => (StatusCode::GATEWAY_TIMEOUT, "No answer of the provider", "provider_timeout"),
        Refusal::ProviderUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "provider_unavailable"),
        Refusal::ProviderCredentials => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "provider_credentials"),
        Refusal::GatewayBusy => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "gateway_busy"),
        Refusal::Draining => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "draining"),
    };
    Row { status, error, code }
}

/// The answer, with advice on when to come back. `in_form` writes a failure as the provider would, so that its SDK shows it.
pub(in crate::inbound) fn refused(
    refusal: Refusal,
    id: RequestId,
    retry_after: Option<Duration>,
    in_form: impl FnOnce(&FailureView<'_>) -> Option<Bytes>,
) -> http::Response<Bytes> {
    let row = gateway_row(refusal);
    let view = FailureView { message: row.error, code: row.code, status: row.status, request_id: id.as_str() };
    let body = in_form(&view).unwrap_or_else(|| Bytes::from(text(row, id)));
    let mut response = http::Response::new(body);
    *response.status_mut() = row.status;
    let headers = response.headers_mut();
    // Bare: SDKs compare it whole.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    mark(headers, row.code, id);
    if has_retry_advice(refusal) {
        headers.insert(RETRY_AFTER, seconds(retry_after.unwrap_or(DEFAULT_RETRY)));
    }
    if refusal == Refusal::CallerUnauthorized {
        headers.insert(WWW_AUTHENTICATE, CHALLENGE);
    }
    if refusal == Refusal::Draining {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Says in an answer that it is the gateway's own.
pub(in crate::inbound) fn mark(headers: &mut HeaderMap, code: &'static str, id: RequestId) {
    headers.insert(X_CHAT_GATEWAY_ERROR, HeaderValue::from_static(code));
    headers.insert(X_REQUEST_ID, id.header());
}

const fn has_retry_advice(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::CallerRateLimited
            | Refusal::ProviderRateLimited
            | Refusal::ProviderUnavailable
            | Refusal::ProviderCredentials
            | Refusal::GatewayBusy
    )
}
