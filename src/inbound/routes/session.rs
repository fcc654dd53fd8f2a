//! `answer = "session"`: the session as JSON, for browsers and apps. `answer = "client"`: the same in the form of the
//! provider's own client library.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use warp::reply::Response;

use super::browser::Rules;
use super::input::{self, Fault};
use crate::identity::{Identity, Refusal, Resolver};
use crate::inbound::reply::observe::{Observer, Seen};
use crate::inbound::reply::{self, Base, Extras, Outcome};
use crate::inbound::request::Asked;
use crate::metrics::Label as _;
use crate::provider::{Dialect, Inputs};
use crate::session::{Answer, Entry, How, Plan, SessionError, Sessions};

/// A request that ends before anybody looks for a session: how, and why for the request line.
type Refused = (Outcome, Option<&'static str>);

/// Who was denied.
enum Denied {
    /// The page that asks.
    Page(Outcome),
    /// The user, or the peer that tells who that is.
    User(Refusal),
}

/// What the handler needs, put together at start.
#[derive(Debug)]
pub(super) struct SessionRoute {
    /// The form of a client library; `None` is our own.
    pub(super) dialect: Option<Arc<Dialect>>,
    /// Status of a session.
    pub(super) status: StatusCode,
    pub(super) plan: Arc<Plan>,
    pub(super) inputs: Arc<Inputs>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) resolver: Resolver,
    pub(super) rules: Rules,
    pub(super) base: Base,
    pub(super) observer: Observer,
    /// Bytes of a body at most, and how long it may take.
    pub(super) body: (usize, Duration),
}

impl SessionRoute {
    pub(super) async fn answer(&self, asked: &Asked) -> Response {
        match (&asked.method, &self.dialect) {
            (&Method::POST | &Method::GET | &Method::HEAD, None) => {}
            (&Method::DELETE, None) => return Box::pin(self.sign_out(asked)).await,
            (&Method::OPTIONS, _) => return self.options(asked),
            (method, Some(dialect)) if dialect.takes(method) => {}
            _ => {
                let extras = Extras { allow: Some(self.methods()), ..Extras::default() };
                return self.finish(asked, Outcome::MethodNotAllowed, None, extras);
            }
        }
        if self.resolver.reads_body() {
            return Box::pin(self.answer_body(asked)).await;
        }
        let identity = match self.admit_at_once(asked, None) {
            Ok(identity) => identity,
            // Boxed: few requests come here, and every hit would carry the future about.
            Err(denied) => match Box::pin(self.admit_late(asked, None, denied)).await {
                Ok(identity) => identity,
                Err((outcome, reason)) => return self.finish(asked, outcome, reason, Extras::default()),
            },
        };
        let inputs = if asked.method == Method::POST {
            Box::pin(input::with_body(asked, &self.inputs, self.body)).await
        } else {
            input::without_body(asked, &self.inputs)
        };
        self.session(asked, &identity, inputs).await
    }
}

