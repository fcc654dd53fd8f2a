//! Liveness, readiness and metrics, on a listener of their own: none of this is ever on the identity port (T-56).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::json;
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::asked::Ask;
use super::at;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::session::Sessions;

/// Pages of a browser have no business here.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The routes of the ops listener.
pub fn routes(lifecycle: &Lifecycle, metrics: &Arc<Metrics>, sessions: &Arc<Sessions>) -> BoxedFilter<(Response,)> {
    let live =
        at("/livez").and(warp::ext::get::<Ask>()).map(|asked: Ask| guarded(&asked, || text(StatusCode::OK, "ok\n")));
    let (state, gauges) = (lifecycle.clone(), Arc::clone(metrics));
    let ready = at("/readyz")
        .and(warp::ext::get::<Ask>())
        .map(move |asked: Ask| guarded(&asked, || readiness(&state, &gauges)));
    let (state, numbers, sessions) = (lifecycle.clone(), Arc::clone(metrics), Arc::clone(sessions));
    let metrics = at("/metrics").and(warp::ext::get::<Ask>()).map(move |asked: Ask| {
        guarded(&asked, || {
            sessions.report();
            numbers.ready.set(i64::from(state.objections().is_empty()));
            let mut response = Response::new(Bytes::from(numbers.render()).into());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Metrics::CONTENT_TYPE));
            response
        })
    });
    let nothing = warp::any().map(|| text(StatusCode::NOT_FOUND, "not found\n"));
    live.or(ready).unify().or(metrics).unify().or(nothing).unify().boxed()
}

fn guarded(asked: &Ask, answer: impl FnOnce() -> Response) -> Response {
    let mut response = if asked.headers.contains_key(SEC_FETCH_SITE) {
        text(StatusCode::FORBIDDEN, "not for browsers\n")
    } else if matches!(asked.method, Method::GET | Method::HEAD) {
        answer()
    } else {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Ready, or every reason why not.
fn readiness(lifecycle: &Lifecycle, metrics: &Metrics) -> Response {
    let objections = lifecycle.objections();
    let ready = objections.is_empty();
    metrics.ready.set(i64::from(ready));
    let reasons: Vec<_> =
        objections.iter().map(|objection| json!({"code": objection.code, "detail": objection.detail})).collect();
    let body = json!({"ready": ready, "reasons": reasons}).to_string();
    let mut response = Response::new(Bytes::from(body).into());
    *response.status_mut() = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()).into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
