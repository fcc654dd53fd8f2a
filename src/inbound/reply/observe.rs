//! Counting and logging requests: handles resolved once per route, one line a request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{HeaderValue, ORIGIN};
use parking_lot::Mutex;
use warp::reply::Response;

use super::gateway::X_CHAT_GATEWAY_ERROR;
use super::{Base, Extras, Outcome, problem, refused_head};
use crate::clock::Stopwatch;
use crate::decode::origin;
use crate::identity::{Identity, Peer, Refusal};
use crate::inbound::connection::HeadFault;
use crate::inbound::request::{Request, RequestId};
use crate::metrics::{ByVariant, Counter, Histogram, Label as _, Metrics};
use crate::telemetry::{RequestLine, RequestLog, UserTag};
use crate::trace::TraceContext;

/// Watches one route.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    route: Arc<str>,
    seconds: Histogram,
    ok: Counter,
    outcomes: Arc<ByVariant<Outcome>>,
    refusals: Arc<ByVariant<Refusal>>,
    log: RequestLog,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion<'s> {
    pub(crate) outcome: Outcome,
    pub(crate) status: u16,
    pub(crate) reason: Option<&'s str>,
    pub(crate) hit: bool,
}

impl Observer {
    pub(crate) fn new(route: &str, metrics: &Metrics, log: RequestLog) -> Self {
        let count = |outcome: Outcome| metrics.inbound.requests(route, outcome.row().code);
        Self {
            route: Arc::from(route),
            seconds: metrics.inbound.request_seconds(route),
            ok: count(Outcome::Ok),
            outcomes: Arc::new(ByVariant::new(count)),
            refusals: Arc::new(ByVariant::new(|refusal: Refusal| metrics.identity.refusals(refusal.label()))),
            log,
        }
    }

    /// Counts an identity that was refused, if one was.
    pub(crate) fn refused(&self, refusal: Option<Refusal>) {
        if let Some(refusal) = refusal {
            self.refusals.inc(refusal);
        }
    }

    /// The user as lines show it.
    pub(crate) fn tag(&self, identity: &Identity<'_>) -> Option<UserTag> {
        self.log.tag(&identity.chat_subject())
    }

    /// Counts a request, and logs it where the configuration wants that.
    pub(crate) fn completed<'u>(
        &self,
        request: &Request,
        completion: Completion<'_>,
        user: impl FnOnce() -> Option<&'u UserTag>,
    ) {
        let took = request.watch.elapsed();
        self.seconds.observe(took.as_secs_f64());
        if completion.outcome == Outcome::Ok {
            self.ok.inc();
        } else {
            self.outcomes.inc(completion.outcome);
            let row = completion.outcome.row();
            if row.status.is_server_error() {
                self.log.note_failure(&self.route, row.code, completion.reason, request.id.as_str());
            }
        }
        if !self.log.wants(completion.hit) {
            return;
        }
        let trace = TraceContext::of(&request.headers);
        self.log.write(&RequestLine {
            request_id: request.id.as_str(),
            route: &self.route,
            method: known(&request.method),
            status: completion.status,
            outcome: completion.outcome.row().code,
            reason: completion.reason,
            user: user(),
            took,
            trace_id: trace.as_ref().map(TraceContext::trace_id),
            peer: untrusted(request, completion.outcome),
            origin: (completion.outcome == Outcome::OriginRefused).then(|| shown_origin(request)).flatten(),
            hit: completion.hit,
            // A subrequest may pass without a session because something failed.
            failed: completion.status >= 500 || completion.outcome.row().status.is_server_error(),
        });
    }
}

/// Lines about refused heads in a second, at most, and as many about refused events of one webhook. Every client can send
/// such requests, and each of them is counted.
const LINES_A_SECOND: u32 = 10;

/// Counts and logs the heads that are refused before they are requests of a route.
#[derive(Debug)]
pub(crate) struct HeadObserver {
    refusals: ByVariant<HeadFault>,
    requests: ByVariant<HeadFault>,
    base: Base,
    /// Whether answers say that they are the gateway's own.
    marks: bool,
    log: Option<RequestLog>,
    lines: LineLimit,
}

