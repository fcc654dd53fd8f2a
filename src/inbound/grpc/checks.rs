//! The subrequest routes, asked over gRPC.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Once};

use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckResponse};
use http::HeaderMap;
use tonic::server::UnaryService;
use tonic::{Response, Status};

use super::codec::Read;
use super::question::Question;
use super::{Unread, answer};
use crate::config::{self, Answer};
use crate::identity::{Rank, Refusal, Standing};
use crate::inbound::Rooms;
use crate::inbound::reply::observe::{Observer, Seen};
use crate::inbound::reply::{Base, Extras, Outcome, problem};
use crate::inbound::request::Asked;
use crate::inbound::routes::subrequest::SubrequestRoute;
use crate::inbound::routes::{Handler, subrequest_route};

/// Name in `context_extensions` of the route that answers. They are written in Envoy's configuration; no client has a
/// say in them.
const ROUTE: &str = "sidemint.route";

/// Whoever answers checks.
pub(super) struct Checks {
    /// By path; those for one host beside those for any.
    routes: BTreeMap<String, Vec<Guard>>,
    /// The path that answers where Envoy names none.
    first: String,
    /// Counts those that nobody answers.
    nobody: Observer,
    /// The first check that named no route was told of.
    unknown: Once,
}

struct Guard {
    host: Option<String>,
    handler: Arc<SubrequestRoute>,
}

impl Checks {
    pub(super) fn new(grpc: &config::Grpc, routes: &[config::Route], rooms: &Rooms) -> Self {
        let mut own: BTreeMap<String, Vec<Guard>> = BTreeMap::new();
        for (route, plan) in routes.iter().zip(rooms.sessions.plans()) {
            if route.answer == Answer::Subrequest {
                let handler = Arc::new(subrequest_route(route, plan, rooms));
                own.entry(route.path.clone()).or_default().push(Guard { host: route.host.clone(), handler });
            }
        }
        let nobody = Observer::new("other", &rooms.metrics, rooms.log.clone());
        Self { routes: own, first: grpc.route.clone(), nobody, unknown: Once::new() }
    }

    async fn check(&self, call: tonic::Request<Read>) -> Result<CheckResponse, Status> {
        let (metadata, extensions, Read(check)) = call.into_parts();
        let standing = *extensions.get::<Standing>().ok_or_else(|| Status::unavailable("no connection"))?;
        let check = check.filter(|_| extensions.get::<Unread>().is_none());
        let Some(check) = check else { return self.refuse_unread(standing) };
        let mut attributes = check.attributes.unwrap_or_default();
        // T-12: route of the check
        // T-33: checks are not logged
        let named = std::mem::take(&mut attributes.context_extensions);
        let question = Question::of(metadata.into_headers(), attributes, standing);
        let guards = self.guards(&named)?;
        let host = question.asked.host();
        // T-12: host of a guard
        let of_host = guards.iter().find(|guard| guard.host.is_some() && guard.host == host);
        let Some(guard) = of_host.or_else(|| guards.iter().find(|guard| guard.host.is_none())) else {
            return self.turn_away(&question.asked); // T-57: unknown host
        };
        let answer = if question.is_malformed {
            guard.handler.refuse(&question.asked, Refusal::Malformed)
        } else {
            guard.handler.answer(&question.asked).await
        };
        answer::of(answer)
    }

    /// The routes of the path that Envoy names, or of the configured one. A name that nobody serves is a mistake in
    /// Envoy's configuration: no client is let in for it, nor told that it was refused.
    fn guards(&self, named: &HashMap<String, String>) -> Result<&[Guard], Status> {
        let path = named.get(ROUTE).unwrap_or(&self.first);
        self.routes.get(path).map(Vec::as_slice).ok_or_else(|| {
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

    /// The answer to a check that cannot be read, or that nobody reads because a stranger sent it. All routes say the same
    /// to that.
    fn refuse_unread(&self, standing: Standing) -> Result<CheckResponse, Status> {
        let guard = self.routes.get(&self.first).and_then(|guards| guards.first());
        let guard = guard.ok_or_else(|| Status::unavailable("no such route"))?;
        let nothing = Question::of(HeaderMap::new(), AttributeContext::default(), standing);
        let refusal = if standing.rank() == Rank::Stranger { Refusal::PeerUntrusted } else { Refusal::Malformed };
        answer::of(guard.handler.refuse(&nothing.asked, refusal))
    }

    /// The answer to a request for a host that nobody serves, as over HTTP. The host is the client's word, so this must
    /// be no failure.
    fn turn_away(&self, asked: &Asked) -> Result<CheckResponse, Status> {
        let outcome = Outcome::NotFound;
        self.nobody.request(asked, Seen { outcome, status: 404, reason: None, hit: false }, || None);
        answer::of(problem(&Base::new(&[], None), asked.id, outcome, Extras::default()))
    }
}

/// The one method of the service.
pub(super) struct Check(pub(super) Arc<Checks>);

impl UnaryService<Read> for Check {
    type Response = CheckResponse;
    type Future = Pin<Box<dyn Future<Output = Result<Response<CheckResponse>, Status>> + Send>>;

    fn call(&mut self, call: tonic::Request<Read>) -> Self::Future {
        let checks = Arc::clone(&self.0);
        Box::pin(async move { checks.check(call).await.map(Response::new) })
    }
}
