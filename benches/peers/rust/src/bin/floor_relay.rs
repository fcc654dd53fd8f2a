//! The floor of a cold remote session: hyper on both sides, two calls to the provider for each request.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::{Request, body::Incoming};
use sidemint_peers::{Outcome, json, provider::Provider, refused, run, serve, user};

async fn session(request: Request<Incoming>, provider: Arc<Provider>) -> Response<Full<Bytes>> {
    let answer = match user(request.headers()) {
        Some((id, name)) => provider.session(id, name, 3600).await.ok(),
        None => None,
    };
    answer.map(json).unwrap_or_else(|| refused(StatusCode::SERVICE_UNAVAILABLE))
}

fn main() -> Outcome {
    run(async {
        let provider = Arc::new(Provider::new()?);
        serve(move |request| session(request, provider.clone())).await
    })
}
