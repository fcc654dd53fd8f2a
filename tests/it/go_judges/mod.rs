//! Real programs written in Go, before and behind the service. `make judges` builds them into `.tools/bin` and runs these
//! tests; `make test` needs no Go, so its profile of nextest leaves them out.

mod centrifugo_calls;
mod livekit_calls;
mod oauth2_proxy;
mod servers;
