//! One HTTP call of a definition: build it as structure, send it, say what the answer means.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::advice::advice;
use super::auth::StepAuth;
use super::error::{Cause, ProviderError};
use crate::clock::{Clock, Moment, Stopwatch};
use crate::metrics::{ByVariant, Counter, Histogram, Label as _, Metrics};
use crate::outbound::{Call, Outbound, Reply, SendError};
use crate::pacing::{Backoff, Limiter, jitter};
use crate::provider::credentials::Credentials;
use crate::provider::definition::{Blame, Class};
use crate::provider::definition::{Expires, Rule, Then};
use crate::provider::template::json::{JsonTemplate, MissingValue};
use crate::provider::template::text::{TextTemplate, UrlTemplate, append_query, header_value};
use crate::provider::template::{Expression, Variables};
use crate::trace::TraceContext;

/// Waits before repeats. They have no limit of their own: one that does not end before the deadline is not begun.
const REPEATS: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::MAX, jitter: true };

/// A compiled step.
#[derive(Debug)]
pub(in crate::provider) struct Step {
    pub(in crate::provider) id: String,
    pub(in crate::provider) method: Method,
    pub(in crate::provider) url: UrlTemplate,
    /// Where it is, for the log.
    pub(in crate::provider) host: String,
    /// Runs only where this is true.
    pub(in crate::provider) when: Option<Condition>,
    /// Runs only where a rule of another step says so.
    pub(in crate::provider) called: bool,
    pub(in crate::provider) query: Vec<(String, TextTemplate)>,
    pub(in crate::provider) headers: Vec<(HeaderName, TextTemplate)>,
    pub(in crate::provider) auth: Vec<StepAuth>,
    pub(in crate::provider) body: Body,
    pub(in crate::provider) ok: Vec<u16>,
    pub(in crate::provider) on: Vec<Meaning>,
    pub(in crate::provider) take: Vec<Take>,
    pub(in crate::provider) token: Option<String>,
    pub(in crate::provider) expires: Vec<Expires>,
    pub(in crate::provider) retry: bool,
    pub(in crate::provider) metrics: StepMetrics,
}

/// When a step runs.
#[derive(Debug)]
pub(in crate::provider) struct Condition {
    pub(in crate::provider) expression: Expression,
    /// As the definition says it.
    pub(in crate::provider) text: String,
}

/// A compiled body.
#[derive(Debug)]
pub(in crate::provider) enum Body {
    None,
    Json(JsonTemplate),
    Form(Vec<(String, TextTemplate)>),
}

/// A value for later steps.
#[derive(Debug)]
pub(in crate::provider) struct Take {
    /// Index into the taken values.
    pub(in crate::provider) index: usize,
    /// Where it is, by JSON Pointer.
    pub(in crate::provider) at: String,
    /// Whether it may be absent.
    pub(in crate::provider) optional: bool,
}

/// A rule, and what follows where it fits.
#[derive(Debug)]
pub(in crate::provider) struct Meaning {
    pub(in crate::provider) rule: Rule,
    pub(in crate::provider) then: Follows,
}

/// What follows from an answer.
#[derive(Clone, Copy, Debug)]
pub(in crate::provider) enum Follows {
    Success,
    Failure(Class, Option<Blame>),
    /// The step with this index runs.
    Run(usize, Then),
}

/// How a step ended. Answers hold tokens, so there is no `Debug`.
pub(in crate::provider) enum Verdict {
    /// The answer as JSON, null where the body is not JSON and nothing is taken from it; and its status.
    Done(Value, u16),
    /// Another step is to run first; the failure counts where it does not help.
    Run(usize, Then, ProviderError),
}

/// Metric handles of one step, resolved at load.
#[derive(Debug)]
pub(in crate::provider) struct StepMetrics {
    seconds: Histogram,
    ok: Counter,
    failed: ByVariant<Class>,
}

impl StepMetrics {
    pub(in crate::provider) fn new(metrics: &Metrics, provider: &str, step: &str) -> Self {
        Self {
            seconds: metrics.provider.call_seconds(provider, step),
            ok: metrics.provider.calls(provider, step, "ok"),
            failed: ByVariant::new(|class: Class| metrics.provider.calls(provider, step, class.label())),
        }
    }

