//! The gateway: calls of the host application's services, to a provider that remembers each byte.

mod answers;
mod as_user;
mod attempts;
mod callers;
mod calls;
mod canary;
pub mod fixture;
mod presets;
pub mod recorder;
mod virtual_keys;
