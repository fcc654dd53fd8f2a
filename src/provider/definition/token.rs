//! How a token is made.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::key::{Hmac, Key, SideJwt};
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
    /// Whether a new token ends those that the provider made for the user before. Then other sessions of the user are not
    /// handed out any more.
    #[serde(default)]
    pub exclusive: bool,
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

/// A JWT as a value.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LetJwt {
    /// The JWT.
    pub jwt: SideJwt,
}
