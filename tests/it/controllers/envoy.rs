//! What Istio and Envoy Gateway have in common: they write Envoy's configuration.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// No controller's timeout decides a test: machines that run tests may be slow.
const PATIENCE: &str = "20s";

/// The parts of a configuration that come from the documents.
#[derive(Default)]
pub struct Envoy {
    /// Options of the connection manager.
    pub options: serde_json::Map<String, Value>,
    /// Filters before the router, in the order that the controller gives them.
    pub filters: Vec<Value>,
    pub routes: Vec<Value>,
    /// Where requests go to, by name.
    pub clusters: BTreeMap<String, Cluster>,
}

/// A Service, as one of those who ask it sees it.
#[derive(Clone, Default)]
pub struct Cluster {
    pub port: u16,
    /// How long a connection may be idle; an hour where nothing is said.
    pub idle_timeout: Option<String>,
}

impl Envoy {
    /// The whole configuration. Addresses are written as the documents of other proxies write them, to be moved.
    pub fn text(&self) -> String {
        let router = json!({
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": kind("envoy.extensions.filters.http.router.v3.Router") },
        });
        let filters = [&self.filters[..], &[router]].concat();
        let mut manager = json!({
            "@type": kind("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "web",
            "use_remote_address": true,
            "normalize_path": true,
            "route_config": { "virtual_hosts": [{ "name": "web", "domains": ["*"], "routes": self.routes }] },
            "http_filters": filters,
        });
        manager.as_object_mut().unwrap().extend(self.options.clone());
        let clusters: String = self.clusters.iter().map(|(name, cluster)| cluster.text(name)).collect();
        format!(
            "static_resources:\n  listeners:\n  - name: web\n    \
             address: {{ socket_address: {{ address: 127.0.0.1, port_value: 8000 }} }}\n    \
             filter_chains: [{{ filters: [{{ name: envoy.filters.network.http_connection_manager, typed_config: {manager} }}] }}]\n  \
             clusters:\n{clusters}"
        )
    }
}

impl Cluster {
    fn text(&self, name: &str) -> String {
        const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        let Self { port, idle_timeout } = self;
        let options = idle_timeout.as_ref().map_or(json!({}), |time| {
            json!({ OPTIONS: {
                "@type": kind(OPTIONS),
                "explicit_http_config": { "http_protocol_options": {} },
                "common_http_protocol_options": { "idle_timeout": time },
            } })
        });
        format!(
            "  - {{ name: {name}, typed_extension_protocol_options: {options}, load_assignment: {{ cluster_name: {name}, \
             endpoints: [{{ lb_endpoints: [{{ endpoint: \
             {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }} }}] }}] }} }}\n"
        )
    }
}

/// The name of a message in `@type`.
pub fn kind(message: &str) -> String {
    format!("type.googleapis.com/{message}")
}

/// Header names as `ListStringMatcher`, as both controllers write them.
pub fn names(headers: &[String]) -> Value {
    let patterns: Vec<Value> = headers.iter().map(|name| json!({ "exact": name, "ignore_case": true })).collect();
    json!({ "patterns": patterns })
}

/// `server_uri` of a Service.
pub fn server(service: &str, cluster: &str) -> Value {
    json!({ "uri": format!("http://{service}"), "cluster": cluster, "timeout": PATIENCE })
}