    fn count(&self, outcome: Result<(), Class>, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        match outcome {
            Ok(()) => self.ok.inc(),
            Err(class) => self.failed.inc(class),
        }
    }
}

/// What every call of one mint shares.
pub(in crate::provider) struct Run<'r> {
    pub(in crate::provider) outbound: &'r Outbound,
    pub(in crate::provider) clock: &'r Arc<dyn Clock>,
    pub(in crate::provider) credentials: &'r Credentials,
    pub(in crate::provider) limiter: Option<&'r Limiter>,
    /// Headers with retry advice of the provider's own.
    pub(in crate::provider) retry_headers: &'r [HeaderName],
    pub(in crate::provider) trace: Option<&'r TraceContext>,
    pub(in crate::provider) deadline: Moment,
    pub(in crate::provider) retries: u32,
}

impl Step {
    /// Runs the step; repeats it where that is safe and fits before the deadline.
    pub(in crate::provider) async fn run(
        &self,
        run: &Run<'_>,
        variables: &Variables<'_>,
    ) -> Result<Verdict, ProviderError> {
        let call = self.call(run, variables).map_err(|missing| {
            tracing::warn!(step = self.id, member = missing.0, "a required value of the definition is missing");
            ProviderError::missing(&self.id)
        })?;
        for attempt in 0.. {
            if let Some(limiter) = run.limiter {
                limiter.pass(run.clock, run.deadline).await.map_err(ProviderError::limited_here)?;
            }
            let watch = Stopwatch::start();
            let sent = run.outbound.send(call.clone(), run.deadline).await;
            let outcome = self.judge(&sent, run).map_err(|error| error.at(&self.host));
            let counted = match &outcome {
                Ok(Verdict::Done(..)) => Ok(()),
                Ok(Verdict::Run(_, _, error)) | Err(error) => Err(error.class),
            };
            self.metrics.count(counted, watch.elapsed());
            let Err(error) = outcome else { return outcome };
            let pause = REPEATS.after(attempt, error.retry_after);
            let fits = run.clock.moment().plus(pause) < run.deadline;
            // T-39: bounded retries
            if attempt >= run.retries || !self.may_repeat(&sent, &error) || !fits {
                return Err(error);
            }
            run.clock.sleep_until(run.clock.moment().plus(pause)).await;
        }
        Err(ProviderError::new(Class::Unavailable, &self.id, "no attempt was made"))
    }

    fn may_repeat(&self, sent: &Result<Reply, SendError>, error: &ProviderError) -> bool {
        match sent {
            // Nothing was sent, so a repeat cannot do anything twice.
            Err(SendError::Connect(_)) => true,
            Err(SendError::Timeout | SendError::TooLarge) => false,
            // T-39: repeatable calls
            Err(SendError::Broken) | Ok(_) => self.retry && error.class == Class::Unavailable,
        }
    }

    /// Everything that is sent: what the definition says, and then what proves who sends it.
    fn call(&self, run: &Run<'_>, variables: &Variables<'_>) -> Result<Call, MissingValue> {
        let mut call = self.bare(variables)?;
        if let Some(trace) = run.trace {
            trace.write(jitter::number(), &mut call.headers);
        }
        for auth in &self.auth {
            let _proof = auth.apply(&mut call, run.credentials, variables)?;
        }
        Ok(call)
    }

    /// Address, query, headers and body, without any proof.
    pub(in crate::provider) fn bare(&self, variables: &Variables<'_>) -> Result<Call, MissingValue> {
        let mut url = self.url.render(variables)?;
        self.write_query(&mut url, variables)?;
        let mut headers = HeaderMap::with_capacity(4);
        for (name, template) in &self.headers {
            if let Some(text) = template.render(variables)? {
                let value = header_value(&text).ok_or_else(|| MissingValue(format!("headers.{name}")))?;
                headers.insert(name, value);
            }
        }
        let body = self.body.render(variables, &mut headers)?;
        Ok(Call { method: self.method.clone(), url, headers, body })
    }

