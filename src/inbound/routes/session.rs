//! `answer = "session"`: the session as JSON, for browsers and apps. `answer = "client"`: the same in the form of the
//! provider's own client library.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use warp::reply::Response;

use super::browser::Rules;
use super::input::{self, Read};
use super::issuer::Issuer;
use super::refused::Refused;
use crate::identity::{Identity, Refusal};
use crate::inbound::reply::observe::{Observer, Seen};
use crate::inbound::reply::{self, Base, Extras, Outcome};
use crate::inbound::request::Asked;
use crate::inbound::request::body::BodyLimits;
use crate::provider::{Dialect, Inputs};
use crate::session::{Answer, Entry, How, SessionError};

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
    pub(super) async fn answer(&self, asked: &Asked) -> Response {
        let answered = match (&asked.method, &self.dialect) {
            (&Method::OPTIONS, _) => return self.options(asked),
            (&Method::DELETE, None) => Box::pin(self.sign_out(asked)).await,
            (method, dialect) if takes(dialect.as_deref(), method) => self.session(asked).await,
            _ => Err(Refused::Browser(Outcome::MethodNotAllowed)),
        };
        answered.unwrap_or_else(|refused| self.refuse(asked, &refused))
    }

    async fn session(&self, asked: &Asked) -> Result<Response, Refused> {
        let body = self.admit(asked).await?;
        let identity = self.issuer.identify(asked, body.as_deref()).await?;
        let inputs = self.inputs(asked, body.as_deref()).await?;
        let (entry, how) = self.issuer.session(asked, &identity, &inputs).await?;
        self.hand_out(asked, &identity, &entry, how)
    }

    /// Forgets all sessions of the user, so it takes no input.
    async fn sign_out(&self, asked: &Asked) -> Result<Response, Refused> {
        let body = self.admit(asked).await?;
        let identity = self.issuer.identify(asked, body.as_deref()).await?;
        let named = self.issuer.resolver.user_member();
        input::of_body(asked, &Inputs::default(), body.as_deref().filter(|_| named.is_some()), named)?;
        self.issuer.sessions.sign_out(&self.issuer.plan, &identity, asked.origin()).await?;
        Ok(self.finish(asked, Outcome::SignedOut, None, Extras::default()))
    }

    /// Refuses pages that may not ask, and reads the body where it belongs to identity.
    async fn admit(&self, asked: &Asked) -> Result<Option<Bytes>, Refused> {
        self.rules.check(asked).map_err(Refused::Browser)?;
        if self.issuer.resolver.reads_body() && matches!(asked.method, Method::POST | Method::DELETE) {
            return Box::pin(self.read_body(asked)).await;
        }
        Ok(None)
    }

    async fn read_body(&self, asked: &Asked) -> Result<Option<Bytes>, Refused> {
        self.admit_unread(asked).await?; // T-70: peer before body
        Ok(input::whole_body(asked, self.body).await?)
    }

    /// Refuses a request that is refused whatever its body says: that of a stranger, and of a peer that shows no secret.
    async fn admit_unread(&self, asked: &Asked) -> Result<(), Refused> {
        if self.issuer.resolver.proves_by_body(asked.standing) {
            return Ok(());
        }
        match self.issuer.identify(asked, None).await {
            Ok(_) | Err(Refused::Identity(Refusal::Absent)) => Ok(()),
            Err(refused) => Err(refused),
        }
    }

    /// What the request adds. `body` is the one that identity needed.
    async fn inputs(&self, asked: &Asked, body: Option<&[u8]>) -> Read {
        if self.issuer.resolver.reads_body() {
            return input::of_body(asked, &self.inputs, body, self.issuer.resolver.user_member());
        }
        if asked.method == Method::POST {
            return Box::pin(input::with_body(asked, &self.inputs, self.body)).await;
        }
        input::without_body(asked, &self.inputs)
    }

    fn hand_out(&self, asked: &Asked, identity: &Identity<'_>, entry: &Entry, how: How) -> Result<Response, Refused> {
        let (body, headers) = match &entry.answer {
            Answer::Body(body) => (body, None),
            Answer::Whole(body, headers) => (body, Some(headers)),
            Answer::Headers(_) | Answer::Unsayable => return Err(SessionError::TooLarge.into()),
        };
        let mut response = reply::body(&self.base, asked.id, self.status, body.clone(), self.rules.cors(asked));
        if let Some(headers) = headers {
            response.headers_mut().extend(HeaderMap::clone(headers));
        }
        let seen = Seen { outcome: Outcome::Ok, status: self.status.as_u16(), reason: None, hit: how == How::Hit };
        self.observer.request(asked, seen, || entry.user_tag(|| self.observer.tag(identity)));
        Ok(response)
    }

    fn methods(&self) -> &'static str {
        self.dialect.as_ref().map_or("GET, HEAD, POST, DELETE, OPTIONS", |dialect| dialect.methods())
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

    fn refuse(&self, asked: &Asked, refused: &Refused) -> Response {
        self.observer.refused(refused.refusal());
        let outcome = refused.outcome();
        let allow = (outcome == Outcome::MethodNotAllowed).then(|| self.methods());
        let extras = Extras { retry_after: refused.retry_after(), allow, ..Extras::default() };
        self.finish(asked, outcome, refused.reason(), extras)
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

/// Whether a request with this method asks for a session.
fn takes(dialect: Option<&Dialect>, method: &Method) -> bool {
    dialect
        .map_or_else(|| matches!(*method, Method::GET | Method::HEAD | Method::POST), |dialect| dialect.takes(method))
}
