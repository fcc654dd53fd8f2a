//! Tests through the front door: the real service on real sockets, with time in hand and fakes that remember.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::partial_pub_fields,
    clippy::print_stderr,
    unreachable_pub,
    reason = "shared test code outside of #[test] functions; a failure is the point"
)]

mod client;
mod exchange;
mod fakes;
mod harness;
mod heads;
mod judge;
mod parts;
mod pki;

mod accounts;
mod answers;
mod body;
mod browser;
mod canary;
mod canary_proofs;
mod cli;
mod client_routes;
mod clients;
