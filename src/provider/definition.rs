//! The format of a provider definition, word for word. Unknown members are refused; [`super::compile`] does the rest.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

/// How a provider mints tokens, knows users and wants to be called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What operators write as `preset`.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// Where the provider documents what is written here.
    #[serde(default)]
    pub documentation: Option<String>,
    /// What the operator may or must give.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// What a request may add.
    #[serde(default)]
    pub inputs: BTreeMap<String, Input>,
    /// How calls prove who is calling, unless a step says otherwise.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How the chat user id is made from the subject.
    #[serde(default)]
    pub user: User,
    /// How long tokens live.
    pub lifetime: Lifetime,
    /// How a user is created or updated.
    #[serde(default)]
    pub upsert: Option<Upsert>,
    /// How a token is made.
    pub token: Token,
    /// What the session says beside the token.
    pub response: Response,
}

/// One setting.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What it is for.
    pub about: String,
    /// Its type.
    #[serde(default)]
    pub kind: SettingKind,
    /// Whether it is a secret: given as a file (`NAME_file`) or in the environment, never in the configuration.
    #[serde(default)]
    pub secret: bool,
    /// Value where the operator gives none; may refer to other settings.
    #[serde(default)]
    pub default: Option<String>,
    /// Environment variable that gives it where the configuration does not; for secrets `…_FILE` works as well.
    #[serde(default)]
    pub env: Option<String>,
    /// The only values allowed.
    #[serde(default)]
    pub one_of: Vec<String>,
    /// Regular expression that the whole value must match.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Whether it may be left out.
    #[serde(default)]
    pub optional: bool,
}

/// Type of a setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// Text.
    #[default]
    Text,
    /// An http or https address without query; one trailing slash is dropped.
    Url,
    /// A table of templates.
    Table,
}

/// What a request may add. Only inputs that a template uses are taken; everything else is refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What it is for.
    pub about: String,
    /// Regular expression that the whole value must match.
    pub pattern: String,
    /// Where it may stand: `query`, `body` (a member of a JSON object, or a form field), both with another name behind
    /// a colon (`body:room_name`), or `header:NAME`.
    #[serde(default = "query_and_body")]
    pub from: Vec<String>,
    /// Whether a request may leave it out.
    #[serde(default)]
    pub optional: bool,
    /// Bytes at most.
    #[serde(default = "short")]
    pub max_bytes: usize,
}

fn query_and_body() -> Vec<String> {
    vec!["query".to_owned(), "body".to_owned()]
}

const fn short() -> usize {
    256
}

/// How a call proves who is calling. The only way a secret gets into a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Auth {
    /// The secret alone in a header.
    Header(HeaderAuth),
    /// `Authorization: Bearer`.
    Bearer(BearerAuth),
}

/// The secret alone in a header.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderAuth {
    /// Name of the header.
    pub header: String,
    /// Name of the secret setting.
    pub secret: String,
}

/// `Authorization: Bearer`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BearerAuth {
    /// Name of the secret setting.
    pub bearer: String,
}

/// How the chat user id is made. Every rule keeps different subjects different, or refuses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Text before the subject.
    #[serde(default)]
    pub prefix: String,
    /// Regular expression that the whole id must match.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Bytes at most.
    #[serde(default)]
    pub max_bytes: Option<usize>,
}

/// How long tokens live.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifetime {
    /// Where the route does not say.
    #[serde(with = "span")]
    pub default: Duration,
    /// Shortest that may be asked for.
    #[serde(default, with = "optional_span")]
    pub minimum: Option<Duration>,
    /// Longest that may be asked for.
    #[serde(default, with = "optional_span")]
    pub maximum: Option<Duration>,
    /// The client's own refresh margin: never hand out a token with this much or less left.
    #[serde(with = "span")]
    pub margin: Duration,
    /// What happens to sessions when secrets or keys change.
    pub on_credential_change: OnCredentialChange,
}

/// What happens to sessions when secrets or keys change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCredentialChange {
    /// They stay valid.
    Keep,
    /// They are dropped and minted anew.
    Drop,
}

