//! What becomes of answers: statuses, headers, what repeats a credential, and what never ends.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::fixture::{Fixture, SECRET, code, proof};
use crate::client::request;
use crate::eventually::eventually;
use crate::fakes::http::Script;

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Script {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Script::Answer { status, headers, body: body.as_bytes().to_vec() }
}

/// Alerts ask how much these have grown: a counter that begins with its first event has not, for Prometheus.
#[tokio::test(flavor = "multi_thread")]
async fn what_alerts_ask_about_is_counted_from_zero() {
    let fixture = Fixture::start().await;
    let told = fixture.service.ops("/metrics").await;
    for line in [
        "sidemint_gateway_scrubbed_total{provider=\"own\"} 0",
        "sidemint_gateway_bytes_total{direction=\"in\",provider=\"own\"} 0",
        "sidemint_gateway_refusals_total{caller=\"shop\",code=\"provider_credentials\",provider=\"own\"} 0",
    ] {
        assert!(told.text().lines().any(|own| own == line), "{line}");
    }
}

/// G-12: an answer may repeat what the call carried, in its head, in its body, across its pieces.
#[tokio::test(flavor = "multi_thread")]
async fn what_repeats_the_credential_is_masked() {
    let fixture = Fixture::start().await;
    let encoded = STANDARD.encode(format!("user:{SECRET}"));
    let body = json!({ "raw": SECRET, "slashed": "x", "basic": encoded }).to_string().replace("/+", "\\/+");
    fixture.provider.next("/v1/rooms", answer(403, &[("X-Answer", SECRET)], &body));
    let told = fixture.ask("GET", "/rooms").await;
    assert_eq!((told.status, code(&told)), (403, "none"));
    let stars = "*".repeat(SECRET.len());
    assert_eq!(told.header("x-answer"), Some(stars.as_str()));
    assert!(!told.text().contains("CANARY") && told.text().contains("******"), "{}", told.text());
    assert_eq!(told.body.len(), body.len(), "each byte is one");
    let basic = told.text().split("\"basic\":\"").nth(1).expect("a member");
    assert!(basic.starts_with(&encoded[..4]) && !basic.contains(&encoded[12..30]), "{basic}");
    let (one, other) = SECRET.split_at(11);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let pieces = format!("{head}{}{}{}0\r\n\r\n", chunk("a "), chunk(one), chunk(&format!("{other} b")));
    fixture.provider.next("/v1/rooms", Script::Raw(pieces.into_bytes()));
    assert_eq!(fixture.ask("GET", "/rooms").await.text(), format!("a {stars} b"));
    assert!(fixture.service.log_lines(2).await.iter().all(|line| line["scrubbed"].as_u64() > Some(0)));
    fixture.service.metric_reaches("sidemint_gateway_scrubbed_total{provider=\"own\"}", 4.0).await;
}

/// G-11, G-12: an SDK would carry its key along, and an encoded answer could not be looked through.
#[tokio::test(flavor = "multi_thread")]
async fn redirects_encoded_answers_and_streams_do_not_pass() {
    let fixture = Fixture::start().await;
    let elsewhere = ("Location", "http://127.0.0.1:1/");
    for (status, headers, passes) in [
        (301, &[elsewhere][..], false),
        (302, &[elsewhere], false),
        (307, &[elsewhere], false),
        (304, &[("ETag", "\"a\"")], true),
        (200, &[("Content-Encoding", "gzip")], false),
        (200, &[("Content-Encoding", "identity")], true),
        (200, &[("Content-Type", "text/event-stream")], false),
    ] {
        fixture.provider.next("/v1/rooms", answer(status, headers, ""));
        let told = fixture.ask("GET", "/rooms").await;
        let expected = if passes { (status, "none") } else { (502, "provider_bad_answer") };
        assert_eq!((told.status, code(&told)), expected, "{status} {headers:?}");
        assert_eq!(told.header("location"), None);
    }
    fixture.provider.next("/v1/events", answer(200, &[("Content-Type", "text/event-stream")], "data: x\n\n"));
    let told = fixture.ask("GET", "/events").await;
    assert_eq!((told.status, told.text()), (200, "data: x\n\n"));
}

