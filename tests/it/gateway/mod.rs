//! The gateway: calls of the host application's services, to a provider that remembers each byte.

mod answers;
mod as_user;
mod attacks;
mod attempts;
mod callers;
mod calls;
mod canary;
mod command;
pub mod fixture;
mod floods;
mod presets;
pub mod real_parts;
pub mod recorder;
mod sdks;
mod stage;
mod virtual_keys;
