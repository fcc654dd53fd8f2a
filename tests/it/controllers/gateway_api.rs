//! `HTTPRoute` of the Gateway API, as both Istio and Envoy Gateway make routes of it. Host names and the Gateway itself are
//! left out: tests ask by address.

use serde::Deserialize;
use serde_json::{Value, json};

use super::envoy::{Cluster, Envoy};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Metadata {
    pub name: String,
    pub namespace: String,
}

/// A reference to the Gateway or the `HTTPRoute` that a policy is for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetRef {
    pub group: String,
    pub kind: String,
    pub name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendRef {
    pub name: String,
    pub port: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(rename = "parentRefs")]
    parents: Vec<Parent>,
    hostnames: Vec<String>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parent {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    matches: Vec<Match>,
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(rename = "backendRefs")]
    backends: Vec<BackendRef>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    path: PathMatch,
}

#[derive(Deserialize)]
#[serde(tag = "type", content = "value")]
enum PathMatch {
    Exact(String),
    PathPrefix(String),
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum Filter {
    RequestHeaderModifier {
        #[serde(rename = "requestHeaderModifier")]
        modifier: Modifier,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Modifier {
    remove: Vec<String>,
}

impl Envoy {
    /// Adds the routes of an `HTTPRoute`, exact paths before prefixes, each under the name of the `HTTPRoute`. What a
    /// cluster is called depends on the controller: `cluster` makes it of route, number of the rule, and Service.
    pub fn add_route(&mut self, document: &Value, cluster: fn(&str, usize, &str) -> String) {
        let metadata: Metadata = serde_json::from_value(document["metadata"].clone()).expect("metadata");
        let spec: Spec = serde_json::from_value(document["spec"].clone()).expect("an HTTPRoute");
        assert_eq!(
            (spec.parents[0].name.as_str(), spec.hostnames.len(), metadata.namespace.as_str()),
            ("web", 1, "shop")
        );
        for (number, rule) in spec.rules.iter().enumerate() {
            let [backend] = &rule.backends[..] else { panic!("one backend") };
            let cluster = cluster(&metadata.name, number, &backend.name);
            self.clusters.insert(cluster.clone(), Cluster { port: backend.port, idle_timeout: None });
            let removed: Vec<&String> =
                rule.filters.iter().flat_map(|Filter::RequestHeaderModifier { modifier }| &modifier.remove).collect();
            for each in &rule.matches {
                let (place, path) = match &each.path {
                    PathMatch::Exact(path) => (0, json!({ "path": path })),
                    PathMatch::PathPrefix(path) => (self.routes.len(), json!({ "prefix": path })),
                };
                let route = json!({
                    "name": metadata.name,
                    "match": path,
                    "route": { "cluster": cluster },
                    "request_headers_to_remove": removed,
                });
                self.routes.insert(place, route);
            }
        }
    }
}