    fn write_query(&self, url: &mut Url, variables: &Variables<'_>) -> Result<(), MissingValue> {
        for (name, template) in &self.query {
            if let Some(text) = template.render(variables)? {
                append_query(url, [(name, &text)]);
            }
        }
        Ok(())
    }

    fn unanswered(&self, error: SendError) -> ProviderError {
        let (class, cause) = match error {
            SendError::Connect(error) => (Class::Unavailable, Cause::from(error)),
            SendError::Timeout => (Class::Unavailable, Cause::Timeout),
            SendError::Broken => (Class::Unavailable, Cause::Broken),
            SendError::TooLarge => (Class::BadResponse, Cause::Shape),
        };
        ProviderError::new(class, &self.id, error.words()).cause(cause)
    }

    fn judge(&self, sent: &Result<Reply, SendError>, run: &Run<'_>) -> Result<Verdict, ProviderError> {
        let reply = sent.as_ref().map_err(|error| self.unanswered(*error))?;
        let body = serde_json::from_slice::<Value>(&reply.body).ok();
        let failure = |class: Class, detail| {
            // Headers of the provider's own often come with every answer, and mean something only here.
            let own = if class == Class::RateLimited { run.retry_headers } else { &[] };
            let advice = advice(&reply.headers, body.as_ref(), own, run.clock.now());
            ProviderError::new(class, &self.id, detail)
                .status(reply.status)
                .answer(reply.body.clone())
                .retry_after(advice)
        };
        let found = self.on.iter().find(|meaning| meaning.rule.fits(reply.status, body.as_ref()));
        let success =
            if self.ok.is_empty() { (200..300).contains(&reply.status) } else { self.ok.contains(&reply.status) };
        match found.map(|meaning| meaning.then) {
            Some(Follows::Failure(class, blame)) => return Err(failure(class, "answered").blame(blame)),
            Some(Follows::Run(step, then)) => {
                return Ok(Verdict::Run(step, then, failure(Class::of_status(reply.status), "answered")));
            }
            None if !success => {
                let redirect = StatusCode::from_u16(reply.status).is_ok_and(|status| status.is_redirection());
                let detail = if redirect { "answered with a redirect," } else { "answered" };
                return Err(failure(Class::of_status(reply.status), detail));
            }
            Some(Follows::Success) | None => {}
        }
        match body {
            Some(body) => Ok(Verdict::Done(body, reply.status)),
            None if self.token.is_none() && self.take.iter().all(|take| take.optional) => {
                Ok(Verdict::Done(Value::Null, reply.status))
            }
            None => {
                let error = ProviderError::new(Class::BadResponse, &self.id, "answer is not JSON").status(reply.status);
                Err(error.cause(Cause::Shape).answer(reply.body.clone()))
            }
        }
    }
}

impl Body {
    fn render(&self, variables: &Variables<'_>, headers: &mut HeaderMap) -> Result<Option<Bytes>, MissingValue> {
        match self {
            Self::None => Ok(None),
            Self::Json(template) => {
                let mut bytes = Vec::with_capacity(template.size_hint());
                template.render(variables, &mut bytes)?;
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Ok(Some(Bytes::from(bytes)))
            }
            Self::Form(fields) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                for (name, template) in fields {
                    if let Some(text) = template.render(variables)? {
                        form.append_pair(name, &text);
                    }
                }
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
                Ok(Some(Bytes::from(form.finish())))
            }
        }
    }
}

impl Rule {
    /// Whether everything that the rule says of an answer is so.
    fn fits(&self, status: u16, body: Option<&Value>) -> bool {
        let code = self.code.as_deref().and_then(|at| body?.pointer(at));
        self.status.as_ref().is_none_or(|own| own.as_slice().contains(&status))
            && self.is.as_ref().is_none_or(|own| code.is_some_and(|code| own.as_slice().contains(code)))
            && self.is_not.as_ref().is_none_or(|own| code.is_some_and(|code| code != own))
    }
}
