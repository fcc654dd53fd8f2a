//! Bare warp that takes an event: the body read, one raw proof with aws-lc-rs, an empty 200. `KIND` as in the generator.

use bytes::Bytes;
use http::{Response, StatusCode};
use sidemint_peers::{
    ANSWER, Outcome,
    hooks::{Kind, key},
    json, listener, run,
};
use warp::Filter;

fn main() -> Outcome {
    run(async {
        let (kind, key) = (Kind::of_environment(), key());
        let hooks = warp::path!("webhooks" / "chat")
            .and(warp::post())
            .and(warp::header::<String>(kind.header()))
            .and(warp::body::bytes())
            .map(move |proof: String, body: Bytes| -> warp::reply::Response {
                let status = if kind.proves(&key, proof.as_bytes(), &body) { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
                let mut answer = Response::default();
                *answer.status_mut() = status;
                answer
            });
        let ready = warp::path!("api" / "chat" / "session").map(|| -> warp::reply::Response { json(Bytes::from_static(ANSWER)) });
        warp::serve(hooks.or(ready).unify()).incoming(listener()?).run().await;
        Ok(())
    })
}
