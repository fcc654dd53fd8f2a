//! What the provider's own client library expects of the address at which it fetches a token.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The auth endpoint of a client library. Routes with `answer = "client"` are one.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Where the provider documents the endpoint.
    #[serde(default)]
    pub documentation: Option<String>,
    /// How the library asks.
    pub methods: Vec<ClientMethod>,
    /// Status of an answer with a session.
    #[serde(default = "ok")]
    pub status: u16,
    /// JSON body; templates over the session.
    #[serde(default)]
    pub json: Option<Value>,
    /// The body as text, where the library takes no JSON; a template over the session.
    #[serde(default)]
    pub text: Option<String>,
    /// What the body is said to be, where that is not `application/json` for JSON and `text/plain` for text.
    #[serde(default)]
    pub content_type: Option<ContentType>,
    /// Further headers of an answer with a session; templates.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What the library sends and the provider does not need: `query:NAME`, `body:NAME`.
    #[serde(default)]
    pub ignored: Vec<String>,
    /// How failures are told, where the library wants them in another way than ours.
    #[serde(default)]
    pub error: ClientError,
}

/// A method that a client library uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum ClientMethod {
    /// GET, and with it HEAD.
    Get,
    /// POST.
    Post,
}

/// Types of bodies that no browser runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum ContentType {
    /// JSON.
    #[serde(rename = "application/json")]
    Json,
    /// A JWT and nothing else.
    #[serde(rename = "application/jwt")]
    Jwt,
    /// Text.
    #[serde(rename = "text/plain")]
    Text,
}

/// How a client library wants failures.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientError {
    /// Our statuses, and what the library must see in their place so that it stops asking, or asks again.
    #[serde(default)]
    pub statuses: BTreeMap<String, u16>,
    /// JSON body; templates over `error`.
    #[serde(default)]
    pub json: Option<Value>,
    /// The body as text; a template over `error`.
    #[serde(default)]
    pub text: Option<String>,
}

const fn ok() -> u16 {
    200
}

impl ContentType {
    /// As it stands in a header.
    pub(in crate::provider) const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Jwt => "application/jwt",
            Self::Text => "text/plain",
        }
    }
}
