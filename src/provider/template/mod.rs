//! Templates: the values of a definition that depend on the user, the time or the request.
//!
//! All work that can be done at load is done at load. [`json`] compiles a whole body or claim set to literal bytes and
//! slots; [`text`] does the same for addresses, query parameters and headers. What an expression may name is fixed by a
//! [`Scope`]; secrets are not in it, so no template can hold one.

mod client;
mod expression;
mod functions;
pub(super) mod json;
mod scope;
mod slot;
pub(super) mod text;

pub use client::FailureView;
pub(super) use client::SessionView;
pub(super) use expression::{Absent, Expression};
pub(super) use scope::{Scope, TemplatePlace};

use std::borrow::Cow;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use url::Url;

use super::keys::PublicKey;
use super::user::UserId;
use crate::clock::Timestamp;
use crate::definition::{Mistake, Segment, split};

/// Parts of the profile that a provider's templates use. What is not used is not in the cache key either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set of five names")]
pub struct ProfileUse {
    /// Display name.
    pub name: bool,
    /// E-mail address.
    pub email: bool,
    /// Picture.
    pub avatar: bool,
    /// Groups.
    pub groups: bool,
    /// Roles.
    pub roles: bool,
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
    /// The subject as chat user ids are made of it, where that is not the subject itself: several sources have subjects
    /// of their own, and a namespace keeps them apart.
    pub qualified: Option<&'a str>,
    /// Display name.
    pub name: Option<&'a str>,
    /// E-mail address.
    pub email: Option<&'a str>,
    /// Picture.
    pub avatar: Option<&'a str>,
    /// Groups.
    pub groups: Vec<&'a str>,
    /// Roles that the operator gives to members of those groups.
    pub roles: Vec<&'a str>,
}

impl std::fmt::Debug for Profile<'_> {
    /// Personal data stays out of panics and logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Profile<'_> {
    /// What chat user ids are made of.
    pub fn chat_subject(&self) -> &str {
        self.qualified.unwrap_or(self.subject)
    }

    /// What people see: the name, or the subject where there is none.
    pub fn display_name(&self) -> &str {
        self.name.filter(|name| !name.is_empty()).unwrap_or(self.subject)
    }
}

/// The variables of one mint. They hold what steps took and what was signed, so there is no `Debug`.
#[derive(Clone, Copy)]
pub(super) struct Variables<'a> {
    pub(super) user: &'a UserId,
    pub(super) profile: &'a Profile<'a>,
    /// Parameters of a call for an application, by index.
    pub(super) params: &'a [Option<&'a str>],
    /// What the request added, in the order of the definition.
    pub(super) inputs: &'a [Option<&'a str>],
    pub(super) now: Timestamp,
    pub(super) ttl: Duration,
    /// Public parts of secrets, by index.
    pub(super) parts: &'a [String],
    /// Values of `let` so far, by index.
    pub(super) lets: &'a [Value],
    /// Values taken by earlier steps, by index.
    pub(super) taken: &'a [Option<Value>],
    /// The item of an iteration.
    pub(super) item: Option<&'a str>,
    /// The request that is being signed.
    pub(super) request: Option<&'a RequestText<'a>>,
    /// The public key that is being registered or retired.
    pub(super) key: Option<&'a PublicKey>,
    /// The session that is put into a client's form.
    pub(super) session: Option<&'a SessionView<'a>>,
    /// The failure that is put into a client's form.
    pub(super) failure: Option<&'a FailureView<'a>>,
}

/// A request, as its signature sees it. It holds what a caller sent, so there is no `Debug`.
#[derive(Clone, Copy)]
pub(super) struct RequestText<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a Url,
    /// Empty where there is none, and absent where it is no text.
    pub(super) body: Option<&'a str>,
}

impl<'a> RequestText<'a> {
    pub(super) fn of(method: &'a Method, url: &'a Url, body: Option<&'a [u8]>) -> Self {
        Self { method: method.as_str(), url, body: std::str::from_utf8(body.unwrap_or_default()).ok() }
    }

    /// Query parameters, sorted and encoded as they are sent.
    fn query(&self) -> String {
        let mut query: Vec<&str> =
            self.url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
        query.sort_unstable(); // fuzzing: sorted query
        query.join("&")
    }

    /// Query parameters decoded, with names in lower case, sorted by name.
    fn query_plain(&self) -> String {
        let mut pairs: Vec<(String, Cow<'_, str>)> =
            self.url.query_pairs().map(|(name, value)| (name.to_lowercase(), value)).collect();
        pairs.sort();
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }
}

impl<'a> Variables<'a> {
    /// The variables of a mint that knows nothing but the user; the rest is filled in by struct update.
    pub(super) fn of(user: &'a UserId, profile: &'a Profile<'a>) -> Self {
        Self {
            user,
            profile,
            params: &[],
            inputs: &[],
            now: Timestamp::from_seconds(0),
            ttl: Duration::ZERO,
            parts: &[],
            lets: &[],
            taken: &[],
            item: None,
            request: None,
            key: None,
            session: None,
            failure: None,
        }
    }

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
    /// The texts of a list; `None` when it is not one.
    pub(super) fn items(&self) -> Option<Vec<Cow<'_, str>>> {
        match self {
            Self::List(list) => Some(list.iter().map(|item| Cow::Borrowed(*item)).collect()),
            Self::Json(value) => value.as_array().map(|items| {
                let text = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                items.iter().map(|item| Cow::Owned(text(item))).collect()
            }),
            Self::Text(_) | Self::Number(_) => None,
        }
    }

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

/// Splits `{{ … }}` from the text around it. A setting that holds a template stands for what is in it.
fn split_in(text: &str, scope: &mut Scope) -> Result<Vec<Segment>, Mistake> {
    let mut segments = Vec::new();
    for segment in split(text)? {
        let own = match &segment {
            Segment::Expression(expression) => scope.template(expression.trim_end_matches('?').trim_end()),
            Segment::Literal(_) => None,
        };
        match own {
            // Once: what the operator's template names is taken as it is.
            Some(own) => segments.extend(split(own)?),
            None => segments.push(segment),
        }
    }
    Ok(segments)
}