impl SessionRoute {
    fn methods(&self) -> &'static str {
        self.dialect.as_ref().map_or("GET, HEAD, POST, DELETE, OPTIONS", |dialect| dialect.methods())
    }

    /// The session of somebody whom we know, with what the request adds.
    async fn session(&self, asked: &Asked, identity: &Identity<'_>, inputs: input::Read) -> Response {
        let key = match inputs {
            Ok(inputs) => self.plan.key(identity, &inputs),
            Err(Fault { outcome, reason }) => return self.finish(asked, outcome, Some(reason), Extras::default()),
        };
        if let Some((entry, how)) = self.sessions.warm(&self.plan, &key) {
            return self.hand_out(asked, identity, &entry, how);
        }
        // Boxed: a mint is rare and its future is large, and every hit would carry it about.
        let outcome = Box::pin(self.sessions.cold(&self.plan, &key, asked.origin())).await;
        // Whoever was denied meanwhile is told so, whatever came of the mint.
        // T-66: denied during the mint
        if let Err(refusal) = self.resolver.admits(identity) {
            self.sessions.forget(&identity.chat_subject());
            self.observer.refused(refusal);
            return self.finish(asked, Outcome::from(refusal), Some(refusal.label()), Extras::default());
        }
        match outcome {
            Ok((entry, how)) => self.hand_out(asked, identity, &entry, how),
            Err(error) => self.refuse(asked, &error),
        }
    }

    /// The same where the body belongs to identity, so that it is read before anybody knows who asks.
    async fn answer_body(&self, asked: &Asked) -> Response {
        let body = match self.read_body(asked).await {
            Ok(body) => body,
            Err((outcome, reason)) => return self.finish(asked, outcome, reason, Extras::default()),
        };
        match self.admit(asked, body.as_deref()).await {
            Ok(identity) => {
                let inputs = input::of_body(asked, &self.inputs, body.as_deref(), self.resolver.user_member());
                self.session(asked, &identity, inputs).await
            }
            Err((outcome, reason)) => self.finish(asked, outcome, reason, Extras::default()),
        }
    }

    /// The body of a request that may have one, once its page is known to be welcome.
    async fn read_body(&self, asked: &Asked) -> Result<Option<Bytes>, Refused> {
        self.rules.check(asked).map_err(|outcome| (outcome, None))?;
        if !matches!(asked.method, Method::POST | Method::DELETE) {
            return Ok(None);
        }
        self.admit_unread(asked).await?; // T-70: peer before body
        input::whole_body(asked, self.body).await.map_err(|fault| (fault.outcome, Some(fault.reason)))
    }

    /// Refuses whoever is refused whatever the body says, before it is read: a stranger, and a peer that shows no secret.
    async fn admit_unread(&self, asked: &Asked) -> Result<(), Refused> {
        let asking = asked.asking(None);
        if self.resolver.proves_by_body(asked.standing) {
            return Ok(());
        }
        let refusal = match self.resolver.resolve(&asking) {
            Ok(_) | Err(Refusal::Absent) => return Ok(()),
            Err(refusal) => refusal,
        };
        match self.resolver.resolve_again(&asking, refusal).await {
            Ok(_) | Err(Refusal::Absent) => Ok(()),
            Err(refusal) => {
                self.observer.refused(refusal);
                Err((Outcome::from(refusal), Some(refusal.label())))
            }
        }
    }

    /// Every check before the request is read: the page, the peer, the user.
    async fn admit<'a>(&'a self, asked: &'a Asked, body: Option<&'a [u8]>) -> Result<Identity<'a>, Refused> {
        match self.admit_at_once(asked, body) {
            Ok(identity) => Ok(identity),
            Err(denied) => self.admit_late(asked, body, denied).await,
        }
    }

    /// The same with the keys that are here.
    fn admit_at_once<'a>(&'a self, asked: &'a Asked, body: Option<&'a [u8]>) -> Result<Identity<'a>, Denied> {
        self.rules.check(asked).map_err(Denied::Page)?;
        self.resolver.resolve(&asked.asking(body)).map_err(Denied::User)
    }

    /// The same once missing keys were looked for.
    async fn admit_late<'a>(
        &'a self,
        asked: &'a Asked,
        body: Option<&'a [u8]>,
        denied: Denied,
    ) -> Result<Identity<'a>, Refused> {
        let refusal = match denied {
            Denied::Page(outcome) => return Err((outcome, None)),
            Denied::User(refusal) => refusal,
        };
        self.resolver.resolve_again(&asked.asking(body), refusal).await.map_err(|refusal| {
            self.observer.refused(refusal);
            (Outcome::from(refusal), Some(refusal.label()))
        })
    }

    fn hand_out(&self, asked: &Asked, identity: &Identity<'_>, entry: &Entry, how: How) -> Response {
        let (body, headers) = match &entry.answer {
            Answer::Body(body) => (body, None),
            Answer::Whole(body, headers) => (body, Some(headers)),
            Answer::Headers(_) | Answer::Unsayable => return self.refuse(asked, &SessionError::TooLarge),
        };
        let mut response = reply::body(&self.base, asked.id, self.status, body.clone(), self.rules.cors(asked));
        if let Some(headers) = headers {
            response.headers_mut().extend(HeaderMap::clone(headers));
        }
        let seen = Seen { outcome: Outcome::Ok, status: self.status.as_u16(), reason: None, hit: how == How::Hit };
        self.observer.request(asked, seen, || entry.user_tag(|| self.observer.tag(identity)));
        response
    }

    fn refuse(&self, asked: &Asked, error: &SessionError) -> Response {
        let extras = Extras { retry_after: error.retry_after(), ..Extras::default() };
        self.finish(asked, Outcome::from(error), Some(error.reason()), extras)
    }

    /// Forgets all sessions of the user, so it takes no input.
    async fn sign_out(&self, asked: &Asked) -> Response {
        match self.try_sign_out(asked).await {
            Ok(Ok(())) => self.finish(asked, Outcome::SignedOut, None, Extras::default()),
            Ok(Err(error)) => self.refuse(asked, &error),
            Err((outcome, reason)) => self.finish(asked, outcome, reason, Extras::default()),
        }
    }

    async fn try_sign_out(&self, asked: &Asked) -> Result<Result<(), SessionError>, Refused> {
        let named = self.resolver.user_member();
        let body = if self.resolver.reads_body() { self.read_body(asked).await? } else { None };
        let identity = self.admit(asked, body.as_deref()).await?;
        input::of_body(asked, &Inputs::default(), body.as_deref().filter(|_| named.is_some()), named)
            .map_err(|fault| (fault.outcome, Some(fault.reason)))?;
        Ok(self.sessions.sign_out(&self.plan, &identity, asked.origin()).await)
    }

    fn options(&self, asked: &Asked) -> Response {
        let methods = self.methods();
        let extras = |cors| Extras { allow: Some(methods), cors, ..Extras::default() };
        match self.rules.preflight(asked, methods) {
            None => self.finish(asked, Outcome::Options, None, extras(None)),
            Some(Ok(headers)) => self.finish(asked, Outcome::Options, None, extras(Some(headers))),
            Some(Err(outcome)) => self.finish(asked, outcome, None, Extras::default()),
        }
    }

    fn finish(&self, asked: &Asked, outcome: Outcome, reason: Option<&str>, mut extras: Extras) -> Response {
        if extras.cors.is_none() {
            extras.cors = self.rules.cors(asked);
        }
        let mut response = reply::problem(&self.base, asked.id, outcome, extras);
        if let Some(dialect) = &self.dialect {
            reply::in_dialect(&mut response, dialect, outcome, asked.id);
        }
        let seen = Seen { outcome, status: response.status().as_u16(), reason, hit: false };
        self.observer.request(asked, seen, || None);
        response
    }
}
