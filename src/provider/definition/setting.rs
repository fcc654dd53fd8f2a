//! What an operator gives, and what a request may add.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One setting.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    #[serde(default, deserialize_with = "scalar")]
    #[cfg_attr(test, schemars(with = "Option<serde_json::Value>"))]
    pub default: Option<String>,
    /// Environment variable that gives it where the configuration does not; for secrets `…_FILE` works as well.
    #[serde(default)]
    pub env: Option<String>,
    /// The only values allowed.
    #[serde(default)]
    pub one_of: Vec<String>,
    /// Regular expression that the whole value must match; for secrets, each time one is read.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Whether it may be left out.
    #[serde(default)]
    pub optional: bool,
    /// Members that the operator's table must not have: the provider gives them a meaning of its own.
    #[serde(default)]
    pub reserved: Vec<String>,
    /// The only members that the operator's table may have: the provider ignores every other.
    #[serde(default)]
    pub names: Vec<String>,
    /// The public part of a secret that this setting is, in place of something that the operator gives.
    #[serde(default)]
    pub part_of: Option<Part>,
}

/// Type of a setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// Text.
    #[default]
    Text,
    /// An http or https address without query; one trailing slash is dropped.
    Url,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// Text with `{{ … }}` in it, which counts where the definition uses the setting.
    Template,
    /// A table of templates.
    Table,
    /// A list of templates.
    List,
}

/// A part of a secret's text: all of it, or what one selector finds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Name of the secret setting.
    pub secret: String,
    /// The text before the first of these separators.
    #[serde(default)]
    pub before: Option<String>,
    /// The text behind the first of these separators.
    #[serde(default)]
    pub after: Option<String>,
    /// A member of a JSON document, by JSON Pointer.
    #[serde(default)]
    pub json: Option<String>,
    /// A field of `Name=value;Name=value`.
    #[serde(default)]
    pub field: Option<String>,
    /// The public key that belongs to a private one, in this form. For settings only.
    #[serde(default)]
    pub public: Option<PublicForm>,
    /// How a key is written there. For keys only.
    #[serde(default)]
    pub decode: Encoding,
    /// Bytes of a key at least, for secrets that the provider hands out shorter than RFC 7518 asks for. For keys only.
    #[serde(default)]
    pub min_bytes: Option<usize>,
}

/// How a key is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// The text itself; private keys as PEM (also with `\n` for line breaks, or in base64) or JWK.
    #[default]
    Text,
    /// Base64.
    Base64,
    /// Base64url.
    Base64url,
    /// Hexadecimal digits.
    Hex,
    /// A NATS seed.
    Nkey,
    /// A symmetric JWK.
    Jwk,
}

/// How a public key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PublicForm {
    /// As NATS writes it.
    Nkey,
}

/// What a request may add. Only inputs that a template uses are taken; everything else is refused.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What it is for.
    pub about: String,
    /// Regular expression that the whole value must match.
    pub pattern: String,
    /// Regular expression of values that are refused although they match.
    #[serde(default)]
    pub except: Option<String>,
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
    /// Name of the list setting that says which values the operator allows; without a list, none is.
    #[serde(default)]
    pub allow: Option<String>,
}

/// Text, or what a flag or a number is written as.
fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(Some(text)),
        value @ (Value::Bool(_) | Value::Number(_)) => Ok(Some(value.to_string())),
        _ => Err(D::Error::custom("a default is text, a number, true or false")),
    }
}

fn query_and_body() -> Vec<String> {
    vec!["query".to_owned(), "body".to_owned()]
}

const fn short() -> usize {
    256
}
