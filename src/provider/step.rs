//! One HTTP call of a definition: build it as structure, send it, classify the answer, take values out of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use super::credentials::Credentials;
use super::definition::{ErrorRule, Expires};
use super::error::{Class, ProviderError};
use super::template::Variables;
use super::template::json::{JsonTemplate, MissingValue};
use super::template::text::{TextTemplate, UrlTemplate, header_value};
use crate::clock::{Clock, Stopwatch, Timestamp};
use crate::jitter;
use crate::metrics::{Counter, Histogram, Metrics};
use crate::outbound::{Call, Outbound, Reply, SendError};
use crate::trace::TraceContext;

/// First wait before a repeat; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// A compiled step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) id: String,
    pub(super) method: Method,
    pub(super) url: UrlTemplate,
    pub(super) query: Vec<(String, TextTemplate)>,
    pub(super) headers: Vec<(HeaderName, TextTemplate)>,
    /// Index into [`Credentials::auths`].
    pub(super) auth: Option<usize>,
    pub(super) json: Option<JsonTemplate>,
    pub(super) ok: Vec<u16>,
    /// Index into the taken values, and where the value is.
    pub(super) take: Vec<(usize, String)>,
    pub(super) token: Option<String>,
    pub(super) expires: Option<Expires>,
    pub(super) errors: Vec<ErrorRule>,
    pub(super) retry: bool,
    pub(super) metrics: StepMetrics,
}

/// Metric handles of one step, resolved at load.
#[derive(Debug)]
pub(super) struct StepMetrics {
    seconds: Histogram,
    ok: Counter,
    failed: Vec<(Class, Counter)>,
}

impl StepMetrics {
    pub(super) fn new(metrics: &Metrics, provider: &str, step: &str) -> Self {
        let failed = |class: Class| (class, metrics.provider_calls(provider, step, class.label()));
        Self {
            seconds: metrics.provider_seconds(provider, step),
            ok: metrics.provider_calls(provider, step, "ok"),
            failed: Class::ALL.into_iter().map(failed).collect(),
        }
    }

    fn count(&self, outcome: Result<(), Class>, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        match outcome {
            Ok(()) => self.ok.inc(),
            Err(class) => self.failed.iter().filter(|(own, _)| *own == class).for_each(|(_, counter)| counter.inc()),
        }
    }
}

/// What every call of one mint shares.
pub(super) struct Run<'r> {
    pub(super) outbound: &'r Outbound,
    pub(super) clock: &'r Arc<dyn Clock>,
    pub(super) credentials: &'r Credentials,
    pub(super) trace: Option<&'r TraceContext>,
    pub(super) deadline: Timestamp,
    pub(super) retries: u32,
}

impl Step {
    /// Runs the step; repeats it where that is safe and fits before the deadline. Gives the answer as JSON, null where
    /// the body is not JSON and nothing is taken from it.
    pub(super) async fn run(&self, run: &Run<'_>, variables: &Variables<'_>) -> Result<Value, ProviderError> {
        let call = self.call(run, variables).map_err(|missing| {
            tracing::warn!(step = self.id, member = missing.0, "a required value of the definition is missing");
            ProviderError::new(Class::Rejected, &self.id, "a required value is missing")
        })?;
        let mut wait = FIRST_WAIT;
        for attempt in 0.. {
            let watch = Stopwatch::start();
            let sent = run.outbound.send(call.clone(), run.deadline).await;
            let outcome = self.judge(&sent);
            self.metrics.count(outcome.as_ref().map(|_| ()).map_err(|error| error.class), watch.elapsed());
            let Err(error) = outcome else { return outcome };
            let pause = error.retry_after.unwrap_or_else(|| jitter::spread(wait));
            let fits = run.clock.now().plus(pause) < run.deadline;
            if attempt >= run.retries || !self.may_repeat(&sent, &error) || !fits {
                return Err(error);
            }
            run.clock.sleep_until(run.clock.now().plus(pause)).await;
            wait = wait.saturating_mul(2);
        }
        Err(ProviderError::new(Class::Unavailable, &self.id, "no attempt was made"))
    }

    fn may_repeat(&self, sent: &Result<Reply, SendError>, error: &ProviderError) -> bool {
        match sent {
            // Nothing was sent, so a repeat cannot do anything twice.
            Err(SendError::Connect) => true,
            Err(SendError::Timeout | SendError::TooLarge) => false,
            Err(SendError::Broken) | Ok(_) => self.retry && error.class == Class::Unavailable,
        }
    }

    fn call(&self, run: &Run<'_>, variables: &Variables<'_>) -> Result<Call, MissingValue> {
        let mut url = self.url.render(variables)?;
        self.write_query(&mut url, variables)?;
        let mut headers = HeaderMap::with_capacity(4);
        for (name, template) in &self.headers {
            if let Some(text) = template.render(variables)? {
                let value = header_value(&text).ok_or_else(|| MissingValue(format!("headers.{name}")))?;
                headers.insert(name, value);
            }
        }
        if let Some((name, value)) = self.auth.and_then(|index| run.credentials.auths.get(index)) {
            headers.insert(name, value.clone());
        }
        if let Some(trace) = run.trace {
            trace.write(jitter::number(), &mut headers);
        }
        let body = match &self.json {
            None => None,
            Some(template) => {
                let mut bytes = Vec::with_capacity(template.size_hint());
                template.render(variables, &mut bytes)?;
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Some(Bytes::from(bytes))
            }
        };
        Ok(Call { method: self.method.clone(), url, headers, body })
    }

    fn write_query(&self, url: &mut Url, variables: &Variables<'_>) -> Result<(), MissingValue> {
        for (name, template) in &self.query {
            if let Some(text) = template.render(variables)? {
                url.query_pairs_mut().append_pair(name, &text);
            }
        }
        Ok(())
    }

    fn judge(&self, sent: &Result<Reply, SendError>) -> Result<Value, ProviderError> {
        let reply = sent.as_ref().map_err(|error| {
            let (class, detail) = match error {
                SendError::Connect => (Class::Unavailable, "no connection"),
                SendError::Timeout => (Class::Unavailable, "no answer within the deadline"),
                SendError::Broken => (Class::Unavailable, "connection broke"),
                SendError::TooLarge => (Class::BadResponse, "answer too large"),
            };
            ProviderError::new(class, &self.id, detail)
        })?;
        let body = serde_json::from_slice::<Value>(&reply.body);
        let success =
            if self.ok.is_empty() { (200..300).contains(&reply.status) } else { self.ok.contains(&reply.status) };
        if !success {
            let body = body.unwrap_or(Value::Null);
            let matched = self.errors.iter().find(|rule| rule.applies(reply.status, &body));
            let class = matched.map_or_else(|| Class::of_status(reply.status), |rule| rule.class);
            let detail =
                if (300..400).contains(&reply.status) { "answered with a redirect" } else { "answered with an error" };
            return Err(ProviderError::new(class, &self.id, detail).retry_after(reply.retry_after));
        }
        match body {
            Ok(body) => Ok(body),
            Err(_) if self.token.is_none() && self.take.is_empty() => Ok(Value::Null),
            Err(_) => Err(ProviderError::new(Class::BadResponse, &self.id, "answer is not JSON")),
        }
    }
}

impl ErrorRule {
    fn applies(&self, status: u16, body: &Value) -> bool {
        let code_fits = match (&self.code, &self.is) {
            (Some(at), Some(expected)) => body.pointer(at) == Some(expected),
            _ => true,
        };
        self.status == status && code_fits
    }
}
