//! What a request adds: refused unless it was declared, wherever it stands; and LiveKit's standard token endpoint, whose
//! clients send much that nobody declared.

use std::sync::Arc;

use serde_json::{Value, json};
use sidemint::config::Environment;

use crate::client::{Answer, Connection, request};
use crate::fakes::http::Script;
use crate::fakes::sendsar::Sendsar;
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw, sendsar, sendsar_key};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const LIVEKIT: &str = "/livekit/token";

/// A `livekit` route on its default path.
const ROUTE: &str = "
[[routes]]
answer = \"livekit\"
provider = \"chat\"
";

/// The service on preset `local`, which declares no inputs.
async fn service(overrides: &[(&str, &str)]) -> Service {
    Service::start(&config(&format!("{LOCAL}{ROUTE}"), overrides), &Environment::default(), clock()).await
}

async fn post(connection: &mut Connection, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    connection.send(request("POST", path, headers, body.as_bytes())).await;
    connection.answer().await.expect("an answer")
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).expect("a JWT");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Names of the headers that browsers and caches act on, and their values.
fn protection(answer: &Answer) -> Vec<(String, String)> {
    let names = ["cache-control", "pragma", "vary", "x-content-type-options", "referrer-policy", "content-type"];
    let own = |(name, _): &&(String, String)| names.contains(&name.as_str());
    let mut all: Vec<_> = answer.headers.iter().filter(own).cloned().collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit_clients_get_201_with_address_and_token() {
    let service = service(&[]).await;
    let mut connection = service.connect().await;
    for (headers, body) in [(&[ALICE][..], ""), (&[ALICE, JSON], "{}"), (&[ALICE], " { } ")] {
        let answer = post(&mut connection, LIVEKIT, headers, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let session = answer.json();
        let members: Vec<&String> = session.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["server_url", "participant_token"]);
        assert_eq!(session["server_url"], "https://chat.example/v1");
        assert_eq!(claims(session["participant_token"].as_str().expect("text"))["sub"], "alice");
        let plain = connection.ask("GET", SESSION, &[ALICE]).await;
        assert_eq!(protection(&answer), protection(&plain), "the same headers as on a session route");
    }
    assert!(
        (service.metric("sidemint_requests_total{outcome=\"ok\",route=\"/livekit/token\"}").await - 3.0).abs() < 0.1
    );
    let lines = service.log_lines(6).await;
    assert_eq!((&lines[0]["status"], &lines[0]["route"]), (&json!(201), &json!(LIVEKIT)));
}

/// Identity comes from the upstream and from nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn what_livekit_clients_may_ask_for_is_refused_unless_it_was_declared() {
    let service = service(&[]).await;
    let mut connection = service.connect().await;
    for body in [
        json!({ "participant_identity": "bob" }),
        json!({ "participantIdentity": "bob" }),
        json!({ "participant_name": "Bob" }),
        json!({ "participant_metadata": "{\"role\":\"admin\"}" }),
        json!({ "participant_attributes": { "role": "admin" } }),
        json!({ "room_name": "lobby" }),
        json!({ "room_config": { "agents": [{ "agent_name": "a" }] } }),
        json!({ "room_config": null }),
        json!([]),
        json!(null),
    ] {
        let answer = post(&mut connection, LIVEKIT, &[ALICE, JSON], &body.to_string()).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{body}");
    }
    for (path, body) in [("/livekit/token?participant_identity=bob", ""), ("/livekit/token?room=a", "{}")] {
        let answer = post(&mut connection, path, &[ALICE, JSON], body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit_clients_post() {
    let service = service(&[]).await;
    let mut connection = service.connect().await;
    for method in ["GET", "DELETE", "PUT", "PATCH", "PROPFIND"] {
        let answer = connection.ask(method, LIVEKIT, &[ALICE]).await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "{method}");
        assert_eq!(answer.header("allow"), Some("POST, OPTIONS"), "{method}");
    }
    let head = connection.ask("HEAD", LIVEKIT, &[ALICE]).await;
    assert_eq!((head.status, head.header("allow")), (405, Some("POST, OPTIONS")));
    let options = connection.ask("OPTIONS", LIVEKIT, &[]).await;
    assert_eq!((options.status, options.header("allow")), (204, Some("POST, OPTIONS")));
    for path in ["/livekit/token/", "/livekit", "/livekit/token/x"] {
        assert_eq!(post(&mut connection, path, &[ALICE], "").await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit_routes_are_protected_as_session_routes_are() {
    let (shop, evil) = ("https://shop.example.com", "https://evil.example");
    let service = service(&[
        ("browser.allow_origins", "[\"https://shop.example.com\"]"),
        ("browser.allow_hosts", "[\"sidemint.test\"]"),
        ("browser.require_header", "\"X-Chat-Session\""),
    ])
    .await;
    let own = ("X-Chat-Session", "1");
    for (headers, status, code) in [
        (&[own][..], 401, "unauthorized"),
        (&[own, ALICE, ALICE], 401, "unauthorized"),
        (&[ALICE], 403, "header_missing"),
        (&[own, ALICE, ("Sec-Fetch-Site", "cross-site")], 403, "origin_refused"),
        (&[own, ALICE, ("Origin", evil)], 403, "origin_refused"),
        (&[own, ALICE, ("Host", "evil.example")], 421, "host_refused"),
    ] {
        let answer = service.ask("POST", LIVEKIT, headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{headers:?}");
    }
    let cross = [own, ALICE, ("Origin", shop), ("Sec-Fetch-Site", "cross-site")];
    let answer = service.ask("POST", LIVEKIT, &cross).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (201, Some(shop)));
    let preflight = [("Origin", shop), ("Access-Control-Request-Method", "POST")];
    let answer = service.ask("OPTIONS", LIVEKIT, &preflight).await;
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, Some("POST, OPTIONS")));
    let foreign = self::service(&[("identity.peers.networks", "[\"192.0.2.0/24\"]")]).await;
    assert_eq!(foreign.ask("POST", LIVEKIT, &[ALICE]).await.code(), "peer_untrusted");
}

/// The cache, the flight and the failures are those of every route.
#[tokio::test(flavor = "multi_thread")]
async fn livekit_sessions_are_kept_and_fail_like_others() {
    let clock = clock();
    let fake = Sendsar::start(Arc::clone(&clock)).await;
    let text = config(&format!("{}{ROUTE}", sendsar(&fake, "retries = 0")), &[]);
    let service = Service::start(&text, &sendsar_key(), clock).await;
    let first = service.ask("POST", LIVEKIT, &[ALICE]).await;
    assert_eq!((first.status, fake.mints()), (201, 1));
    assert_eq!(service.ask("POST", LIVEKIT, &[ALICE]).await.json(), first.json(), "from the cache");
    assert_eq!(fake.mints(), 1);
    // A sign-out on the session route is one for all routes.
    assert_eq!(service.ask("DELETE", SESSION, &[ALICE]).await.status, 204);
    assert_eq!(service.ask("POST", LIVEKIT, &[ALICE]).await.status, 201);
    assert_eq!(fake.mints(), 2);
    fake.breaks(Some(Script::Reset));
    let failed = service.ask("POST", LIVEKIT, &[("X-Forwarded-User", "bob")]).await;
    assert_eq!((failed.status, failed.code().as_str()), (503, "provider_unavailable"));
    assert!(failed.header("retry-after").is_some());
}

/// Without inputs nothing may be added, in whatever form it comes.
#[tokio::test(flavor = "multi_thread")]
async fn without_inputs_nothing_may_be_added() {
    let service = service(&[]).await;
    let mut connection = service.connect().await;
    for path in [SESSION, LIVEKIT] {
        for (kind, body) in [
            (FORM, "socket_id=1.2"),
            (FORM, "socket_id=1.2&channel_name=private-a"),
            (FORM, "a"),
            (JSON, "{\"room\":\"lobby\"}"),
            (JSON, "{\"room\":\"lobby\",\"room\":\"lobby\"}"),
            (("Content-Type", "text/plain"), "room=lobby"),
            (("Content-Type", "multipart/form-data; boundary=x"), "--x--"),
        ] {
            let answer = post(&mut connection, path, &[ALICE, kind], body).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{path} {body}");
        }
        // As before inputs could be declared: the type of a body that says nothing does not matter.
        assert!(post(&mut connection, path, &[ALICE, FORM], "{}").await.status < 300, "{path}");
    }
    let query = connection.ask("GET", "/auth?room=lobby", &[ALICE]).await;
    assert_eq!(query.status, 200, "the query of a subrequest is the user's own");
    let lines = service.log_lines(17).await;
    let reasons: Vec<&str> = lines.iter().filter_map(|line| line["reason"].as_str()).collect();
    assert!(reasons.contains(&"input_undeclared") && reasons.contains(&"input_malformed"), "{reasons:?}");
    assert!(!service.log().contains("lobby") && !service.log().contains("socket_id"), "input is never logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_livekit_route_may_have_a_path_and_a_host_of_its_own() {
    let route =
        "[[routes]]\npath = \"/rtc/token\"\nhost = \"rtc.example\"\nanswer = \"livekit\"\nprovider = \"chat\"\n";
    let text = config(&format!("{LOCAL}{route}"), &[]);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    assert_eq!(service.ask("POST", "/rtc/token", &[ALICE, ("Host", "rtc.example")]).await.status, 201);
    assert_eq!(service.ask("POST", "/rtc/token", &[ALICE]).await.status, 404);
    assert_eq!(service.ask("POST", LIVEKIT, &[ALICE]).await.status, 404);
    let shown = draw(&text, &Environment::default(), clock()).expect("fine").to_string();
    assert!(shown.contains("/rtc/token on rtc.example: livekit, provider chat, lifetime 1h"), "{shown}");
}
