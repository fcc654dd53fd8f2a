//! The least any server on this stack can do: hyper alone, one fixed answer.

use bytes::Bytes;
use sidemint_peers::{ANSWER, Outcome, json, run, serve};

fn main() -> Outcome {
    run(serve(|_| async { json(Bytes::from_static(ANSWER)) }))
}
