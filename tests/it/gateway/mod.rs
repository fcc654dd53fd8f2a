//! The gateway: calls of the host application's services, to a provider that remembers each byte.

mod attacks;
mod calls;
pub mod fixture;
mod real_parts;
pub mod recorder;
mod sdks;
mod stage;
