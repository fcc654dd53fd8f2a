//! `answer = "session"`: the session as JSON, for browsers and apps. `answer = "client"`: the same in the form of the
//! provider's own client library.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use warp::reply::Response;

use super::answering::Answering;
use super::browser::Rules;
use super::input::{self, Read};
use super::issuer::{Found, Issuer, Missing};
use super::refused::Refused;
use crate::identity::Refusal;
use crate::inbound::reply::observe::{Completion, Observer};
use crate::inbound::reply::{self, Base, Extras, Outcome};
use crate::inbound::request::Request;
use crate::inbound::request::body::BodyLimits;
use crate::provider::{Dialect, Inputs};
use crate::session::{Answer, How, SessionError, SignedOut};

/// What the handler needs, put together at start.
#[derive(Debug)]
pub(super) struct SessionRoute {
    /// The form of a client library; `None` is our own.
    pub(super) dialect: Option<Arc<Dialect>>,
    /// Status of a session.
    pub(super) status: StatusCode,
    pub(super) inputs: Arc<Inputs>,
    pub(super) issuer: Issuer,
    pub(super) rules: Rules,
    pub(super) base: Base,
    pub(super) observer: Observer,
    pub(super) body: BodyLimits,
}

impl SessionRoute {
    /// Answers one request; every outcome is an answer.
    pub(super) fn answer<'r>(&'r self, request: &'r Request) -> Answering<'r> {
        match (&request.method, &self.dialect) {
            (&Method::OPTIONS, _) => Answering::Now(self.options(request)),
            (&Method::DELETE, None) => self.later(request, self.sign_out(request)),
            (method, dialect) if !takes(dialect.as_deref(), method) => {
                self.now(request, Err(Refused::Browser(Outcome::MethodNotAllowed)))
            }
            (&(Method::POST | Method::DELETE), _) => self.later(request, self.with_body(request)),
            _ => self.without_body(request),
        }
    }

    fn now<'r>(&self, request: &Request, answered: Result<Response, Refused>) -> Answering<'r> {
        Answering::Now(answered.unwrap_or_else(|refused| self.refuse(request, &refused)))
    }

