//! Raw sockets against the front listener: what HTTP allows, what it does not, and clients with bad manners.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidemint::config::Environment;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{Answer, Connection, request};
use crate::eventually::eventually;
use crate::fakes::http::Script;
use crate::harness::{LOCAL, SESSION, Service, clock, config};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");

async fn local_with(overrides: &[(&str, &str)]) -> Service {
    Service::start(&config(LOCAL, overrides), &Environment::default(), clock()).await
}

async fn cuts(service: &Service, reason: &str) -> f64 {
    service.metric(&format!("sidemint_connections_closed_total{{reason=\"{reason}\"}}")).await
}

/// Ends when a connection with half a head has been cut: the header timeout has then passed since the call.
async fn wait_for_a_header_timeout(service: &Service) {
    let mut witness = service.connect().await;
    witness.send("GET / HTTP/1.1\r\nHo").await;
    assert!(witness.is_closed().await);
}

async fn post(connection: &mut Connection, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    connection.send(request("POST", SESSION, headers, body)).await;
    connection.answer().await.expect("an answer")
}

// Keep-alive.

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_survives_every_error_status() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    fake.next("/v1/users", Script::text(503, "text/plain", "maintenance"));
    let mut connection = service.connect().await;
    for (method, path, headers, status) in [
        ("GET", SESSION, &[][..], 401),
        ("GET", SESSION, &[ALICE, ("Sec-Fetch-Site", "cross-site")], 403),
        ("GET", "/nowhere", &[], 404),
        ("PUT", SESSION, &[ALICE], 405),
        ("GET", "/api/chat/session?room=1", &[ALICE], 400),
        ("GET", SESSION, &[ALICE], 503),
        ("GET", SESSION, &[ALICE], 200),
        ("DELETE", SESSION, &[ALICE], 204),
        ("GET", SESSION, &[ALICE], 200),
    ] {
        let answer = connection.ask(method, path, headers).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("connection"), None, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_is_answered_and_closed_unless_it_asks_to_stay() {
    let service = Service::local().await;
    let mut leaving = service.connect().await;
    leaving.send("GET /api/chat/session HTTP/1.0\r\nX-Forwarded-User: alice\r\n\r\n").await;
    assert_eq!(leaving.answer().await.expect("an answer").status, 200);
    assert!(leaving.is_closed().await);
    let mut staying = service.connect().await;
    for path in ["/api/chat/session", "/auth", "/nowhere", "/auth"] {
        let head = format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\nX-Forwarded-User: alice\r\n\r\n");
        staying.send(head).await;
        let answer = staying.answer().await.expect("an answer");
        assert_eq!(answer.status, if path == "/nowhere" { 404 } else { 200 });
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_wants_to_close_is_answered_first() {
    let service = Service::local().await;
    for path in [SESSION, "/auth", "/nowhere"] {
        let mut connection = service.connect().await;
        let answer = connection.ask("GET", path, &[ALICE, ("Connection", "close")]).await;
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
        assert!(connection.is_closed().await, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let service = Service::local().await;
    let mut connection = service.connect().await;
    let users: Vec<String> = (0..20).map(|n| format!("user{n}")).collect();
    let all: Vec<u8> = users
        .iter()
        .flat_map(|user| [request("GET", SESSION, &[("X-Forwarded-User", user)], b""), request("GET", "/x", &[], b"")])
        .flatten()
        .collect();
    connection.send(all).await;
    for user in users {
        let session = connection.answer().await.expect("an answer").json();
        assert_eq!(session["chatUserId"], user);
        assert_eq!(connection.answer().await.expect("an answer").status, 404);
    }
}

// Limits of a head.

#[tokio::test(flavor = "multi_thread")]
async fn a_head_may_have_100_lines_and_no_more() {
    let service = Service::local().await;
    for (lines, status) in [(64, 200), (100, 200), (101, 431), (5000, 431)] {
        let mut connection = service.connect().await;
        let mut headers = vec![ALICE];
        // `Host` is one more.
        headers.resize(lines - 1, ("X", "1"));
        connection.try_send(request("GET", SESSION, &headers, b"")).await;
        let answer = connection.answer().await;
        assert_eq!(answer.map(|answer| answer.status), Some(status), "{lines} lines");
        assert_eq!(service.session("alice").await.status, 200, "after {lines} lines");
    }
}

/// Also where the rest is on its way when the limit is passed: the answer comes before the end of the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_may_have_32_kib_and_no_more() {
    let service = Service::local().await;
    for (bytes, status) in [(31 * 1024, 200), (33 * 1024, 431), (128 * 1024, 431), (400 * 1024, 431)] {
        let long = "x".repeat(bytes);
        for headers in [[ALICE, ("X-Long", long.as_str())], [ALICE, ("Cookie", long.as_str())]] {
            let mut connection = service.connect().await;
            connection.try_send(request("GET", SESSION, &headers, b"")).await;
            assert_eq!(connection.answer().await.expect("an answer").status, status, "{bytes} bytes");
        }
        assert_eq!(service.session("alice").await.status, 200, "after {bytes} bytes");
    }
    let answer = service.ask("GET", &format!("/{}", "a".repeat(20_000)), &[]).await;
    assert_eq!(answer.status, 404, "a long path is a path");
    let answer = service.ask("GET", &format!("/{}", "a".repeat(40_000)), &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (414, "target_too_long"));
}

// Time (T-49).

/// T-49: a head that stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_head_is_cut_at_the_header_timeout() {
    let service = local_with(&[("server.header_timeout", "\"200ms\"")]).await;
    let mut connection = service.connect().await;
    connection.send("GET /api/chat/session HTTP/1.1\r\nHost:").await;
    assert!(connection.is_closed().await);
    assert!((cuts(&service, "header_timeout").await - 1.0).abs() < 0.1);
    // Also the second head of a connection.
    let mut connection = service.connect().await;
    assert_eq!(connection.ask("GET", SESSION, &[ALICE]).await.status, 200);
    connection.send("GET").await;
    assert!(connection.is_closed().await);
    assert!((cuts(&service, "header_timeout").await - 2.0).abs() < 0.1);
    assert!(cuts(&service, "idle_timeout").await.abs() < 0.1);
}

/// T-49: a head that goes on and on, byte by byte; also one that begins like HTTP/2, whether that is spoken or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_dribbled_head_is_cut_although_bytes_keep_coming() {
    for http2 in ["false", "true"] {
        let service = local_with(&[("server.header_timeout", "\"200ms\""), ("server.http2", http2)]).await;
        for (line, count) in [("GET / HTTP/1.1", 1.0), ("PRI /x HTTP/1.1", 2.0)] {
            let mut connection = service.connect().await;
            connection.send(format!("{line}\r\nX-Long: ")).await;
            let mut sent = 0;
            // Far fewer bytes than a head may have: only time can end this.
            while sent < 5000 && connection.try_send("x").await {
                sent += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(sent < 5000, "{line}: still open");
            assert!((cuts(&service, "header_timeout").await - count).abs() < 0.1, "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_outlives_the_header_timeout() {
    let service = local_with(&[("server.header_timeout", "\"200ms\"")]).await;
    let mut served = service.connect().await;
    assert_eq!(served.ask("GET", SESSION, &[ALICE]).await.status, 200);
    for _ in 0..2 {
        wait_for_a_header_timeout(&service).await;
        assert_eq!(served.ask("GET", SESSION, &[ALICE]).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_after_the_idle_timeout() {
    let service = local_with(&[("server.header_timeout", "\"30s\""), ("server.idle_timeout", "\"200ms\"")]).await;
    let mut served = service.connect().await;
    assert_eq!(served.ask("GET", SESSION, &[ALICE]).await.status, 200);
    assert!(served.is_closed().await);
    assert!((cuts(&service, "idle_timeout").await - 1.0).abs() < 0.1);
    assert!(cuts(&service, "header_timeout").await.abs() < 0.1);
}

/// T-49: a slow provider is not a slow client.
#[tokio::test(flavor = "multi_thread")]
async fn neither_timeout_cuts_a_request_that_waits_for_the_provider() {
    let limits = [("server.header_timeout", "\"200ms\""), ("server.idle_timeout", "\"200ms\"")];
    let (service, fake) = Service::sendsar_with("", &limits).await;
    let gate = fake.hold().await;
    let mut connection = service.connect().await;
    connection.send(request("GET", SESSION, &[ALICE], b"")).await;
    fake.until(|fake| fake.mints() == 1).await;
    wait_for_a_header_timeout(&service).await;
    wait_for_a_header_timeout(&service).await;
    drop(gate);
    assert_eq!(connection.answer().await.expect("an answer").status, 200);
    assert!(connection.is_closed().await, "idle again, and cut as such");
    assert!((cuts(&service, "idle_timeout").await - 1.0).abs() < 0.1);
}

/// T-49: a client that asks and asks, and never reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_take_its_answers_is_cut() {
    let service = local_with(&[("server.idle_timeout", "\"300ms\"")]).await;
    let mut connection = service.connect().await;
    let batch = request("GET", SESSION, &[ALICE], b"").repeat(100);
    let flood = async { while connection.try_send(&batch).await {} };
    tokio::time::timeout(Duration::from_mins(1), flood).await.expect("cut");
    assert!((cuts(&service, "stalled").await - 1.0).abs() < 0.1);
    assert_eq!(service.session("alice").await.status, 200);
}

/// T-49: hoarded connections.
#[tokio::test(flavor = "multi_thread")]
async fn many_stalled_connections_do_not_stop_a_normal_one() {
    let service = Service::local().await;
    let mut stalled = Vec::new();
    for n in 0..300 {
        let mut connection = service.connect().await;
        connection
            .send(["", "G", "GET / HTTP/1.1\r\n", "POST /api/chat/session HTTP/1.1\r\nHost: x\r\nX: "][n % 4])
            .await;
        stalled.push(connection);
    }
    let mut connection = service.connect().await;
    for _ in 0..50 {
        assert_eq!(connection.ask("GET", SESSION, &[ALICE]).await.status, 200);
    }
    assert!(service.metric("sidemint_connections").await >= 300.0, "the others are still there");
}

/// T-49: 2,000 clients that send a byte now and then, for as long as they are let. Others are answered meanwhile, and the
/// clients are gone when the time of a head is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_dribbling_clients_delays_no_other_and_is_cut() {
    const CROWD: u32 = 2000;
    let service = local_with(&[("server.header_timeout", "\"3s\"")]).await;
    let address = service.address();
    let (all_there, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let (there, gate) = (Arc::clone(&all_there), Arc::clone(&gate));
        crowd.spawn(async move {
            let mut connection = Connection::open(address).await;
            there.add_permits(1);
            drop(gate.acquire().await);
            while connection.try_send("G").await {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }
    drop(all_there.acquire_many(CROWD).await.unwrap());
    gate.close();
    let mut slowest = Duration::ZERO;
    let mut connection = service.connect().await;
    for _ in 0..200 {
        let begin = std::time::Instant::now();
        assert_eq!(connection.ask("GET", SESSION, &[ALICE]).await.status, 200);
        slowest = slowest.max(begin.elapsed());
    }
    // A fraction of what a queue behind the crowd would cost, and far above the noise of a busy machine.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let line = "sidemint_connections_closed_total{reason=\"header_timeout\"}";
    service.metric_reaches(line, f64::from(CROWD)).await;
    tokio::time::timeout(Duration::from_mins(1), crowd.join_all()).await.expect("all are told");
    assert!((service.metric("sidemint_connections").await - 1.0).abs() < 0.1, "only the normal one is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let service = local_with(&[("server.max_connections", "2")]).await;
    let (mut first, mut second) = (service.connect().await, service.connect().await);
    assert_eq!(first.ask("GET", SESSION, &[ALICE]).await.status, 200);
    assert_eq!(second.ask("GET", SESSION, &[ALICE]).await.status, 200);
    let mut third = service.connect().await;
    third.send(request("GET", SESSION, &[ALICE], b"")).await;
    for _ in 0..20 {
        assert_eq!(second.ask("GET", SESSION, &[ALICE]).await.status, 200);
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), third.answer()).await.is_err(), "its turn has not come");
    assert!((service.metric("sidemint_connections").await - 2.0).abs() < 0.1, "ops is not affected");
    drop(first);
    assert_eq!(third.answer().await.expect("an answer").status, 200);
}

// Bodies.

#[tokio::test(flavor = "multi_thread")]
async fn a_body_on_a_get_is_ignored_and_the_connection_stays_usable() {
    let service = Service::local().await;
    let mut connection = service.connect().await;
    for method in ["GET", "DELETE", "OPTIONS", "PUT"] {
        connection.send(request(method, SESSION, &[ALICE], b"{\"userId\": \"mallory\"}")).await;
        let answer = connection.answer().await.expect("an answer");
        assert!(!answer.text().contains("mallory"));
        let after = connection.ask("GET", SESSION, &[ALICE]).await;
        assert_eq!((after.status, after.json()["chatUserId"].as_str()), (200, Some("alice")), "after {method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_may_say_nothing_and_only_nothing() {
    let service = Service::local().await;
    let mut connection = service.connect().await;
    let json = ("Content-Type", "application/json");
    for body in ["", "{}", " { } "] {
        assert_eq!(post(&mut connection, &[ALICE, json], body.as_bytes()).await.status, 200, "{body:?}");
    }
    for body in ["{\"userId\":\"bob\"}", "[]", "null", "\"x\"", "{", "user=bob", "\u{fffd}", "{}{}"] {
        let answer = post(&mut connection, &[ALICE, json], body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{body:?}");
    }
    assert_eq!(connection.ask("GET", SESSION, &[ALICE]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_not_declared_is_refused() {
    let service = Service::local().await;
    let mut connection = service.connect().await;
    for query in ["user=bob", "x", "=", "&", "%00", "ttl=24h&ttl=1s"] {
        for method in ["GET", "POST", "DELETE"] {
            let answer = connection.ask(method, &format!("{SESSION}?{query}"), &[ALICE]).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{method} ?{query}");
        }
    }
    assert_eq!(
        connection.ask("GET", &format!("{SESSION}?"), &[ALICE]).await.status,
        200,
        "an empty query says nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_413() {
    let service = Service::local().await;
    let mut fits = service.connect().await;
    let body = format!("{{}}{}", " ".repeat(8190));
    assert_eq!(post(&mut fits, &[ALICE], body.as_bytes()).await.status, 200);
    let mut over = service.connect().await;
    let answer = post(&mut over, &[ALICE], format!("{body} ").as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    // The declared length is enough; a terabyte is not waited for.
    let mut declared = service.connect().await;
    declared.send(request("POST", SESSION, &[ALICE, ("Content-Length", "1099511627776")], b"")).await;
    assert_eq!(declared.answer().await.expect("an answer").code(), "body_too_large");
    assert!(declared.is_closed().await);
    assert_eq!(service.session("alice").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_bodies_are_bodies() {
    let service = Service::local().await;
    let chunked = [ALICE, ("Transfer-Encoding", "chunked")];
    let mut connection = service.connect().await;
    for (chunks, status) in [
        ("2\r\n{}\r\n0\r\n\r\n", 200),
        ("1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 200),
        ("0\r\n\r\n", 200),
        ("7\r\n{\"a\":1}\r\n0\r\n\r\n", 400),
    ] {
        connection.send(request("POST", SESSION, &chunked, b"")).await;
        connection.send(chunks).await;
        assert_eq!(connection.answer().await.expect("an answer").status, status, "{chunks:?}");
    }
    let mut endless = service.connect().await;
    endless.send(request("POST", SESSION, &chunked, b"")).await;
    endless.send(format!("4000\r\n{}\r\n", " ".repeat(0x4000))).await;
    assert_eq!(endless.answer().await.expect("an answer").code(), "body_too_large");
    assert!(endless.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_to_its_end_is_refused_in_time() {
    let service = local_with(&[("server.header_timeout", "\"200ms\"")]).await;
    for stalled in [
        request("POST", SESSION, &[ALICE, ("Content-Length", "10")], b""),
        [request("POST", SESSION, &[ALICE, ("Content-Length", "10")], b""), b"{}".to_vec()].concat(),
        [request("POST", SESSION, &[ALICE, ("Transfer-Encoding", "chunked")], b""), b"5\r\n{".to_vec()].concat(),
    ] {
        let mut connection = service.connect().await;
        connection.send(stalled).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"));
        assert!(connection.is_closed().await);
    }
    let mut leaving = service.connect().await;
    leaving.send(request("POST", SESSION, &[ALICE, ("Content-Length", "10")], b"")).await;
    drop(leaving);
    assert_eq!(service.session("alice").await.status, 200);
}

/// T-48: what hops of a chain could cut into requests differently.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_could_be_smuggled_are_refused_and_the_connection_ends() {
    let service = Service::local().await;
    let inner = "GET /api/chat/session HTTP/1.1\r\nHost: a\r\nX-Forwarded-User: mallory\r\n\r\n";
    for (what, lines) in [
        ("two lengths", "Content-Length: 0\r\nContent-Length: 80\r\n\r\n"),
        ("a list of lengths", "Content-Length: 0, 80\r\n\r\n"),
        ("a signed length", "Content-Length: +0\r\n\r\n"),
        ("a hexadecimal length", "Content-Length: 0x0\r\n\r\n"),
        ("both ways", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        ("both ways, turned", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("both ways, in other letters", "transfer-encoding: Chunked\r\nCONTENT-LENGTH: 0\r\n\r\n0\r\n\r\n"),
        ("both ways, in bare lines", "Transfer-Encoding: chunked\nContent-Length: 5\n\n0\r\n\r\n"),
        ("an unknown encoding", "Transfer-Encoding: xchunked\r\n\r\n"),
        ("chunked, but not last", "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        ("a folded line", "X: a\r\n b\r\n\r\n"),
        ("space before the colon", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        ("a naked return", "X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("NUL", "X: a\0b\r\n\r\n"),
    ] {
        let mut connection = service.connect().await;
        let head = format!("POST /api/chat/session HTTP/1.1\r\nHost: a\r\nX-Forwarded-User: alice\r\n{lines}{inner}");
        connection.send(head).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (400, "request_malformed"), "{what}: {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{what}");
        assert!(connection.is_closed().await, "{what}: more than one answer");
    }
    assert_eq!(service.session("alice").await.status, 200);
}

/// T-48: hyper forgets the length that stood beside an encoding, so the head reader looks at the bytes as they came.
#[tokio::test(flavor = "multi_thread")]
async fn two_ways_to_tell_a_length_are_refused_however_they_arrive() {
    let (service, fake) = Service::sendsar().await;
    let head = "POST /api/chat/session HTTP/1.1\r\nHost: a\r\nX-Forwarded-User: alice\r\n\
                Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n";
    // In one piece, cut in the name of the second header, and byte by byte.
    for pieces in [vec![head.len()], vec![head.len() - 12], (1..head.len()).collect()] {
        let mut connection = service.connect().await;
        let mut sent = 0;
        for end in pieces {
            connection.send(&head[sent..end]).await;
            sent = end;
        }
        connection.send(&head[sent..]).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
        assert!(connection.is_closed().await);
    }
    assert!(fake.calls().is_empty(), "nothing was done");
    assert!((service.metric("sidemint_head_refusals_total{reason=\"length\"}").await - 3.0).abs() < 0.1);
    // On a connection that was in use, and after which a body speaks of lengths.
    let mut connection = service.connect().await;
    assert_eq!(post(&mut connection, &[ALICE], b"{}").await.status, 200);
    let chunked = [ALICE, ("Transfer-Encoding", "chunked")];
    connection.send(request("POST", SESSION, &chunked, b"")).await;
    connection.send("2\r\n{}\r\n0\r\nContent-Length: 7\r\n\r\n").await;
    assert_eq!(connection.answer().await.expect("an answer").status, 200, "one way is enough");
    connection.send(head).await;
    assert_eq!(connection.answer().await.expect("an answer").status, 400);
    assert!(connection.is_closed().await);
}

// Methods and paths.

#[tokio::test(flavor = "multi_thread")]
async fn unknown_methods_are_405_and_say_what_is_allowed() {
    let service = Service::local().await;
    let mut connection = service.connect().await;
    for method in ["PROPFIND", "PUT", "PATCH", "TRACE", "M-SEARCH", "get", "X"] {
        let answer = connection.ask(method, SESSION, &[ALICE]).await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, DELETE, OPTIONS"));
    }
    for (method, status) in [("POST", 405), ("OPTIONS", 204)] {
        let answer = connection.ask(method, "/.well-known/jwks.json", &[]).await;
        assert_eq!((answer.status, answer.header("allow")), (status, Some("GET, HEAD, OPTIONS")), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_get_without_the_body() {
    let service = Service::local().await;
    let mut connection = service.connect().await;
    for (path, headers) in [
        (SESSION, &[ALICE][..]),
        (SESSION, &[]),
        ("/nowhere", &[]),
        ("/auth", &[ALICE]),
        ("/.well-known/jwks.json", &[]),
    ] {
        let get = connection.ask("GET", path, headers).await;
        let head = connection.ask("HEAD", path, headers).await;
        let comparable = |answer: &Answer| -> Vec<(String, String)> {
            let own = |name: &str| name == "x-request-id" || name == "date";
            let mut all: Vec<_> = answer.headers.iter().filter(|(name, _)| !own(name)).cloned().collect();
            all.sort();
            all
        };
        assert_eq!((head.status, comparable(&head)), (get.status, comparable(&get)), "{path}");
        assert!(head.body.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_says_what_is_allowed_and_needs_no_user() {
    let service = Service::local().await;
    let answer = service.ask("OPTIONS", SESSION, &[]).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, DELETE, OPTIONS"));
    assert_eq!(answer.header("content-type"), None);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(service.ask("OPTIONS", "*", &[]).await.status, 404);
}

/// T-12: a path is what is written, byte for byte.
#[tokio::test(flavor = "multi_thread")]
async fn other_spellings_of_a_path_are_other_paths() {
    let service = Service::local().await;
    let mut connection = service.connect().await;
    for path in [
        "/api/chat/session/",
        "//api/chat/session",
        "/api//chat/session",
        "/api/chat%2Fsession",
        "/api/chat/%73ession",
        "/api/./chat/session",
        "/x/../api/chat/session",
        "/api/chat/session/..",
        "/api/chat/session;a=b",
        "/api/chat/session%00",
        "/api/chat/session%23",
        "/API/chat/session",
        "/auth/../api/chat/session/x/../../../..//api",
        "/authx",
        "//auth",
        "/auth%2Fx",
        "/x/auth",
        "/",
        "/livez",
        "/readyz",
        "/metrics",
    ] {
        let answer = connection.ask("GET", path, &[ALICE]).await;
        if path.starts_with("/auth/") {
            // Below the prefix everything is the subrequest route, and never anything else.
            assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        } else {
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
        }
    }
}

// HTTP/2.

/// A preface in one piece; the tests of connections cut it in two.
#[tokio::test(flavor = "multi_thread")]
async fn http2_is_not_spoken_unless_asked_for() {
    let service = Service::local().await;
    let mut connection = service.connect().await;
    connection.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    if let Some(answer) = connection.answer().await {
        assert!((400..600).contains(&answer.status) && answer.status != 500, "{answer:?}");
    }
    assert!(connection.is_closed().await);
    assert_eq!(service.session("alice").await.status, 200);
}

type Http2 = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

async fn http2(service: &Service) -> Http2 {
    let stream = TcpStream::connect(service.address()).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask2(sender: &mut Http2, path: &str, user: &str) -> (u16, serde_json::Value) {
    let request = http::Request::get(format!("http://App.test:8443{path}"))
        .header("X-Forwarded-User", user)
        .body(Empty::new())
        .unwrap();
    let answer = sender.send_request(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_with_prior_knowledge_is_served_where_asked_for() {
    let service = local_with(&[("server.http2", "true")]).await;
    let mut sender = http2(&service).await;
    for n in 0..10 {
        let user = format!("user{n}");
        let (status, session) = ask2(&mut sender, SESSION, &user).await;
        assert_eq!((status, session["chatUserId"].as_str()), (200, Some(user.as_str())));
    }
    assert_eq!(ask2(&mut sender, "/nowhere", "alice").await.0, 404);
    assert_eq!(ask2(&mut sender, SESSION, "{user}").await.0, 401);
    assert!((service.metric("sidemint_connections").await - 1.0).abs() < 0.1);
    assert_eq!(service.session("alice").await.status, 200, "HTTP/1.1 on the same port");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_http2_connection_outlives_the_header_timeout() {
    let service = local_with(&[("server.http2", "true"), ("server.header_timeout", "\"200ms\"")]).await;
    let mut sender = http2(&service).await;
    for _ in 0..3 {
        assert_eq!(ask2(&mut sender, SESSION, "alice").await.0, 200);
        wait_for_a_header_timeout(&service).await;
    }
}

/// `:authority` is to HTTP/2 what `Host` is to HTTP/1.1.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_checked_on_http2_as_well() {
    let service = local_with(&[("server.http2", "true"), ("browser.allow_hosts", "[\"app.test\"]")]).await;
    assert_eq!(ask2(&mut http2(&service).await, SESSION, "alice").await.0, 200);
    let service = local_with(&[("server.http2", "true"), ("browser.allow_hosts", "[\"other.test\"]")]).await;
    assert_eq!(ask2(&mut http2(&service).await, SESSION, "alice").await.0, 421);
}

/// T-50: streams that are opened and reset at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_reset_streams_costs_the_connection_and_no_other() {
    let service = local_with(&[("server.http2", "true")]).await;
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in (1..4001_u32).step_by(2) {
        // GET / over http, headers from the static table; then a reset.
        flood.extend([0, 0, 3, 1, 5].iter().chain(&stream.to_be_bytes()).chain(&[0x82, 0x86, 0x84]));
        flood.extend([0, 0, 4, 3, 0].iter().chain(&stream.to_be_bytes()).chain(&[0, 0, 0, 8]));
    }
    let mut connection = service.connect().await;
    connection.try_send(flood).await;
    connection.wait_for_the_end().await;
    assert_eq!(service.session("alice").await.status, 200);
    assert_eq!(ask2(&mut http2(&service).await, SESSION, "alice").await.0, 200);
}

/// T-50: empty frames without end, headers without end, and questions that only cost. Each ends its connection, and
/// costs no other anything.
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_that_say_nothing_are_ended() {
    let limits = [("server.http2", "true"), ("server.idle_timeout", "\"1s\""), ("server.header_timeout", "\"1s\"")];
    let service = local_with(&limits).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // POST / over http without END_STREAM; the same without END_HEADERS.
    let (open, endless) =
        ([0, 0, 3, 1, 4, 0, 0, 0, 1, 0x83, 0x86, 0x84], [0, 0, 3, 1, 0, 0, 0, 0, 1, 0x83, 0x86, 0x84]);
    // A literal header, never indexed, `a: bbbbbb`.
    let line = [0x10, 1, b'a', 6, b'b', b'b', b'b', b'b', b'b', b'b'];
    let continuation = [&[0, 0, 200, 9, 0, 0, 0, 0, 1][..], &line.repeat(20)].concat();
    for (what, first, frame) in [
        ("CONTINUATION", &endless[..], continuation),
        ("empty CONTINUATION", &endless[..], vec![0, 0, 0, 9, 0, 0, 0, 0, 1]),
        ("empty DATA", &open[..], vec![0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("PING", &[], vec![0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("SETTINGS", &[], vec![0, 0, 0, 4, 0, 0, 0, 0, 0]),
    ] {
        let mut connection = service.connect().await;
        connection.send([&preface[..], first].concat()).await;
        let batch = frame.repeat(2000);
        // The answers are not read, so what is answered piles up until the connection is given up.
        let flood = async { while connection.try_send(&batch).await {} };
        tokio::time::timeout(Duration::from_mins(1), flood).await.unwrap_or_else(|_| panic!("{what} goes on for ever"));
        assert_eq!(service.session("alice").await.status, 200, "{what}");
    }
    assert_eq!(ask2(&mut http2(&service).await, SESSION, "alice").await.0, 200);
}

// Noise.

/// T-57: whatever the bytes, there is no panic: a connection whose task panicked would still be counted as open.
#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_make_the_service_stumble() {
    let service = local_with(&[("server.header_timeout", "\"200ms\"")]).await;
    let good = request(
        "POST",
        "/auth/x?y#z",
        &[
            ("X-Forwarded-User", "alice"),
            ("X-Forwarded-Name", "Zo\u{eb}"),
            ("Origin", "https://a.example"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("Connection", "keep-alive"),
        ],
        b"{}",
    );
    let mut random: u64 = 0x2545_F491_4F6C_DD1D;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
    };
    for round in 0..400 {
        let mut bytes = good.clone();
        if round % 2 == 0 {
            bytes.splice(..b"POST /auth/x?y#z".len(), SESSION.bytes().rev().chain(*b" TEG").rev());
        }
        for _ in 0..=next(6) {
            let at = next(bytes.len());
            bytes[at] = u8::try_from(next(256)).unwrap();
        }
        let mut connection = service.connect().await;
        connection.send(&bytes).await;
        connection.send("\r\n\r\n").await;
        if let Some(answer) = connection.answer().await {
            assert!(answer.status < 500, "{:?}: {answer:?}", String::from_utf8_lossy(&bytes));
        }
    }
    for garbage in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"\x16\x03\x01\x02\0\x01",
        b"\r\n\r\n\r\n",
        b"\xff\xfe",
        b"SSH-2.0-x\r\n",
        b"GET\r\n\r\n",
    ] {
        let mut connection = service.connect().await;
        connection.send(garbage).await;
        if let Some(answer) = connection.answer().await {
            assert_eq!(answer.status, 400, "{garbage:?}");
        }
    }
    // Where one never ends, its task panicked.
    eventually("no connection is open", async || service.metric("sidemint_connections").await < 0.5).await;
    assert_eq!(service.session("alice").await.status, 200);
}

/// T-42.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_header_is_ever_reflected() {
    let service = local_with(&[("browser.allow_origins", "[\"https://app.example.com\"]")]).await;
    let canaries: Vec<(String, String)> = [
        "X-Request-Id",
        "X-Correlation-Id",
        "Vary",
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
        "Referer",
        "User-Agent",
        "Cookie",
        "Authorization",
        "Accept",
        "Accept-Language",
        "X-Forwarded-Host",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "X-Chat-Token",
        "X-Chat-Status",
        "traceparent",
        "Host",
    ]
    .iter()
    .map(|name| ((*name).to_owned(), format!("canary-{}", name.to_lowercase())))
    .collect();
    for (method, path) in [
        ("GET", SESSION),
        ("POST", SESSION),
        ("DELETE", SESSION),
        ("OPTIONS", SESSION),
        ("CANARY", SESSION),
        ("GET", "/auth/canary?canary"),
        ("GET", "/canary?canary"),
        ("GET", "/.well-known/jwks.json"),
    ] {
        for user in ["alice", "{canary}", ""] {
            let mut headers: Vec<(&str, &str)> = canaries.iter().map(|(name, value)| (&**name, &**value)).collect();
            headers.push(("X-Forwarded-User", user));
            let answer = service.ask(method, path, &headers).await;
            let all = format!("{answer:?} {}", answer.text()).to_lowercase();
            assert!(!all.contains("canary"), "{method} {path}: {all}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_of_its_own() {
    let service = Service::local().await;
    let mut connection = service.connect().await;
    let mut seen = HashSet::new();
    for _ in 0..50 {
        for (method, path) in [
            ("GET", SESSION),
            ("HEAD", SESSION),
            ("DELETE", SESSION),
            ("OPTIONS", SESSION),
            ("PUT", SESSION),
            ("GET", "/auth"),
            ("GET", "/nowhere"),
            ("GET", "/.well-known/jwks.json"),
        ] {
            let answer = connection.ask(method, path, &[ALICE]).await;
            let id = answer.header("x-request-id").expect("a request id").to_owned();
            assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
            if answer.status >= 400 {
                assert_eq!(answer.json()["requestId"], id.as_str());
            }
            assert!(seen.insert(id), "{method} {path}");
        }
    }
}

/// The wait for one head must not be counted on for the next: once, a busy connection was cut every `header_timeout`.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_connection_is_not_taken_for_a_slow_head() {
    let text = config(LOCAL, &[("server.header_timeout", "\"100ms\"")]);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    let mut connection = service.connect().await;
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_millis(700) {
        assert_eq!(connection.ask("GET", SESSION, &[("X-Forwarded-User", "alice")]).await.status, 200);
    }
    assert!(service.metric("sidemint_connections_closed_total{reason=\"header_timeout\"}").await.abs() < 0.1);
}
