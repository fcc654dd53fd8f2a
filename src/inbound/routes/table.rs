//! The one table of what a listener answers: which handler is for which path on which host.

use http::header::{HOST, HeaderMap};
use http::uri::{Authority, Uri};
use warp::reply::Response;

use super::answering::Answering;
use super::session::SessionRoute;
use super::subrequest::SubrequestRoute;
use crate::config::{self, Reach};
use crate::inbound::connection::{HeadFault, is_same};
use crate::inbound::reply::observe::HeadObserver;
use crate::inbound::request::Request;
use crate::inbound::webhook::WebhookRoute;

/// What is served where, in the order in which it is looked for.
pub(crate) struct Table {
    served: Vec<Served>,
    /// Answers what nothing else is for.
    rest: Plain,
    /// Answers requests that reach no handler, because of their heads.
    heads: HeadObserver,
    /// Whether the host decides anything.
    by_host: bool,
}

/// One handler and its place.
pub(crate) struct Served {
    pub(crate) path: String,
    reach: Reach,
    host: Option<String>,
    handler: Handler,
}

/// Answers the requests of one place.
pub(super) enum Handler {
    Session(Box<SessionRoute>),
    Subrequest(Box<SubrequestRoute>),
    Webhook(Box<WebhookRoute>),
    /// Answers at once, and knows no sessions.
    Plain(Plain),
}

/// An answer that needs nothing but the head of a request.
type Plain = Box<dyn Fn(&Request) -> Response + Send + Sync>;

impl Served {
    /// The handler of a configured route.
    pub(super) fn of(route: &config::Route, handler: Handler) -> Self {
        Self { path: route.path.clone(), reach: route.kind.reach(), host: route.host.clone(), handler }
    }

    /// A handler that every host has at this path.
    pub(super) fn at(path: &str, answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self { path: path.to_owned(), reach: Reach::Exact, host: None, handler: Handler::Plain(Box::new(answer)) }
    }

    /// The handler of a webhook, which every host has.
    pub(super) fn of_webhook(path: String, handler: WebhookRoute) -> Self {
        Self { path, reach: Reach::Exact, host: None, handler: Handler::Webhook(Box::new(handler)) }
    }

    pub(crate) fn is_for(&self, host: Option<&str>) -> bool {
        self.host.is_none() || self.host.as_deref() == host
    }

    fn serves(&self, path: &str, host: Option<&str>) -> bool {
        self.reach.covers(&self.path, path) && self.is_for(host)
    }
}

impl Table {
    /// `served`, and `rest` for everything else. Routes for one host come before those for any, and among them those that
    /// are asked most.
    pub(super) fn new(
        mut served: Vec<Served>,
        rest: impl Fn(&Request) -> Response + Send + Sync + 'static,
        heads: HeadObserver,
    ) -> Self {
        served.sort_by_key(|own| (own.host.is_none(), !matches!(own.handler, Handler::Session(_))));
        let by_host = served.iter().any(|own| own.host.is_some());
        Self { served, rest: Box::new(rest), heads, by_host }
    }

    fn position(&self, path: &str, host: Option<&str>) -> Option<usize> {
        self.served.iter().position(|own| own.serves(path, host))
    }

    /// What answers this path on this host.
    fn find(&self, path: &str, host: Option<&str>) -> Option<&Handler> {
        self.served.iter().find(|own| own.serves(path, host)).map(|own| &own.handler)
    }

    /// Answers one request; every outcome is an answer.
    pub(super) fn answer<'r>(&'r self, request: &'r Request) -> Answering<'r> {
        let host = if self.by_host { request.host() } else { None };
        match self.find(request.path(), host.as_deref()) {
            Some(Handler::Session(handler)) => handler.answer(request),
            Some(Handler::Subrequest(handler)) => handler.answer(request),
            Some(Handler::Webhook(handler)) => Answering::Later(Box::pin(handler.answer(request))),
            Some(Handler::Plain(answer)) => Answering::Now(answer(request)),
            None => Answering::Now(self.turn_away(request)),
        }
    }

    /// Refuses a request because of its head.
    pub(super) fn refuse(&self, fault: HeadFault, request: &Request) -> Response {
        self.heads.answer(fault, request)
    }

    /// Answers a request that no place is for.
    pub(crate) fn turn_away(&self, request: &Request) -> Response {
        (self.rest)(request)
    }

    /// The subrequest routes, those for one host first.
    pub(crate) fn subrequests(&self) -> impl Iterator<Item = (&Served, &SubrequestRoute)> {
        self.served.iter().filter_map(|own| match &own.handler {
            Handler::Subrequest(handler) => Some((own, &**handler)),
            Handler::Session(_) | Handler::Webhook(_) | Handler::Plain(_) => None,
        })
    }

    /// Whether the target names one host and `Host` another, and each leads to a route of its own. The target counts (RFC
    /// 9112, 3.2.2), but a hop before us may have gone by the other.
    #[cold]
    pub(super) fn fault_of_hosts(&self, target: &Uri, headers: &HeaderMap) -> Option<HeadFault> {
        let (named, line) = (target.authority()?, headers.get(HOST)?);
        if is_same(named.as_str().as_bytes(), line.as_bytes()) {
            return None;
        }
        let host = |text: &str| text.parse::<Authority>().ok().map(|host| host.host().to_ascii_lowercase());
        let place = |host: Option<String>| self.position(target.path(), host.as_deref());
        let places = (place(host(named.as_str())), place(line.to_str().ok().and_then(host)));
        // T-69: hosts that differ
        matches!(places, (Some(one), Some(other)) if one != other).then_some(HeadFault::HostDiffers)
    }
}
