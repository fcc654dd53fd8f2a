//! Who closes an idle connection behind a controller: the gateway, on every way to sidemint.

use super::{Controller, ENVOY_GATEWAY, INGRESS_NGINX, ISTIO, envoy_gateway, istio, read};
use crate::outages::idle::{closes_first, seconds};

#[test]
fn the_gateway_closes_idle_connections_first() {
    // What the controller writes where its ConfigMap says nothing; the page tells to leave it so.
    let default = 60;
    let row = format!("\n| no `upstream-keepalive-timeout` in the ConfigMap | Its default, {default} s, is right");
    assert!(INGRESS_NGINX.recipe.page.contains(&row));
    closes_first("ingress-nginx", default);

    let of = |controller: &Controller| read(controller.recipe.documents[0].1).0;
    for (name, gateway, ways) in
        [("istio", istio::envoy(&of(&ISTIO)), 1), ("envoy-gateway", envoy_gateway::envoy(&of(&ENVOY_GATEWAY)), 2)]
    {
        let ours: Vec<_> = gateway.clusters.iter().filter(|(_, cluster)| cluster.port == 8080).collect();
        assert_eq!(ours.len(), ways, "{name}: questions and sessions");
        for (way, cluster) in ours {
            let time =
                cluster.idle_timeout.as_deref().unwrap_or_else(|| panic!("{name}: {way} keeps them for an hour"));
            closes_first(name, seconds(time));
        }
    }
}
