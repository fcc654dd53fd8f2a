//! What must hold for any check, and for any answer to one.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use envoy_types::pb::google::protobuf::Struct;
use envoy_types::pb::google::protobuf::value::Kind;
use http::header::{HeaderMap, HeaderValue};
use tonic_prost::prost::Message as _;
use warp::reply::Response;

use super::answer;
use super::question::Question;
use crate::identity::{Identity, fuzzing as identity};
use crate::session::{SESSION_HEADERS, STATUS};

/// A check. Nothing in it proves its sender; once that is proven otherwise, metadata decides, then the principal,
/// then headers, and a user is what one of them says to the letter.
pub(crate) fn check(bytes: &[u8]) {
    answers(bytes);
    let Ok(check) = CheckRequest::decode(bytes) else { return };
    let attributes = check.attributes.unwrap_or_default();
    for (resolver, connection, is_proven) in identity::relayed() {
        let question = Question::of(HeaderMap::new(), attributes.clone(), *connection);
        let told = resolver.resolve(&question.request.asking(None));
        assert!(*is_proven || told.is_err(), "no check proves its sender");
        assert!(!question.is_malformed || question.request.headers.is_empty(), "nothing is known of what is malformed");
        if let Ok(identity) = told {
            is_said(&identity, &attributes);
        }
    }
}

/// The user is the one that another reader of the check sees in the place that counts.
fn is_said(identity: &Identity<'_>, attributes: &AttributeContext) {
    let metadata = attributes.metadata_context.as_ref();
    let own = metadata.and_then(|all| all.filter_metadata.get("envoy.filters.http.jwt_authn"));
    let claims = own.and_then(|own| own.fields.get("jwt"));
    let principal = attributes.source.as_ref().map(|source| source.principal.as_str()).unwrap_or_default();
    match identity.source() {
        "envoy-metadata" => {
            let claims = claims.and_then(|claims| match &claims.kind {
                Some(Kind::StructValue(claims)) => Some(claims),
                _ => None,
            });
            assert!(claims.is_some(), "a user without claims");
            let Some(claims) = claims else { return };
            assert!(is_text(claims, "iss", "https://idp.example.com/"), "of the pinned issuer");
            let number = claims.fields.get("sub").and_then(|sub| match sub.kind {
                Some(Kind::NumberValue(number)) => Some(number),
                _ => None,
            });
            let is_number = number.is_some_and(|number| {
                number.abs() < 9_007_199_254_740_992.0 && identity.subject().parse::<f64>() == Ok(number)
            });
            assert!(is_number || is_text(claims, "sub", identity.subject()), "of the verified subject");
        }
        "envoy-principal" => {
            assert!(claims.is_none(), "claims come first");
            assert_eq!(identity.subject(), principal);
        }
        _ => {
            assert!(claims.is_none() && principal.is_empty(), "what was verified comes first");
            let http = attributes.request.as_ref().and_then(|request| request.http.clone()).unwrap_or_default();
            assert_eq!(lines(&http, "x-forwarded-user"), [identity.subject().to_owned()], "one line tells an identity");
        }
    }
}

fn is_text(claims: &Struct, name: &str, text: &str) -> bool {
    let told = claims.fields.get(name).and_then(|value| value.kind.as_ref());
    matches!(told, Some(Kind::StringValue(told)) if told == text)
}

/// The values of a header, wherever they stand.
fn lines(http: &HttpRequest, name: &str) -> Vec<String> {
    let apart = http.header_map.iter().flat_map(|map| &map.headers).map(|line| {
        let raw = String::from_utf8_lossy(&line.raw_value).into_owned();
        (line.key.as_str(), if line.raw_value.is_empty() { line.value.clone() } else { raw })
    });
    let joined = http.headers.iter().map(|(key, value)| (key.as_str(), value.clone()));
    let own = apart.chain(joined).filter(|(key, _)| key.eq_ignore_ascii_case(name));
    own.map(|(_, value)| value.trim_matches([' ', '\t']).to_owned()).collect()
}

/// Whatever a session's headers hold: each is set for the application or taken from the client, and never both.
fn answers(bytes: &[u8]) {
    let names = || SESSION_HEADERS.into_iter().chain([STATUS]);
    let mut response = Response::new(bytes::Bytes::new().into());
    for (name, value) in names().zip(bytes.split(|byte| *byte == b'\n')) {
        if let Some(value) = HeaderValue::from_bytes(value).ok().filter(|value| value.to_str().is_ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    let passed = answer::of(response).ok().and_then(|answer| match answer.http_response {
        Some(HttpResponse::OkResponse(passed)) => Some(passed),
        _ => None,
    });
    assert!(passed.is_some(), "200 passes");
    let passed = passed.unwrap_or_default();
    let set = passed.headers.into_iter().filter_map(|option| option.header);
    let set: Vec<String> = set.inspect(|line| assert!(!line.value.is_empty())).map(|line| line.key).collect();
    let told = [set, passed.headers_to_remove].concat();
    assert_eq!(told.len(), names().count());
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), names().map(|name| name.as_str().to_owned()).collect());
}
