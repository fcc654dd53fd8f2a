//! What a call would become, rule by rule, for the operator who asks why it is refused. Nothing is sent, no key is asked for,
//! and whatever proves the call to the provider is masked.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, InvalidHeaderValue};
use http::uri::InvalidUri;
use http::{Method, Uri};

use super::as_user::{AS_USER, Asked, User};
use super::caller::Caller;
use super::gate::{Head, Outgoing, Sent, Target};
use super::operation::Operation;
use super::refusal::Refusal;
use super::{Gateway, Mount};
use crate::config::ActsAs;
use crate::provider::Explanation;
use crate::provider::gateway::OperationClass;

/// A call that is asked about, below its mount.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its method.
    method: Method,
    /// Its path and query.
    target: Uri,
    /// Its body, if it has one.
    body: Option<Bytes>,
    /// Headers that the decision looks at.
    headers: HeaderMap,
}

/// Why a question is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoQuestion {
    /// It is not a method and a path.
    Call,
    /// The content type is none.
    Type,
    /// The user's id cannot stand in a header.
    User,
}

/// What a call would become.
#[derive(Debug)]
pub struct Told {
    text: Explanation,
    /// Why it would be refused, where it would.
    refusal: Option<Refusal>,
}

impl Told {
    /// Why it would be refused, where it would.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl Question {
    /// `METHOD /path`, as it would come to the mount; `content_type` of its `body`, and the user whom it is made for.
    pub fn new(call: &str, body: Option<Bytes>, content_type: &str, as_user: Option<&str>) -> Result<Self, NoQuestion> {
        let (method, target) = call.trim().split_once(' ').ok_or(NoQuestion::Call)?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_method| NoQuestion::Call)?;
        let target = target.trim_start().parse().map_err(|_target: InvalidUri| NoQuestion::Call)?;
        let mut headers = HeaderMap::new();
        let mut add = |name, text: &str, problem| {
            let value = HeaderValue::from_str(text).map_err(|_value: InvalidHeaderValue| problem)?;
            headers.insert(name, value);
            Ok(())
        };
        if body.is_some() {
            add(CONTENT_TYPE, content_type, NoQuestion::Type)?;
        }
        as_user.map_or(Ok(()), |user| add(AS_USER, user, NoQuestion::User))?;
        Ok(Self { method, target, body, headers })
    }
}

impl Gateway {
    /// What a call of `caller` would become at `mount`.
    pub async fn explain(&self, caller: &Caller, mount: &Mount, question: &Question) -> Told {
        let mut text = Explanation::default();
        let refusal = tell(caller, mount, question, &mut text).await.err();
        if let Some(refusal) = refusal {
            text.line(0, format!("refused     {refusal}"));
        }
        Told { text, refusal }
    }
}

async fn tell(caller: &Caller, mount: &Mount, question: &Question, text: &mut Explanation) -> Result<(), Refusal> {
    text.line(0, format!("call        {} {}", question.method, question.target));
    let target = Target::of(&question.target)?;
    text.line(0, format!("caller      {}; its proof is not asked for here", caller.name()));
    let body = question.body.as_ref().map(|body| u64::try_from(body.len()).ok());
    let head = Head { method: &question.method, target: &target, headers: &question.headers, body };
    // What it is must be known before it is said who may use it.
    let operation = mount.gate().operations().find(&question.method, target.segments())?;
    let class: &str = operation.class().into();
    text.line(0, format!("operation   {}, of class {class}", operation.name()));
    let grants = caller.grants(mount.name());
    let hinted = |refusal: &Refusal, text: &mut Explanation| {
        if let Some(hint) = hint(*refusal, mount, operation) {
            text.line(0, format!("            {hint}"));
        }
    };
    let matched = mount.gate().head(&head, grants).inspect_err(|refusal| hinted(refusal, text))?;
    text.line(0, "grant       allows it");
    let user = user(caller, mount, operation, question, text).await?;
    let written = user.as_ref().map(|user| user.written.as_str());
    let sent = question.body.clone().map_or(Sent::Apart, Sent::Whole);
    let outgoing = matched.body(sent, written, grants).inspect_err(|refusal| hinted(refusal, text))?;
    for (name, value) in outgoing.parameters.iter() {
        text.line(0, format!("parameter   {name} = {value}"));
    }
    masked(mount, outgoing, user.as_ref(), text)
}

/// For whom the call is made. An assertion of the user, where the caller needs one, is taken for given.
async fn user(
    caller: &Caller,
    mount: &Mount,
    operation: &Operation,
    question: &Question,
    text: &mut Explanation,
) -> Result<Option<User>, Refusal> {
    let acts_as = match caller.acts_as() {
        ActsAs::Proven => ActsAs::Any,
        own => own,
    };
    let (rule, query) = (operation.as_user(), question.target.query());
    let asked = Asked { rule, acts_as, query, headers: &question.headers };
    let user = mount.as_user().user(&asked, mount.provider(), None).await?;
    let proof = if caller.acts_as() == ActsAs::Proven { ", whose own assertion must come along" } else { "" };
    if let Some(user) = &user {
        text.line(0, format!("as user     {}{proof}", user.written));
    }
    Ok(user)
}

/// The call as the provider would get it, with `***` for what proves it.
fn masked(mount: &Mount, outgoing: Outgoing<'_>, user: Option<&User>, text: &mut Explanation) -> Result<(), Refusal> {
    let parameters: Vec<(&str, &str)> = outgoing.parameters.iter().collect();
    let (group, mut call) = (outgoing.operation.group(), outgoing.call);
    user.map_or(Ok(()), |user| mount.as_user().put(&mut call, user))?;
    match mount.provider().mask(group, &mut call, &parameters) {
        Ok(()) => {
            text.line(0, "sent");
            text.call(1, &call);
            Ok(())
        }
        Err(error) => {
            text.line(0, format!("            {error}"));
            Err(Refusal::ProviderCredentials)
        }
    }
}

/// What there is instead, where that helps.
fn hint(refusal: Refusal, mount: &Mount, operation: &Operation) -> Option<String> {
    let section = mount.provider().section();
    let group = section.calls.get(operation.group())?;
    Some(match refusal {
        Refusal::OperationDenied => match operation.class() {
            OperationClass::Destroy | OperationClass::Secret => {
                format!("its class is only granted by its whole name: \"{}\"", operation.name())
            }
            OperationClass::Read | OperationClass::Write => "no grant of the caller allows it".to_owned(),
        },
        Refusal::ParameterDenied => "no grant that allows it permits the values of its parameters".to_owned(),
        Refusal::QueryDenied => list("query parameters, once each:", operation.query.iter()),
        Refusal::TypeDenied => list("bodies of the types", group.types(section).iter().map(<&str>::from)),
        Refusal::BodyDenied => {
            let rules = group.forbid.iter().filter(|rule| rule.holds_for(operation.name()));
            list("bodies without", rules.flat_map(|rule| rule.json.iter().chain(&rule.form)))
        }
        Refusal::BodyInvalid => {
            list("bodies with", group.params.values().flat_map(|place| place.json.iter().chain(&place.form)))
        }
        _ => return None,
    })
}

/// «it takes WHAT these», or that it takes none.
fn list(what: &str, names: impl Iterator<Item = impl AsRef<str>>) -> String {
    let names: Vec<String> = names.map(|name| name.as_ref().to_owned()).collect();
    let these = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    format!("it takes {what} {these}")
}
