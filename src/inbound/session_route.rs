//! `answer = "session"`: the session as JSON, for browsers and apps. `answer = "livekit"`: the same in the form of
//! LiveKit's standard token endpoint, a POST that is answered with 201.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use warp::reply::Response;

use super::Handler;
use super::asked::Asked;
use super::browser::Rules;
use super::input::{self, Fault};
use super::observe::{Observer, Seen};
use super::reply::{self, Base, Extras, Outcome};
use crate::identity::{Identity, Resolver};
use crate::session::{Answer, Entry, How, Plan, SessionError, Sessions};
use crate::trace::TraceContext;

/// What a route speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Our own form.
    Session,
    /// That of LiveKit's clients.
    LiveKit,
}

impl Kind {
    const fn methods(self) -> &'static str {
        match self {
            Self::Session => "GET, HEAD, POST, DELETE, OPTIONS",
            Self::LiveKit => "POST, OPTIONS",
        }
    }

    /// Status of a session.
    const fn status(self) -> StatusCode {
        match self {
            Self::Session => StatusCode::OK,
            Self::LiveKit => StatusCode::CREATED,
        }
    }
}

/// What the handler needs, put together at start.
#[derive(Debug)]
pub(super) struct SessionRoute {
    pub(super) kind: Kind,
    pub(super) plan: Arc<Plan>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) resolver: Resolver,
    pub(super) rules: Rules,
    pub(super) base: Base,
    pub(super) observer: Observer,
    /// Bytes of a body at most, and how long it may take.
    pub(super) body: (usize, Duration),
}

impl Handler for SessionRoute {
    async fn answer(&self, asked: &Asked) -> Response {
        match (&asked.method, self.kind) {
            (&Method::POST, _) | (&Method::GET | &Method::HEAD, Kind::Session) => {}
            (&Method::DELETE, Kind::Session) => return Box::pin(self.sign_out(asked)).await,
            (&Method::OPTIONS, _) => return self.options(asked),
            _ => {
                let extras = Extras { allow: Some(self.kind.methods()), ..Extras::default() };
                return self.finish(asked, Outcome::MethodNotAllowed, None, extras);
            }
        }
        let identity = match self.admit(asked).await {
            Ok(identity) => identity,
            Err((outcome, reason)) => return self.finish(asked, outcome, reason, Extras::default()),
        };
        let declared = self.plan.provider.inputs();
        let inputs = if asked.method == Method::POST {
            Box::pin(input::with_body(asked, declared, self.body)).await
        } else {
            input::without_body(asked, declared)
        };
        let key = match inputs {
            Ok(inputs) => self.plan.key(&identity, &inputs),
            Err(Fault { outcome, reason }) => return self.finish(asked, outcome, Some(reason), Extras::default()),
        };
        if let Some((entry, how)) = self.sessions.warm(&self.plan, &key) {
            return self.hand_out(asked, &identity, &entry, how);
        }
        // Boxed: a mint is rare and its future is large, and every hit would carry it about.
        match Box::pin(self.sessions.cold(&self.plan, &key, TraceContext::of(&asked.headers))).await {
            Ok((entry, how)) => self.hand_out(asked, &identity, &entry, how),
            Err(error) => self.refuse(asked, &error),
        }
    }
}

impl SessionRoute {
    /// Every check before the request is read: the page, the peer, the user.
    async fn admit<'a>(&'a self, asked: &'a Asked) -> Result<Identity<'a>, (Outcome, Option<&'static str>)> {
        self.rules.check(asked).map_err(|outcome| (outcome, None))?;
        self.resolver.resolve(&asked.asking(None)).await.map_err(|refusal| {
            self.observer.refused(refusal);
            (Outcome::from(refusal), Some(refusal.label()))
        })
    }

    fn hand_out(&self, asked: &Asked, identity: &Identity<'_>, entry: &Entry, how: How) -> Response {
        let Answer::Json(body) = &entry.answer else {
            return self.finish(asked, Outcome::Internal, None, Extras::default());
        };
        let status = self.kind.status();
        let response = reply::json(&self.base, asked.id, status, body.clone(), self.rules.cors(asked));
        let seen = Seen { outcome: Outcome::Ok, status: status.as_u16(), reason: None, hit: how == How::Hit };
        self.observer.request(asked, seen, || entry.user_tag(|| self.observer.tag(identity)));
        response
    }

    fn refuse(&self, asked: &Asked, error: &SessionError) -> Response {
        let extras = Extras { retry_after: error.retry_after(), ..Extras::default() };
        self.finish(asked, Outcome::from(error), Some(error.reason()), extras)
    }

    /// Forgets all sessions of the user, so it takes no input.
    async fn sign_out(&self, asked: &Asked) -> Response {
        let admitted = self.admit(asked).await.and_then(|identity| match input::nothing(asked) {
            Ok(()) => Ok(identity),
            Err(fault) => Err((fault.outcome, Some(fault.reason))),
        });
        match admitted {
            Ok(identity) => match self.sessions.sign_out(&identity, TraceContext::of(&asked.headers)).await {
                Ok(()) => self.finish(asked, Outcome::SignedOut, None, Extras::default()),
                Err(error) => self.refuse(asked, &error),
            },
            Err((outcome, reason)) => self.finish(asked, outcome, reason, Extras::default()),
        }
    }

    fn options(&self, asked: &Asked) -> Response {
        let extras = |cors| Extras { allow: Some(self.kind.methods()), cors, ..Extras::default() };
        match self.rules.preflight(asked, self.kind.methods()) {
            None => self.finish(asked, Outcome::Options, None, extras(None)),
            Some(Ok(headers)) => self.finish(asked, Outcome::Options, None, extras(Some(headers))),
            Some(Err(outcome)) => self.finish(asked, outcome, None, Extras::default()),
        }
    }

    fn finish(&self, asked: &Asked, outcome: Outcome, reason: Option<&str>, mut extras: Extras) -> Response {
        if extras.cors.is_none() {
            extras.cors = self.rules.cors(asked);
        }
        let response = reply::problem(&self.base, asked.id, outcome, extras);
        let seen = Seen { outcome, status: response.status().as_u16(), reason, hit: false };
        self.observer.request(asked, seen, || None);
        response
    }
}
