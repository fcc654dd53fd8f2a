//! Who closes an idle connection: the proxy, always, because a request that it sends while we close is lost.

use std::time::Duration;

use sidemint::config::Environment;

use crate::harness::{LOCAL, clock, config, draw};
use crate::parts::proxies::{self, Recipe};

/// Where a proxy's time stands in its documents, and what it is where nothing stands there.
const TIMES: [(&Recipe, &str, Option<u64>); 6] = [
    // Default since 1.15.3.
    (&proxies::NGINX, "keepalive_timeout ", Some(60)),
    (&proxies::CADDY, "keepalive ", None),
    // How often the unused half of the connections is closed, by default.
    (&proxies::HAPROXY, "pool-purge-delay ", Some(5)),
    (&proxies::TRAEFIK, "idleConnTimeout: ", None),
    (&proxies::ENVOY, "idle_timeout: ", None),
    (&proxies::APACHE, "ttl=", None),
];

/// Between the proxy's time and ours: clocks tick and machines stand still.
const MARGIN: Duration = Duration::from_secs(15);

#[test]
fn the_proxy_closes_idle_connections_first() {
    assert_eq!(TIMES.map(|(recipe, ..)| recipe.name), proxies::ALL.map(|recipe| recipe.name));
    for (recipe, key, default) in TIMES {
        let text: String = recipe.documents.iter().map(|(_, text)| *text).collect();
        let written: Vec<u64> = text.split(key).skip(1).map(|rest| seconds(rest.trim_start())).collect();
        let longest = written.iter().copied().max().or(default).expect("a time is written");
        closes_first(recipe.name, longest);
    }
}

/// Holds a proxy's time against ours.
pub fn closes_first(proxy: &str, seconds: u64) {
    let blueprint = draw(&config(LOCAL, &[]), &Environment::default(), clock()).unwrap();
    let ours = blueprint.config().server.idle_timeout;
    assert!(Duration::from_secs(seconds) + MARGIN <= ours, "{proxy}: {seconds} s, and {ours:?} here");
}

/// `60s` or `60`.
pub fn seconds(text: &str) -> u64 {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    assert!(!text[end..].starts_with(['m', 'h']), "not seconds: {}", &text[..=end]);
    text[..end].parse().expect("a number of seconds")
}
