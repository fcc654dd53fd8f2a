//! The provider behind a gateway: answers any request at once with JSON of `BYTES`, whatever it was asked.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use sidemint_peers::{Outcome, json, run, serve, setting};

async fn answer(request: Request<Incoming>, text: Bytes) -> Response<Full<Bytes>> {
    // What is not read would be read by the next request.
    let _ = request.into_body().collect().await;
    json(text)
}

fn main() -> Outcome {
    let wrapping = r#"{"text":""}"#.len();
    let filling = "0123456789abcdef".chars().cycle().take(setting("BYTES", 1024_usize).saturating_sub(wrapping));
    let text = Bytes::from(format!(r#"{{"text":"{}"}}"#, filling.collect::<String>()));
    run(serve(move |request| answer(request, text.clone())))
}
