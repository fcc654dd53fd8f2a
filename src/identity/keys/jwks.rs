//! Reads a JWK Set (RFC 7517, 5) from outside: within bounds, and only its keys that verify signatures.

use serde_json::Value;

use super::Key;

/// Bytes of a set at most; real ones have one to five thousand.
pub(in crate::identity) const MOST_BYTES: usize = 256 * 1024;
/// Keys of a set at most, of any kind.
const MOST_KEYS: usize = 64;

/// Why a text is not a set to use. The last good one stays in use then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::identity) enum Broken {
    /// More than 256 KiB.
    #[error("is larger than 256 KiB")]
    TooLarge,
    /// Not a JSON object with the list `keys`.
    #[error("is not a JSON object with the list \"keys\"")]
    NotASet,
    /// More than 64 keys.
    #[error("has more than 64 keys")]
    TooMany,
    /// No key in it verifies anything here.
    #[error("has no key that verifies signatures")]
    NoKey,
    /// No key but RSA keys that are too short.
    #[error("has only RSA keys that are shorter than 2048 bits, and they verify nothing")]
    Short,
}

/// The keys in `text` that verify. Keys that share an id stay: which one is meant shows in their type, and issuers that
/// list one key twice are about.
pub(in crate::identity) fn read(text: &[u8]) -> Result<Vec<Key>, Broken> {
    if text.len() > MOST_BYTES {
        return Err(Broken::TooLarge);
    }
    // The reader goes 128 levels deep at most.
    let set: Value = serde_json::from_slice(text).map_err(|_not_json| Broken::NotASet)?;
    let listed = set.get("keys").and_then(Value::as_array).ok_or(Broken::NotASet)?;
    // T-26: number of keys
    if listed.len() > MOST_KEYS {
        return Err(Broken::TooMany);
    }
    let keys: Vec<Key> = listed.iter().filter_map(Key::of_jwk).collect();
    if !keys.is_empty() {
        return Ok(keys);
    }
    Err(if listed.iter().any(Key::is_short) { Broken::Short } else { Broken::NoKey })
}
