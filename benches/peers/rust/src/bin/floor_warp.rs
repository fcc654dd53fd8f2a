//! Bare warp: one path, one fixed answer. The floor of a warm session.

use bytes::Bytes;
use sidemint_peers::{ANSWER, Outcome, json, listener, run};
use warp::{Filter, reply::Response};

fn main() -> Outcome {
    run(async {
        let session = warp::path!("api" / "chat" / "session").map(|| -> Response { json(Bytes::from_static(ANSWER)) });
        warp::serve(session).incoming(listener()?).run().await;
        Ok(())
    })
}
