//! Keys: from a secret to something that signs.
//!
//! [`material`] says which part of a secret is meant and how it is written; [`private`] tells the usual forms of private
//! keys apart; [`signing`] makes a [`SigningKey`] of them and [`mac`] a plain authentication code. A [`parsed`] key signs.

mod alg;
mod generate;
mod jwk;
pub(super) mod mac;
pub(super) mod material;
pub(super) mod nkey;
mod parsed;
mod private;
mod public;
mod signing;

pub use alg::Alg;
pub use generate::{generate, warm_up_randomness};
pub(super) use public::PublicKey;
pub use signing::SigningKey;

/// Why a key cannot be used. Holds nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

impl KeyError {
    fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl From<String> for KeyError {
    fn from(problem: String) -> Self {
        Self(problem)
    }
}
