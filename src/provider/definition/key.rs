//! Keys, and what is made with them beside the token: MACs and JWTs.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Part;

/// A key: the name of a secret setting, or a part of one in some encoding.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "must be the name of a secret setting, or a table with secret and one of before, after, json, field"
)]
pub enum Key {
    /// The whole secret.
    Whole(String),
    /// A part of it.
    Part(Part),
}

impl Key {
    /// Name of the secret setting.
    pub(in crate::provider) const fn secret(&self) -> &String {
        match self {
            Self::Whole(name) => name,
            Self::Part(part) => &part.secret,
        }
    }
}

/// A MAC over text.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hmac {
    /// The hash: `sha256`, `sha384`, `sha512`, or `sha1` where nothing better is taken.
    pub hmac: Hash,
    /// The key.
    pub key: Key,
    /// The text; a template. A value in it must not hold what stands behind it.
    pub text: String,
    /// How the MAC is written.
    pub encode: MacEncoding,
}

/// Hash of a MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-1, for providers that have nothing better.
    Sha1,
}

/// How a MAC is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MacEncoding {
    /// Lower-case hexadecimal digits.
    Hex,
    /// Upper-case hexadecimal digits.
    UpperHex,
    /// Base64 with padding.
    Base64,
    /// Base64url without padding.
    Base64url,
}

/// A JWT that is not the token: a proof for one call, or a part of something larger.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SideJwt {
    /// Algorithm; a template over settings.
    pub alg: String,
    /// The key.
    pub key: Key,
    /// Key id; a template over settings.
    #[serde(default)]
    pub kid: Option<String>,
    /// Further header members; templates over settings.
    #[serde(default)]
    pub header: Map<String, Value>,
    /// The claims, in this order.
    pub claims: Map<String, Value>,
}
