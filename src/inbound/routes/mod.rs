//! The route table: which handler answers which path and host, and what all handlers share.

pub(super) mod browser;
pub(super) mod input;
mod ops;
mod session;
pub(super) mod subrequest;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName,
    HeaderValue,
};
use http::uri::Authority;
use http::{Method, Request, StatusCode, Uri, Version};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::Rooms;
use super::connection::{HeadFault, Phase, is_same};
use super::listener::{Answers, Content};
use super::reply::observe::{HeadObserver, Observer, Seen};
use super::reply::{self, Base, Extras, Outcome};
use super::request::{Ask, Asked};
use browser::Rules;
use session::SessionRoute;
use subrequest::SubrequestRoute;

use crate::config::{self, Answer, JWKS_PATH};
use crate::identity::{Resolver, Standing};
use crate::lifecycle::Lifecycle;
use crate::provider::{Inputs, Provider};
use crate::session::{Form, Plan};

/// Answers the requests of one route.
pub(super) trait Handler: Send + Sync + 'static {
    /// Answers one request; every outcome is an answer.
    fn answer(&self, asked: &Asked) -> impl Future<Output = Response> + Send;
}

/// Everything that a listener answers.
///
/// Two routes are asked all day: the first of each kind. They are looked for before warp's tree, because the tree's boxes
/// and extensions are a sixth of a cache hit (`docs/performance.md`); the handlers, and so the answers, are the same.
#[derive(Clone)]
pub struct Routes {
    hot: Hot,
    tree: BoxedFilter<(Response,)>,
    /// Where each route stands, in the order in which they are looked for; only if the host decides.
    places: Arc<[Place]>,
    /// For requests that no route sees.
    heads: Arc<HeadObserver>,
}

/// Where a route stands.
struct Place {
    path: String,
    fits: fn(&str, &str) -> bool,
    host: Option<String>,
}

/// The routes that are looked for first.
#[derive(Clone, Default)]
struct Hot {
    session: Option<(Arc<str>, Arc<SessionRoute>)>,
    subrequest: Option<(Arc<str>, Arc<SubrequestRoute>)>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").finish_non_exhaustive()
    }
}

impl Routes {
    /// The routes of the ops listener.
    pub fn ops(lifecycle: &Lifecycle, rooms: &Rooms) -> Self {
        Self { hot: Hot::default(), tree: ops::routes(lifecycle, rooms), places: Arc::default(), heads: heads(rooms) }
    }

    /// The front routes: each configured one, the public keys, and «not found» for the rest.
    pub fn front(configured: &[config::Route], rooms: &Rooms) -> Self {
        let mut routes: Vec<_> = configured.iter().zip(rooms.sessions.plans()).collect();
        // Routes for one host stand before those for any.
        routes.sort_by_key(|(route, _)| (route.host.is_none(), route.answer != Answer::Session));
        let places = routes.iter().map(|(route, _)| Place::of(route)).collect();
        let mut tree = jwks(rooms).or(not_found(rooms)).unify().boxed();
        let mut hot = Hot::default();
        for (route, plan) in routes.into_iter().rev() {
            match route.answer {
                Answer::Session => {
                    let handler = Arc::new(session_route(route, plan, rooms));
                    tree = before(at(&route.path), route, Arc::clone(&handler), tree);
                    // The last one of its kind here is the first in the tree.
                    hot.session = Some((Arc::from(route.path.as_str()), handler));
                }
                Answer::Client => {
                    let handler = Arc::new(session_route(route, plan, rooms));
                    tree = before(at(&route.path), route, handler, tree);
                }
                Answer::Subrequest => {
                    let handler = Arc::new(subrequest_route(route, plan, rooms));
                    tree = before(below(&route.path), route, Arc::clone(&handler), tree);
                    hot.subrequest = Some((Arc::from(route.path.as_str()), handler));
                }
            }
        }
        // Where routes depend on the host, the tree decides.
        let by_host = configured.iter().any(|route| route.host.is_some());
        let places = if by_host { places } else { Arc::default() };
        Self { hot: if by_host { Hot::default() } else { hot }, tree, places, heads: heads(rooms) }
    }

