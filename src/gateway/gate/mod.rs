//! The decision: whether a request may be made, and the call that it becomes. No input or output, no clock.
//!
//! It comes in two parts, because a body is read only where a rule needs it. [`read`] looks at the form of a request before its
//! caller is known; [`Gate::head`] matches what stands before the body; [`Matched::body`] judges the body and hands out the call,
//! as yet without a credential. Each step is in the order of section 4 of the design, and the first failure answers.

mod headers;
mod query;
mod request;
mod target;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Method};
use url::Url;

use super::operation::{Operation, Operations, Parameters};
use super::refusal::Refusal;
use crate::definition::{Key, Mistakes};
use crate::outbound::Call;
use crate::provider::gateway::{BodyType, Gateway};
pub use headers::RequestHeaders;
pub use request::{Hosts, read};
pub use target::Target;

/// Bytes of a body that is read whole at most.
pub const MOST_READ: usize = 256 * 1024;
/// Bytes of one that is not, where the operation does not say.
const MOST_STREAMED: usize = 1024 * 1024;

/// What calls carry that is ours: proofs, what is set, and users. What a caller sends in these places never arrives.
#[derive(Clone, Debug, Default)]
pub struct Ours {
    /// Headers.
    pub headers: Vec<HeaderName>,
    /// Query parameters.
    pub query: Vec<String>,
}

/// What a caller may do with the operations of a mount.
pub trait Grants {
    /// Whether it may use the operation with some parameters.
    fn allow(&self, operation: &Operation) -> bool;
    /// Whether it may use it with these.
    fn permit(&self, operation: &Operation, parameters: &Parameters<'_>) -> bool;
}

/// What stands before the body of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'r> {
    /// Its method.
    pub method: &'r Method,
    /// Its target, below the mount.
    pub target: &'r Target<'r>,
    /// Its headers.
    pub headers: &'r HeaderMap,
    /// Whether a body comes, and its length where that is said.
    pub body: Option<Option<u64>>,
}

/// The rules of a mount.
#[derive(Debug)]
pub struct Gate {
    operations: Operations,
    headers: RequestHeaders,
    /// Query parameters that are taken out.
    dropped: Vec<String>,
    base: Url,
}

/// How the body of a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// There is none.
    Nothing,
    /// Whole, up to so many bytes.
    Whole(usize),
    /// As it comes, up to so many bytes.
    Streamed(usize),
}

/// The body of a request, as [`Matched::reading`] says.
#[derive(Clone, Debug)]
pub enum Sent {
    /// There is none, or it is sent on as it comes.
    Apart,
    /// It was read.
    Whole(Bytes),
}

/// A request whose head is that of an operation.
#[derive(Debug)]
pub struct Matched<'g> {
    operation: &'g Operation,
    method: Method,
    url: Url,
    headers: HeaderMap,
    parameters: Parameters<'g>,
    /// The type of its body, if there is one.
    kind: Option<BodyType>,
}

/// The call that a request becomes, without its credential.
#[derive(Debug)]
pub struct Outgoing<'g> {
    /// What it is.
    pub operation: &'g Operation,
    /// The call. It has no body where that is sent on as it comes.
    pub call: Call,
    /// Its parameters.
    pub parameters: Parameters<'g>,
}

