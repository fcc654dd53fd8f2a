//! Strict decoders of what clients, proxies and other services send.
//!
//! What two readers could understand in two ways is refused, so that sidemint never sees another value than the program
//! before or behind it. They bound depth, not size: each caller bounds its text first.

pub mod form;
pub mod json;
pub mod members;
pub mod origin;
pub mod percent;
