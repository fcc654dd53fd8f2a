//! The gateway: calls of the host application's services, to a provider that remembers each byte.

mod answers;
mod attacks;
mod attempts;
mod calls;
mod canary;
pub mod fixture;
mod real_parts;
pub mod recorder;
mod sdks;
mod stage;
