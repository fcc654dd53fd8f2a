//! The public keys of every local signing key (RFC 7517, section 5). They are public: every client may read and keep them.

use bytes::Bytes;
use http::Method;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::json;
use warp::reply::Response;

use super::table::Served;
use crate::config::JWKS_PATH;
use crate::inbound::AppState;
use crate::inbound::reply::observe::{Completion, Observer};
use crate::inbound::reply::{self, Base, Extras, Outcome};
use crate::inbound::request::Request;

const EVERY_ORIGIN: HeaderValue = HeaderValue::from_static("*");

pub(super) fn served(state: &AppState) -> Served {
    let providers = state.providers.clone();
    let base = Base::new(&[], Some("application/json"));
    let observer = Observer::new(JWKS_PATH, &state.metrics, state.log.clone());
    let refuse = move |request: &Request, outcome| {
        let cors = Some(HeaderMap::from_iter([(ACCESS_CONTROL_ALLOW_ORIGIN, EVERY_ORIGIN)]));
        let extras = Extras { allow: Some("GET, HEAD, OPTIONS"), cors, ..Extras::default() };
        reply::problem(&base, request.id, outcome, extras)
    };
    Served::at(JWKS_PATH, move |request| {
        let (outcome, response) = match request.method {
            Method::GET | Method::HEAD => {
                let keys: Vec<_> = providers.iter().flat_map(|provider| provider.jwks()).collect();
                let mut response = Response::new(Bytes::from(json!({ "keys": keys }).to_string()).into());
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, EVERY_ORIGIN);
                headers.insert(reply::X_REQUEST_ID, request.id.header());
                (Outcome::Ok, response)
            }
            Method::OPTIONS => (Outcome::Options, refuse(request, Outcome::Options)),
            _ => (Outcome::MethodNotAllowed, refuse(request, Outcome::MethodNotAllowed)),
        };
        let completion =
            Completion { outcome, status: response.status().as_u16(), reason: None, hit: outcome == Outcome::Ok };
        observer.completed(request, completion, || None);
        response
    })
}
