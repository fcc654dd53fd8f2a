//! One key that verifies: parsed once, used for every token.

use serde_json::Value;

use super::Algorithm;

/// A key of a set.
#[derive(Debug)]
pub(in crate::identity) struct Key {
    /// Its id, where the set gives one.
    pub(in crate::identity) kid: Option<String>,
}

impl Key {
    /// Reads one JWK (RFC 7517, 4). `None` for keys that verify nothing here: symmetric ones, those for encryption,
    /// unknown types and broken ones.
    pub(in crate::identity) fn of_jwk(_jwk: &Value) -> Option<Self> {
        None
    }

    /// Reads a PEM `PUBLIC KEY` (RFC 7468, 13).
    pub(in crate::identity) fn of_pem(_kid: Option<&str>, _pem: &[u8]) -> Option<Self> {
        None
    }

    /// Whether it is of the kind that `algorithm` needs, and does not say that it is for another.
    pub(in crate::identity) fn fits(&self, _algorithm: Algorithm) -> bool {
        false
    }

    /// Whether `signature` over `message` is its own by `algorithm`.
    pub(in crate::identity) fn verifies(&self, _algorithm: Algorithm, _message: &[u8], _signature: &[u8]) -> bool {
        false
    }
}
