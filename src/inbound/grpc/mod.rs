//! Envoy's external authorization over gRPC: `envoy.service.auth.v3.Authorization/Check`, and the standard health service.
//!
//! A check is the question of the auth subrequest in another dress. [`question`] makes an [`Asked`] of it, the same
//! handler answers, and [`answer`] turns that into what Envoy wants: one table of outcomes, one set of counters.

mod answer;
mod health;
mod question;

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Once};
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use tonic::codegen::Service as _;
use tonic::{Response, Status};

use super::Rooms;
use super::asked::{self, Asked, Body};
use super::connection::Phase;
use super::listener::{Answers, Content};
use super::subrequest_route::SubrequestRoute;
use crate::config::{self, Answer};
use crate::identity::Standing;
use crate::lifecycle::Lifecycle;
use health::{Health, HealthServer};
use question::Question;

/// Bytes of a call at most. The head that Envoy asks about has 60 KiB in its own defaults, and metadata comes on top.
const MOST_BYTES: usize = 256 * 1024;
/// Name in `context_extensions` of the route that answers. They are written in Envoy's configuration; no client has a
/// say in them.
const ROUTE: &str = "sidemint.route";

/// Every service that the gRPC listener has.
#[derive(Clone)]
pub struct Calls {
    authorization: AuthorizationServer<Checks>,
    health: HealthServer<Health>,
    /// For the rest of a call, once its head is here.
    patience: Duration,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

impl Calls {
    /// The services of this configuration. `lifecycle` is what health tells of.
    pub fn new(grpc: &config::Grpc, routes: &[config::Route], rooms: &Rooms, lifecycle: &Lifecycle) -> Self {
        let mut own: BTreeMap<String, Vec<Guard>> = BTreeMap::new();
        for (route, plan) in routes.iter().zip(rooms.sessions.plans()) {
            if route.answer == Answer::Subrequest {
                let handler = Arc::new(super::subrequest(route, plan, rooms));
                own.entry(route.path.clone()).or_default().push(Guard { host: route.host.clone(), handler });
            }
        }
        let checks = Checks { routes: own, first: grpc.route.clone(), unknown: Once::new() };
        Self {
            authorization: AuthorizationServer::new(checks),
            health: HealthServer::new(Health::new(lifecycle)),
            patience: rooms.body.1,
        }
    }
}

impl Answers for Calls {
    /// Answers one call. It is read as a whole first, within a size and a time: nothing is decoded before.
    fn answer(
        &self,
        request: Request<Incoming>,
        standing: Standing,
        phase: Arc<Phase>,
        _ambiguous: bool,
    ) -> impl Future<Output = Result<http::Response<impl Content + use<>>, Infallible>> + Send + 'static + use<> {
        let mut services = self.clone();
        async move {
            let answer = services.call(request, standing).await;
            phase.answered();
            answer
        }
    }
}

impl Calls {
    async fn call(
        &mut self,
        request: Request<Incoming>,
        standing: Standing,
    ) -> Result<http::Response<tonic::body::Body>, Infallible> {
        let service = request.uri().path().rsplit_once('/').map_or("", |(service, _)| service).to_owned();
        if !matches!(service.as_str(), AUTHORIZATION | HEALTH) {
            return Ok(Status::unimplemented("there is no such service").into_http());
        }
        let (mut head, body) = request.into_parts();
        let bytes = match asked::read(body, MOST_BYTES, self.patience).await {
            Body::Whole(bytes) => bytes,
            Body::Empty => bytes::Bytes::new(),
            Body::TooLarge => return Ok(Status::resource_exhausted("the call is too large").into_http()),
            Body::Broken => return Ok(Status::deadline_exceeded("the call did not come to its end").into_http()),
        };
        head.extensions.insert(standing);
        let request = Request::from_parts(head, Full::new(bytes));
        if service == AUTHORIZATION { self.authorization.call(request).await } else { self.health.call(request).await }
    }
}

/// What paths of calls begin with.
const AUTHORIZATION: &str = "/envoy.service.auth.v3.Authorization";
const HEALTH: &str = "/grpc.health.v1.Health";

/// The subrequest routes, asked over gRPC.
struct Checks {
    /// By path; those for one host beside those for any.
    routes: BTreeMap<String, Vec<Guard>>,
    /// The path that answers where Envoy names none.
    first: String,
    /// The first check that named no route was told of.
    unknown: Once,
}

struct Guard {
    host: Option<String>,
    handler: Arc<SubrequestRoute>,
}

#[tonic::async_trait]
impl Authorization for Checks {
    async fn check(&self, call: tonic::Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let (metadata, extensions, check) = call.into_parts();
        let standing = *extensions.get::<Standing>().ok_or_else(|| Status::unavailable("no connection"))?;
        let mut attributes = check.attributes.unwrap_or_default();
        let named = std::mem::take(&mut attributes.context_extensions);
        let question = Question::of(metadata.into_headers(), attributes, standing);
        let handler = self.handler(&named, &question.asked)?;
        let answer = if question.is_malformed {
            handler.refuse_malformed(&question.asked)
        } else {
            super::Handler::answer(&**handler, &question.asked).await
        };
        answer::of(answer).map(Response::new)
    }
}

impl Checks {
    /// The route that Envoy names, or the configured one. A name that nobody serves is a mistake in Envoy's
    /// configuration: no client is let in for it, nor told that it was refused.
    fn handler(&self, named: &HashMap<String, String>, asked: &Asked) -> Result<&Arc<SubrequestRoute>, Status> {
        let path = named.get(ROUTE).unwrap_or(&self.first);
        let guards = self.routes.get(path).map(Vec::as_slice).unwrap_or_default();
        let host = asked.host();
        let of_host = guards.iter().find(|guard| guard.host.is_some() && guard.host == host);
        let guard = of_host.or_else(|| guards.iter().find(|guard| guard.host.is_none()));
        guard.map(|guard| &guard.handler).ok_or_else(|| {
            self.unknown.call_once(|| {
                let known = self.routes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                tracing::error!(
                    known,
                    "Envoy names no subrequest route in context_extensions, \"{ROUTE}\"; name a known one"
                );
            });
            Status::unavailable("no such route")
        })
    }
}
