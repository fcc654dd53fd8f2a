//! Calls from end to end: what arrives at the provider, and what comes back.

use serde_json::json;

use super::fixture::{Fixture, OTHER, SECRET, Setup, code, proof};
use crate::client::{Connection, request};
use crate::eventually::eventually;
use crate::fakes::http::Script;

/// What arrives is what matched, with the provider's credential in place of the caller's.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_through_and_back() {
    let fixture = Fixture::start().await;
    fixture.provider.next("/v1/rooms/lobby", Script::json(200, &json!({ "room": "lobby" })));
    let answer = fixture.ask("GET", "/rooms/lobby").await;
    assert_eq!((answer.status, answer.text()), (200, "{\"room\":\"lobby\"}"), "{answer:?}");
    assert_eq!((answer.header("content-type"), code(&answer)), (Some("application/json"), "none"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let arrived = fixture.provider.last();
    assert_eq!((arrived.method.as_str(), arrived.target.as_str()), ("GET", "/v1/rooms/lobby"));
    assert_eq!(arrived.header("authorization"), Some(&*format!("Bearer {SECRET}")));
    let line = &fixture.service.log_lines(1).await[0];
    assert_eq!(line["request_id"].as_str(), answer.header("x-request-id"));
    for (name, value) in [
        ("caller", json!("shop")),
        ("proof", json!("key")),
        ("provider", json!("own")),
        ("operation", json!("room.get")),
        ("status", json!(200)),
        ("outcome", json!("ok")),
        ("bytes_out", json!(16)),
        ("scrubbed", json!(0)),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
}

/// The same below the path of the mount, where all are served.
#[tokio::test(flavor = "multi_thread")]
async fn all_mounts_are_served_below_their_paths() {
    let fixture = Fixture::start().await;
    let proof = proof();
    let ask = async |target: &str| {
        Connection::open(fixture.gateway()).await.ask("GET", target, &[("Authorization", &proof)]).await
    };
    assert_eq!(ask("/gateway/own/rooms?limit=3").await.status, 200);
    assert_eq!(fixture.provider.last().target, "/v1/rooms?limit=3");
    for target in ["/gateway/none/rooms", "/rooms", "/gateway/own", "/"] {
        let answer = ask(target).await;
        assert!(["caller_unauthorized", "operation_unknown", "target_invalid"].contains(&code(&answer)), "{target}");
    }
    assert_eq!(fixture.provider.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_read_or_pass_as_they_come() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.json("POST", "/rooms", "{\"room\": \"a\", \"x\": [1, 2]}").await.status, 200);
    assert_eq!(fixture.provider.last().json(), json!({ "room": "a", "x": [1, 2] }));
    let body = vec![7; 900_000];
    let answer = fixture.send("PUT", "/files/a.bin", &[("Content-Type", "application/octet-stream")], &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(fixture.provider.last().body == body);
    let mut connection = fixture.connect().await;
    let head =
        format!("PUT /files/b HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Type: a/b\r\n", proof());
    connection.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: x\r\n\r\n")).await;
    assert_eq!(connection.answer().await.expect("an answer").status, 200);
    let arrived = fixture.provider.last();
    assert_eq!((arrived.body.as_slice(), arrived.header("x-trailer")), (&b"abc"[..], None), "G-07: no trailers");
    connection.send(request("GET", "/rooms", &[("Authorization", &proof())], b"")).await;
    assert_eq!(connection.answer().await.expect("the connection goes on").status, 200);
    let lines = fixture.service.log_lines(4).await;
    let counts: Vec<_> = lines.iter().map(|line| line["bytes_in"].as_u64().expect("a count")).collect();
    assert_eq!(counts[1..], [900_000, 3, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_ends_the_connection() {
    let fixture = Fixture::start().await;
    let octets = ("Content-Type", "application/octet-stream");
    let answer = fixture.send("PUT", "/files/a", &[octets], &vec![7; 1_048_577]).await;
    assert_eq!((answer.status, code(&answer)), (413, "body_too_large"));
    assert_eq!(answer.header("connection"), Some("close"));
    let answer = fixture.json("POST", "/rooms", &format!("{{\"room\":\"{}\"}}", "x".repeat(262_144))).await;
    assert_eq!((answer.status, code(&answer)), (413, "body_too_large"));
    assert_eq!(fixture.provider.requests().len(), 0);
    let mut connection = fixture.connect().await;
    let head =
        format!("PUT /files/b HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Type: a/b\r\n", proof());
    let chunk = format!("{:x}\r\n{}\r\n", 600_000, "x".repeat(600_000));
    connection.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n")).await;
    let answer = connection.answer().await.expect("an answer");
    assert_eq!((answer.status, code(&answer)), (413, "body_too_large"));
    let broken = async || fixture.provider.take_complaints() == ["a body that does not end"];
    eventually("the provider sees that it breaks off", broken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_asked_where_get_is() {
    let fixture = Fixture::start().await;
    fixture.provider.next("/v1/rooms", Script::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4321\r\n\r\n".to_vec()));
    let mut connection = fixture.connect().await;
    let answer = connection.ask("HEAD", "/rooms", &[("Authorization", &proof())]).await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("4321")));
    assert_eq!(fixture.provider.last().method, "HEAD");
    assert_eq!(fixture.ask("HEAD", "/files/a").await.status, 405);
}

/// Each refusal says which rule, and nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_which_rule() {
    let fixture = Fixture::start().await;
    let other = format!("Bearer {OTHER}");
    let as_other = ("Authorization", other.as_str());
    for (method, target, headers, expected) in [
        ("GET", "/rooms", &[][..], (401, "caller_unauthorized")),
        ("GET", "/rooms", &[("Authorization", "Bearer x")], (401, "caller_unauthorized")),
        ("GET", "/rooms/a", &[as_other], (403, "operation_denied")),
        ("GET", "/nothing", &[as_other], (403, "operation_unknown")),
        ("PATCH", "/rooms", &[as_other], (405, "method_denied")),
        ("GET", "/rooms?x=1", &[as_other], (403, "query_denied")),
        ("GET", "/rooms/..", &[as_other], (400, "target_invalid")),
        ("GET", "/rooms", &[as_other, ("Origin", "https://a.test")], (403, "browser_refused")),
        ("GET", "/rooms", &[as_other, ("Host", "evil.test")], (421, "host_refused")),
        ("GET", "/rooms", &[as_other, ("Upgrade", "websocket")], (501, "upgrade_refused")),
    ] {
        let answer = fixture.raw(method, target, headers, b"").await;
        assert_eq!((answer.status, code(&answer)), expected, "{method} {target} {headers:?} {answer:?}");
        let id = answer.header("x-request-id").expect("an id");
        assert!(answer.text().contains(expected.1) && answer.text().contains(id), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert_eq!(fixture.provider.requests().len(), 0);
}

/// RFC 9110, 15.5.6.
#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_none_of_a_path_is_told_which_are() {
    let fixture = Fixture::start().await;
    for (method, target, allow) in [
        ("PATCH", "/rooms", "GET, HEAD, POST"),
        ("POST", "/rooms/lobby", "GET, HEAD, PUT, DELETE"),
        ("HEAD", "/files/a", "PUT"),
    ] {
        let answer = fixture.ask(method, target).await;
        let told: std::collections::BTreeSet<&str> = answer.header("allow").unwrap_or_default().split(", ").collect();
        assert_eq!((answer.status, told), (405, allow.split(", ").collect()), "{method} {target}");
    }
    assert_eq!(fixture.ask("GET", "/nothing").await.header("allow"), None);
}

/// What is refused before it is a request says that it is ours as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_head_is_ours() {
    let fixture = Fixture::start().await;
    for (head, status, expected) in [
        ("GET /rooms HTTP/1.1\r\n\r\n", 400, "request_malformed"),
        (
            "GET /rooms HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "request_malformed",
        ),
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 400, "request_malformed"),
        ("GET http://a.test/rooms HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, "target_invalid"),
    ] {
        let mut connection = fixture.connect().await;
        connection.send(head).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!((answer.status, code(&answer)), (status, expected), "{head}");
    }
    assert_eq!(fixture.provider.requests().len(), 0);
}

/// The body of a refusal is what the provider's SDK shows.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_in_the_form_of_the_provider() {
    let mut setup = Setup::default();
    let error = "error = { err = \"{{ error.code }}\", text = \"{{ error.text }}\", n = \"{{ error.status }}\" }";
    setup.definition.1 = setup.definition.1.replace("idempotency =", &format!("{error}\nidempotency ="));
    let fixture = setup.start().await;
    let answer = fixture.ask("DELETE", "/rooms/a").await;
    assert_eq!(code(&answer), "operation_denied");
    let expected = json!({ "err": "operation_denied", "text": "Operation not granted", "n": 403 });
    assert_eq!((answer.json(), answer.header("content-type")), (expected, Some("application/json")));
}

/// A body that is waited for is asked for once the call is matched, and never where it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_asked_for_once_the_call_is_matched() {
    let fixture = Fixture::start().await;
    let head = |target: &str| {
        let proof = proof();
        format!(
            "PUT {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {proof}\r\nContent-Type: a/b\r\n\
             Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
    };
    let mut connection = fixture.connect().await;
    connection.send(head("/files/a")).await;
    assert_eq!(connection.answer().await.expect("a word").status, 100);
    connection.send("body").await;
    assert_eq!(connection.answer().await.expect("an answer").status, 200);
    assert_eq!(fixture.provider.last().body, b"body");
    let mut connection = fixture.connect().await;
    connection.send(head("/nothing")).await;
    let answer = connection.answer().await.expect("an answer");
    assert_eq!((code(&answer), answer.header("connection")), ("operation_unknown", Some("close")));
}

/// A provider that the gateway alone calls is seen from outside as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_of_a_provider_without_sessions_is_seen() {
    let fixture = Fixture::start().await;
    let shown = fixture.service.ops("/metrics").await;
    for line in ["sidemint_breaker_state{provider=\"own\"} 0", "sidemint_calls_running{provider=\"own\"} 0"] {
        assert!(shown.text().lines().any(|own| own == line), "{line}");
    }
}
