//! Liveness, readiness, metrics and the status page, on a listener of their own: none of this is ever on the identity port (T-56).

mod status;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;
use warp::reply::Response;

use super::table::{Served, Table};
use crate::inbound::AppState;
use crate::inbound::reply::Outcome;
use crate::inbound::request::Request;
use crate::inbound::status::StatusPage;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::provider::KeyStatus;

/// Pages of a browser have no business here.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The routes of the ops listener.
pub(super) fn table(lifecycle: &Lifecycle, state: &AppState, page: Option<&StatusPage>) -> Table {
    let live = Served::at("/livez", |request| guarded(request, || text(Outcome::Ok, "ok\n")));
    let (life, own) = (lifecycle.clone(), state.clone());
    let ready = Served::at("/readyz", move |request| guarded(request, || readiness(&life, &own)));
    let (life, own) = (lifecycle.clone(), state.clone());
    let metrics = Served::at("/metrics", move |request| guarded(request, || numbers(&life, &own)));
    let mut served = vec![live, ready, metrics]; // T-56: probes alone
    served.extend(page.into_iter().flat_map(|page| status::served(page, state, lifecycle)));
    Table::new(served, |_| text(Outcome::NotFound, "not found\n"), super::heads(state))
}

fn numbers(lifecycle: &Lifecycle, state: &AppState) -> Response {
    let status = state.status(lifecycle);
    state.metrics.process.ready().set(i64::from(status.ready));
    status.show(&state.metrics);
    state.teams.iter().for_each(|teams| teams.show());
    let mut response = Response::new(Bytes::from(state.metrics.render()).into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Metrics::CONTENT_TYPE));
    response
}

fn guarded(request: &Request, answer: impl FnOnce() -> Response) -> Response {
    // T-56: no browsers
    if request.headers.contains_key(SEC_FETCH_SITE) {
        return unstored(text(Outcome::OriginRefused, "not for browsers\n"));
    }
    read_only(request, answer)
}

/// Nothing can be changed here.
fn read_only(request: &Request, answer: impl FnOnce() -> Response) -> Response {
    unstored(if matches!(request.method, Method::GET | Method::HEAD) {
        answer()
    } else {
        let mut response = text(Outcome::MethodNotAllowed, "method not allowed\n");
        response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    })
}

fn unstored(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A signing key: what is public of it.
#[derive(Serialize)]
struct Key<'s> {
    provider: &'s str,
    #[serde(flatten)]
    status: &'s KeyStatus,
}

/// Ready, or every reason why not; and the signing keys.
fn readiness(lifecycle: &Lifecycle, state: &AppState) -> Response {
    let status = state.status(lifecycle);
    let keys: Vec<_> = status.keys().map(|(provider, status)| Key { provider, status }).collect();
    let body = json!({"ready": status.ready, "reasons": status.reasons, "keys": keys}).to_string();
    let mut response = Response::new(Bytes::from(body).into());
    if !status.ready {
        // No request on a front route ends so; it is what probes expect.
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(outcome: Outcome, text: &'static str) -> Response {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()).into());
    *response.status_mut() = outcome.row().status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
