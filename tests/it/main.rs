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
mod eventually;
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
mod config;
mod configured;
mod controllers;
mod definitions;
mod deliveries;
mod departures;
mod descriptors;
mod dialects;
mod docs;
mod doctor;
mod errors;
mod files;
mod fleet;
mod gateway;
mod go_judges;
mod grpc;
mod identity_headers;
mod identity_tokens;
mod init;
mod inputs;
mod jose;
mod judges;
mod key_servers;
mod key_sets;
mod keys;
mod layout;
mod limits;
mod log;
mod login_chain;
mod man;
mod nameless;
mod namespaces;
mod nginx;
mod observability;
mod openapi;
mod outages;
mod outbound;
mod packaging;
mod pages;
mod peer_proof;
mod peers;
mod places;
mod presets;
mod provider_care;
mod proxies;
mod queue;
mod reload;
mod rotation;
mod schemes;
mod security_table;

mod session;
mod shutdown;
mod status_page;
mod subrequest;
mod teams;
mod tls;
mod users;
mod vectors;
mod wall_clock;
mod webhooks;
mod wire;