    /// Who answers requests of this path.
    fn way(&self, path: &str) -> Way {
        match &self.hot {
            // T-12: exact path
            Hot { session: Some((own, handler)), .. } if path == &**own => Way::Session(Arc::clone(handler)),
            Hot { subrequest: Some((own, handler)), .. } if is_below(path, own) => Way::Subrequest(Arc::clone(handler)),
            _ => Way::Tree(self.tree.clone()),
        }
    }

    /// Whether the target names one host and `Host` another, and each leads to a route of its own. The target counts (RFC
    /// 9112, 3.2.2), but a hop before us may have gone by the other.
    #[cold]
    fn fault_of_hosts(&self, target: &Uri, headers: &HeaderMap) -> Option<HeadFault> {
        let (asked, line) = (target.authority()?, headers.get(HOST)?);
        if is_same(asked.as_str().as_bytes(), line.as_bytes()) {
            return None;
        }
        let host = |text: &str| text.parse::<Authority>().ok().map(|host| host.host().to_ascii_lowercase());
        let place = |host: Option<String>| {
            let fits = |place: &Place| (place.fits)(target.path(), &place.path) && place.is_for(host.as_deref());
            self.places.iter().position(fits)
        };
        let places = (place(host(asked.as_str())), place(line.to_str().ok().and_then(host)));
        // T-69: hosts that differ
        matches!(places, (Some(one), Some(other)) if one != other).then_some(HeadFault::HostDiffers)
    }
}

impl Place {
    fn of(route: &config::Route) -> Self {
        let fits = if route.answer == Answer::Subrequest { is_below } else { is_at };
        Self { path: route.path.clone(), fits, host: route.host.clone() }
    }

    fn is_for(&self, host: Option<&str>) -> bool {
        self.host.is_none() || self.host.as_deref() == host
    }
}

impl Answers for Routes {
    fn answer(
        &self,
        request: Request<Incoming>,
        standing: Standing,
        phase: Arc<Phase>,
        fault: Option<HeadFault>,
    ) -> impl Future<Output = Result<http::Response<impl Content + use<>>, Infallible>> + Send + 'static + use<> {
        let uri = request.uri();
        // Few requests name a host in their target over HTTP/1, and over HTTP/2 both say the same.
        let fault = if uri.authority().is_some() {
            fault.or_else(|| self.fault_of_hosts(uri, request.headers()))
        } else {
            fault
        };
        let way = match fault {
            None => self.way(uri.path()), // T-12: target of the request
            Some(fault) => Way::Nowhere(fault, Arc::clone(&self.heads)),
        };
        way.answer(request, standing, phase)
    }
}

/// Who answers a request.
enum Way {
    /// Nobody: it is no request that two hops would read alike.
    Nowhere(HeadFault, Arc<HeadObserver>),
    Session(Arc<SessionRoute>),
    Subrequest(Arc<SubrequestRoute>),
    Tree(BoxedFilter<(Response,)>),
}

