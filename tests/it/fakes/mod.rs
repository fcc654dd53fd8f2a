//! Providers that are not real: strict, and with a memory.

pub mod http;
pub mod issuer;
pub mod provider;
pub mod sendsar;
