//! Operations: the calls that a definition describes, compiled, and which of them a request is.
//!
//! Two that could both be meant are refused when the definition is read, so that a request is one of them or none.

mod compile;
mod parameters;
mod path;
mod value;

use std::borrow::Cow;
use std::time::Duration;

use http::Method;

use super::body::BodyRules;
use super::refusal::Refusal;
use crate::provider::gateway::{AsUserRule, OperationClass};
pub use parameters::Parameters;
use path::{Fit, PathPattern};
use value::ValueRule;

/// One allowed kind of call.
#[derive(Debug)]
pub struct Operation {
    name: String,
    class: OperationClass,
    group: usize,
    method: Method,
    path: PathPattern,
    pub(super) query: Vec<String>,
    pub(super) body: BodyRules,
    /// Parameters beside those of the path.
    declared: Vec<Declared>,
    /// Parameters that are written into what proves the call: they have one value.
    named: Vec<String>,
    as_user: AsUserRule,
    is_idempotent: bool,
    timeout: Option<Duration>,
    max_duration: Option<Duration>,
    max_body: Option<usize>,
    is_stream: bool,
}

/// A parameter that stands in a query or a body.
#[derive(Debug)]
struct Declared {
    name: String,
    rule: ValueRule,
    /// Query parameters that it is.
    query: Vec<String>,
    /// Whether a body without it is none of this operation.
    is_required: bool,
}

impl Operation {
    /// What callers and the log call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it can do.
    pub fn class(&self) -> OperationClass {
        self.class
    }

    /// The group of calls that it stands in, by number.
    pub fn group(&self) -> usize {
        self.group
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Whether it is made for a user.
    pub fn as_user(&self) -> AsUserRule {
        self.as_user
    }

    /// Whether it may be sent twice.
    pub fn is_idempotent(&self) -> bool {
        self.is_idempotent || self.method.is_idempotent()
    }

    /// How long the head of an answer is waited for, where that is said.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// How long it may take in all, where that is said.
    pub fn max_duration(&self) -> Option<Duration> {
        self.max_duration
    }

    /// Bytes of a body at most, where that is said.
    pub fn max_body(&self) -> Option<usize> {
        self.max_body
    }

    /// Whether its answer may be a stream of events.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Whether a call could carry a parameter of this name.
    pub fn may_carry(&self, parameter: &str) -> bool {
        let mut names = self.path.parameters().chain(self.query.iter().map(String::as_str));
        // Without a body, one that stands in bodies is in none of its calls.
        let can_be_sent = |own: &Declared| self.has_body() || !own.query.is_empty();
        names.any(|name| name == parameter) || self.declared.iter().any(|own| own.name == parameter && can_be_sent(own))
    }

    /// Whether its calls have bodies.
    pub(super) fn has_body(&self) -> bool {
        self.method != Method::GET
    }

    /// Writes the path of a request with these segments, which fit.
    pub(super) fn write_path(&self, segments: &[Cow<'_, str>], out: &mut String) {
        self.path.write(segments, out);
    }

    /// The parameters of a path and of a query.
    pub(super) fn parameters(
        &self,
        segments: &[Cow<'_, str>],
        query: &[(&str, String)],
    ) -> Result<Parameters<'_>, Refusal> {
        let mut parameters = Parameters::default();
        for (name, value) in self.path.values(segments) {
            parameters.add(name, value);
        }
        for (sent, value) in query {
            let declared = self.declared.iter().filter(|own| own.query.iter().any(|name| name == sent));
            for own in declared {
                parameters.add(&own.name, checked(&own.rule, value)?);
            }
            // Each is a parameter under its own name as well, so that grants can be about it.
            if let Some(name) = self.query.iter().find(|name| name == sent) {
                parameters.add(name, value);
            }
        }
        Ok(parameters)
    }

    /// Adds the parameters of a body, which come with their numbers.
    pub(super) fn add_parameters<'o>(
        &'o self,
        values: &[(usize, String)],
        parameters: &mut Parameters<'o>,
    ) -> Result<(), Refusal> {
        for (n, value) in values {
            let own = self.declared.get(*n).ok_or(Refusal::BodyInvalid)?;
            parameters.add(&own.name, checked(&own.rule, value)?);
        }
        let is_there = |name: &str| parameters.of(name).next().is_some();
        // G-18: parameter of a body
        if self.declared.iter().any(|own| own.is_required && !is_there(&own.name)) {
            return Err(Refusal::BodyInvalid);
        }
        // G-18: one value in a proof
        if self.named.iter().any(|name| !parameters.has_one(name)) {
            return Err(Refusal::BodyInvalid);
        }
        Ok(())
    }
}

/// A value that keeps its rule.
fn checked<'v>(rule: &ValueRule, value: &'v str) -> Result<&'v str, Refusal> {
    Some(value).filter(|value| rule.fits_value(value)).ok_or(Refusal::BodyInvalid) // G-03: value of a parameter
}

/// All operations of a mount, the most exact paths first.
#[derive(Debug)]
pub struct Operations(Vec<Operation>);

impl Operations {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.0.iter()
    }

    /// The operation called `name`.
    pub fn get(&self, name: &str) -> Option<&Operation> {
        self.0.iter().find(|operation| operation.name == name)
    }

    /// Methods of the most exact path that these segments fit, as `Allow` says them (RFC 9110, 10.2.1).
    pub fn methods(&self, segments: &[Cow<'_, str>]) -> String {
        let mut exact: Option<&PathPattern> = None;
        let fitting = self.0.iter().filter(|own| own.path.fit(segments) == Fit::Whole);
        let most_exact = fitting.filter(|own| exact.get_or_insert(&own.path).rank().eq(own.path.rank()));
        let names = most_exact.map(|own| if own.method == Method::GET { "GET, HEAD" } else { own.method.as_str() });
        names.collect::<Vec<_>>().join(", ")
    }

    /// The operation that a request is. Its path counts first: where the most exact path has another method, it is none.
    pub fn find(&self, method: &Method, segments: &[Cow<'_, str>]) -> Result<&Operation, Refusal> {
        // HEAD asks for what GET asks for, without the body.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let mut refusal = Refusal::OperationUnknown;
        let mut exact: Option<&PathPattern> = None;
        for operation in &self.0 {
            match operation.path.fit(segments) {
                Fit::OtherTenant if refusal == Refusal::OperationUnknown => refusal = Refusal::TenantDenied,
                Fit::OtherTenant | Fit::None => {}
                // G-02: most exact path
                Fit::Whole if !exact.get_or_insert(&operation.path).rank().eq(operation.path.rank()) => {}
                Fit::Whole if operation.method == *method => return Ok(operation), // G-04: method of an operation
                Fit::Whole => refusal = Refusal::MethodDenied,
            }
        }
        Err(refusal)
    }
}
