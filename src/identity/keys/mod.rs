//! Keys that verify tokens: read ([`public`]), fetched, refreshed and kept ([`set`]).

mod algorithm;
mod public;
mod set;

pub(super) use algorithm::{Algorithm, Family};
pub(super) use public::Key;
pub(super) use set::{KeySet, Keys};
