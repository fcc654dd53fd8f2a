//! The routes of the listeners: [`table`] finds the handler of a request, and here the handlers are made.

pub(super) mod browser;
mod exchange;
pub(super) mod input;
mod jwks;
mod ops;
mod session;
pub(super) mod subrequest;
pub(super) mod table;

use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderName;

use super::Rooms;
use super::reply::observe::{HeadObserver, Observer, Seen};
use super::reply::{self, Base, Extras, Outcome};
use super::request::Asked;
use browser::Rules;
use session::SessionRoute;
use subrequest::SubrequestRoute;
use table::{Handler, Served, Table};

use crate::config::{self, RouteKind};
use crate::identity::Resolver;
use crate::lifecycle::Lifecycle;
use crate::provider::{Inputs, Provider};
use crate::session::{Form, Plan};

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
    /// The routes of the ops listener.
    pub fn ops(lifecycle: &Lifecycle, rooms: &Rooms) -> Self {
        Self { table: Arc::new(ops::table(lifecycle, rooms)) }
    }

    /// The front routes: each configured one, the public keys, and «not found» for the rest.
    pub fn front(rooms: &Rooms) -> Self {
        let mut served: Vec<Served> = rooms.sessions.plans().iter().map(|plan| of_plan(plan, rooms)).collect();
        served.push(jwks::served(rooms));
        Self { table: Arc::new(Table::new(served, not_found(rooms), heads(rooms))) }
    }
}

fn heads(rooms: &Rooms) -> HeadObserver {
    HeadObserver::new(&rooms.metrics, Some(rooms.log.clone()))
}

/// In which form the sessions of `route` are cached. `Err` says what to write where the provider has none.
pub fn form(route: &config::Route, resolver: &Resolver, provider: &Provider) -> Result<Form, String> {
    match route.kind {
        RouteKind::Session => Ok(Form::Json),
        RouteKind::Client => provider.dialect().map(|dialect| Form::Client(Arc::clone(dialect))).ok_or_else(|| {
            let preset = provider.preset();
            format!("\"client\" is nothing that \"{preset}\" describes in [client]; write answer = \"session\"")
        }),
        RouteKind::Subrequest(_) => Ok(Form::Headers(subrequest::frame(resolver, provider.inputs()))),
    }
}

/// The headers that a session depends on.
fn looked_at<'r>(resolver: &'r Resolver, inputs: &'r Inputs) -> Vec<&'r HeaderName> {
    resolver.headers().chain(inputs.headers()).collect()
}

/// The handler of a configured route, at its place.
fn of_plan(plan: &Arc<Plan>, rooms: &Rooms) -> Served {
    let handler = match plan.route.kind {
        RouteKind::Session | RouteKind::Client => Handler::Session(Box::new(session(plan, rooms))),
        RouteKind::Subrequest(mode) => Handler::Subrequest(Box::new(subrequest(plan, mode, rooms))),
    };
    Served::of(&plan.route, handler)
}

fn session(plan: &Arc<Plan>, rooms: &Rooms) -> SessionRoute {
    let inputs = Arc::clone(plan.inputs());
    let resolver = rooms.sources.resolver(&plan.route).covering(inputs.headers());
    let dialect = if let Form::Client(dialect) = &plan.form { Some(Arc::clone(dialect)) } else { None };
    let content_type = dialect.as_ref().map_or("application/json", |dialect| dialect.content_type());
    SessionRoute {
        status: dialect.as_ref().map_or(StatusCode::OK, |dialect| dialect.status()),
        dialect,
        plan: Arc::clone(plan),
        sessions: Arc::clone(&rooms.sessions),
        rules: Rules::new(rooms.browser.clone(), resolver.page_headers().chain(inputs.headers())),
        base: Base::new(&looked_at(&resolver, &inputs), Some(content_type)),
        inputs,
        resolver,
        observer: Observer::new(&plan.route.path, &rooms.metrics, rooms.log.clone()),
        body: rooms.body,
    }
}

fn subrequest(plan: &Arc<Plan>, mode: config::Mode, rooms: &Rooms) -> SubrequestRoute {
    let observer = Observer::new(&plan.route.path, &rooms.metrics, rooms.log.clone());
    let resolver = rooms.sources.resolver(&plan.route).covering(plan.provider.inputs().headers());
    SubrequestRoute::new(Arc::clone(plan), Arc::clone(&rooms.sessions), resolver, mode, observer)
}

fn not_found(rooms: &Rooms) -> impl Fn(&Asked) -> warp::reply::Response + Send + Sync + 'static {
    let base = Base::new(&[], Some("application/json"));
    // T-55: bounded labels
    let observer = Observer::new("other", &rooms.metrics, rooms.log.clone());
    move |asked| {
        let outcome = Outcome::NotFound;
        observer.request(asked, Seen { outcome, status: 404, reason: None, hit: false }, || None);
        reply::problem(&base, asked.id, outcome, Extras::default())
    }
}
