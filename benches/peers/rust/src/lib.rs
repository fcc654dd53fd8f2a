//! What the peers share: settings from the environment, one runtime, one listener, the fixed answer.
//!
//! Every server here listens on `127.0.0.1:$PORT` and runs on one worker thread, like the subject beside it.

pub mod costs;
pub mod hooks;
pub mod provider;

use std::{convert::Infallible, error::Error, future::Future, str::FromStr};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};

pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The answer of everything that answers the same thing each time: as long as a real session.
pub const ANSWER: &[u8] = include_bytes!("../../answer.json");

/// A setting from the environment, or its default when it is not there.
pub fn setting<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs `work` on the runtime's one worker; the main thread only waits, as in any multi-threaded server.
pub fn run<F>(work: F) -> Outcome
where
    F: Future<Output = Outcome> + Send + 'static,
{
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(async { tokio::spawn(work).await? })
}

/// The listening socket. Accepted connections inherit `TCP_NODELAY` from it.
pub fn listener() -> Outcome<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(([127, 0, 0, 1], setting("PORT", 9000)).into())?;
    Ok(socket.listen(1024)?)
}

/// Serves HTTP/1 on hyper alone.
pub async fn serve<H, F>(handler: H) -> Outcome
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send,
{
    let listener = listener()?;
    loop {
        let (stream, _) = listener.accept().await?;
        let handler = handler.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = handler(request);
                async { Ok::<_, Infallible>(answer.await) }
            });
            // A client that goes away is no error of a bench.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A JSON answer.
pub fn json<B: From<Bytes>>(body: Bytes) -> Response<B> {
    let mut response = Response::new(B::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without a session.
pub fn refused<B: Default>(status: StatusCode) -> Response<B> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// User id and display name, taken on trust: what a floor does and a sidecar must not.
pub fn user(headers: &HeaderMap) -> Option<(&str, &str)> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let id = text("x-forwarded-user")?;
    Some((id, text("x-forwarded-name").unwrap_or(id)))
}

/// The session as the browser gets it.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Session<'a> {
    pub token: &'a str,
    pub expires_at: &'a str,
    pub api_url: &'a str,
    pub chat_user_id: &'a str,
    pub display_name: &'a str,
}
