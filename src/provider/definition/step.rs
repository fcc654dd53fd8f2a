//! One HTTP call of a definition.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::OneOrMany;
use super::auth::Auth;
use super::failure::{Blame, Class};

/// One HTTP call.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Name, for other steps, logs and metrics.
    pub id: String,
    /// `POST` to this address.
    #[serde(default)]
    pub post: Option<String>,
    /// `PUT` to this address.
    #[serde(default)]
    pub put: Option<String>,
    /// `PATCH` to this address.
    #[serde(default)]
    pub patch: Option<String>,
    /// `GET` from this address.
    #[serde(default)]
    pub get: Option<String>,
    /// `DELETE` of this address.
    #[serde(default)]
    pub delete: Option<String>,
    /// Run only where this expression has a value that is not `false` or empty.
    #[serde(default)]
    pub when: Option<String>,
    /// `called`: run only where a rule of another step says so.
    #[serde(default)]
    pub only: Option<Only>,
    /// Query parameters; templates.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers; templates.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Proof of the caller, if not the definition's. An empty list is none.
    #[serde(default)]
    pub auth: Option<OneOrMany<Auth>>,
    /// JSON body; templates.
    #[serde(default)]
    pub json: Option<Value>,
    /// Form body; templates.
    #[serde(default)]
    pub form: Option<BTreeMap<String, String>>,
    /// Statuses that mean success; any 2xx without it.
    #[serde(default)]
    pub ok: Vec<u16>,
    /// What an answer means that is told by its status or a code in its body. The first rule that fits counts.
    #[serde(default)]
    pub on: Vec<Rule>,
    /// Values for later steps, by JSON Pointer (RFC 6901); with a `?` behind it, one that may be absent.
    #[serde(default)]
    pub take: BTreeMap<String, String>,
    /// Where the token is, by JSON Pointer.
    #[serde(default)]
    pub token: Option<String>,
    /// How the token's end is told; of several that are there, the earliest counts.
    #[serde(default)]
    pub expires: Option<OneOrMany<Expires>>,
    /// Whether a failed call may be repeated. Almost always: a second upsert changes nothing, a second token is unused.
    /// Not by itself where tokens have no end.
    #[serde(default)]
    pub retry: Option<bool>,
}

/// When a step does not run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// Where a rule of another step runs it.
    Called,
}

/// How a token's end is told.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Expires {
    /// Where, by JSON Pointer.
    #[serde(default)]
    pub at: Option<String>,
    /// In which form.
    pub kind: ExpiryKind,
    /// What to use when the member is absent. Present but unreadable is always an error.
    #[serde(default)]
    pub absent: Option<ExpiryKind>,
    /// The number that means that there is no end.
    #[serde(default)]
    pub never: Option<i64>,
}

/// Form of an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExpiryKind {
    /// RFC 3339 text.
    Iso,
    /// Seconds since the epoch.
    Seconds,
    /// Milliseconds since the epoch.
    Milliseconds,
    /// Seconds from now.
    Relative,
    /// Milliseconds from now.
    RelativeMilliseconds,
    /// The claim `exp` of the token, which is a JWT.
    Jwt,
    /// As asked for; the provider does not say.
    Requested,
    /// There is no end.
    None,
    /// Another rule of the list tells it.
    Other,
}

impl ExpiryKind {
    /// Whether the value is read from the answer.
    pub(in crate::provider) const fn is_read(self) -> bool {
        matches!(self, Self::Iso | Self::Seconds | Self::Milliseconds | Self::Relative | Self::RelativeMilliseconds)
    }
}

/// What an answer means. It fits where everything that it says of the answer is so.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The status, or one of several.
    #[serde(default)]
    pub status: Option<OneOrMany<u16>>,
    /// Where a code is in the body, by JSON Pointer.
    #[serde(default)]
    pub code: Option<String>,
    /// What the code must be, or one of several.
    #[serde(default)]
    pub is: Option<OneOrMany<Value>>,
    /// What the code must not be.
    #[serde(default)]
    pub is_not: Option<Value>,
    /// It is a failure, of this class.
    #[serde(default)]
    pub class: Option<Class>,
    /// Whom the failure is about. Without it: the user of the call, until it happens to several in a row.
    #[serde(default)]
    pub blame: Option<Blame>,
    /// It is a success.
    #[serde(default)]
    pub accept: bool,
    /// Another step is to run.
    #[serde(default)]
    pub run: Option<String>,
    /// What comes after that step.
    #[serde(default)]
    pub then: Then,
}

/// What comes after a step that a rule ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// This step once more.
    #[default]
    Retry,
    /// The other step's answer counts in place of this one's.
    Instead,
}
