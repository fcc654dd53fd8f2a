//! The status page, for people, and the same as JSON. A browser may show it where a person asked for it: no page of another
//! site, and no name that was bound to this address (DNS rebinding), gets to it (T-76).

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use warp::reply::Response;

use super::{SEC_FETCH_SITE, read_only, text, unstored};
use crate::inbound::AppState;
use crate::inbound::reply::Outcome;
use crate::inbound::request::Request;
use crate::inbound::routes::table::Served;
use crate::inbound::status::{Overview, STYLE, StatusPage, page};
use crate::lifecycle::Lifecycle;

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What both are made from.
struct Source {
    page: StatusPage,
    state: AppState,
    lifecycle: Lifecycle,
    policy: HeaderValue,
}

/// The page and the JSON, at their paths.
pub(super) fn served(page: &StatusPage, state: &AppState, lifecycle: &Lifecycle) -> [Served; 2] {
    let source =
        Arc::new(Source { page: page.clone(), state: state.clone(), lifecycle: lifecycle.clone(), policy: policy() });
    let json = Arc::clone(&source);
    [
        Served::at("/", move |request| source.answer(request, Source::html)),
        Served::at("/status.json", move |request| json.answer(request, Source::json)),
    ]
}

/// Nothing but the style, and that as it is.
fn policy() -> HeaderValue {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

impl Source {
    fn answer(&self, request: &Request, make: fn(&Self, &Request) -> Response) -> Response {
        if let Some((outcome, why)) = self.objection(request) {
            return unstored(text(outcome, why));
        }
        let mut response = read_only(request, || make(self, request));
        let headers = response.headers_mut();
        headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    /// Why a request gets nothing.
    fn objection(&self, request: &Request) -> Option<(Outcome, &'static str)> {
        // T-76: page of another site
        if request.headers.get(SEC_FETCH_SITE).is_some_and(|site| site != "none" && site != "same-origin") {
            return Some((Outcome::OriginRefused, "not for pages of other sites\n"));
        }
        let is_known = |host: String| {
            let address = host.trim_start_matches('[').trim_end_matches(']');
            address.parse::<IpAddr>().is_ok() || host == "localhost" || self.page.allow_hosts.contains(&host)
        };
        // T-76: rebound name
        let is_refused = !request.host().is_some_and(is_known);
        is_refused.then_some((Outcome::HostRefused, "this host is not in ops.allow_hosts\n"))
    }

    fn overview(&self) -> Overview {
        Overview::of(&self.page, &self.state, &self.lifecycle)
    }

    fn html(&self, request: &Request) -> Response {
        body("text/html; charset=utf-8", page(&self.overview(), request.query()))
    }

    fn json(&self, _: &Request) -> Response {
        match serde_json::to_string(&self.overview()) {
            Ok(text) => body("application/json", text),
            Err(_) => text(Outcome::Internal, "internal error\n"),
        }
    }
}

fn body(content_type: &'static str, text: String) -> Response {
    let mut response = Response::new(Bytes::from(text).into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