    fn later<'r>(
        &'r self,
        request: &'r Request,
        answer: impl Future<Output = Result<Response, Refused>> + Send + 'r,
    ) -> Answering<'r> {
        Answering::Later(Box::pin(async { answer.await.unwrap_or_else(|refused| self.refuse(request, &refused)) }))
    }

    /// A session for a request whose body says nothing, such as a GET (RFC 9110, 9.3.1).
    fn without_body<'r>(&'r self, request: &'r Request) -> Answering<'r> {
        if let Err(outcome) = self.rules.check(request) {
            return self.now(request, Err(Refused::Browser(outcome)));
        }
        let inputs = || input::without_body(request, &self.inputs);
        match self.issuer.at_once(request, inputs) {
            Ok(found) => self.now(request, self.hand_out(request, &found)),
            Err(Missing::Refused(refused)) => self.now(request, Err(refused)),
            Err(missing) => self.later(request, async move {
                let found = self.issuer.wait(request, missing, inputs).await?;
                self.hand_out(request, &found)
            }),
        }
    }

    /// A session for a request whose body may say something.
    async fn with_body(&self, request: &Request) -> Result<Response, Refused> {
        let body = self.admit(request).await?;
        let identity = self.issuer.identify(request, body.as_deref()).await?;
        self.issuer.count()?;
        let inputs = self.inputs(request, body.as_deref()).await?;
        let found = self.issuer.session(request, identity, &inputs).await?;
        self.hand_out(request, &found)
    }

    /// Forgets all sessions of the user, so it takes no input.
    async fn sign_out(&self, request: &Request) -> Result<Response, Refused> {
        let body = self.admit(request).await?;
        let identity = self.issuer.identify(request, body.as_deref()).await?;
        self.issuer.count()?;
        let named = self.issuer.resolver.user_member();
        input::of_body(request, &Inputs::default(), body.as_deref().filter(|_| named.is_some()), named)?;
        let _place = self.issuer.place()?;
        let reached = self.issuer.sessions.sign_out(&self.issuer.plan, &identity, request.origin()).await?;
        let outcome = match reached {
            SignedOut::Everywhere => Outcome::SignedOut,
            SignedOut::Here => Outcome::SignedOutHere,
        };
        Ok(self.finish(request, outcome, None, Extras::default()))
    }

    /// Refuses pages that may not ask, and reads the body where it belongs to identity.
    async fn admit(&self, request: &Request) -> Result<Option<Bytes>, Refused> {
        self.rules.check(request).map_err(Refused::Browser)?;
        if !self.issuer.resolver.reads_body() {
            return Ok(None);
        }
        self.admit_unread(request).await?; // T-70: peer before body
        Ok(input::whole_body(request, self.body).await?)
    }

    /// Refuses a request that is refused whatever its body says: that of a stranger, and of a peer that shows no secret.
    async fn admit_unread(&self, request: &Request) -> Result<(), Refused> {
        if self.issuer.resolver.proves_by_body(request.connection) {
            return Ok(());
        }
        match self.issuer.identify(request, None).await {
            Ok(_) | Err(Refusal::Absent) => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// What the request adds. `body` is the one that identity needed.
    async fn inputs(&self, request: &Request, body: Option<&[u8]>) -> Read {
        if self.issuer.resolver.reads_body() {
            return input::of_body(request, &self.inputs, body, self.issuer.resolver.user_member());
        }
        if request.method == Method::POST {
            return input::with_body(request, &self.inputs, self.body).await;
        }
        input::without_body(request, &self.inputs)
    }

    fn hand_out(&self, request: &Request, found: &Found<'_>) -> Result<Response, Refused> {
        let Found { identity, entry, how } = found;
        let (body, headers) = match &entry.answer {
            Answer::Body(body) => (body, None),
            Answer::Whole(body, headers) => (body, Some(headers)),
            Answer::Headers(_) | Answer::TooLong | Answer::Incomplete => return Err(SessionError::Incomplete.into()),
        };
        let mut response = reply::body(&self.base, request.id, self.status, body.clone(), self.rules.cors(request));
        if let Some(headers) = headers {
            response.headers_mut().extend(HeaderMap::clone(headers));
        }
        let completion =
            Completion { outcome: Outcome::Ok, status: self.status.as_u16(), reason: None, hit: *how == How::Hit };
        self.observer.completed(request, completion, || entry.user_tag(|| self.observer.tag(identity)));
        Ok(response)
    }

    fn methods(&self) -> &'static str {
        self.dialect.as_ref().map_or("GET, HEAD, POST, DELETE, OPTIONS", |dialect| dialect.methods())
    }

    fn options(&self, request: &Request) -> Response {
        let methods = self.methods();
        let extras = |cors| Extras { allow: Some(methods), cors, ..Extras::default() };
        match self.rules.preflight(request, methods) {
            None => self.finish(request, Outcome::Options, None, extras(None)),
            Some(Ok(headers)) => self.finish(request, Outcome::Options, None, extras(Some(headers))),
            Some(Err(outcome)) => self.finish(request, outcome, None, Extras::default()),
        }
    }

    fn refuse(&self, request: &Request, refused: &Refused) -> Response {
        self.observer.refused(refused.refusal());
        let outcome = refused.outcome();
        let allow = (outcome == Outcome::MethodNotAllowed).then(|| self.methods());
        let extras = Extras { retry_after: refused.retry_after(), allow, ..Extras::default() };
        self.finish(request, outcome, refused.reason(), extras)
    }

    fn finish(&self, request: &Request, outcome: Outcome, reason: Option<&str>, mut extras: Extras) -> Response {
        if extras.cors.is_none() {
            extras.cors = self.rules.cors(request);
        }
        let mut response = reply::problem(&self.base, request.id, outcome, extras);
        if let Some(dialect) = &self.dialect {
            reply::in_dialect(&mut response, dialect, outcome, request.id);
        }
        let completion = Completion { outcome, status: response.status().as_u16(), reason, hit: false };
        self.observer.completed(request, completion, || None);
        response
    }
}

/// Whether a request with this method asks for a session.
fn takes(dialect: Option<&Dialect>, method: &Method) -> bool {
    dialect
        .map_or_else(|| matches!(*method, Method::GET | Method::HEAD | Method::POST), |dialect| dialect.takes(method))
}
