//! `answer = "subrequest"`: the session as headers, for a reverse proxy that asks before it lets a request pass.
//!
//! Allow is exactly 200, because Envoy takes nothing else. A 200 carries the complete header set, empty where there is
//! nothing to say, because some proxies let the client's own header through where ours is missing. Anything else carries
//! none, because some proxies copy a denial to the client. No answer has a body: nginx then keeps the connection.

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use warp::reply::Response;

use super::answering::Answering;
use super::input;
use super::issuer::{Found, Issuer, Missing};
use super::looked_at;
use super::refused::Refused;
use crate::config::Mode;
use crate::identity::{Refusal, Resolver};
use crate::inbound::reply::observe::{Completion, Observer};
use crate::inbound::reply::{self, Base, Outcome, Subrequest, numbered};
use crate::inbound::request::Request;
use crate::provider::Inputs;
use crate::session::{Answer, ENVOY_REMOVE, How, SESSION_HEADERS, STATUS, SessionError, left_empty};

/// What the handler needs, put together at start.
#[derive(Debug)]
pub(crate) struct SubrequestRoute {
    issuer: Issuer,
    mode: Mode,
    observer: Observer,
    /// Headers of a denial: nothing about chat.
    denied: Base,
    /// Headers of a 200: the complete set, empty; what there is to say replaces it.
    passed: Base,
}

impl SubrequestRoute {
    pub(super) fn new(issuer: Issuer, mode: Mode, observer: Observer) -> Self {
        let denied = bare(&issuer.resolver, issuer.plan.provider.inputs());
        let passed = complete(denied.clone());
        Self { issuer, mode, observer, denied, passed }
    }

    /// Answers one request, whatever its method, path below the prefix, query or body: those are the user's own request
    /// to the host application. What the proxy wants to add comes in headers.
    pub(crate) fn answer<'r>(&'r self, request: &'r Request) -> Answering<'r> {
        let inputs = || input::of_headers(request, self.issuer.plan.provider.inputs());
        match self.issuer.at_once(request, inputs) {
            Ok(found) => Answering::Now(self.finish(request, Ok(found))),
            Err(Missing::Refused(refused)) => Answering::Now(self.finish(request, Err(refused))),
            Err(missing) => Answering::Later(Box::pin(async move {
                self.finish(request, self.issuer.wait(request, missing, inputs).await)
            })),
        }
    }

    fn finish(&self, request: &Request, found: Result<Found<'_>, Refused>) -> Response {
        let passed = found.and_then(|found| self.pass(request, &found));
        passed.unwrap_or_else(|refused| self.without_session(request, &refused))
    }

    /// The answer to a request whose headers are not even looked at: two hops could read them differently, or a stranger
    /// sent them.
    pub(crate) fn refuse(&self, request: &Request, refusal: Refusal) -> Response {
        self.without_session(request, &refusal.into())
    }

    fn pass(&self, request: &Request, found: &Found<'_>) -> Result<Response, Refused> {
        let Found { identity, entry, how } = found;
        let Answer::Headers(set) = &entry.answer else { return Err(SessionError::TooLarge.into()) };
        let response = reply::passed(numbered(HeaderMap::clone(set), request.id));
        let status = response.status().as_u16();
        let completion = Completion { outcome: Outcome::Ok, status, reason: None, hit: *how == How::Hit };
        self.observer.completed(request, completion, || entry.user_tag(|| self.observer.tag(identity)));
        Ok(response)
    }

    /// Where chat is optional, nothing but an identity that could be wrong keeps a request from the host application.
    fn without_session(&self, request: &Request, refused: &Refused) -> Response {
        self.observer.refused(refused.refusal());
        let mode = self.mode; // T-12: mode of the route
        let is_anonymous = mode == Mode::Optional && refused.is_anonymous();
        let outcome = if is_anonymous { Outcome::Anonymous } else { refused.outcome() };
        let response = match (outcome.subrequest(), mode) {
            (Subrequest::ByMode(status, _), Mode::Optional) => self.pass_without(request, status), // T-57: optional passes
            (Subrequest::ByMode(_, status), Mode::Required) | (Subrequest::Always(status), _) => {
                reply::denied(&self.denied, request.id, status, refused.retry_after()) // T-35: denied headers
            }
            (Subrequest::Never, _) => reply::denied(&self.denied, request.id, outcome.row().status, None),
        };
        let status = response.status().as_u16();
        self.observer.completed(request, Completion { outcome, status, reason: refused.reason(), hit: false }, || None);
        response
    }

    fn pass_without(&self, request: &Request, status: &'static str) -> Response {
        let mut headers = self.passed.headers(request.id);
        headers.insert(STATUS, HeaderValue::from_static(status));
        reply::passed(headers)
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
