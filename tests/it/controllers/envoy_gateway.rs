//! Envoy Gateway: its policies, as Envoy gets them.
//!
//! The filter of a policy is off, and is turned on for the routes of the `HTTPRoute` that it is for. It comes before the
//! filters that verify tokens. A Service, a rule of a route and a policy that are asked have a cluster of their own. No registry carries schemas of these resources; the fields are those of the reference.

use serde::Deserialize;
use serde_json::{Value, json};

use super::envoy::{Cluster, Envoy, kind, names, server};
use super::gateway_api::{BackendRef, TargetRef};

const FILTER: &str = "envoy.filters.http.ext_authz/securitypolicy/shop/chat-token";
const QUESTION: &str = "securitypolicy/shop/chat-token/extauth/0";

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
    backend_settings: BackendSettings,
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
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Early {
    remove_on_match: Vec<Matcher>,
}

#[derive(Deserialize)]
#[serde(tag = "type", content = "value")]
enum Matcher {
    RegularExpression(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackendSettings {
    timeout: Timeout,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BackendTrafficPolicy {
    target_refs: Vec<TargetRef>,
    timeout: Timeout,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Timeout {
    http: HttpTimeout,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HttpTimeout {
    connection_idle_timeout: String,
}

/// Envoy's configuration, made of the documents of `docs/proxies/envoy-gateway.yaml`.
pub fn envoy(documents: &[Value]) -> Envoy {
    let mut envoy = Envoy::default();
    let of = |kind: &'static str| documents.iter().filter(move |document| document["kind"] == kind);
    for route in of("HTTPRoute") {
        envoy.add_route(route, |route, number, _| format!("httproute/shop/{route}/rule/{number}"));
    }
    for document in of("SecurityPolicy") {
        envoy.ask(&serde_json::from_value(document["spec"].clone()).expect("a SecurityPolicy"));
    }
    for document in of("ClientTrafficPolicy") {
        envoy.clean(&serde_json::from_value(document["spec"].clone()).expect("a ClientTrafficPolicy"));
    }
    for document in of("BackendTrafficPolicy") {
        envoy.hold(&serde_json::from_value(document["spec"].clone()).expect("a BackendTrafficPolicy"));
    }
    assert_eq!(documents.len(), 5, "every document means something here");
    envoy
}

impl Envoy {
    fn ask(&mut self, policy: &SecurityPolicy) {
        let (asked, [target]) = (&policy.ext_auth, &policy.target_refs[..]) else { panic!("one target") };
        assert_eq!((target.group.as_str(), target.kind.as_str()), ("gateway.networking.k8s.io", "HTTPRoute"));
        assert!(asked.timeout.ends_with("ms"), "{}", asked.timeout);
        let [backend] = &asked.http.backend_refs[..] else { panic!("one backend") };
        let idle_timeout = Some(asked.http.backend_settings.timeout.http.connection_idle_timeout.clone());
        self.clusters.insert(QUESTION.to_owned(), Cluster { port: backend.port, idle_timeout });
        self.filters.push(json!({
            "name": FILTER,
            "disabled": true,
            "typed_config": {
                "@type": kind("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"),
                "transport_api_version": "V3",
                "failure_mode_allow": asked.fail_open,
                "allowed_headers": names(&asked.headers_to_ext_auth),
                "http_service": {
                    "server_uri": server(&backend.name, QUESTION),
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
        let matchers = policy.headers.early_request_headers.remove_on_match.iter();
        let removed: Vec<Value> = matchers
            .map(|Matcher::RegularExpression(regex)| {
                json!({ "remove_on_match": { "key_matcher": { "safe_regex": { "regex": regex } } } })
            })
            .collect();
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
    /// How long the connections of a route are kept.
    fn hold(&mut self, policy: &BackendTrafficPolicy) {
        for target in &policy.target_refs {
            assert_eq!((target.group.as_str(), target.kind.as_str()), ("gateway.networking.k8s.io", "HTTPRoute"));
            let prefix = format!("httproute/shop/{}/", target.name);
            let clusters = self.clusters.iter_mut().filter(|(name, _)| name.starts_with(&prefix));
            let held = clusters.map(|(_, cluster)| {
                cluster.idle_timeout = Some(policy.timeout.http.connection_idle_timeout.clone());
            });
            assert_eq!(held.count(), 1, "the policy is for a route that is there");
        }
    }
}
