//! Liveness, readiness and metrics, on a listener of their own: none of this is ever on the identity port (T-56).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use warp::reply::Response;

use super::table::{Served, Table};
use crate::inbound::AppState;
use crate::inbound::request::Request;
use crate::lifecycle::Lifecycle;
use crate::metrics::{Metrics, SigningKeyLine};
use crate::provider::{KeyState, Provider};
use crate::webhook::store::Figures;

/// Pages of a browser have no business here.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The routes of the ops listener.
pub(super) fn table(lifecycle: &Lifecycle, state: &AppState) -> Table {
    let live = Served::at("/livez", |request| guarded(request, || text(StatusCode::OK, "ok\n")));
    let (life, own) = (lifecycle.clone(), state.clone());
    let ready = Served::at("/readyz", move |request| guarded(request, || readiness(&life, &own)));
    let (life, own) = (lifecycle.clone(), state.clone());
    let metrics = Served::at("/metrics", move |request| guarded(request, || numbers(&life, &own)));
    let served = vec![live, ready, metrics]; // T-56: probes alone
    Table::new(served, |_| text(StatusCode::NOT_FOUND, "not found\n"), super::heads(state))
}

fn numbers(lifecycle: &Lifecycle, state: &AppState) -> Response {
    state.sessions.report();
    state.queue.iter().for_each(|queue| show_queue(&queue.figures(), &state.metrics));
    state.metrics.show_keys(&key_lines(&state.providers));
    state.metrics.process.ready().set(i64::from(lifecycle.objections().is_empty()));
    let mut response = Response::new(Bytes::from(state.metrics.render()).into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Metrics::CONTENT_TYPE));
    response
}

/// How full the queue of events is.
fn show_queue(figures: &Figures, metrics: &Metrics) {
    let share = |used: usize, most: usize| used.saturating_mul(100).checked_div(most).unwrap_or_default();
    let fill = share(figures.events, figures.most_events).max(share(figures.bytes, figures.most_bytes));
    let shown = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    metrics.webhook.queue_bytes().set(shown(figures.bytes));
    metrics.webhook.queue_fill().set(shown(fill));
}

fn guarded(request: &Request, answer: impl FnOnce() -> Response) -> Response {
    // T-56: no browsers
    let mut response = if request.headers.contains_key(SEC_FETCH_SITE) {
        text(StatusCode::FORBIDDEN, "not for browsers\n")
    } else if matches!(request.method, Method::GET | Method::HEAD) {
        answer()
    } else {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Signing keys for the metrics.
fn key_lines(providers: &[Arc<Provider>]) -> Vec<SigningKeyLine> {
    let line = |provider: &Provider, key: KeyState| SigningKeyLine {
        labels: [provider.name().to_owned(), key.kid, key.alg.name().to_owned()],
        signs: key.signs,
        since: key.since.as_seconds(),
    };
    providers.iter().flat_map(|own| own.key_states().into_iter().map(|key| line(own, key))).collect()
}

/// Ready, or every reason why not; and the signing keys.
fn readiness(lifecycle: &Lifecycle, state: &AppState) -> Response {
    let objections = lifecycle.objections();
    let ready = objections.is_empty();
    state.metrics.process.ready().set(i64::from(ready));
    let reasons: Vec<_> =
        objections.iter().map(|objection| json!({"code": objection.code, "detail": objection.detail})).collect();
    let keys: Vec<_> = state.providers.iter().flat_map(|provider| keys(provider)).collect();
    let body = json!({"ready": ready, "reasons": reasons, "keys": keys}).to_string();
    let mut response = Response::new(Bytes::from(body).into());
    *response.status_mut() = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Signing keys of a provider: what is public of them.
fn keys(provider: &Provider) -> Vec<Value> {
    let now = provider.now();
    let told = |key: KeyState| {
        let mut told = json!({
            "provider": provider.name(),
            "kid": key.kid,
            "alg": key.alg.name(),
            "ageSeconds": now.since(key.since).as_secs(),
            "signs": key.signs,
        });
        if let (Some(until), Some(members)) = (key.until, told.as_object_mut()) {
            members.insert("publishedUntil".to_owned(), json!(until.to_rfc3339()));
        }
        told
    };
    provider.key_states().into_iter().map(told).collect()
}

fn text(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()).into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
