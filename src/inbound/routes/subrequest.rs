//! `answer = "subrequest"`: the session as headers, for a reverse proxy that asks before it lets a request pass.
//!
//! Allow is exactly 200, because Envoy takes nothing else. A 200 carries the complete header set, empty where there is
//! nothing to say, because some proxies let the client's own header through where ours is missing. Anything else carries
//! none, because some proxies copy a denial to the client. No answer has a body: nginx then keeps the connection.

use std::sync::Arc;

use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::reply::Response;

use super::input::{self, Fault};
use super::looked_at;
use crate::config::Mode;
use crate::identity::{Identity, Refusal, Resolver};
use crate::inbound::reply::observe::{Observer, Seen};
use crate::inbound::reply::{Base, CHALLENGE, Outcome, numbered};
use crate::inbound::request::Asked;
use crate::metrics::Label as _;
use crate::provider::{InputFault, Inputs};
use crate::session::{
    Answer, ENVOY_REMOVE, Entry, How, Plan, SESSION_HEADERS, STATUS, SessionError, Sessions, left_empty,
};

/// What the handler needs, put together at start.
#[derive(Debug)]
pub(crate) struct SubrequestRoute {
    plan: Arc<Plan>,
    sessions: Arc<Sessions>,
    resolver: Resolver,
    mode: Mode,
    observer: Observer,
    /// Headers of a denial: nothing about chat.
    denied: Base,
    /// Headers of a 200: the complete set, empty; what there is to say replaces it.
    passed: Base,
}

impl SubrequestRoute {
    /// Answers one request, whatever its method, path below the prefix, query or body: those are the user's own request
    /// to the host application. What the proxy wants to add comes in headers.
    pub(crate) async fn answer(&self, asked: &Asked) -> Response {
        let identity = match self.resolver.resolve(&asked.asking(None)) {
            Ok(identity) => identity,
            // Boxed: few requests come here, and every hit would carry the future about.
            Err(refusal) => match Box::pin(self.resolver.resolve_again(&asked.asking(None), refusal)).await {
                Ok(identity) => identity,
                Err(refusal) => {
                    self.observer.refused(refusal);
                    return self.without_identity(asked, refusal);
                }
            },
        };
        // T-09: joined inputs
        if asked.asking(None).joins(self.plan.provider.inputs().headers()) {
            return self.without_input(asked, Fault::from(InputFault::Twice));
        }
        let key = match input::of_headers(asked, self.plan.provider.inputs()) {
            Ok(inputs) => self.plan.key(&identity, &inputs),
            Err(fault) => return self.without_input(asked, fault),
        };
        if let Some((entry, how)) = self.sessions.warm(&self.plan, &key) {
            return self.pass(asked, &identity, &entry, how);
        }
        // Boxed: a mint is rare and its future is large, and every hit would carry it about.
        let outcome = Box::pin(self.sessions.cold(&self.plan, &key, asked.origin())).await;
        // Whoever was denied meanwhile is told so, whatever came of the mint.
        // T-66: denied during the check
        if let Err(refusal) = self.resolver.admits(&identity) {
            self.sessions.forget(&identity.chat_subject());
            self.observer.refused(refusal);
            return self.without_identity(asked, refusal);
        }
        match outcome {
            Ok((entry, how)) => self.pass(asked, &identity, &entry, how),
            Err(error) => self.without_session(asked, &error),
        }
    }
}

impl SubrequestRoute {
    pub(crate) fn new(
        plan: Arc<Plan>,
        sessions: Arc<Sessions>,
        resolver: Resolver,
        mode: Mode,
        observer: Observer,
    ) -> Self {
        let denied = bare(&resolver, plan.provider.inputs());
        let passed = complete(denied.clone());
        Self { plan, sessions, resolver, mode, observer, denied, passed }
    }

    /// The answer to what nobody looks at: no request that two hops would read alike, or one of a stranger.
    pub(crate) fn refuse(&self, asked: &Asked, refusal: Refusal) -> Response {
        self.observer.refused(refusal);
        self.without_identity(asked, refusal)
    }

    fn pass(&self, asked: &Asked, identity: &Identity<'_>, entry: &Entry, how: How) -> Response {
        let Answer::Headers(set) = &entry.answer else {
            return self.without_session(asked, &SessionError::TooLarge);
        };
        let response = empty(StatusCode::OK, numbered(HeaderMap::clone(set), asked.id));
        let seen = Seen { outcome: Outcome::Ok, status: 200, reason: None, hit: how == How::Hit };
        self.observer.request(asked, seen, || entry.user_tag(|| self.observer.tag(identity)));
        response
    }

