//! The routes of the listeners: [`table`] finds the handler of a request, and here the handlers are made.

pub(super) mod answering;
pub(super) mod browser;
mod exchange;
pub(super) mod input;
mod issuer;
mod jwks;
mod ops;
mod refused;
mod session;
pub(super) mod subrequest;
pub(super) mod table;

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;

use super::AppState;
use super::reply::observe::{Completion, HeadObserver, Observer};
use super::reply::{self, Base, Extras, Outcome};
use super::request::Request;
use super::status::StatusPage;
use super::webhook::{self, WebhookRoute};
use browser::Rules;
use issuer::Issuer;
use session::SessionRoute;
use subrequest::SubrequestRoute;
use table::{Handler, Served, Table};

use crate::config::{self, RouteKind};
use crate::definition::Mistake;
use crate::identity::Resolver;
use crate::lifecycle::Lifecycle;
use crate::provider::{Inputs, Provider};
use crate::session::{Form, Plan};
use crate::webhook::receive::Receiver;

/// Everything that a listener answers over HTTP.
#[derive(Clone)]
pub struct Routes {
    pub(super) table: Arc<Table>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").finish_non_exhaustive()
    }
}

impl Routes {
    /// The routes of the ops listener, with the status page if there is one.
    pub fn ops(lifecycle: &Lifecycle, state: &AppState, page: Option<&StatusPage>) -> Self {
        Self { table: Arc::new(ops::table(lifecycle, state, page)) }
    }

    /// The webhooks, and «not found» for the rest.
    pub fn webhooks(receivers: &[Arc<Receiver>], body_timeout: Duration, state: &AppState) -> Self {
        let route = |own: &Arc<Receiver>| Served::of_webhook(own.path(), WebhookRoute::new(own, body_timeout, state));
        let served = receivers.iter().map(route).collect();
        Self { table: Arc::new(Table::new(served, webhook::not_found(state), heads(state))) }
    }

    /// The front routes: each configured one, the public keys, and «not found» for the rest.
    pub fn front(state: &AppState) -> Self {
        let mut served: Vec<Served> = state.sessions.plans().iter().map(|plan| of_plan(plan, state)).collect();
        served.push(jwks::served(state));
        Self { table: Arc::new(Table::new(served, not_found(state), heads(state))) }
    }

    /// For the hosts of a team that cannot be served: they stay taken.
    pub fn unavailable(state: &AppState) -> Self {
        let rest = refused_with(Outcome::TeamUnavailable, state);
        Self { table: Arc::new(Table::new(Vec::new(), rest, heads(state))) }
    }
}

fn heads(state: &AppState) -> HeadObserver {
    HeadObserver::new(&state.metrics, Some(state.log.clone()))
}

/// In which form the sessions of `route` are cached. The mistake is at a key of the route, and says what to write where
/// the provider has none.
pub fn form(route: &config::Route, resolver: &Resolver, provider: &Provider) -> Result<Form, Mistake> {
    match route.kind {
        RouteKind::Session => Ok(Form::Json),
        RouteKind::Client => provider.dialect().map(|dialect| Form::Client(Arc::clone(dialect))).ok_or_else(|| {
            let preset = provider.preset();
            let problem =
                format!("\"client\" is nothing that \"{preset}\" describes in [client]; write answer = \"session\"");
            Mistake::new("answer", problem)
        }),
        RouteKind::Subrequest(_) => Ok(Form::Headers(subrequest::frame(resolver, provider.inputs()))),
    }
}

/// The headers that a session depends on.
fn looked_at<'r>(resolver: &'r Resolver, inputs: &'r Inputs) -> Vec<&'r HeaderName> {
    resolver.headers().chain(inputs.headers()).collect()
}

/// The handler of a configured route, at its place.
fn of_plan(plan: &Arc<Plan>, state: &AppState) -> Served {
    let handler = match plan.route.kind {
        RouteKind::Session | RouteKind::Client => Handler::Session(Box::new(session(plan, state))),
        RouteKind::Subrequest(mode) => Handler::Subrequest(Box::new(subrequest(plan, mode, state))),
    };
    Served::of(&plan.route, handler)
}

fn issuer(plan: &Arc<Plan>, state: &AppState) -> Issuer {
    Issuer {
        plan: Arc::clone(plan),
        sessions: Arc::clone(&state.sessions),
        resolver: state.sources.resolver(&plan.route).covering(plan.inputs().headers()),
        intake: state.intake.clone(),
    }
}

fn session(plan: &Arc<Plan>, state: &AppState) -> SessionRoute {
    let (issuer, inputs) = (issuer(plan, state), Arc::clone(plan.inputs()));
    let dialect = if let Form::Client(dialect) = &plan.form { Some(Arc::clone(dialect)) } else { None };
    let content_type = dialect.as_ref().map_or("application/json", |dialect| dialect.content_type());
    SessionRoute {
        status: dialect.as_ref().map_or(Outcome::Ok.row().status, |dialect| dialect.status()),
        dialect,
        rules: Rules::new(state.browser.clone(), issuer.resolver.page_headers().chain(inputs.headers())),
        base: Base::new(&looked_at(&issuer.resolver, &inputs), Some(content_type)),
        inputs,
        issuer,
        observer: Observer::new(&plan.route.path, &state.metrics, state.log.clone()),
        body: state.body,
    }
}

fn subrequest(plan: &Arc<Plan>, mode: config::Mode, state: &AppState) -> SubrequestRoute {
    let observer = Observer::new(&plan.route.path, &state.metrics, state.log.clone());
    SubrequestRoute::new(issuer(plan, state), mode, observer)
}

fn not_found(state: &AppState) -> impl Fn(&Request) -> warp::reply::Response + Send + Sync + 'static {
    refused_with(Outcome::NotFound, state)
}

/// Answers every request with this outcome.
fn refused_with(
    outcome: Outcome,
    state: &AppState,
) -> impl Fn(&Request) -> warp::reply::Response + Send + Sync + 'static {
    let base = Base::new(&[], Some("application/json"));
    // T-55: bounded labels
    let observer = Observer::new("other", &state.metrics, state.log.clone());
    move |request| {
        let response = reply::problem(&base, request.id, outcome, Extras::default());
        let status = response.status().as_u16();
        observer.completed(request, Completion { outcome, status, reason: None, hit: false }, || None);
        response
    }
}
