//! Keys that verify tokens: read ([`public`], [`jwks`], [`local`]), fetched ([`fetch`]) when the time has come
//! ([`schedule`]) or a token asks for one that is not here ([`negative_cache`]), and kept ([`set`]).

mod algorithm;
mod client;
mod fetch;
pub(super) mod jwks;
mod local;
mod negative_cache;
mod public;
mod readiness;
mod schedule;
mod set;
mod task;

pub(super) use algorithm::{Algorithm, Family};
pub(super) use public::{Key, MOST_KID_BYTES};
pub(super) use readiness::KeyReadiness;
pub(super) use set::{Found, KeySet, Keys};
