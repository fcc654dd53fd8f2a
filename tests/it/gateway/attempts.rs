//! Attempts and limits: what is repeated, what finds no place, and how calls end when the service does.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sidemint::app::Ended;
use tokio::sync::Semaphore;

use super::fixture::{Fixture, OTHER, Setup, code, proof};
use crate::client::request;
use crate::eventually::eventually;
use crate::fakes::http::Script;

const SHORT: Duration = Duration::from_millis(20);

async fn ask(fixture: &Fixture, method: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let headers = [&[("Content-Type", "application/json")], headers].concat();
    let body: &[u8] = if method == "GET" { b"" } else { b"{\"room\":\"a\"}" };
    let path = if method == "PUT" { "/rooms/a" } else { "/rooms" };
    let told = fixture.while_time_passes(SHORT, fixture.send(method, path, &headers, body)).await;
    (told.status, code(&told).to_owned())
}

/// G-24: once, where that does nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_repeated_once_where_that_does_nothing_twice() {
    let unavailable = || Script::json(503, &json!({}));
    let key = ("X-Request-Key", "k1");
    for (method, headers, repeats) in
        [("GET", &[][..], true), ("PUT", &[], true), ("POST", &[], false), ("POST", &[key], true)]
    {
        let fixture = Fixture::start().await;
        let path = if method == "PUT" { "/v1/rooms/a" } else { "/v1/rooms" };
        fixture.provider.next(path, unavailable());
        let expected = if repeats { 200 } else { 503 };
        assert_eq!(ask(&fixture, method, headers).await, (expected, "none".to_owned()), "{method} {headers:?}");
        assert_eq!(fixture.provider.requests().len(), if repeats { 2 } else { 1 }, "{method} {headers:?}");
        fixture.provider.next(path, Script::Reset);
        let expected = if repeats { (200, "none") } else { (502, "provider_bad_answer") };
        let told = ask(&fixture, method, headers).await;
        assert_eq!((told.0, told.1.as_str()), expected, "broken {method} {headers:?}");
    }
    let fixture = Fixture::start().await;
    for _ in 0..3 {
        fixture.provider.next("/v1/rooms", unavailable());
    }
    assert_eq!(ask(&fixture, "GET", &[]).await.0, 503, "the provider's own");
    assert_eq!(fixture.provider.requests().len(), 2, "once");
}

/// A body that passed is gone, so the call is not made again.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_passed_is_not_sent_again() {
    let fixture = Fixture::start().await;
    fixture.provider.next("/v1/files/a", Script::json(503, &json!({})));
    let told = fixture.send("PUT", "/files/a", &[("Content-Type", "a/b")], b"body").await;
    assert_eq!((told.status, fixture.provider.requests().len()), (503, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_told_as_such() {
    let overrides = vec![("providers.own.api_url", "\"http://127.0.0.1:9\"".to_owned())];
    let fixture = Setup { overrides, ..Setup::default() }.start().await;
    assert_eq!(ask(&fixture, "POST", &[]).await, (503, "provider_unavailable".to_owned()));
    let line = &fixture.service.log_lines(1).await[0];
    assert_eq!((&line["reason"], &line["outcome"]), (&json!("no_connection"), &json!("refused")));
}

/// G-22: a caller has so many places, and the others have theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_floods_takes_no_place_of_others() {
    let overrides = vec![("gateway.max_in_flight_per_caller", "1".to_owned())];
    let fixture = Setup { overrides, ..Setup::default() }.start().await;
    let held = Arc::new(Semaphore::new(0));
    fixture.provider.next("/v1/rooms", Script::After(Arc::clone(&held), Box::new(Script::json(200, &json!({})))));
    let (first, ()) = tokio::join!(fixture.ask("GET", "/rooms"), async {
        eventually("the first is under way", async || fixture.provider.requests().len() == 1).await;
        let second = fixture.ask("GET", "/rooms").await;
        assert_eq!((second.status, code(&second)), (503, "gateway_busy"));
        assert!(second.header("retry-after").is_some());
        let other = format!("Bearer {OTHER}");
        assert_eq!(fixture.raw("GET", "/rooms", &[("Authorization", &other)], b"").await.status, 200);
        held.add_permits(1);
    });
    assert_eq!(first.status, 200);
    assert_eq!(fixture.ask("GET", "/rooms").await.status, 200, "the place came back");
}

/// G-22: the rate of a grant.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_has_its_rate() {
    let fixture = Setup { grant: "rate = \"1/min\"".to_owned(), ..Setup::default() }.start().await;
    assert_eq!(fixture.ask("GET", "/rooms").await.status, 200);
    let told = fixture.ask("GET", "/rooms").await;
    assert_eq!((told.status, code(&told), told.header("retry-after")), (429, "caller_rate_limited", Some("60")));
    fixture.service.advance(60);
    assert_eq!(fixture.ask("GET", "/rooms").await.status, 200);
}

