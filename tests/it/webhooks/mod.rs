//! Webhooks through the front door: a provider posts, and the application gets what was proven.

mod canary;
mod command;
pub mod fixture;
mod floods;
mod handshakes;
mod libraries;
pub mod preset;
mod proxies;
mod queue;
mod requests;
mod stop;
mod through;
mod tls;
mod vectors;
