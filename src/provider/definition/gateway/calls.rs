//! `[[gateway.calls]]`: the calls themselves, in groups that have something in common.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Gateway, OneOrMany};
use crate::definition::{Count, DAY, HOUR, Key, MILLI, Mistake, Span};

/// Calls that have something in common. Whatever stands here is so for each of them.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// Calls that change nothing.
    #[serde(default)]
    pub read: Listed,
    /// Calls that change something, and can be undone.
    #[serde(default)]
    pub write: Listed,
    /// Calls that cannot be undone, or change the rights of others.
    #[serde(default)]
    pub destroy: Listed,
    /// Calls that answer or make a credential, cost money, or point the provider at an address.
    #[serde(default)]
    pub secret: Listed,
    /// The method of those that say none.
    #[serde(default)]
    pub method: Option<CallMethod>,
    /// What stands before each path, in place of that of `[gateway]`.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Claims beside those of `auth`; templates that may name `param.NAME` too.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// Where parameters stand, beside `{NAME}` in a path; and what they look like.
    #[serde(default)]
    pub params: BTreeMap<String, Selector>,
    /// Query parameters that pass.
    #[serde(default)]
    pub query: Vec<String>,
    /// What bodies may be, in place of those of `[gateway]`.
    #[serde(default)]
    pub types: Vec<BodyType>,
    /// Members that a body may have: nothing else.
    #[serde(default)]
    pub only: Vec<Selector>,
    /// Members that a body must not have.
    #[serde(default)]
    pub forbid: Vec<Forbidden>,
    /// Members that are set, whatever was sent: value by JSON Pointer.
    #[serde(default)]
    pub force: Map<String, Value>,
    /// Whether they are made for a user.
    #[serde(default)]
    pub as_user: AsUserRule,
    /// Whether a repeat does nothing twice, although the method does not say so.
    #[serde(default)]
    pub idempotent: bool,
    /// How long the head of an answer is waited for; 10 s without it.
    #[serde(default)]
    pub timeout: Option<Span<HOUR, { 100 * MILLI }>>,
    /// How long a call may take in all, to the last byte of its answer; 5 minutes without it.
    #[serde(default)]
    pub max_duration: Option<Span<DAY, { 1000 * MILLI }>>,
    /// Bytes of a body at most: 1 MiB without it, and never more than 256 KiB where a rule needs the body.
    #[serde(default)]
    pub max_body: Option<Count<{ 64 * 1024 * 1024 }, 1>>,
    /// Whether answers may be streams of events.
    #[serde(default)]
    pub stream: bool,
}

/// Calls by name: `"METHOD /path"` each, or names alone, whose paths the setting that `paths` names gives.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "must be a table of name = \"METHOD /path\", or a list of names")]
pub enum Listed {
    /// With their paths.
    Paths(BTreeMap<String, String>),
    /// Without.
    Names(Vec<String>),
}

impl Default for Listed {
    fn default() -> Self {
        Self::Paths(BTreeMap::new())
    }
}

/// Kind of a call, by what it can do: [`Calls`] says what stands in each of its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum OperationClass {
    /// From `read`.
    Read,
    /// From `write`.
    Write,
    /// From `destroy`.
    Destroy,
    /// From `secret`.
    Secret,
}

