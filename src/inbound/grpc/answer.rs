//! From the answer of a subrequest to what Envoy wants to hear.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue as Line, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use tonic::{Code, Status};
use warp::reply::Response;

use crate::inbound::reply::Outcome;
use crate::session::{SESSION_HEADERS, STATUS};

/// What Envoy does with a request that was answered so. A failure of ours is none of the check's answers but one of the
/// call, so that the operator's own failure mode applies: every Envoy knows that, and only late ones know more.
pub(super) fn of(answer: Response) -> Result<CheckResponse, Status> {
    let (status, headers) = (answer.status(), answer.headers());
    if status.is_success() {
        Ok(response(Code::Ok, HttpResponse::OkResponse(passed(headers))))
    } else if status == Outcome::Unauthorized.row().status {
        Ok(denied(Code::Unauthenticated, status, headers))
    } else if status.is_client_error() {
        Ok(denied(Code::PermissionDenied, status, headers))
    } else {
        Err(Status::unavailable("no answer now"))
    }
}

/// The complete set: what there is replaces the client's own, and the client's own goes where there is nothing.
fn passed(headers: &HeaderMap) -> OkHttpResponse {
    let mut passed = OkHttpResponse::default();
    for name in SESSION_HEADERS.into_iter().chain([STATUS]) {
        match headers.get(&name).filter(|value| !value.is_empty()) {
            Some(value) => passed.headers.extend(line(&name, value)),
            None => passed.headers_to_remove.push(name.as_str().to_owned()), // T-05: unset headers removed
        }
    }
    passed
}

fn denied(code: Code, status: StatusCode, headers: &HeaderMap) -> CheckResponse {
    let told = [WWW_AUTHENTICATE, CACHE_CONTROL];
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(status.as_u16()) }),
        headers: told.iter().filter_map(|name| line(name, headers.get(name)?)).collect(),
        ..DeniedHttpResponse::default()
    };
    response(code, HttpResponse::DeniedResponse(denied))
}

fn response(code: Code, told: HttpResponse) -> CheckResponse {
    let status = rpc::Status { code: i32::from(code), ..rpc::Status::default() };
    CheckResponse { status: Some(status), http_response: Some(told), ..CheckResponse::default() }
}

/// A line that stands alone. What we say is visible ASCII (A8).
fn line(name: &HeaderName, value: &HeaderValue) -> Option<HeaderValueOption> {
    let value = value.to_str().ok()?.to_owned();
    let header = Line { key: name.as_str().to_owned(), value, ..Line::default() };
    let append_action = i32::from(HeaderAppendAction::OverwriteIfExistsOrAdd);
    Some(HeaderValueOption { header: Some(header), append_action, ..HeaderValueOption::default() })
}