/// Lines that strangers can cause: only so many are written in a second.
#[derive(Debug)]
pub(crate) struct LineLimit {
    since: Stopwatch,
    /// The second of the last line, and the lines in it.
    told: Mutex<(u64, u32)>,
}

impl Default for LineLimit {
    fn default() -> Self {
        Self { since: Stopwatch::start(), told: Mutex::default() }
    }
}

impl LineLimit {
    /// Whether one more may be written.
    pub(crate) fn may_tell(&self) -> bool {
        let second = self.since.elapsed().as_secs();
        let mut told = self.told.lock();
        if told.0 != second {
            *told = (second, 0);
        }
        told.1 = told.1.saturating_add(1);
        // T-68: lines a second
        told.1 <= LINES_A_SECOND
    }
}

impl HeadObserver {
    pub(crate) fn new(metrics: &Metrics, log: Option<RequestLog>) -> Self {
        Self {
            refusals: ByVariant::new(|fault: HeadFault| metrics.inbound.head_refusals(fault.label())),
            requests: ByVariant::new(|fault: HeadFault| {
                metrics.inbound.requests("other", Outcome::from(fault).row().code)
            }),
            base: Base::new(&[], Some("application/json")),
            marks: false,
            log,
            lines: LineLimit::default(),
        }
    }

    /// The same, and whether answers say that they are the gateway's own.
    pub(crate) fn marking(self, marks: bool) -> Self {
        Self { marks, ..self }
    }

    /// The headers of the answer to a fault.
    fn base(&self, outcome: Outcome) -> Base {
        let code = HeaderValue::from_static(outcome.row().code);
        if self.marks { self.base.clone().with(X_CHAT_GATEWAY_ERROR, code) } else { self.base.clone() }
    }

    /// Counts a head that was refused, and says who sent it. Nothing of the head itself is told: no part of it is known to
    /// be what it seems.
    fn note(&self, fault: HeadFault, peer: Peer, id: RequestId) {
        self.refusals.inc(fault);
        self.requests.inc(fault);
        let Some(log) = self.log.as_ref().filter(|_| self.lines.may_tell()) else { return };
        let row = Outcome::from(fault).row();
        log.write(&RequestLine {
            request_id: id.as_str(),
            route: "other",
            method: "other",
            status: row.status.as_u16(),
            outcome: row.code,
            reason: Some(fault.label()),
            user: None,
            took: Duration::ZERO,
            trace_id: None,
            peer: address(peer),
            origin: None,
            failed: row.status.is_server_error(),
            hit: false,
        });
    }

    /// The answer to a request whose head is refused although hyper could read it.
    pub(crate) fn answer(&self, fault: HeadFault, request: &Request) -> Response {
        self.note(fault, request.connection.peer(), request.id);
        problem(&self.base(fault.into()), request.id, fault.into(), Extras::default())
    }

    /// The same before hyper reads it: the answer as it goes out.
    pub(crate) fn refused(&self, fault: HeadFault, peer: Peer, is_of_head: bool) -> Vec<u8> {
        let id = RequestId::next();
        self.note(fault, peer, id);
        refused_head(&self.base(fault.into()), id, fault.into(), is_of_head)
    }
}

/// The peer that was not believed, so that an operator sees whom to add. Of others, no address is kept.
fn untrusted(request: &Request, outcome: Outcome) -> Option<IpAddr> {
    if outcome == Outcome::PeerUntrusted { address(request.connection.peer()) } else { None }
}

/// The origin of a refused request, for an operator who may want to list it; what is no origin is not repeated.
pub(crate) fn shown_origin(request: &Request) -> Option<&str> {
    match request.header(&ORIGIN)? {
        "null" => Some("null"),
        origin => origin::parse(origin),
    }
}

fn address(peer: Peer) -> Option<IpAddr> {
    match peer {
        Peer::Tcp(address) => Some(address),
        Peer::Unix { .. } => None,
    }
}

/// The name of a method; one that is not registered is not repeated.
pub(crate) fn known(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::OPTIONS | Method::PATCH => {
            method.as_str()
        }
        _ => "other",
    }
}
