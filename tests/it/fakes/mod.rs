//! Providers that are not real: strict, and with a memory.

pub mod http;
pub mod provider;
pub mod sendsar;
