//! Istio: a mesh configuration and a policy `CUSTOM`, as its gateway's Envoy gets them.
//!
//! The filter comes before all others, those that verify tokens included. Istio asks only where a rule of the policy
//! matches, by the metadata of a shadow filter; the policy here has the rule that always does. All who ask a Service, the
//! filter included, have one cluster; its `DestinationRule` says how connections are kept.

use serde::Deserialize;
use serde_json::{Value, json};

use super::envoy::{Cluster, Envoy, kind, names, server};
use super::gateway_api::{Metadata, TargetRef};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MeshConfig {
    extension_providers: Vec<Provider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Provider {
    name: String,
    envoy_ext_authz_http: ExtAuthz,
}

/// Fields of `MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationHttpProvider`; no registry carries a schema of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExtAuthz {
    service: String,
    port: u16,
    path_prefix: String,
    timeout: String,
    fail_open: bool,
    status_on_error: String,
    include_request_headers_in_check: Vec<String>,
    headers_to_upstream_on_allow: Vec<String>,
    headers_to_downstream_on_deny: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Policy {
    target_refs: Vec<TargetRef>,
    action: String,
    provider: Named,
    rules: Vec<Always>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

/// A rule without conditions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Always {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EnvoyFilter {
    target_refs: Vec<TargetRef>,
    config_patches: Vec<ConfigPatch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ConfigPatch {
    apply_to: String,
    #[serde(rename = "match")]
    place: Value,
    patch: Patch,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    operation: String,
    value: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DestinationRule {
    host: String,
    traffic_policy: TrafficPolicy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TrafficPolicy {
    connection_pool: ConnectionPool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionPool {
    http: HttpPool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HttpPool {
    idle_timeout: String,
}

/// Envoy's configuration, made of the documents of `docs/proxies/istio.yaml`.
pub fn envoy(documents: &[Value]) -> Envoy {
    let (mut envoy, mut mesh, mut policy) = (Envoy::default(), None, None);
    let mut rules: Vec<DestinationRule> = Vec::new();
    for document in documents {
        match document["kind"].as_str() {
            None => mesh = Some(serde_json::from_value(document["meshConfig"].clone()).expect("a mesh configuration")),
            Some("AuthorizationPolicy") => {
                policy = Some(serde_json::from_value(document["spec"].clone()).expect("a policy"));
                let _metadata: Metadata = serde_json::from_value(document["metadata"].clone()).expect("metadata");
            }
            Some("HTTPRoute") => envoy.add_route(document, |_, _, service| service.to_owned()),
            Some("EnvoyFilter") => {
                envoy.patch(&serde_json::from_value(document["spec"].clone()).expect("an EnvoyFilter"));
            }
            Some("DestinationRule") => {
                rules.push(serde_json::from_value(document["spec"].clone()).expect("a DestinationRule"));
            }
            Some(other) => panic!("{other} means nothing here"),
        }
    }
    let (mesh, policy): (MeshConfig, Policy) = (mesh.expect("a mesh configuration"), policy.expect("a policy"));
    assert_eq!((policy.action.as_str(), policy.rules.len()), ("CUSTOM", 1));
    assert!(policy.target_refs.iter().all(|target| target.kind == "Gateway" && target.name == "web"));
    assert!(policy.target_refs.iter().all(|target| target.group == "gateway.networking.k8s.io"));
    let asked = mesh.extension_providers.iter().find(|provider| provider.name == policy.provider.name);
    let filter = filter(&mut envoy, &asked.expect("the policy's provider").envoy_ext_authz_http);
    envoy.filters.push(filter);
    for rule in rules {
        let cluster = envoy.clusters.get_mut(service(&rule.host)).expect("a Service that is asked");
        cluster.idle_timeout = Some(rule.traffic_policy.connection_pool.http.idle_timeout);
    }
    envoy
}

/// The Service of a full name.
fn service(host: &str) -> &str {
    host.strip_suffix(".shop.svc.cluster.local").expect("a Service of the namespace")
}

impl Envoy {
    /// Merges what a filter says into the options of the connection manager.
    fn patch(&mut self, filter: &EnvoyFilter) {
        const MANAGER: &str = "envoy.filters.network.http_connection_manager";
        assert!(filter.target_refs.iter().all(|target| target.kind == "Gateway" && target.name == "web"));
        for ConfigPatch { apply_to, place, patch } in &filter.config_patches {
            assert_eq!((apply_to.as_str(), patch.operation.as_str()), ("NETWORK_FILTER", "MERGE"));
            let here =
                json!({ "context": "GATEWAY", "listener": { "filterChain": { "filter": { "name": MANAGER } } } });
            assert_eq!(*place, here);
            let mut merged = patch.value["typed_config"].as_object().expect("a configuration").clone();
            let message = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
            assert_eq!(merged.remove("@type"), Some(kind(message).into()));
            self.options.extend(merged);
        }
    }
}

fn filter(envoy: &mut Envoy, provider: &ExtAuthz) -> Value {
    let service = service(&provider.service);
    envoy.clusters.insert(service.to_owned(), Cluster { port: provider.port, idle_timeout: None });
    assert!(provider.timeout.ends_with('s'), "{}", provider.timeout);
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": kind("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"),
            "transport_api_version": "V3",
            "failure_mode_allow": provider.fail_open,
            "status_on_error": { "code": provider.status_on_error.parse::<u16>().expect("a status") },
            "http_service": {
                "server_uri": server(service, service),
                "path_prefix": provider.path_prefix,
                "authorization_request": { "allowed_headers": names(&provider.include_request_headers_in_check) },
                "authorization_response": {
                    "allowed_upstream_headers": names(&provider.headers_to_upstream_on_allow),
                    "allowed_client_headers": names(&provider.headers_to_downstream_on_deny),
                },
            },
        },
    })
}
