//! Who closes an idle connection behind a controller: the gateway, on every way to sidemint.

use super::{ENVOY_GATEWAY, INGRESS_NGINX, ISTIO, envoy_gateway, istio, read};
use crate::outages::idle::{closes_first, seconds};

#[test]
fn the_gateway_closes_idle_connections_first() {
    // What the controller writes where its ConfigMap says nothing; the page tells to leave it so.
    let (page, default) = (INGRESS_NGINX.recipe.page, 60);
    assert!(
        page.contains(&format!(
            "| no `upstream-keepalive-timeout` in the ConfigMap | Its default, {default} s, is right"
        ))
    );
    closes_first("ingress-nginx", default);

    for (controller, made_of, ways) in
        [(&ISTIO, istio::envoy as fn(&[_]) -> _, 1), (&ENVOY_GATEWAY, envoy_gateway::envoy, 2)]
    {
        let name = controller.recipe.name;
        let clusters = made_of(&read(controller.recipe.documents[0].1).0).clusters;
        let ours: Vec<_> = clusters.iter().filter(|(_, cluster)| cluster.port == 8080).collect();
        assert_eq!(ours.len(), ways, "{name}: questions and sessions");
        for (way, cluster) in ours {
            let time =
                cluster.idle_timeout.as_deref().unwrap_or_else(|| panic!("{name}: {way} keeps them for an hour"));
            closes_first(name, seconds(time));
        }
    }
}
