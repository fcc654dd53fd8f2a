//! An input: what a request may add, as a definition declares it.

use serde::Deserialize;

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

fn query_and_body() -> Vec<String> {
    vec!["query".to_owned(), "body".to_owned()]
}

const fn short() -> usize {
    256
}
