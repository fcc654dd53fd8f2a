//! Providers, a login and an application that are not real: strict, and with a memory.

pub mod app;
pub mod counted;
pub mod http;
pub mod issuer;
pub mod login;
pub mod provider;
pub mod sendsar;
