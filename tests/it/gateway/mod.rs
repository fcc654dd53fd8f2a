//! The gateway: calls of the host application's services, to a provider that remembers each byte.

mod answers;
mod attempts;
mod calls;
mod canary;
pub mod fixture;
pub mod recorder;