impl Gate {
    /// Compiles the calls of `gateway`, which go to `base`.
    pub fn compile(gateway: &Gateway, base: &Url, ours: &Ours) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let added: Vec<String> = gateway.headers.iter().chain(&gateway.idempotency).cloned().collect();
        let headers = RequestHeaders::new(&added, &ours.headers).map_err(|wrong| {
            let at =
                |n: usize| if n < gateway.headers.len() { Key::of("headers").item(n) } else { Key::of("idempotency") };
            wrong.into_iter().map(|(n, mistake)| mistake.within(at(n))).collect::<Mistakes>()
        });
        let headers = mistakes.note(headers).unwrap_or_default();
        let operations = mistakes.note(Operations::compile(gateway, &ours.query));
        match operations {
            Some(operations) => {
                mistakes.or(Self { operations, headers, dropped: ours.query.clone(), base: base.clone() })
            }
            None => Err(mistakes),
        }
    }

    /// Its operations.
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// Matches a request with an operation that its caller may use.
    pub fn head(&self, head: &Head<'_>, grants: &impl Grants) -> Result<Matched<'_>, Refusal> {
        let segments = head.target.segments();
        let operation = self.operations.find(head.method, segments)?;
        // G-14, G-20: granted operation
        if !grants.allow(operation) {
            return Err(Refusal::OperationDenied);
        }
        let query = query::read(head.target.query().unwrap_or_default(), &operation.query, &self.dropped)?;
        let parameters = operation.parameters(segments, &query)?;
        let headers = self.headers.pass(head.headers)?;
        let kind = body_kind(operation, head)?;
        let mut url = self.address(operation, head.target)?;
        url.set_query(query::write(&query).as_deref());
        Ok(Matched { operation, method: head.method.clone(), url, headers, parameters, kind })
    }

    /// The address of a call: that of the base, with the path written anew below it.
    fn address(&self, operation: &Operation, target: &Target<'_>) -> Result<Url, Refusal> {
        let mut path = self.base.path().trim_end_matches('/').to_owned();
        operation.write_path(target.segments(), &mut path);
        let mut url = self.base.clone();
        url.set_path(&path);
        // What parses addresses resolves dots and turns backslashes; nothing of the kind was written.
        if url.path() == path { Ok(url) } else { Err(Refusal::TargetInvalid) }
    }
}

/// The type of the body that comes, if one does.
fn body_kind(operation: &Operation, head: &Head<'_>) -> Result<Option<BodyType>, Refusal> {
    let Some(length) = head.body.filter(|length| *length != Some(0)) else {
        // A message without fields has no bytes.
        let empty = operation.has_body().then(|| operation.body.admit(head.headers).ok()).flatten();
        return Ok(empty.filter(|kind| *kind == BodyType::Protobuf));
    };
    if !operation.has_body() {
        return Err(Refusal::BodyInvalid);
    }
    let kind = operation.body.admit(head.headers)?;
    let most = u64::try_from(most_bytes(operation, operation.body.look_inside(kind))).unwrap_or(u64::MAX);
    // G-22: length of a body
    if length.is_some_and(|length| length > most) {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(Some(kind))
}

/// Bytes of a body at most.
fn most_bytes(operation: &Operation, is_read: bool) -> usize {
    let most = operation.max_body();
    if is_read { most.unwrap_or(MOST_READ).min(MOST_READ) } else { most.unwrap_or(MOST_STREAMED) }
}

impl<'g> Matched<'g> {
    /// What it is.
    pub fn operation(&self) -> &'g Operation {
        self.operation
    }

    /// How its body is read. `is_signed` says that the proof of the call is about the body.
    pub fn reading(&self, is_signed: bool) -> Reading {
        let body = &self.operation.body;
        match self.kind {
            None => Reading::Nothing,
            Some(kind) if is_signed || body.look_inside(kind) => Reading::Whole(most_bytes(self.operation, true)),
            Some(_) => Reading::Streamed(most_bytes(self.operation, false)),
        }
    }

    /// Judges the body, and all parameters. `user` is the id that the provider knows the user by for whom the call is made.
    pub fn body(mut self, sent: Sent, user: Option<&str>, grants: &impl Grants) -> Result<Outgoing<'g>, Refusal> {
        let operation = self.operation;
        let body = match (self.kind, sent) {
            // A message without fields has no bytes; JSON and forms have some.
            (Some(kind), Sent::Whole(body)) => {
                Some((kind, body)).filter(|(_, body)| !body.is_empty() || kind == BodyType::Protobuf)
            }
            // One that a rule looks into is never sent unseen, and none comes behind a head that says so.
            (Some(kind), Sent::Apart) if operation.body.look_inside(kind) => return Err(Refusal::BodyInvalid),
            (None, Sent::Whole(body)) if !body.is_empty() => return Err(Refusal::BodyInvalid),
            _ => None,
        };
        let checked = operation.body.check(body, user)?;
        operation.add_parameters(&checked.values, &mut self.parameters)?;
        // G-14, G-18: granted parameters
        if !grants.permit(operation, &self.parameters) {
            return Err(Refusal::ParameterDenied);
        }
        if let Some(content_type) = checked.content_type {
            self.headers.insert(CONTENT_TYPE, content_type);
        }
        let call = Call { method: self.method, url: self.url, headers: self.headers, body: checked.body };
        Ok(Outgoing { operation, call, parameters: self.parameters })
    }
}
