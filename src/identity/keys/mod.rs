//! Keys that verify tokens: read ([`public`], [`jwks`]), fetched, refreshed and kept ([`set`]).

mod algorithm;
pub(super) mod jwks;
mod public;
mod set;

pub(super) use algorithm::{Algorithm, Family};
pub(super) use public::{Key, MOST_KID_BYTES};
pub(super) use set::{KeySet, Keys};
