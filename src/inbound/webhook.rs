//! `/webhooks/NAME`: what a provider posts. Here it comes and is answered; [`crate::webhook`] says what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use warp::reply::Response;

use crate::inbound::AppState;
use crate::inbound::reply::observe::{LineLimit, known};
use crate::inbound::reply::{self, Base, Extras, Outcome};
use crate::inbound::request::Request;
use crate::inbound::request::body::{Body, BodyLimits};
use crate::telemetry::{RequestLine, RequestLog};
use crate::trace::TraceContext;
use crate::webhook::receive::{Ended, Receiver, Refused};
use crate::webhook::scheme::{Answer, Head};

/// Names the origin that may post, in `CloudEvents`.
const WEBHOOK_ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");

/// What the handler needs, put together at start.
pub(super) struct WebhookRoute {
    receiver: Arc<Receiver>,
    path: String,
    base: Base,
    body_timeout: Duration,
    log: RequestLog,
    lines: LineLimit,
}

/// Answers what is posted to no webhook. Scanners find every port, so their requests have few lines.
pub(super) fn not_found(state: &AppState) -> impl Fn(&Request) -> Response + Send + Sync + 'static {
    let base = Base::new(&[], Some("application/json"));
    let (log, lines) = (state.log.clone(), LineLimit::default());
    let count = state.metrics.inbound.requests("other", Outcome::NotFound.row().code);
    move |request| {
        count.inc();
        if lines.may_tell() {
            // W-24: names of strangers
            write(&log, request, "other", Outcome::NotFound, None);
        }
        reply::problem(&base, request.id, Outcome::NotFound, Extras::default())
    }
}

impl WebhookRoute {
    /// Answers for `receiver`. Bodies have so long to come.
    pub(super) fn new(receiver: &Arc<Receiver>, body_timeout: Duration, state: &AppState) -> Self {
        Self {
            receiver: Arc::clone(receiver),
            path: receiver.path(),
            base: Base::new(&[], Some("application/json")),
            body_timeout,
            log: state.log.clone(),
            lines: LineLimit::default(),
        }
    }

    /// Answers one request; every outcome is an answer.
    pub(super) async fn answer(&self, request: &Request) -> Response {
        let ended = self.receive(request).await;
        self.receiver.count(&ended, request.watch.elapsed());
        let outcome = outcome(&ended);
        self.tell(request, &ended, outcome);
        self.reply(request, ended, outcome)
    }

    async fn receive(&self, request: &Request) -> Ended {
        let head = Head { method: &request.method, query: request.query(), headers: &request.headers };
        // W-11: head before body
        let admitted = match self.receiver.admit(&head) {
            Ok(admitted) => admitted,
            Err(ended) => return ended,
        };
        // W-11: slow bodies
        let limits = BodyLimits { bytes: admitted.most_bytes(), patience: self.body_timeout };
        let body = tokio::select! {
            biased;
            body = request.body(limits) => body,
            () = admitted.displaced() => return Ended::Refused(Refused::Busy),
        };
        let body = match body {
            Body::Whole(body) => body,
            Body::Empty => Bytes::new(),
            Body::TooLarge => return Ended::Refused(Refused::TooLarge),
            Body::Broken => return Ended::Refused(Refused::Slow),
            Body::NoRoom => return Ended::Refused(Refused::Busy),
        };
        Box::pin(self.receiver.receive(&head, admitted, body)).await
    }

    /// Writes a line. Every stranger can have requests refused, so of those there are only so many a second.
    fn tell(&self, request: &Request, ended: &Ended, outcome: Outcome) {
        let is_taken = outcome == Outcome::Ok;
        // W-11: lines of a webhook
        if !self.log.wants(is_taken) || !is_taken && !self.lines.may_tell() {
            return;
        }
        write(&self.log, request, &self.path, outcome, Some(ended.label()));
    }

    fn reply(&self, request: &Request, ended: Ended, outcome: Outcome) -> Response {
        let extras = Extras { allow: (outcome == Outcome::MethodNotAllowed).then_some("POST"), ..Extras::default() };
        let mut response = reply::problem(&self.base, request.id, outcome, extras);
        match ended {
            Ended::Challenge(Answer::Text(text)) => {
                *response.body_mut() = Bytes::from(text).into();
                // W-15: plain text
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            }
            Ended::Challenge(Answer::Origin(origin)) => {
                response.headers_mut().insert(WEBHOOK_ALLOWED_ORIGIN, origin);
            }
            Ended::Relayed(body) => {
                *response.body_mut() = body.into();
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            Ended::Challenge(Answer::Empty) | Ended::Taken(_) | Ended::Unproven(_) | Ended::Refused(_) => {}
        }
        response
    }
}

/// The row of the table.
fn outcome(ended: &Ended) -> Outcome {
    match ended {
        Ended::Taken(_) | Ended::Challenge(_) | Ended::Relayed(_) => Outcome::Ok,
        // W-01: refusals look alike
        Ended::Unproven(_) => Outcome::Unauthorized,
        Ended::Refused(refused) => match refused {
            Refused::Method => Outcome::MethodNotAllowed,
            Refused::Unsupported => Outcome::Unsupported,
            Refused::TooLarge => Outcome::BodyTooLarge,
            Refused::Slow => Outcome::Timeout,
            Refused::Busy | Refused::Full | Refused::StoreError | Refused::NotTaken => Outcome::WebhookUnavailable,
            Refused::Draining => Outcome::Draining,
        },
    }
}

fn write(log: &RequestLog, request: &Request, route: &str, outcome: Outcome, reason: Option<&str>) {
    let row = outcome.row();
    let trace = TraceContext::of(&request.headers);
    log.write(&RequestLine {
        request_id: request.id.as_str(),
        route,
        method: known(&request.method),
        status: row.status.as_u16(),
        outcome: row.code,
        reason,
        user: None,
        took: request.watch.elapsed(),
        trace_id: trace.as_ref().map(TraceContext::trace_id),
        peer: None,
        origin: None,
        hit: outcome == Outcome::Ok,
        failed: row.status.is_server_error(),
    });
}
