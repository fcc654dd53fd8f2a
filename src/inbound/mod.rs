//! The way in: listeners, routes, handlers, replies. The only place that knows warp and hyper.
//!
//! [`listener`] accepts a connection and decides once whether its peer may tell identity. Each request becomes an
//! [`asked::Asked`] and goes through the route table below. A handler asks `identity` who it is and `session` for what
//! they want, and [`reply`] turns the outcome into an answer.

mod asked;
mod browser;
mod connection;
mod listener;
mod observe;
pub mod ops;
mod reply;
mod session_route;
mod subrequest_route;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::json;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

pub use listener::{Bound, Limits, serve};
pub use reply::{Outcome, Row};

use asked::Ask;
use browser::Rules;
use observe::{Observer, Seen};
use reply::{Base, Extras};
use session_route::SessionRoute;
use subrequest_route::SubrequestRoute;

use crate::config::{self, Answer, JWKS_PATH};
use crate::identity::Resolver;
use crate::metrics::Metrics;
use crate::provider::Provider;
use crate::session::Sessions;
use crate::telemetry::RequestLog;

/// The rooms behind the front routes.
#[derive(Clone, Debug)]
pub struct Rooms {
    /// Who is asking.
    pub resolver: Arc<Resolver>,
    /// What they get. Its plans are in the order of the configured routes.
    pub sessions: Arc<Sessions>,
    /// Whose public keys are published.
    pub providers: Vec<Arc<Provider>>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The request lines.
    pub log: RequestLog,
    /// Rules for browsers.
    pub browser: config::Browser,
    /// Bytes of a request body at most, and how long it may take.
    pub body: (usize, Duration),
}

/// The route table: each configured route, the public keys, and «not found» for the rest. The first session route comes
/// first: it is the one that is asked all day.
pub fn routes(configured: &[config::Route], rooms: &Rooms) -> BoxedFilter<(Response,)> {
    let mut filters: Vec<_> =
        configured.iter().zip(rooms.sessions.plans()).map(|(route, plan)| (route, one(route, plan, rooms))).collect();
    // Routes for one host stand before those for any.
    filters.sort_by_key(|(route, _)| (route.host.is_none(), route.answer != Answer::Session));
    let rest = jwks(rooms).or(not_found(rooms)).unify().boxed();
    filters.into_iter().rev().fold(rest, |rest, (_, filter)| filter.or(rest).unify().boxed())
}

fn one(route: &config::Route, plan: &Arc<crate::session::Plan>, rooms: &Rooms) -> BoxedFilter<(Response,)> {
    let observer = Observer::new(&route.path, &rooms.metrics, rooms.log.clone());
    let (plan, sessions, resolver) = (Arc::clone(plan), Arc::clone(&rooms.sessions), Arc::clone(&rooms.resolver));
    match route.answer {
        Answer::Session => {
            let base = Base::new(resolver.header_names(), Some("application/json"));
            let rules = Rules::new(rooms.browser.clone());
            let handler = Arc::new(SessionRoute { plan, sessions, resolver, rules, base, observer, body: rooms.body });
            at(&route.path)
                .and(for_host(route.host.as_deref()))
                .then(move |asked: Ask| {
                    let handler = Arc::clone(&handler);
                    async move { handler.answer(&asked).await }
                })
                .boxed()
        }
        Answer::Subrequest => {
            let base = Base::new(resolver.header_names(), None);
            let handler = Arc::new(SubrequestRoute { plan, sessions, resolver, mode: route.mode, base, observer });
            below(&route.path)
                .and(for_host(route.host.as_deref()))
                .then(move |asked: Ask| {
                    let handler = Arc::clone(&handler);
                    async move { handler.answer(&asked).await }
                })
                .boxed()
        }
    }
}

/// Exactly this path.
fn at(path: &str) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    matching(path, |asked, path| asked == path)
}

/// This path and everything below it.
fn below(path: &str) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    matching(path, |asked, path| asked.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn matching(path: &str, fits: fn(&str, &str) -> bool) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    let path: Arc<str> = Arc::from(path);
    warp::path::full()
        .and_then(move |asked: FullPath| {
            let fits = fits(asked.as_str(), &path);
            std::future::ready(if fits { Ok(()) } else { Err(warp::reject::not_found()) })
        })
        .untuple_one()
}

/// The request, if it is for this host or the route is for any.
fn for_host(host: Option<&str>) -> impl Filter<Extract = (Ask,), Error = Rejection> + Clone + use<> {
    let host = host.map(str::to_owned);
    warp::ext::get::<Ask>().and_then(move |asked: Ask| {
        let fits = host.is_none() || asked.host() == host;
        std::future::ready(if fits { Ok(asked) } else { Err(warp::reject::not_found()) })
    })
}

/// Public keys of every local signing key (RFC 7517, section 5). They are public: anybody may read and keep them.
fn jwks(rooms: &Rooms) -> BoxedFilter<(Response,)> {
    let providers = rooms.providers.clone();
    let base = Base::new(None, Some("application/json"));
    let observer = Observer::new(JWKS_PATH, &rooms.metrics, rooms.log.clone());
    at(JWKS_PATH)
        .and(warp::ext::get::<Ask>())
        .map(move |asked: Ask| {
            if !matches!(asked.method, Method::GET | Method::HEAD) {
                let extras = Extras { allow: Some("GET, HEAD"), ..Extras::default() };
                observer.request(
                    &asked,
                    Seen { outcome: Outcome::MethodNotAllowed, status: 405, reason: None, hit: false },
                    || None,
                );
                return reply::problem(&base, asked.id, Outcome::MethodNotAllowed, extras);
            }
            let keys: Vec<_> = providers.iter().flat_map(|provider| provider.jwks()).collect();
            let mut response = Response::new(Bytes::from(json!({ "keys": keys }).to_string()).into());
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
            headers.insert(reply::X_REQUEST_ID, asked.id.header());
            observer.request(&asked, Seen { outcome: Outcome::Ok, status: 200, reason: None, hit: true }, || None);
            response
        })
        .boxed()
}

fn not_found(rooms: &Rooms) -> BoxedFilter<(Response,)> {
    let base = Base::new(None, Some("application/json"));
    let observer = Observer::new("other", &rooms.metrics, rooms.log.clone());
    warp::ext::get::<Ask>()
        .map(move |asked: Ask| {
            observer.request(
                &asked,
                Seen { outcome: Outcome::NotFound, status: 404, reason: None, hit: false },
                || None,
            );
            reply::problem(&base, asked.id, Outcome::NotFound, Extras::default())
        })
        .boxed()
}
