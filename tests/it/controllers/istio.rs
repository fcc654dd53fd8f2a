//! Istio: a mesh configuration and a policy `CUSTOM`, as its gateway's Envoy gets them.
//!
//! The filter comes before all others, those that verify tokens included. Istio asks only where a rule of the policy
//! matches, by the metadata of a shadow filter; the policy here has the rule that always does.

use serde::Deserialize;
use serde_json::{Value, json};

use super::envoy::{Envoy, kind, names, server};
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

/// Envoy's configuration, made of the documents of `docs/proxies/istio.yaml`.
pub fn envoy(documents: &[Value]) -> Envoy {
    let (mut envoy, mut mesh, mut policy) = (Envoy::default(), None, None);
    for document in documents {
        match document["kind"].as_str() {
            None => mesh = Some(serde_json::from_value(document["meshConfig"].clone()).expect("a mesh configuration")),
            Some("AuthorizationPolicy") => {
                policy = Some(serde_json::from_value(document["spec"].clone()).expect("a policy"));
                let _metadata: Metadata = serde_json::from_value(document["metadata"].clone()).expect("metadata");
            }
            Some("HTTPRoute") => envoy.add_route(document),
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
    envoy
}

fn filter(envoy: &mut Envoy, provider: &ExtAuthz) -> Value {
    let service = provider.service.strip_suffix(".shop.svc.cluster.local").expect("a Service of the namespace");
    envoy.services.insert(service.to_owned(), provider.port);
    assert!(provider.timeout.ends_with('s'), "{}", provider.timeout);
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": kind("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"),
            "transport_api_version": "V3",
            "failure_mode_allow": provider.fail_open,
            "status_on_error": { "code": provider.status_on_error.parse::<u16>().expect("a status") },
            "http_service": {
                "server_uri": server(service),
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
