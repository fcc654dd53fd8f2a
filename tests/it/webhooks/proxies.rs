//! Providers reach the listener through a proxy: what they signed arrives to the byte, packed bodies as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::preset::{Stage, headers, of_scheme, query, unpacked};
use crate::client::{Connection, request};
use crate::fakes::app::App;
use crate::harness::NOW;
use crate::judge::judge;
use crate::parts::proxies::{self, Proxy, Recipe, Upstreams};

/// What an operator writes for webhooks and nothing else: 3000 is the listener of webhooks, 8080 whatever else there is.
const NGINX: &[(&str, &str)] = &[(
    "chat.conf",
    "server {\n  listen 127.0.0.1:8000;\n  client_max_body_size 2m;\n  location /webhooks/ { proxy_pass http://127.0.0.1:3000; }\n  \
     location / { proxy_pass http://127.0.0.1:8080; }\n}\n",
)];
const CADDY: &[(&str, &str)] = &[(
    "Caddyfile",
    "{\n\tadmin off\n\tauto_https off\n}\nhttp://127.0.0.1:8000 {\n\tbind 127.0.0.1\n\thandle /webhooks/* {\n\t\treverse_proxy 127.0.0.1:3000\n\t}\n\t\
     handle {\n\t\treverse_proxy 127.0.0.1:8080\n\t}\n}\n",
)];
const TRAEFIK: &[(&str, &str)] = &[
    (
        "traefik.yml",
        "global: { checkNewVersion: false, sendAnonymousUsage: false }\nlog: { level: ERROR }\nentryPoints:\n  web:\n    \
         address: \"127.0.0.1:8000\"\nproviders:\n  file: { filename: /etc/traefik/dynamic.yml }\n",
    ),
    (
        "dynamic.yml",
        "http:\n  routers:\n    hooks: { rule: \"PathPrefix(`/webhooks/`)\", service: hooks, priority: 2 }\n    \
         rest: { rule: \"PathPrefix(`/`)\", service: rest, priority: 1 }\n  services:\n    \
         hooks: { loadBalancer: { servers: [ { url: \"http://127.0.0.1:3000\" } ] } }\n    \
         rest: { loadBalancer: { servers: [ { url: \"http://127.0.0.1:8080\" } ] } }\n",
    ),
];
const ENVOY: &[(&str, &str)] = &[(
    "envoy.yaml",
    "static_resources:
  listeners:
  - name: web
    address: { socket_address: { address: 127.0.0.1, port_value: 8000 } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - match: { prefix: /webhooks/ }
                route: { cluster: hooks }
              - match: { prefix: / }
                route: { cluster: rest }
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: hooks
    load_assignment:
      cluster_name: hooks
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 3000 } } }
  - name: rest
    load_assignment:
      cluster_name: rest
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 8080 } } }
",
)];

/// A case of `tests/vectors`.
fn case(scheme: &str, name: &str) -> Value {
    let file: Value = serde_json::from_str(include_str!("../../vectors/webhook-schemes.json")).unwrap();
    let schemes = file["schemes"].as_array().unwrap();
    let cases = schemes.iter().find(|own| own["scheme"] == scheme).unwrap()["cases"].as_array().unwrap();
    cases.iter().find(|own| own["name"] == name).unwrap().clone()
}

/// Bytes that Twilio's library signed: as long as a listener takes, with every spelling of a query and of JSON that a proxy could
/// think it may improve.
fn large() -> (Value, Vec<u8>) {
    let url = "https://hooks.example.com/webhooks/chat?b=%2f%2F&a=+%20&c=%7Ex&d=";
    let text =
        format!("{{ \"text\" : \"caf\\u00e9 ✓\\/\", \"fill\":\"{}\",\r\n\t\"n\": 1.0 }}\r\n", "x".repeat(900_000));
    let secret = "twilio-auth-token-one";
    let signed =
        judge("webhooks.mjs", json!({"library": "twilio", "sign": {"secret": secret, "url": url, "body": text}}));
    let case = json!({"secrets": [secret], "url": url, "headers": signed["headers"], "query": query(&signed["url"])});
    (case, text.into_bytes())
}

/// What a provider sends.
fn all() -> Vec<(&'static str, Value, Vec<u8>)> {
    let bytes = |case: &Value| STANDARD.decode(case["body_base64"].as_str().unwrap()).unwrap();
    let cases = [
        ("stream", "valid_gzip_body"),
        ("stream", "valid_multibyte_utf8"),
        ("twilio-form", "valid_several_values_of_a_field"),
        ("zendesk", "valid_multibyte_utf8"),
    ];
    let of_vectors = cases.map(|(scheme, name)| {
        let mut case = case(scheme, name);
        case["query"] = Value::from(query(&case["url"]));
        let sent = bytes(&case);
        (scheme, case, sent)
    });
    let (case, text) = large();
    of_vectors.into_iter().chain([("twilio-json", case, text)]).collect()
}

/// In chunks.
fn chunked(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let lines = [&[("Transfer-Encoding", "chunked")], headers].concat();
    let mut bytes = request("POST", path, &lines, b"");
    for chunk in body.chunks(1000) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

async fn through(recipe: &Recipe, documents: &[(&str, &str)]) {
    let rest = App::start().await;
    for (scheme, case, sent) in all() {
        let now = case["now"].as_i64().map_or(NOW, sidemint::clock::Timestamp::from_seconds);
        let stage: Stage = of_scheme(scheme)[0].start(&case, now).await;
        let hooks = stage.service.webhooks.expect("a listener");
        let upstreams = Upstreams { sidemint: rest.address, login: rest.address, app: hooks };
        let own = documents.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        let proxy = Proxy::start_with(recipe, &upstreams, own).await;
        let path = format!("/webhooks/chat{}", case["query"].as_str().unwrap_or_default());
        let host = proxy.address.to_string();
        let headers = [&[("Host", host.as_str())], &headers(&case)[..]].concat();
        for bytes in [request("POST", &path, &headers, &sent), chunked(&path, &headers, &sent)] {
            let mut connection = Connection::open(proxy.address).await;
            connection.send(bytes).await;
            let answer = connection.answer().await.expect("an answer");
            assert_eq!(answer.status, 200, "{}: {scheme}: {}", recipe.name, proxy.log());
        }
        assert!(stage.delivered().await.call.body == unpacked(&sent), "{}: {scheme}", recipe.name);
        // The second one was the same event.
        assert!(stage.ended("duplicate").await > 0.5, "{}: {scheme}", recipe.name);
        assert_eq!(stage.application.received().len(), 1);
    }
}

macro_rules! each_proxy {
    ($($test:ident: $recipe:ident,)*) => {$(
        /// What proxies add influences nothing.
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            through(&proxies::$recipe, $recipe).await;
        }
    )*};
}

each_proxy! {
    webhooks_behind_nginx: NGINX,
    webhooks_behind_caddy: CADDY,
    webhooks_behind_traefik: TRAEFIK,
    webhooks_behind_envoy: ENVOY,
}
