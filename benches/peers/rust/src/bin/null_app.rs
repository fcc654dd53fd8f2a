//! An application that takes every event at once. `GET /stats` tells how many came, when the last one did, and how long
//! they took from their sender: milliseconds, the median.

use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use sidemint_peers::{Outcome, hooks::sent, json, run, serve};

#[derive(Default)]
struct Seen {
    last: u128,
    lags: Vec<u64>,
}

fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |span| span.as_nanos())
}

async fn answer(request: Request<Incoming>, seen: Arc<Mutex<Seen>>) -> Response<Full<Bytes>> {
    if request.method() == Method::GET {
        let seen = seen.lock().expect("no holder panics");
        let mut lags = seen.lags.clone();
        lags.sort_unstable();
        let lag = lags.get(lags.len() / 2).map_or(0.0, |lag| *lag as f64 / 1e6);
        let stats = serde_json::json!({ "count": lags.len(), "last": seen.last as f64 / 1e9, "lag": lag });
        return json(stats.to_string().into());
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let now = now();
    let mut seen = seen.lock().expect("no holder panics");
    seen.last = now;
    seen.lags.push(sent(&body).map_or(0, |sent| now.saturating_sub(sent) as u64));
    Response::default()
}

fn main() -> Outcome {
    let seen = Arc::new(Mutex::new(Seen::default()));
    run(serve(move |request| answer(request, seen.clone())))
}
