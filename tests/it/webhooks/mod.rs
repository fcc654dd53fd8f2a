//! Webhooks through the front door: a provider posts, and the application gets what was proven.

mod canary;
pub mod fixture;
mod floods;
mod handshakes;
mod requests;
mod through;
