//! The gateway: calls of the host application's services, to a provider that remembers each byte.

mod answers;
mod attacks;
mod attempts;
mod calls;
pub mod fixture;
mod real_parts;
pub mod recorder;
mod sdks;
mod stage;