/// How a user is created or updated.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upsert {
    /// How long an unchanged profile is taken for known.
    #[serde(with = "span")]
    pub remember: Duration,
    /// The calls, in order.
    pub steps: Vec<Step>,
}

/// How a token is made: one of two ways.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Signed here.
    #[serde(default)]
    pub jwt: Option<Jwt>,
    /// Asked for, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// A JWT signed here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// Algorithm; a template over settings.
    pub alg: String,
    /// Name of the secret setting that holds the key.
    pub key: String,
    /// Key id; a template over settings.
    #[serde(default)]
    pub kid: Option<String>,
    /// Whether a key is made at start when none is given.
    #[serde(default)]
    pub generate: bool,
    /// Further header members, constants over settings.
    #[serde(default)]
    pub header: Map<String, Value>,
    /// The claims, in this order.
    pub claims: Map<String, Value>,
    /// Name of a table setting with further claims.
    #[serde(default)]
    pub extra: Option<String>,
}

/// One HTTP call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Name, for later steps, logs and metrics.
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
    /// Query parameters; templates.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers; templates.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Proof of the caller, if not the definition's.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// JSON body; templates.
    #[serde(default)]
    pub json: Option<Value>,
    /// Statuses that mean success; any 2xx without it.
    #[serde(default)]
    pub ok: Vec<u16>,
    /// Values for later steps, by JSON Pointer (RFC 6901).
    #[serde(default)]
    pub take: BTreeMap<String, String>,
    /// Where the token is, by JSON Pointer.
    #[serde(default)]
    pub token: Option<String>,
    /// How the token's end is told.
    #[serde(default)]
    pub expires: Option<Expires>,
    /// Meaning of particular failures.
    #[serde(default)]
    pub errors: Vec<ErrorRule>,
    /// Whether a failed call may be repeated. Almost always: a second upsert changes nothing, a second token is unused.
    #[serde(default = "yes")]
    pub retry: bool,
}

const fn yes() -> bool {
    true
}

/// How a token's end is told.
#[derive(Clone, Debug, Deserialize)]
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
}

/// Form of an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
    /// The claim `exp` of the token, which is a JWT.
    Jwt,
    /// As asked for; the provider does not say.
    Requested,
    /// There is no end.
    None,
}

impl ExpiryKind {
    /// Whether the value is read from the answer.
    pub(super) const fn is_read(self) -> bool {
        matches!(self, Self::Iso | Self::Seconds | Self::Milliseconds | Self::Relative)
    }
}

/// Meaning of a failure, by status and optionally by a code in the body.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// Status it applies to.
    pub status: u16,
    /// Where a code is, by JSON Pointer.
    #[serde(default)]
    pub code: Option<String>,
    /// What the code must be.
    #[serde(default)]
    pub is: Option<Value>,
    /// What it means.
    pub class: super::error::Class,
}

/// What the session says beside the token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Address that the browser uses; a template over settings.
    pub api_url: String,
    /// Further members.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// Durations as text.
mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|_| {
            serde::de::Error::custom(format!("\"{text}\" is not a duration; write text such as \"90s\" or \"1h\""))
        })
    }
}

/// Durations as text that may be left out.
mod optional_span {
    use std::time::Duration;

    use serde::Deserializer;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        super::span::deserialize(deserializer).map(Some)
    }
}

/// The definitions that ship with the binary: name and text.
pub const PRESETS: [(&str, &str); 2] =
    [("local", include_str!("presets/local.toml")), ("sendsar", include_str!("presets/sendsar.toml"))];

impl Definition {
    /// Reads a definition.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
    }

    /// A definition that ships with the binary.
    pub fn preset(name: &str) -> Option<Result<Self, String>> {
        PRESETS.iter().find(|(own, _)| *own == name).map(|(_, text)| Self::parse(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_parse_and_are_called_what_their_files_are_called() {
        for (name, _) in PRESETS {
            let definition = Definition::preset(name).expect(name).expect("parses");
            assert_eq!(definition.name, name);
        }
    }

    #[test]
    fn unknown_members_are_refused() {
        let text = PRESETS[1].1.replace("[response]", "[response]\ncolour = \"red\"");
        assert!(Definition::parse(&text).expect_err("refused").contains("colour"));
    }
}
