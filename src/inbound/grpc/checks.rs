//! The subrequest routes, asked over gRPC.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Once};

use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckResponse};
use http::HeaderMap;
use tonic::server::UnaryService;
use tonic::{Response, Status};

use super::codec::Read;
use super::question::Question;
use super::{Unread, answer};
use crate::config;
use crate::identity::{ConnectionProof, Rank, Refusal};
use crate::inbound::routes::Routes;
use crate::inbound::routes::answering::Answering;
use crate::inbound::routes::subrequest::SubrequestRoute;
use crate::inbound::routes::table::{Served, Table};

/// Name in `context_extensions` of the route that answers. They are written in Envoy's configuration; no client has a
/// say in them.
const ROUTE: &str = "sidemint.route";

/// What answers checks.
pub(super) struct Checks {
    /// The routes that are asked over HTTP as well.
    table: Arc<Table>,
    /// The path that answers where Envoy names none.
    first: String,
    /// The first check that named no route was told of.
    unknown: Once,
}

impl Checks {
    pub(super) fn new(grpc: &config::Grpc, routes: &Routes) -> Self {
        Self { table: Arc::clone(&routes.table), first: grpc.route.clone(), unknown: Once::new() }
    }

    async fn check(&self, call: tonic::Request<Read>) -> Result<CheckResponse, Status> {
        let (metadata, extensions, Read(check)) = call.into_parts();
        let connection = *extensions.get::<ConnectionProof>().ok_or_else(|| Status::unavailable("no connection"))?;
        let check = check.filter(|_| extensions.get::<Unread>().is_none());
        let Some(check) = check else { return self.refuse_unread(connection) };
        let mut attributes = check.attributes.unwrap_or_default();
        // T-12: route of the check
        // T-33: checks are not logged
        let named = std::mem::take(&mut attributes.context_extensions);
        let question = Question::of(metadata.into_headers(), attributes, connection);
        let path = named.get(ROUTE).unwrap_or(&self.first);
        let mut routes = self.routes(path).peekable();
        if routes.peek().is_none() {
            return Err(self.unknown());
        }
        let host = question.request.host();
        // T-12: host of a guard
        let Some((_, route)) = routes.find(|(own, _)| own.is_for(host.as_deref())) else {
            // The host is the client's word, so this must be no failure.
            let turned_away = self.table.turn_away(&question.request);
            return answer::of(turned_away); // T-57: unknown host
        };
        let answer = if question.is_malformed {
            route.refuse(&question.request, Refusal::Malformed)
        } else {
            match route.answer(&question.request) {
                Answering::Now(answer) => answer,
                Answering::Later(answer) => answer.await,
            }
        };
        answer::of(answer)
    }

    /// The subrequest routes of exactly this path, those for one host first.
    fn routes(&self, path: &str) -> impl Iterator<Item = (&Served, &SubrequestRoute)> {
        self.table.subrequests().filter(move |(own, _)| own.path == path)
    }

    /// Envoy names no route that there is. That is a mistake in its configuration: no client is let in for it, nor told
    /// that it was refused.
    fn unknown(&self) -> Status {
        self.unknown.call_once(|| {
            let known: BTreeSet<_> = self.table.subrequests().map(|(own, _)| own.path.as_str()).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            tracing::error!(
                known,
                "Envoy names no subrequest route in context_extensions, \"{ROUTE}\"; name a known one"
            );
        });
        Status::unavailable("no such route")
    }

    /// The answer to a check that cannot be read, or that is not read because a stranger sent it. All routes say the same
    /// to that.
    fn refuse_unread(&self, connection: ConnectionProof) -> Result<CheckResponse, Status> {
        let (_, route) = self.routes(&self.first).next().ok_or_else(|| Status::unavailable("no such route"))?;
        let nothing = Question::of(HeaderMap::new(), AttributeContext::default(), connection);
        let refusal = if connection.rank() == Rank::Unproven { Refusal::PeerUntrusted } else { Refusal::Malformed };
        answer::of(route.refuse(&nothing.request, refusal))
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
