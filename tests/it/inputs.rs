//! What a request adds: refused unless it was declared, wherever it stands; and the token endpoint of LiveKit's clients,
//! which send much that is not declared.

use std::sync::Arc;

use serde_json::{Value, json};
use sidemint::config::Environment;
use sidemint::provider::PRESETS;

use crate::client::{Answer, Connection, request};
use crate::fakes::http::Script;
use crate::fakes::sendsar::Sendsar;
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw_with, sendsar, sendsar_key};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const LIVEKIT: &str = "/livekit/token";

/// A route for the client library.
const ROUTE: &str = "
[[routes]]
path = \"/livekit/token\"
answer = \"client\"
provider = \"chat\"
";

pub fn preset(name: &str) -> &'static str {
    PRESETS.iter().find(|(own, _)| *own == name).expect("a preset").1
}

/// A definition, as if LiveKit's client library were the one that asks for its tokens.
pub fn with_client(definition: &str) -> String {
    let (_, behind) = preset("livekit").split_once("[client]").expect("a client");
    let client = behind.split("\n[webhook]").next().expect("a part");
    format!("{definition}\n[client]{client}")
}

/// The service on preset `local`, which declares no inputs.
async fn service(overrides: &[(&str, &str)]) -> Service {
    let text = config(&format!("{LOCAL}{ROUTE}"), overrides);
    let definitions = [("local", &*with_client(preset("local")))];
    Service::start_with(&text, &Environment::default(), clock(), &definitions).await
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
    let names = ["cache-control", "vary", "x-content-type-options", "referrer-policy", "content-type"];
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
    let definitions = [("sendsar", &*with_client(preset("sendsar")))];
    let service = Service::start_with(&text, &sendsar_key(), clock, &definitions).await;
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

/// T-21, T-24: what says nothing is read as strictly as the rest, because others may read it.
#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_member_is_read_as_strictly_as_others() {
    let definition = with_client(preset("local")).replace("[client]", "[client]\nignored = [\"body:more\"]");
    let text = config(&format!("{LOCAL}{ROUTE}"), &[]);
    let service = Service::start_with(&text, &Environment::default(), clock(), &[("local", &definition)]).await;
    let mut connection = service.connect().await;
    let nested = |levels: usize| format!("{{\"more\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let twice = "{\"more\":{\"a\":1,\"a\":2}}".to_owned();
    for (body, status) in [(nested(1), 201), (nested(15), 201), (nested(16), 400), (twice, 400)] {
        let answer = post(&mut connection, LIVEKIT, &[ALICE, JSON], &body).await;
        assert_eq!(answer.status, status, "{body}");
    }
    let lines = service.log_lines(4).await;
    let reasons: Vec<&str> = lines.iter().filter_map(|line| line["reason"].as_str()).collect();
    assert_eq!(reasons, ["input_malformed", "input_twice"]);
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
async fn a_client_route_may_have_a_host_of_its_own() {
    let route = "[[routes]]\npath = \"/rtc/token\"\nhost = \"rtc.example\"\nanswer = \"client\"\nprovider = \"chat\"\n";
    let text = config(&format!("{LOCAL}{route}"), &[]);
    let own = with_client(preset("local"));
    let definitions = [("local", own.as_str())];
    let service = Service::start_with(&text, &Environment::default(), clock(), &definitions).await;
    assert_eq!(service.ask("POST", "/rtc/token", &[ALICE, ("Host", "rtc.example")]).await.status, 201);
    assert_eq!(service.ask("POST", "/rtc/token", &[ALICE]).await.status, 404);
    assert_eq!(service.ask("POST", LIVEKIT, &[ALICE]).await.status, 404);
    let shown = draw_with(&text, &Environment::default(), clock(), &definitions).expect("fine").to_string();
    assert!(shown.contains("/rtc/token on rtc.example: client, provider chat, lifetime 1h"), "{shown}");
}

/// A definition that takes two inputs. No preset takes one from a header.
pub fn with_inputs() -> String {
    let local = preset("local");
    let inputs = "
[inputs.room]
about = \"A room.\"
pattern = \"[a-z0-9_-]{1,20}\"
from = [\"query\", \"body\", \"body:room_name\", \"header:X-Room\"]
optional = true

[inputs.socket_id]
about = \"A socket.\"
pattern = '[0-9]+\\.[0-9]+'
optional = true
";
    let claims = "[token.jwt.claims]\nroom = \"{{ input.room? }}\"\nsocket = \"{{ input.socket_id? }}\"";
    let text = local.replace("name = \"local\"", "name = \"with-inputs\"").replace("[token.jwt.claims]", claims);
    with_client(&format!("{text}{inputs}"))
}

const GUARD: &str =
    "[[routes]]\npath = \"/guard\"\nanswer = \"subrequest\"\nmode = \"required\"\nprovider = \"chat\"\n";

/// The service with inputs: preset `local`, and two inputs that become claims.
async fn with_guard() -> Service {
    let text = format!("{LOCAL}{ROUTE}{GUARD}").replace("\"local\"", "\"with-inputs\"");
    let definition = with_inputs();
    Service::start_with(&config(&text, &[]), &Environment::default(), clock(), &[("with-inputs", &definition)]).await
}

async fn minted(service: &Service, route: &str) -> f64 {
    service.metric(&format!("sidemint_sessions_total{{how=\"minted\",route=\"{route}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_inputs_are_taken_from_where_they_may_stand() {
    let service = with_guard().await;
    let mut connection = service.connect().await;
    let fine = [
        ("GET", "/api/chat/session?room=lobby", &[ALICE][..], ""),
        ("GET", "/api/chat/session?room=l%6fbby&socket_id=1.2", &[ALICE], ""),
        ("GET", "/api/chat/session?room=lobby", &[ALICE, JSON], "{\"room\":\"other\"}"),
        ("GET", SESSION, &[ALICE, ("X-Room", "lobby")], ""),
        ("POST", "/api/chat/session?room=lobby", &[ALICE], ""),
        ("POST", "/api/chat/session?room=lobby", &[ALICE, JSON], "{\"socket_id\":\"1.2\"}"),
        ("POST", SESSION, &[ALICE, JSON], "{\"room\":\"lobby\"}"),
        ("POST", SESSION, &[ALICE], "{\"room\":\"lobby\"}"),
        ("POST", SESSION, &[ALICE, FORM], "socket_id=1.2&room=lobby"),
        ("POST", SESSION, &[ALICE, FORM], ""),
    ];
    for (method, path, headers, body) in fine {
        connection.send(request(method, path, headers, body.as_bytes())).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!(answer.status, 200, "{method} {path} {body}: {answer:?}");
    }
    assert_eq!(connection.ask("HEAD", "/api/chat/session?room=lobby", &[ALICE]).await.status, 200);
    let livekit = post(&mut connection, LIVEKIT, &[ALICE, JSON], "{\"room_name\":\"lobby\"}").await;
    assert_eq!(livekit.status, 201);
    for (method, path, headers, body) in [
        ("GET", "/api/chat/session?room=LOBBY", &[ALICE][..], ""),
        ("GET", "/api/chat/session?room=", &[ALICE], ""),
        ("GET", "/api/chat/session?room=a&room=a", &[ALICE], ""),
        ("GET", "/api/chat/session?room_name=a", &[ALICE], ""),
        ("GET", "/api/chat/session?room=a&x=1", &[ALICE], ""),
        ("GET", "/api/chat/session?room=a%0a", &[ALICE], ""),
        ("GET", "/api/chat/session?room=%zz", &[ALICE], ""),
        ("GET", "/api/chat/session?room=a", &[ALICE, ("X-Room", "a")], ""),
        ("GET", SESSION, &[ALICE, ("X-Room", "A")], ""),
        ("GET", SESSION, &[ALICE, ("X-Room", "a"), ("X-Room", "a")], ""),
        ("DELETE", "/api/chat/session?room=a", &[ALICE], ""),
        ("POST", "/api/chat/session?room=a", &[ALICE, JSON], "{\"room\":\"a\"}"),
        ("POST", SESSION, &[ALICE, JSON], "{\"room\":\"a\",\"room\":\"a\"}"),
        ("POST", SESSION, &[ALICE, JSON], "{\"room\":null}"),
        ("POST", SESSION, &[ALICE, JSON], "{\"room\":17}"),
        ("POST", SESSION, &[ALICE, JSON], "{\"room\":\"a\",\"participant_identity\":\"bob\"}"),
        ("POST", SESSION, &[ALICE, FORM], "{\"room\":\"a\"}"),
        ("POST", SESSION, &[ALICE, FORM], "room=%ff"),
        ("POST", SESSION, &[ALICE, JSON], "room=a"),
        ("POST", SESSION, &[ALICE, ("Content-Type", "text/plain")], "{\"room\":\"a\"}"),
        ("POST", LIVEKIT, &[ALICE, JSON], "{\"room_name\":\"a\",\"participant_name\":\"Bob\"}"),
    ] {
        connection.send(request(method, path, headers, body.as_bytes())).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{method} {path} {body}");
    }
    assert!(!service.log().contains("lobby"), "input is never logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_input_has_a_session_of_its_own_and_a_sign_out_ends_all() {
    let service = with_guard().await;
    for _ in 0..2 {
        for query in ["", "?room=a", "?room=b", "?room=a&socket_id=1.1", "?socket_id=1.1"] {
            let path = format!("{SESSION}{query}");
            assert_eq!(service.ask("GET", &path, &[ALICE]).await.status, 200, "{query}");
            assert_eq!(service.ask("GET", &path, &[("X-Forwarded-User", "bob")]).await.status, 200, "{query}");
        }
    }
    assert!((minted(&service, SESSION).await - 10.0).abs() < 0.1);
    assert_eq!(service.ask("DELETE", SESSION, &[ALICE]).await.status, 204);
    for query in ["", "?room=a", "?room=b"] {
        service.ask("GET", &format!("{SESSION}{query}"), &[ALICE]).await;
        service.ask("GET", &format!("{SESSION}{query}"), &[("X-Forwarded-User", "bob")]).await;
    }
    assert!((minted(&service, SESSION).await - 13.0).abs() < 0.1, "alice is minted anew, bob is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subrequest_takes_input_from_headers_alone() {
    let service = with_guard().await;
    for (path, headers, status, said) in [
        ("/auth?room=LOBBY&x=1", &[ALICE][..], 200, Some("ok")),
        ("/auth/room?room=a&room=a", &[ALICE, ("X-Room", "lobby")], 200, Some("ok")),
        ("/guard?x=%zz", &[ALICE, ("X-Room", "lobby")], 200, Some("ok")),
        ("/auth", &[ALICE, ("X-Room", "LOBBY")], 200, Some("denied")),
        ("/auth", &[ALICE, ("X-Room", "a"), ("X-Room", "a")], 200, Some("denied")),
        ("/guard", &[ALICE, ("X-Room", "LOBBY")], 400, None),
        ("/guard", &[("X-Room", "LOBBY")], 401, None),
    ] {
        let answer = service.ask("GET", path, headers).await;
        assert_eq!((answer.status, answer.header("x-chat-status")), (status, said), "{path}");
        assert_eq!(answer.header("content-length"), Some("0"));
    }
    assert!((minted(&service, "/auth").await - 2.0).abs() < 0.1, "none, and lobby");
}

#[tokio::test(flavor = "multi_thread")]
async fn vary_names_the_headers_that_input_is_read_from() {
    let service = with_guard().await;
    for (method, path, headers) in [
        ("GET", SESSION, &[ALICE][..]),
        ("GET", SESSION, &[]),
        ("POST", LIVEKIT, &[ALICE]),
        ("GET", "/auth", &[ALICE]),
        ("GET", "/auth", &[]),
        ("GET", "/guard", &[]),
    ] {
        let answer = service.ask(method, path, headers).await;
        let vary = answer.header("vary").expect("Vary").to_owned();
        assert!(vary.split(", ").any(|name| name == "x-room"), "{method} {path}: {vary}");
    }
}