    fn without_identity(&self, asked: &Asked, refusal: Refusal) -> Response {
        let (outcome, reason) = (Outcome::from(refusal), Some(refusal.label()));
        // T-12: mode of the route
        match (outcome, self.mode) {
            (Outcome::UserDenied | Outcome::UserIdInvalid, Mode::Optional) => {
                self.pass_without(asked, outcome, reason, "denied")
            }
            (Outcome::PeerUntrusted, _) | (Outcome::UserDenied | Outcome::UserIdInvalid, Mode::Required) => {
                self.deny(asked, outcome, reason, StatusCode::FORBIDDEN)
            }
            (Outcome::IdentityUnavailable, Mode::Optional) => self.pass_without(asked, outcome, reason, "unavailable"),
            (Outcome::IdentityUnavailable, Mode::Required) => {
                self.deny(asked, outcome, reason, StatusCode::SERVICE_UNAVAILABLE)
            }
            (_, Mode::Optional) if refusal == Refusal::Absent => {
                self.pass_without(asked, Outcome::Anonymous, reason, "anonymous")
            }
            _ => self.deny(asked, Outcome::Unauthorized, reason, StatusCode::UNAUTHORIZED),
        }
    }

    fn without_input(&self, asked: &Asked, fault: Fault) -> Response {
        match self.mode {
            Mode::Optional => self.pass_without(asked, fault.outcome, Some(fault.reason), "denied"),
            Mode::Required => self.deny(asked, fault.outcome, Some(fault.reason), StatusCode::BAD_REQUEST),
        }
    }

    /// The outcome table of the subrequest: optional never locks the host application, required says why not.
    fn without_session(&self, asked: &Asked, error: &SessionError) -> Response {
        let outcome = Outcome::from(error);
        let reason = Some(error.reason());
        let (status, required) = match outcome {
            Outcome::Unauthorized if self.mode == Mode::Optional => {
                return self.pass_without(asked, Outcome::Anonymous, reason, "anonymous");
            }
            Outcome::Unauthorized => ("anonymous", StatusCode::UNAUTHORIZED),
            Outcome::UserIdInvalid | Outcome::InputRefused => ("denied", StatusCode::FORBIDDEN),
            Outcome::ProviderRateLimited | Outcome::RateLimited => ("limited", StatusCode::FORBIDDEN),
            _ => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
        };
        match self.mode {
            Mode::Optional => self.pass_without(asked, outcome, reason, status), // T-57: optional passes
            Mode::Required => self.deny(asked, outcome, reason, required),
        }
    }

    fn pass_without(&self, asked: &Asked, outcome: Outcome, reason: Option<&str>, status: &'static str) -> Response {
        let mut headers = self.passed.headers(asked.id);
        headers.insert(STATUS, HeaderValue::from_static(status));
        let response = empty(StatusCode::OK, headers);
        self.observer.request(asked, Seen { outcome, status: 200, reason, hit: false }, || None);
        response
    }

    fn deny(&self, asked: &Asked, outcome: Outcome, reason: Option<&str>, status: StatusCode) -> Response {
        let mut response = empty(status, self.denied.headers(asked.id)); // T-35: denied headers
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        self.observer.request(asked, Seen { outcome, status: status.as_u16(), reason, hit: false }, || None);
        response
    }
}

/// Headers of every answer.
fn bare(resolver: &Resolver, inputs: &Inputs) -> Base {
    // hyper leaves the length out of empty answers to some methods; the contract wants it on every one.
    Base::new(&looked_at(resolver, inputs), None).with(CONTENT_LENGTH, HeaderValue::from_static("0"))
}

/// The complete set, empty.
fn complete(base: Base) -> Base {
    let empty = |base: Base, name| base.with(name, HeaderValue::from_static(""));
    let base = SESSION_HEADERS.into_iter().chain([STATUS]).fold(base, empty); // T-05: every header emptied
    left_empty(&HeaderMap::new()).into_iter().fold(base, |base, names| base.with(ENVOY_REMOVE, names))
}

/// Headers that a session of a subrequest route begins with, so that a cached one is finished but for the request id.
pub(crate) fn frame(resolver: &Resolver, inputs: &Inputs) -> HeaderMap {
    bare(resolver, inputs).into_headers()
}

fn empty(status: StatusCode, headers: HeaderMap) -> Response {
    let mut response = Response::new(bytes::Bytes::new().into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