/// G-12: a 401 is about our credential. Secrets are read again, and the call is made once more where they have changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_401_never_passes() {
    let fixture = Fixture::start().await;
    let refused = || answer(401, &[("WWW-Authenticate", "Bearer")], &format!("bad key {SECRET}"));
    fixture.provider.next("/v1/rooms", refused());
    let told = fixture.json("POST", "/rooms", "{\"room\":\"a\"}").await;
    assert_eq!((told.status, code(&told)), (503, "provider_credentials"));
    assert!(!told.text().contains("CANARY") && told.header("www-authenticate").is_none());
    assert_eq!(fixture.provider.requests().len(), 1);
    fixture.service.advance(5);
    std::fs::write(fixture.folder.path().join("secret"), "CANARYsecond-0123456789abcdefghij").expect("written");
    fixture.provider.next("/v1/rooms", refused());
    let told = fixture.json("POST", "/rooms", "{\"room\":\"a\"}").await;
    assert_eq!((told.status, code(&told)), (200, "none"));
    assert_eq!(fixture.provider.last().header("authorization"), Some("Bearer CANARYsecond-0123456789abcdefghij"));
}

/// G-25: nothing of an answer's head acts on a caller, a browser or a cache.
#[tokio::test(flavor = "multi_thread")]
async fn headers_of_answers_are_a_list() {
    let fixture = Fixture::start().await;
    let sent = [
        ("Set-Cookie", "a=b"),
        ("Access-Control-Allow-Origin", "*"),
        ("X-Other", "x"),
        ("X-Chat-Gateway-Error", "draining"),
        ("Vary", "*"),
        ("X-Answer", "y"),
        ("ETag", "\"1\""),
        ("X-RateLimit-Remaining", "3"),
        ("Content-Type", "a/b"),
        ("Link", "<x>; rel=next"),
    ];
    fixture.provider.next("/v1/rooms", answer(200, &sent, "z"));
    let told = fixture.ask("GET", "/rooms").await;
    let mut names: Vec<&str> = told.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let passed = ["cache-control", "content-length", "content-type", "date", "etag", "link", "x-answer"];
    assert_eq!(names, [&passed[..], &["x-ratelimit-remaining", "x-request-id"]].concat());
    assert_eq!(told.header("cache-control"), Some("no-store"));
    fixture.provider.next("/v1/rooms", answer(200, &[("Cache-Control", "max-age=5")], "z"));
    assert_eq!(fixture.ask("GET", "/rooms").await.header("cache-control"), Some("max-age=5"));
}

/// G-22: an answer that never ends is cut, one that falls quiet is given up, and one that does not begin is a 504.
#[tokio::test(flavor = "multi_thread")]
async fn answers_end() {
    let fixture = Fixture::start().await;
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk = [b"40000\r\n".as_slice(), &vec![b'x'; 0x40000], b"\r\n"].concat();
    fixture.provider.next("/v1/rooms", Script::Endless(head.clone(), chunk));
    let mut connection = fixture.connect().await;
    connection.send(request("GET", "/rooms", &[("Authorization", &proof())], b"")).await;
    connection.wait_for_the_end().await;
    let lines = fixture.service.log_lines(1).await;
    assert_eq!(lines[0]["outcome"], "cut");
    fixture.provider.next("/v1/rooms", Script::Stall([head, b"1\r\nx\r\n".to_vec()].concat()));
    let mut connection = fixture.connect().await;
    connection.send(request("GET", "/rooms", &[("Authorization", &proof())], b"")).await;
    eventually("the answer is waited for", async || fixture.provider.requests().len() == 2).await;
    fixture.while_time_passes(Duration::from_secs(1), connection.wait_for_the_end()).await;
    fixture.provider.next("/v1/rooms", Script::Silence);
    let told = fixture.while_time_passes(Duration::from_secs(1), fixture.ask("GET", "/rooms")).await;
    assert_eq!((told.status, code(&told)), (504, "provider_timeout"));
    let outcomes: Vec<_> = fixture.service.log_lines(3).await.into_iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(outcomes, ["cut", "cut", "failed"]);
}

/// A byte now and then does not keep an answer going, nor the place that it holds.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_drips_ends() {
    let fixture = Fixture::start().await;
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    fixture.provider.next("/v1/rooms", Script::Endless(head, b"1\r\nx\r\n".to_vec()));
    let mut connection = fixture.connect().await;
    connection.send(request("GET", "/rooms", &[("Authorization", &proof())], b"")).await;
    eventually("the answer is under way", async || fixture.provider.requests().len() == 1).await;
    fixture.while_time_passes(Duration::from_secs(1), connection.wait_for_the_end()).await;
    let line = fixture.service.log_lines(1).await.remove(0);
    assert_eq!(line["outcome"], "cut");
    assert!(line["bytes_out"].as_u64().is_some_and(|bytes| bytes < 16 * 1024 * 1024), "{line}");
}
