//! Templates: the values of a definition that depend on the user, the time or the request.
//!
//! All work that can be done at load is done at load. [`json`] compiles a whole body or claim set to literal bytes and
//! slots; [`text`] does the same for addresses, query parameters and headers. What an expression may name is fixed by a
//! [`Scope`]; secrets are not in it, so no template can hold one.

mod expression;
pub(super) mod json;
pub(super) mod text;

pub(super) use expression::{Absent, Expression, Scope};

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Timestamp;

/// A mistake in a template, to be shown with its place in the definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct TemplateError(pub(super) String);

/// Parts of the profile that a provider's templates use. What is not used is not in the cache key either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set of four names")]
pub struct ProfileUse {
    /// Display name.
    pub name: bool,
    /// E-mail address.
    pub email: bool,
    /// Picture.
    pub avatar: bool,
    /// Groups.
    pub groups: bool,
}

/// What the upstream told about the user, as far as the definition uses it.
#[derive(Clone, Default)]
pub struct Profile<'a> {
    /// Source that told it.
    pub source: &'a str,
    /// Who vouches for the subject.
    pub issuer: Option<&'a str>,
    /// The subject.
    pub subject: &'a str,
    /// Display name.
    pub name: Option<&'a str>,
    /// E-mail address.
    pub email: Option<&'a str>,
    /// Picture.
    pub avatar: Option<&'a str>,
    /// Groups.
    pub groups: Vec<&'a str>,
}

impl std::fmt::Debug for Profile<'_> {
    /// Personal data stays out of panics and logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Profile<'_> {
    /// What people see: the name, or the subject where there is none.
    pub fn display_name(&self) -> &str {
        self.name.filter(|name| !name.is_empty()).unwrap_or(self.subject)
    }
}

/// The variables of one mint.
#[derive(Clone, Debug)]
pub(super) struct Variables<'a> {
    pub(super) user_id: &'a str,
    pub(super) profile: &'a Profile<'a>,
    pub(super) now: Timestamp,
    pub(super) ttl: Duration,
    /// Values taken by earlier steps, by index.
    pub(super) taken: &'a [Option<Value>],
}

impl Variables<'_> {
    pub(super) fn expires(&self) -> Timestamp {
        // Claims count whole seconds, so the end is counted from a whole second as well.
        Timestamp::from_seconds(self.now.as_seconds()).plus(self.ttl)
    }
}

/// A value of a slot.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Datum<'v> {
    Text(Cow<'v, str>),
    Number(i64),
    List(&'v [&'v str]),
    Json(Cow<'v, Value>),
}

impl Datum<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Number(_) => false,
            Self::List(list) => list.is_empty(),
            Self::Json(value) => match value.as_ref() {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                Value::Bool(_) | Value::Number(_) => false,
            },
        }
    }
}

/// Names in a template, split from the text around them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part<'t> {
    Literal(&'t str),
    Expression(&'t str),
}

/// Splits `{{ … }}` from the text around it.
fn split(text: &str) -> Result<Vec<Part<'_>>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((expression, behind)) = after.split_once("}}") else {
            return Err(TemplateError(format!("\"{text}\": «{{{{» without «}}}}»")));
        };
        if !before.is_empty() {
            parts.push(Part::Literal(before));
        }
        parts.push(Part::Expression(expression.trim()));
        rest = behind;
    }
    if rest.contains("}}") {
        return Err(TemplateError(format!("\"{text}\": «}}}}» without «{{{{»")));
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(Part::Literal(rest));
    }
    Ok(parts)
}

/// Names of settings that the templates in `text` refer to; used to resolve defaults in order.
pub(super) fn settings_in(text: &str) -> BTreeSet<String> {
    let parts = split(text).unwrap_or_default();
    parts
        .iter()
        .filter_map(|part| match part {
            Part::Expression(expression) => expression.strip_prefix("config."),
            Part::Literal(_) => None,
        })
        .map(|name| name.trim_end_matches('?').to_owned())
        .collect()
}