/// T-49: a call that is under way when the service stops comes to its end, and one that does not is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_calls() {
    for (timeout, status, expected) in [("\"20s\"", 200, "none"), ("\"100ms\"", 503, "draining")] {
        let overrides = vec![("server.drain_timeout", timeout.to_owned())];
        let fixture = Setup { overrides, ..Setup::default() }.start().await;
        let held = Arc::new(Semaphore::new(0));
        fixture.provider.next("/v1/rooms", Script::After(Arc::clone(&held), Box::new(Script::json(200, &json!({})))));
        let mut connection = fixture.connect().await;
        connection.send(request("GET", "/rooms", &[("Authorization", &proof())], b"")).await;
        eventually("the call is under way", async || fixture.provider.requests().len() == 1).await;
        fixture.service.begin_stop();
        if status == 200 {
            held.add_permits(1);
        }
        let told = connection.answer().await.expect("an answer");
        assert_eq!((told.status, code(&told)), (status, expected));
        assert!(connection.is_closed().await);
        let ended = fixture.service.stop().await;
        assert_eq!(matches!(ended, Ended::Drained), status == 200, "{ended:?}");
    }
}

/// A caller that goes away takes its call along, and leaves a line.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_a_line() {
    let fixture = Fixture::start().await;
    fixture.provider.next("/v1/rooms", Script::Silence);
    let mut connection = fixture.connect().await;
    connection.send(request("GET", "/rooms", &[("Authorization", &proof())], b"")).await;
    eventually("the call is under way", async || fixture.provider.requests().len() == 1).await;
    drop(connection);
    let line = &fixture.service.log_lines(1).await[0];
    assert_eq!((&line["outcome"], &line["operation"]), (&json!("left"), &json!("room.list")));
    fixture.service.metric_reaches("sidemint_gateway_in_flight{caller=\"shop\"}", 0.0).await;
}

/// G-22: a body that does not come holds a place no longer than it may.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_given_up() {
    let overrides = vec![("server.header_timeout", "\"200ms\"".to_owned())];
    let fixture = Setup { overrides, ..Setup::default() }.start().await;
    let mut connection = fixture.connect().await;
    let head = format!("POST /rooms HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n", proof());
    connection.send(format!("{head}Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{{")).await;
    let told = connection.answer().await.expect("an answer");
    assert_eq!((told.status, code(&told), told.header("connection")), (400, "body_invalid", Some("close")));
    assert_eq!(fixture.provider.requests().len(), 0);
}

/// Whoever has a place has room for a body: one caller may have as many large bodies under way as it may have calls.
#[tokio::test(flavor = "multi_thread")]
async fn each_call_has_room_for_its_body() {
    let overrides = vec![
        ("server.max_head_bytes", "8192".to_owned()),
        ("server.max_body_bytes", "8192".to_owned()),
        ("server.max_unfinished_bytes", "32768".to_owned()),
        ("gateway.max_in_flight", "6".to_owned()),
        ("gateway.max_in_flight_per_caller", "6".to_owned()),
    ];
    let fixture = Setup { overrides, ..Setup::default() }.start().await;
    let body = format!("{{\"room\":\"a\",\"text\":\"{}\"}}", "x".repeat(250 * 1024));
    let (begin, end) = body.split_at(body.len() - 1);
    let head = format!("POST /rooms HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n", proof());
    let mut connections = Vec::new();
    for _ in 0..6 {
        let mut connection = fixture.connect().await;
        let length = body.len();
        connection
            .send(format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{begin}"))
            .await;
        connections.push(connection);
    }
    let in_flight = "sidemint_gateway_in_flight{caller=\"shop\"}";
    fixture.service.metric_reaches(in_flight, 6.0).await;
    for mut connection in connections {
        connection.send(end).await;
        let told = connection.answer().await.expect("an answer");
        assert_eq!((told.status, code(&told)), (200, "none"));
    }
}
