//! Envoy Gateway: its policies, as Envoy gets them.
//!
//! The filter of a policy is off, and is turned on for the routes of the `HTTPRoute` that it is for. It comes before the
//! filters that verify tokens. No registry carries schemas of these resources; the fields are those of the reference.

use serde::Deserialize;
use serde_json::{Value, json};

use super::envoy::{Envoy, kind, names, server};
use super::gateway_api::{BackendRef, TargetRef};

const FILTER: &str = "envoy.filters.http.ext_authz/securitypolicy/shop/chat-token";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SecurityPolicy {
    target_refs: Vec<TargetRef>,
    ext_auth: Question,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Question {
    timeout: String,
    fail_open: bool,
    headers_to_ext_auth: Vec<String>,
    http: HttpService,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HttpService {
    backend_refs: Vec<BackendRef>,
    path_override: String,
    headers_to_backend: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ClientTrafficPolicy {
    target_refs: Vec<TargetRef>,
    headers: Headers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Headers {
    with_underscores_action: Underscores,
    early_request_headers: Early,
}

#[derive(Clone, Copy, Deserialize)]
enum Underscores {
    Allow,
    RejectRequest,
    DropHeader,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Early {
    remove: Vec<String>,
}

/// Envoy's configuration, made of the documents of `docs/proxies/envoy-gateway.yaml`.
pub fn envoy(documents: &[Value]) -> Envoy {
    let mut envoy = Envoy::default();
    let of = |kind: &'static str| documents.iter().filter(move |document| document["kind"] == kind);
    for route in of("HTTPRoute") {
        envoy.add_route(route);
    }
    for document in of("SecurityPolicy") {
        envoy.ask(&serde_json::from_value(document["spec"].clone()).expect("a SecurityPolicy"));
    }
    for document in of("ClientTrafficPolicy") {
        envoy.clean(&serde_json::from_value(document["spec"].clone()).expect("a ClientTrafficPolicy"));
    }
    assert_eq!(documents.len(), 4, "every document means something here");
    envoy
}

impl Envoy {
    fn ask(&mut self, policy: &SecurityPolicy) {
        let (asked, [target]) = (&policy.ext_auth, &policy.target_refs[..]) else { panic!("one target") };
        assert_eq!((target.group.as_str(), target.kind.as_str()), ("gateway.networking.k8s.io", "HTTPRoute"));
        assert!(asked.timeout.ends_with("ms"), "{}", asked.timeout);
        let [backend] = &asked.http.backend_refs[..] else { panic!("one backend") };
        self.services.insert(backend.name.clone(), backend.port);
        self.filters.push(json!({
            "name": FILTER,
            "disabled": true,
            "typed_config": {
                "@type": kind("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"),
                "transport_api_version": "V3",
                "failure_mode_allow": asked.fail_open,
                "allowed_headers": names(&asked.headers_to_ext_auth),
                "http_service": {
                    "server_uri": server(&backend.name),
                    "path_override": asked.http.path_override,
                    "authorization_response": { "allowed_upstream_headers": names(&asked.http.headers_to_backend) },
                },
            },
        }));
        let guarded = self.routes.iter_mut().filter(|route| route["name"] == target.name.as_str());
        let turned_on = guarded.map(|route| {
            route["typed_per_filter_config"] =
                json!({ FILTER: { "@type": kind("envoy.config.route.v3.FilterConfig"), "config": {} } });
        });
        assert_eq!(turned_on.count(), 1, "the policy is for a route that is there");
    }

    fn clean(&mut self, policy: &ClientTrafficPolicy) {
        assert!(policy.target_refs.iter().all(|target| target.kind == "Gateway" && target.name == "web"));
        let action = match policy.headers.with_underscores_action {
            Underscores::Allow => "ALLOW",
            Underscores::RejectRequest => "REJECT_REQUEST",
            Underscores::DropHeader => "DROP_HEADER",
        };
        let removed: Vec<Value> =
            policy.headers.early_request_headers.remove.iter().map(|name| json!({ "remove": name })).collect();
        self.options
            .insert("common_http_protocol_options".to_owned(), json!({ "headers_with_underscores_action": action }));
        self.options.insert(
            "early_header_mutation_extensions".to_owned(),
            json!([{
                "name": "envoy.http.early_header_mutation.header_mutation",
                "typed_config": {
                    "@type": kind("envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"),
                    "mutations": removed,
                },
            }]),
        );
    }
}
