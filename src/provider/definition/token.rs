//! How a token is made, and everything that a key takes part in.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Part;
use super::step::Step;

/// How a token is made: one of three ways.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// A JWT signed here.
    #[serde(default)]
    pub jwt: Option<Jwt>,
    /// Text put together here, mostly around a MAC from `let`.
    #[serde(default)]
    pub render: Option<Render>,
    /// Asked for, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Whether one token may be handed out more than once. Signatures over a nonce or a socket may not.
    #[serde(default = "super::yes")]
    pub cache: bool,
}

/// A JWT signed here.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// Algorithm; a template over settings.
    pub alg: String,
    /// What the header says instead of the algorithm's registered name.
    #[serde(default)]
    pub label: Option<String>,
    /// The key.
    pub key: Key,
    /// Key id; a template over settings.
    #[serde(default)]
    pub kid: Option<String>,
    /// Whether a key is made at start when none is given.
    #[serde(default)]
    pub generate: bool,
    /// Further header members, or others than usual; templates over settings.
    #[serde(default)]
    pub header: Map<String, Value>,
    /// The claims, in this order.
    pub claims: Map<String, Value>,
    /// Name of a table setting with further claims.
    #[serde(default)]
    pub extra: Option<String>,
    /// Whether the token has an end. Without one it must be said so here.
    #[serde(default)]
    pub expires: LocalExpiry,
}

/// Whether a token that is made here has an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LocalExpiry {
    /// The lifetime that was asked for.
    #[default]
    Requested,
    /// It is good for ever.
    None,
}

/// Text put together here. What clients need beside it is `response.extra`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Render {
    /// The token; a template.
    pub token: String,
    /// Whether it has an end.
    #[serde(default)]
    pub expires: LocalExpiry,
}

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

/// A value with a name, worked out once a mint.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Let {
    /// A MAC.
    Hmac(Hmac),
    /// A JWT, signed here for another purpose than being the token.
    Jwt(LetJwt),
    /// A template.
    Value(Value),
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

/// A JWT as a value.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LetJwt {
    /// The JWT.
    pub jwt: SideJwt,
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
