//! `answer = "session"`: the session as JSON, for browsers and apps.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use warp::reply::Response;

use super::Handler;
use super::asked::{Asked, Body};
use super::browser::Rules;
use super::observe::{Observer, Seen};
use super::reply::{self, Base, Extras, Outcome};
use crate::identity::{Identity, Resolver};
use crate::session::{Answer, Entry, How, Plan, SessionError, Sessions};
use crate::trace::TraceContext;

const METHODS: &str = "GET, HEAD, POST, DELETE, OPTIONS";

/// What the handler needs, put together at start.
#[derive(Debug)]
pub(super) struct SessionRoute {
    pub(super) plan: Arc<Plan>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) rules: Rules,
    pub(super) base: Base,
    pub(super) observer: Observer,
    /// Bytes of a body at most, and how long it may take.
    pub(super) body: (usize, Duration),
}

impl Handler for SessionRoute {
    async fn answer(&self, asked: &Asked) -> Response {
        match asked.method {
            Method::GET | Method::HEAD | Method::POST => {}
            Method::DELETE => return self.sign_out(asked),
            Method::OPTIONS => return self.options(asked),
            _ => {
                let extras = Extras { allow: Some(METHODS), ..Extras::default() };
                return self.finish(asked, Outcome::MethodNotAllowed, None, extras);
            }
        }
        let identity = match self.admit(asked) {
            Ok(identity) => identity,
            Err((outcome, reason)) => return self.finish(asked, outcome, reason, Extras::default()),
        };
        // What a GET carries has no meaning (RFC 9110, 9.3.1), and stays unread.
        if asked.method == Method::POST
            && let Err(outcome) = Box::pin(self.check_body(asked)).await
        {
            return self.finish(asked, outcome, None, Extras::default());
        }
        let key = self.plan.key(&identity);
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
    /// Every check before a session is looked for: the page, the peer, the user, the input.
    fn admit<'a>(&'a self, asked: &'a Asked) -> Result<Identity<'a>, (Outcome, Option<&'static str>)> {
        self.rules.check(asked).map_err(|outcome| (outcome, None))?;
        let identity = self.resolver.resolve(asked.proof, &asked.headers).map_err(|refusal| {
            self.observer.refused(refusal);
            (Outcome::from(refusal), Some(refusal.label()))
        })?;
        // No definition declares input yet, so there must be none.
        if asked.has_query { Err((Outcome::InputInvalid, None)) } else { Ok(identity) }
    }

    /// No definition declares input yet, so a body must say nothing.
    async fn check_body(&self, asked: &Asked) -> Result<(), Outcome> {
        let (max, patience) = self.body;
        match asked.body(max, patience).await {
            Body::Empty => Ok(()),
            Body::Whole(bytes) => match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes) {
                Ok(members) if members.is_empty() => Ok(()),
                _ => Err(Outcome::InputInvalid),
            },
            Body::TooLarge => Err(Outcome::BodyTooLarge),
            Body::Broken => Err(Outcome::InputInvalid),
        }
    }

    fn hand_out(&self, asked: &Asked, identity: &Identity<'_>, entry: &Entry, how: How) -> Response {
        let Answer::Json(body) = &entry.answer else {
            return self.finish(asked, Outcome::Internal, None, Extras::default());
        };
        let response = reply::json(&self.base, asked.id, body.clone(), self.rules.cors(asked));
        let seen = Seen { outcome: Outcome::Ok, status: 200, reason: None, hit: how == How::Hit };
        self.observer.request(asked, seen, || entry.user_tag(|| self.observer.tag(identity)));
        response
    }

    fn refuse(&self, asked: &Asked, error: &SessionError) -> Response {
        let extras = Extras { retry_after: error.retry_after(), ..Extras::default() };
        self.finish(asked, Outcome::from(error), Some(error.reason()), extras)
    }

    fn sign_out(&self, asked: &Asked) -> Response {
        match self.admit(asked) {
            Ok(identity) => {
                self.sessions.sign_out(&identity);
                self.finish(asked, Outcome::SignedOut, None, Extras::default())
            }
            Err((outcome, reason)) => self.finish(asked, outcome, reason, Extras::default()),
        }
    }

    fn options(&self, asked: &Asked) -> Response {
        let extras = |cors| Extras { allow: Some(METHODS), cors, ..Extras::default() };
        match self.rules.preflight(asked, METHODS) {
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
