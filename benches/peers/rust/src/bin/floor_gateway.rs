//! The floor of a gateway: hyper on both sides, the key set, the answer handed back as it comes. Nothing is checked.

use std::{convert::Infallible, sync::Arc};

use http::{HeaderName, HeaderValue, Request, Response, Uri, header, uri::Authority};
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use sidemint_peers::{Outcome, listener, run, setting};

type Body = BoxBody<bytes::Bytes, hyper::Error>;

struct Relay {
    client: Client<HttpConnector, Incoming>,
    provider: Authority,
}

impl Relay {
    async fn relay(&self, request: Request<Incoming>) -> Outcome<Response<Body>> {
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().cloned().ok_or("no path")?;
        parts.uri = Uri::builder().scheme("http").authority(self.provider.clone()).path_and_query(target).build()?;
        parts.headers.remove(header::HOST);
        parts.headers.remove(header::AUTHORIZATION);
        let key = HeaderValue::from_static("sk_live_0123456789abcdef");
        parts.headers.insert(HeaderName::from_static("x-api-key"), key);
        Ok(self.client.request(Request::from_parts(parts, body)).await?.map(BodyExt::boxed))
    }
}

fn unavailable() -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never: Infallible| match never {}).boxed());
    *response.status_mut() = http::StatusCode::BAD_GATEWAY;
    response
}

fn main() -> Outcome {
    run(async {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        let provider = setting("PROVIDER", "127.0.0.1:9001".to_owned()).parse()?;
        let relay = Arc::new(Relay { client, provider });
        let listener = listener()?;
        loop {
            let (stream, _) = listener.accept().await?;
            let relay = relay.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let relay = relay.clone();
                    async move { Ok::<_, Infallible>(relay.relay(request).await.unwrap_or_else(|_| unavailable())) }
                });
                // A client that goes away is no error of a bench.
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}
