//! One HTTP call of a definition.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::token::{Hmac, SideJwt};
use crate::provider::error::Class;

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
    #[serde(default = "super::yes")]
    pub retry: bool,
}

/// When a step does not run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// Where a rule of another step runs it.
    Called,
}

/// One of something, or a list.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// Several. They stand first, because anything may be one JSON value.
    Many(Vec<T>),
    /// One.
    One(T),
}

impl<T> OneOrMany<T> {
    /// All of them.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// How a call proves who is calling. The only way a secret gets into a request.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "must be { header, secret }, { bearer }, { basic, user }, { member, secret }, { jwt } or { signature }"
)]
pub enum Auth {
    /// A secret in a header.
    Header(HeaderAuth),
    /// `Authorization: Bearer`.
    Bearer(BearerAuth),
    /// `Authorization: Basic` (RFC 7617).
    Basic(BasicAuth),
    /// A secret as a member of the body.
    Member(MemberAuth),
    /// A JWT made for this call.
    Jwt(JwtAuth),
    /// A MAC over the request.
    Signature(SignatureAuth),
}

/// A secret in a header.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HeaderAuth {
    /// Name of the header.
    pub header: String,
    /// Name of the secret setting.
    pub secret: String,
    /// Word before the secret.
    #[serde(default)]
    pub scheme: Option<String>,
}

/// `Authorization: Bearer`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BearerAuth {
    /// Name of the secret setting.
    pub bearer: String,
}

/// `Authorization: Basic`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// Name of the secret setting that holds the password, or `user:password`.
    pub basic: String,
    /// User name; a template over settings. Without it the secret holds both.
    #[serde(default)]
    pub user: Option<String>,
}

/// A secret as a member of the body.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MemberAuth {
    /// Name of the member of the JSON object, or of the form field.
    pub member: String,
    /// Name of the secret setting.
    pub secret: String,
}

/// A JWT made for this call.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JwtAuth {
    /// The JWT.
    pub jwt: SideJwt,
    /// The header; `Authorization` without it.
    #[serde(default)]
    pub header: Option<String>,
    /// Word before it; `Bearer` without it, none where it is empty.
    #[serde(default)]
    pub scheme: Option<String>,
}

/// A MAC over the request.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignatureAuth {
    /// The MAC; its text may name `request.method`, `request.path`, `request.query` (sorted) and `request.body`.
    pub signature: Hmac,
    /// Query parameter that carries it.
    #[serde(default)]
    pub query: Option<String>,
    /// Header that carries it.
    #[serde(default)]
    pub header: Option<String>,
    /// Text before it.
    #[serde(default)]
    pub prefix: String,
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
