//! A setting that a definition declares: what an operator gives for it, and what holds where nothing is given.

use serde::Deserialize;
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
    #[serde(default)]
    pub default: Option<Value>,
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
    /// A list, in definitions of providers of templates. One text is a list of one.
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
