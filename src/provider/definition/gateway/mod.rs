//! `[gateway]`: the server-side calls that an application may make without a secret, word for word.

mod calls;
mod own;
mod section;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Auth, OneOrMany};
use crate::definition::{Count, DAY, Span};
pub use calls::{AsUserRule, BodyType, CallMethod, Calls, Entry, Forbidden, Listed, OperationClass, Selector};
pub use own::OwnGateway;
pub use section::GatewaySection;

/// Where calls go, what is added to them, and which ones there are. A call is built anew from what was matched here; what
/// is not here is not sent.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Address that paths are added to; a template over settings.
    pub base: String,
    /// Settings that calls need, optional ones too. They are asked for where a mount names the provider.
    #[serde(default)]
    pub needs: Vec<String>,
    /// How calls prove who is calling; as the rest of the definition without it. Templates may name `config.*`, `now.*`,
    /// `random.*` and `request.*`.
    #[serde(default)]
    pub auth: Option<OneOrMany<Auth>>,
    /// Where an SDK puts its key, as far as `auth` does not say.
    #[serde(default, rename = "virtual")]
    pub virtual_key: Option<VirtualKey>,
    /// What every call carries, whatever the caller sent under the same name.
    #[serde(default)]
    pub set: Additions,
    /// Further request headers that pass. With `range`, parts of answers can be asked for, in which no secret is looked for.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Further headers of answers that pass.
    #[serde(default)]
    pub answer_headers: Vec<String>,
    /// How a call is made for a user.
    #[serde(default)]
    pub as_user: Option<AsUser>,
    /// How often calls may be made, where the provider counts them apart from those for tokens.
    #[serde(default)]
    pub limits: Option<GatewayLimits>,
    /// The header with which a call may be repeated.
    #[serde(default)]
    pub idempotency: Option<String>,
    /// The body of refusals, so that SDKs show them; templates over `error.code`, `error.text` and `error.status`.
    #[serde(default)]
    pub error: Option<Map<String, Value>>,
    /// What bodies may be; `json` without it.
    #[serde(default)]
    pub types: Vec<BodyType>,
    /// The method of calls that say none.
    #[serde(default)]
    pub method: Option<CallMethod>,
    /// What stands before each path.
    #[serde(default)]
    pub prefix: String,
    /// Name of the setting, a table, that gives `"METHOD /path"` for the names that calls list. A name without one is off.
    #[serde(default)]
    pub paths: Option<String>,
    /// The calls, in groups that have something in common.
    #[serde(default)]
    pub calls: Vec<Calls>,
    /// Settings that paths name as `{=config.NAME}`.
    #[serde(skip)]
    pub settings: BTreeMap<String, String>,
    /// Groups that the definition has; those behind them are the operator's.
    #[serde(skip)]
    pub own_groups: usize,
}

/// What every call carries.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Additions {
    /// Query parameters; templates that may name `config.*`, `now.*`, `random.*` and `request.*`.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers; templates that may name the same.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// Where an SDK puts its key and who it says it is. A caller's own key stands there.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VirtualKey {
    /// The header with the key, where that is another than `auth` says.
    #[serde(default)]
    pub header: Option<String>,
    /// Word before the key there.
    #[serde(default)]
    pub scheme: Option<String>,
    /// The query parameter with the key.
    #[serde(default)]
    pub query: Option<String>,
    /// Where the caller's name stands: a claim, or `query:NAME` or `header:NAME`.
    #[serde(default)]
    pub key_id: Option<String>,
    /// Where the time of the request stands: a claim, or `query:NAME` or `header:NAME`.
    #[serde(default)]
    pub time: Option<String>,
    /// How far that time may lie from now.
    #[serde(default)]
    pub skew: Option<Span<DAY>>,
    /// Claims that the SDK's tokens for users have. With the same key it makes those too, so a JWT that has a value there was
    /// made to be handed out, and proves no caller.
    #[serde(default)]
    pub user_claims: Vec<String>,
    /// How a key is written for the SDK: text with `{{ key }}` and `{{ caller }}`.
    #[serde(default)]
    pub form: Option<String>,
}

/// How a call is made for a user. At most one of `header`, `query` and `json` says where the user's id is put.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AsUser {
    /// In this header.
    #[serde(default)]
    pub header: Option<String>,
    /// In this query parameter.
    #[serde(default)]
    pub query: Option<String>,
    /// In this member of the body, by JSON Pointer.
    #[serde(default)]
    pub json: Option<String>,
    /// How it is written there.
    #[serde(default)]
    pub encode: IdEncoding,
    /// Where an SDK says the id, beside `X-Chat-As-User`: a header, or `query:NAME`.
    #[serde(default)]
    pub sent_as: Option<String>,
    /// Whose id callers say.
    #[serde(default)]
    pub id: IdKind,
    /// Regular expression that the whole of the provider's own id must match.
    #[serde(default)]
    pub pattern: Option<String>,
}

/// How a user's id is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum IdEncoding {
    /// As it is.
    #[default]
    Text,
    /// Percent-encoded.
    Percent,
    /// Base64 with padding.
    Base64,
    /// Base64url without padding.
    Base64url,
}

/// Whose id callers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum IdKind {
    /// The application's: it becomes the provider's as for tokens.
    #[default]
    Host,
    /// The provider's own, which `pattern` describes.
    Provider,
}

/// How often calls may be made.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GatewayLimits {
    /// Calls in a span of time: `"1000/min"`.
    pub rate: String,
    /// Calls at once, out of that rate; a tenth of it without this.
    #[serde(default)]
    pub burst: Option<Count<1_000_000, 1>>,
}
