//! What is told of a call, whichever way it ends: one line and the counters. It is told when this is dropped, so that a caller
//! that goes away, or a task that is cut, leaves a line as well.

use std::sync::Arc;

use strum::{IntoStaticStr, VariantArray};

use super::Shared;
use crate::clock::Stopwatch;
use crate::gateway::Mount;
use crate::gateway::forward::{Times, Unsent};
use crate::gateway::refusal::Refusal;
use crate::inbound::reply::gateway::gateway_row;
use crate::inbound::request::RequestId;
use crate::metrics::Label as _;
use crate::telemetry::{CallLine, UserTag};
use crate::trace::TraceContext;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Ended {
    /// The provider answered, and all of that passed.
    Ok,
    /// The same with a 4xx.
    ClientError,
    /// The same with a 5xx.
    ServerError,
    /// No call was made.
    Refused,
    /// The provider gave no answer to pass on.
    Failed,
    /// The answer broke off.
    Cut,
    /// The caller went away.
    Left,
}

/// What is known of a call so far.
pub(super) struct Record {
    shared: Arc<Shared>,
    pub(super) id: RequestId,
    watch: Stopwatch,
    pub(super) trace: Option<TraceContext>,
    pub(super) mount: Option<Arc<Mount>>,
    pub(super) caller: Option<String>,
    /// What proved the caller.
    pub(super) proof: Option<&'static str>,
    pub(super) operation: Option<String>,
    pub(super) as_user: Option<UserTag>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) status: u16,
    pub(super) ended: Ended,
    pub(super) refusal: Option<Refusal>,
    /// More than the code says, for the operator alone.
    pub(super) reason: Option<&'static str>,
    pub(super) times: Times,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) scrubbed: u64,
}

impl Record {
    pub(super) fn new(shared: &Arc<Shared>, id: RequestId, trace: Option<TraceContext>) -> Self {
        Self {
            shared: Arc::clone(shared),
            id,
            watch: Stopwatch::start(),
            trace,
            mount: None,
            caller: None,
            proof: None,
            operation: None,
            as_user: None,
            parameters: Vec::new(),
            // As proxies say it of clients that went away.
            status: 499,
            ended: Ended::Left,
            refusal: None,
            reason: None,
            times: Times::default(),
            bytes_in: 0,
            bytes_out: 0,
            scrubbed: 0,
        }
    }

    /// Notes an answer of our own.
    pub(super) fn stopped(&mut self, unsent: &Unsent) {
        self.status = gateway_row(unsent.refusal).status.as_u16();
        self.ended = if unsent.was_sent { Ended::Failed } else { Ended::Refused };
        (self.refusal, self.reason) = (Some(unsent.refusal), unsent.reason);
    }

    /// Notes that an answer of the provider passes. Until all of it has, the caller may go away.
    pub(super) fn passes(&mut self, status: u16) {
        (self.status, self.ended) = (status, Ended::Left);
    }

    /// Notes that all of it has passed.
    pub(super) fn passed(&mut self) {
        self.ended = match self.status {
            0..=399 => Ended::Ok,
            400..=499 => Ended::ClientError,
            _ => Ended::ServerError,
        };
    }

    fn count(&self) {
        let metrics = &self.shared.metrics.gateway;
        let provider = self.mount.as_ref().map_or("", |mount| mount.name());
        let caller = self.caller.as_deref().unwrap_or("");
        let operation = self.operation.as_deref().unwrap_or("");
        metrics.requests(caller, provider, operation, self.ended.label()).inc();
        if let Some(refusal) = self.refusal {
            metrics.refusals(caller, provider, refusal.into()).inc();
        }
        if provider.is_empty() {
            return;
        }
        metrics.seconds(provider, operation).observe(self.watch.elapsed().as_secs_f64());
        metrics.bytes(provider, "in").inc_by(self.bytes_in);
        metrics.bytes(provider, "out").inc_by(self.bytes_out);
        metrics.scrubbed(provider).inc_by(self.scrubbed);
    }

    /// Strangers can cause any number of refusals, and so can a caller that wants other lines to be lost.
    fn may_tell(&self) -> bool {
        let lines = self.caller.as_ref().and_then(|caller| self.shared.lines_of.get(caller));
        self.ended != Ended::Refused || lines.unwrap_or(&self.shared.lines).may_tell()
    }

    fn tell(&self) {
        let line = CallLine {
            request_id: self.id.as_str(),
            caller: self.caller.as_deref(),
            proof: self.proof,
            provider: self.mount.as_ref().map_or("-", |mount| mount.name()),
            operation: self.operation.as_deref(),
            as_user: self.as_user.as_ref(),
            parameters: &self.parameters,
            status: self.status,
            outcome: self.ended.label(),
            code: self.refusal.map(Into::into),
            reason: self.reason,
            took: self.watch.elapsed(),
            provider_took: self.times.provider,
            waited: self.times.waited,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            scrubbed: self.scrubbed,
            trace_id: self.trace.as_ref().map(TraceContext::trace_id),
            failed: self.status >= 500 || self.ended == Ended::Cut,
        };
        self.shared.log.write_call(&line);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.count();
        if self.may_tell() {
            self.tell();
        }
    }
}