impl Way {
    /// Answers one request, and tells `phase`. The request is taken apart before there is a future: hyper moves futures
    /// about, and each would carry the request twice.
    fn answer(
        self,
        request: Request<Incoming>,
        standing: Standing,
        phase: Arc<Phase>,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send + use<> {
        // HTTP/2 has frames for that, and no such header.
        let is_http1 = request.version() < Version::HTTP_2;
        let asked = Asked::of(request, standing, &phase);
        let unread = asked.unread();
        let under_way = phase.under_way();
        async move {
            let asks_first = unread.is_some() && asked.headers.contains_key(EXPECT);
            let is_nowhere = matches!(self, Self::Nowhere(..));
            let mut answer = match self {
                Self::Session(handler) => handler.answer(&asked).await,
                Self::Subrequest(handler) => handler.answer(&asked).await,
                Self::Nowhere(fault, heads) => heads.answer(fault, &asked),
                Self::Tree(tree) => Box::pin(through(tree, asked)).await,
            };
            // What of a body nobody will read ends the connection, and the client must know before it asks again on it (RFC
            // 9112, 9.6).
            let has_rest = match unread {
                Some(unread) if is_http1 => !Box::pin(unread.is_over(asks_first)).await,
                _ => false,
            };
            // drain: last answer
            if is_http1 && (has_rest || is_nowhere || phase.is_last()) {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            phase.answered();
            drop(under_way);
            Ok(answer)
        }
    }
}

/// Answers what warp's tree routes: by the address alone, for the rest stands in [`Asked`].
async fn through(tree: BoxedFilter<(Response,)>, asked: Asked) -> Response {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = asked.uri();
    request.extensions_mut().insert::<Ask>(Arc::new(asked));
    match TowerToHyperService::new(warp::service(tree)).call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn heads(rooms: &Rooms) -> Arc<HeadObserver> {
    Arc::new(HeadObserver::new(&rooms.metrics, Some(rooms.log.clone())))
}

/// In which form the sessions of `route` are cached. `Err` says what to write where the provider has none.
pub fn form(route: &config::Route, resolver: &Resolver, provider: &Provider) -> Result<Form, String> {
    match route.answer {
        Answer::Session => Ok(Form::Json),
        Answer::Client => provider.dialect().map(|dialect| Form::Client(Arc::clone(dialect))).ok_or_else(|| {
            let preset = provider.preset();
            format!("\"client\" is nothing that \"{preset}\" describes in [client]; write answer = \"session\"")
        }),
        Answer::Subrequest => Ok(Form::Headers(subrequest::frame(resolver, provider.inputs()))),
    }
}

/// The headers that a session depends on.
fn looked_at<'r>(resolver: &'r Resolver, inputs: &'r Inputs) -> Vec<&'r HeaderName> {
    resolver.headers().chain(inputs.headers()).collect()
}

fn session_route(route: &config::Route, plan: &Arc<Plan>, rooms: &Rooms) -> SessionRoute {
    let inputs = Arc::clone(plan.inputs());
    let resolver = rooms.sources.resolver(route).covering(inputs.headers());
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
        observer: Observer::new(&route.path, &rooms.metrics, rooms.log.clone()),
        body: rooms.body,
    }
}

pub(super) fn subrequest_route(route: &config::Route, plan: &Arc<Plan>, rooms: &Rooms) -> SubrequestRoute {
    let observer = Observer::new(&route.path, &rooms.metrics, rooms.log.clone());
    let resolver = rooms.sources.resolver(route).covering(plan.provider.inputs().headers());
    SubrequestRoute::new(Arc::clone(plan), Arc::clone(&rooms.sessions), resolver, route.mode, observer)
}

/// A route before the rest. One box holds both, because each is an allocation per request.
fn before<H: Handler>(
    path: impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync + 'static,
    route: &config::Route,
    handler: Arc<H>,
    rest: BoxedFilter<(Response,)>,
) -> BoxedFilter<(Response,)> {
    path.and(for_host(route.host.as_deref()))
        .then(move |asked: Ask| {
            let handler = Arc::clone(&handler);
            async move { handler.answer(&asked).await }
        })
        .or(rest)
        .unify()
        .boxed()
}

/// Exactly this path.
fn at(path: &str) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    matching(path, is_at)
}

/// This path and everything below it.
fn below(path: &str) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    matching(path, is_below)
}

fn is_at(asked: &str, path: &str) -> bool {
    asked == path
}

fn is_below(asked: &str, path: &str) -> bool {
    asked.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

/// Pages of every origin may read what is public.
const ANYBODY: HeaderValue = HeaderValue::from_static("*");

/// Public keys of every local signing key (RFC 7517, section 5). They are public: anybody may read and keep them.
fn jwks(rooms: &Rooms) -> BoxedFilter<(Response,)> {
    let providers = rooms.providers.clone();
    let base = Base::new(&[], Some("application/json"));
    let observer = Observer::new(JWKS_PATH, &rooms.metrics, rooms.log.clone());
    at(JWKS_PATH)
        .and(warp::ext::get::<Ask>())
        .map(move |asked: Ask| {
            if !matches!(asked.method, Method::GET | Method::HEAD) {
                let cors = Some(HeaderMap::from_iter([(ACCESS_CONTROL_ALLOW_ORIGIN, ANYBODY)]));
                let extras = Extras { allow: Some("GET, HEAD"), cors, ..Extras::default() };
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
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYBODY);
            headers.insert(reply::X_REQUEST_ID, asked.id.header());
            observer.request(&asked, Seen { outcome: Outcome::Ok, status: 200, reason: None, hit: true }, || None);
            response
        })
        .boxed()
}

fn not_found(rooms: &Rooms) -> BoxedFilter<(Response,)> {
    let base = Base::new(&[], Some("application/json"));
    // T-55: bounded labels
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