/// Method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::EnumString)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum CallMethod {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl From<CallMethod> for Method {
    fn from(method: CallMethod) -> Self {
        match method {
            CallMethod::Get => Self::GET,
            CallMethod::Post => Self::POST,
            CallMethod::Put => Self::PUT,
            CallMethod::Patch => Self::PATCH,
            CallMethod::Delete => Self::DELETE,
        }
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BodyType {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/protobuf`, one message.
    Protobuf,
    /// Anything: no rule may look into it.
    Any,
}

/// Where something stands in a request. What is listed is one thing under several names.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// In a JSON body, by JSON Pointer; `*` is every item or member, `[]` every item of a list.
    #[serde(default)]
    pub json: Vec<String>,
    /// In a protobuf body, by the number of the field; several where it stands in several fields.
    #[serde(default)]
    pub proto: OneOrMany<u32>,
    /// In a form.
    #[serde(default)]
    pub form: Vec<String>,
    /// In the query. For parameters alone.
    #[serde(default)]
    pub query: Vec<String>,
    /// Regular expression that the whole value must match. For parameters alone.
    #[serde(default)]
    pub pattern: Option<String>,
}

/// Something that a body must not have.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Forbidden {
    /// In a JSON body, by JSON Pointer; `*` is every item or member, `[]` every item of a list.
    #[serde(default)]
    pub json: Vec<String>,
    /// In a protobuf body, by the number of the field; several where it stands in several fields.
    #[serde(default)]
    pub proto: OneOrMany<u32>,
    /// In a form.
    #[serde(default)]
    pub form: Vec<String>,
    /// The calls of the group that it is about; all of them without it.
    #[serde(default, rename = "in")]
    pub within: Vec<String>,
    /// The calls for which the operator lifts it.
    #[serde(skip)]
    pub lifted: Vec<String>,
}

impl Forbidden {
    /// Whether it holds for the call of this name.
    pub fn holds_for(&self, call: &str) -> bool {
        let names = |list: &[String]| list.iter().any(|own| own == call);
        (self.within.is_empty() || names(&self.within)) && !names(&self.lifted)
    }
}

/// Whether a call is made for a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AsUserRule {
    /// Never.
    #[default]
    Forbidden,
    /// Where the caller says a user.
    Allowed,
    /// Always.
    Required,
}

/// One call, as the definition says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'g> {
    /// What it can do.
    pub class: OperationClass,
    /// Its name.
    pub name: &'g str,
    /// Its method.
    pub method: CallMethod,
    /// Its path, with what stands before it: `{NAME}` is a parameter, `{=config.NAME}` a setting.
    pub path: String,
    /// Where it stands in the group, for messages.
    pub place: Key,
}

impl Calls {
    /// The four tables, with what they are called.
    pub(super) fn tables(&self) -> [(OperationClass, &Listed); 4] {
        [
            (OperationClass::Read, &self.read),
            (OperationClass::Write, &self.write),
            (OperationClass::Destroy, &self.destroy),
            (OperationClass::Secret, &self.secret),
        ]
    }

    /// Names of all calls, off ones too.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tables().into_iter().flat_map(|(_, listed)| listed.names())
    }

    /// Every call that is on, or what is wrong with it. Names without a path are off once the section is filled.
    pub fn entries<'g>(&'g self, gateway: &'g Gateway) -> impl Iterator<Item = Result<Entry<'g>, Mistake>> {
        let listed = |(class, listed): (OperationClass, &'g Listed)| {
            let paths = if let Listed::Paths(paths) = listed { Some(paths) } else { None };
            paths.into_iter().flatten().map(move |(name, text)| (class, name, text))
        };
        self.tables().into_iter().flat_map(listed).map(|(class, name, text)| {
            let place = Key::of(<&str>::from(class)).below(name);
            let wrong = |problem: String| Mistake::new(&place, problem);
            let default = self.method.or(gateway.method);
            let (method, path) = match text.split_once(' ') {
                Some((method, path)) => {
                    let known = "GET, POST, PUT, PATCH, DELETE";
                    let method = method.parse().map_err(|_| wrong(format!("\"{method}\" is not one of {known}")))?;
                    (method, path.trim_start())
                }
                None => match default {
                    Some(method) => (method, text.as_str()),
                    None => return Err(wrong(format!("\"{text}\" says no method; write \"GET {text}\""))),
                },
            };
            let prefix = self.prefix.as_deref().unwrap_or(&gateway.prefix);
            let path = format!("{prefix}{path}");
            if !path.starts_with('/') {
                return Err(wrong(format!("\"{path}\" is not a path; it begins with /")));
            }
            Ok(Entry { class, name, method, path, place })
        })
    }

    /// What bodies of the group may be.
    pub fn types<'g>(&'g self, gateway: &'g Gateway) -> &'g [BodyType] {
        const DEFAULT: &[BodyType] = &[BodyType::Json];
        let given = [self.types.as_slice(), gateway.types.as_slice()];
        given.into_iter().find(|types| !types.is_empty()).unwrap_or(DEFAULT)
    }
}

impl Listed {
    fn names(&self) -> impl Iterator<Item = &str> {
        let (paths, names) = match self {
            Self::Paths(paths) => (Some(paths.keys()), None),
            Self::Names(names) => (None, Some(names)),
        };
        paths.into_iter().flatten().chain(names.into_iter().flatten()).map(String::as_str)
    }
}
