//! The gateway: calls of the host application's services, to a provider that remembers each byte.

mod calls;
mod presets;
pub mod fixture;
pub mod recorder;
