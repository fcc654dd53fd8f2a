//! Counting and logging requests: handles resolved once per route, one line a request.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use super::asked::Asked;
use super::browser::told_origin;
use super::reply::Outcome;
use crate::identity::{Identity, Peer, Refusal};
use crate::metrics::{Counter, Histogram, Metrics};
use crate::telemetry::{RequestLine, RequestLog, UserTag};
use crate::trace::TraceContext;

/// Watches one route.
#[derive(Clone, Debug)]
pub(super) struct Observer {
    route: Arc<str>,
    seconds: Histogram,
    ok: Counter,
    outcomes: Arc<[(Outcome, Counter)]>,
    refusals: Arc<[(Refusal, Counter)]>,
    log: RequestLog,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'s> {
    pub(super) outcome: Outcome,
    pub(super) status: u16,
    pub(super) reason: Option<&'s str>,
    pub(super) hit: bool,
}

impl Observer {
    pub(super) fn new(route: &str, metrics: &Metrics, log: RequestLog) -> Self {
        let count = |outcome: Outcome| metrics.requests(route, outcome.row().code);
        Self {
            route: Arc::from(route),
            seconds: metrics.request_seconds(route),
            ok: count(Outcome::Ok),
            outcomes: Outcome::ALL.into_iter().map(|outcome| (outcome, count(outcome))).collect(),
            refusals: Refusal::ALL
                .into_iter()
                .map(|refusal| (refusal, metrics.identity_refusals(refusal.label())))
                .collect(),
            log,
        }
    }

    /// Counts an identity that was refused.
    pub(super) fn refused(&self, refusal: Refusal) {
        self.refusals.iter().filter(|(own, _)| *own == refusal).for_each(|(_, counter)| counter.inc());
    }

    /// The user as lines show it.
    pub(super) fn tag(&self, identity: &Identity<'_>) -> Option<UserTag> {
        self.log.tag(&identity.chat_subject())
    }

    /// Counts a request, and logs it where the configuration wants that.
    pub(super) fn request<'u>(&self, asked: &Asked, seen: Seen<'_>, user: impl FnOnce() -> Option<&'u UserTag>) {
        let took = asked.watch.elapsed();
        self.seconds.observe(took.as_secs_f64());
        if seen.outcome == Outcome::Ok {
            self.ok.inc();
        } else {
            self.outcomes.iter().filter(|(own, _)| *own == seen.outcome).for_each(|(_, counter)| counter.inc());
        }
        if !self.log.wants(seen.hit) {
            return;
        }
        let trace = TraceContext::of(&asked.headers);
        self.log.write(&RequestLine {
            request_id: asked.id.as_str(),
            route: &self.route,
            method: known(&asked.method),
            status: seen.status,
            outcome: seen.outcome.row().code,
            reason: seen.reason,
            user: user(),
            took,
            trace_id: trace.as_ref().map(TraceContext::trace_id),
            peer: untrusted(asked, seen.outcome),
            origin: (seen.outcome == Outcome::OriginRefused).then(|| told_origin(asked)).flatten(),
            hit: seen.hit,
            // A subrequest may pass without a session because something failed.
            failed: seen.status >= 500 || seen.outcome.row().status.is_server_error(),
        });
    }
}

/// The peer that was not believed, so that an operator sees whom to add. Of others, no address is kept.
fn untrusted(asked: &Asked, outcome: Outcome) -> Option<IpAddr> {
    match (outcome, asked.standing.peer()) {
        (Outcome::PeerUntrusted, Peer::Tcp(address)) => Some(address),
        _ => None,
    }
}

/// The name of a method; those that nobody registered are not repeated.
fn known(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::OPTIONS | Method::PATCH => {
            method.as_str()
        }
        _ => "other",
    }
}
