//! Heads of requests: memory, hosts, odd addresses, and what becomes of a head that is refused or of a body that is not
//! reads.

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use sidemint::config::Environment;

use crate::client::{Answer, Connection, request};
use crate::eventually::eventually;
use crate::harness::{LOCAL, SESSION, Service, clock, config};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");
/// Two routes of one path: one for a host, one for all others. And one that has no such neighbour.
const HOSTS: &str = "
[[routes]]
path = \"/h\"
host = \"h.example.com\"
answer = \"session\"
provider = \"chat\"
[[routes]]
path = \"/h\"
answer = \"session\"
provider = \"chat\"
[[routes]]
path = \"/team\"
host = \"a.example.com\"
answer = \"session\"
provider = \"chat\"
";

async fn with(more: &str, overrides: &[(&str, &str)]) -> Service {
    Service::start(&config(&format!("{LOCAL}{more}"), overrides), &Environment::default(), clock()).await
}

async fn refusals(service: &Service, reason: &str) -> f64 {
    service.metric(&format!("sidemint_head_refusals_total{{reason=\"{reason}\"}}")).await
}

/// The answer to bytes on a connection of their own, in pieces of so many.
async fn answer_in_pieces(service: &Service, bytes: &[u8], size: usize) -> (Option<Answer>, Connection) {
    let mut connection = service.connect().await;
    for piece in bytes.chunks(size) {
        if !connection.try_send(piece).await {
            break;
        }
        tokio::task::yield_now().await;
    }
    (connection.answer().await, connection)
}

async fn answer_to(service: &Service, bytes: impl AsRef<[u8]>) -> (Answer, Connection) {
    let (answer, connection) = answer_in_pieces(service, bytes.as_ref(), usize::MAX).await;
    (answer.unwrap_or_else(|| panic!("no answer to {:?}", String::from_utf8_lossy(bytes.as_ref()))), connection)
}

// Memory and time (T-68).

/// T-68: heads that never end fill a budget and no more; others are told, and what is given back is used again.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_heads_share_one_budget() {
    let service = with("", &[("server.max_unfinished_bytes", "100000")]).await;
    let half = format!("GET /auth HTTP/1.1\r\nHost: a\r\nX-Forwarded-User: alice\r\nX-Long: {}", "x".repeat(15_000));
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut connection = service.connect().await;
        connection.send(&half).await;
        open.push(connection);
    }
    service.metric_reaches("sidemint_head_refusals_total{reason=\"no_room\"}", 14.0).await;
    assert!(refusals(&service, "no_room").await < 16.0, "as many as there is room for are still waited for");
    // A head that comes in one piece needs no room.
    assert_eq!(service.session("alice").await.status, 200);
    let (mut told, mut whole) = (0, 0);
    for connection in &mut open {
        connection.try_send("\r\n\r\n").await;
        let answer = connection.answer().await.expect("an answer");
        match answer.status {
            503 => {
                assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("overloaded", Some("5")));
                assert!(connection.is_closed().await);
                told += 1;
            }
            status => {
                assert_eq!(status, 200);
                whole += 1;
            }
        }
    }
    assert!(whole >= 5 && told >= 14, "{whole} answered, {told} told");
    for _ in 0..50 {
        let (answer, _open) = answer_in_pieces(&service, format!("{half}\r\n\r\n").as_bytes(), 9000).await;
        assert_eq!(answer.expect("an answer").status, 200, "the memory was given back");
    }
}

/// T-68: bodies that never end are in the same budget.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_bodies_are_in_the_budget() {
    let limits = [
        ("server.max_unfinished_bytes", "100000"),
        ("server.max_body_bytes", "17000"),
        ("server.header_timeout", "\"60s\""),
    ];
    let service = with("", &limits).await;
    let head = request("POST", SESSION, &[ALICE, ("Content-Length", "16500")], b"");
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut connection = service.connect().await;
        connection.send([&head[..], &b" ".repeat(16_000)].concat()).await;
        open.push(connection);
    }
    let line = "sidemint_requests_total{outcome=\"overloaded\",route=\"/api/chat/session\"}";
    service.metric_reaches(line, 2.0).await;
    assert_eq!(service.session("alice").await.status, 200);
    drop(open);
    let rest = format!("{}{{}}", " ".repeat(498));
    let whole = [&head[..], &b" ".repeat(16_000), rest.as_bytes()].concat();
    // The service has yet to see that the others are gone.
    eventually("the memory is given back", async || answer_to(&service, &whole).await.0.status == 200).await;
}

/// T-68: a connection without a byte has no more time than a head has.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_byte_has_the_time_of_a_head() {
    for http2 in ["false", "true"] {
        let service = with("", &[("server.header_timeout", "\"200ms\""), ("server.http2", http2)]).await;
        let mut silent = service.connect().await;
        assert!(silent.is_closed().await);
        let line = "sidemint_connections_closed_total{reason=\"header_timeout\"}";
        service.metric_reaches(line, 1.0).await;
    }
}

// Hosts (T-69).

/// T-69: RFC 9112, 3.2.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_named_once_and_properly() {
    let service = with(HOSTS, &[]).await;
    for (lines, reason) in [
        ("", "host_missing"),
        ("Host: h.example.com\r\nHost: other.example.com\r\n", "host_twice"),
        ("Host: other.example.com\r\nhOST: h.example.com\r\n", "host_twice"),
        ("Host: h.example.com\r\nHost: h.example.com\r\n", "host_twice"),
        ("Host: x@h.example.com\r\n", "host_invalid"),
        ("Host: other.example.com@h.example.com\r\n", "host_invalid"),
        ("Host: h.example.com:99999\r\n", "host_invalid"),
        ("Host: h.example.com:x\r\n", "host_invalid"),
        ("Host: h.example.com, other.example.com\r\n", "host_invalid"),
        ("Host: h.example.com other.example.com\r\n", "host_invalid"),
        ("Host: h.example.com/\r\n", "host_invalid"),
        ("Host: http://h.example.com\r\n", "host_invalid"),
        ("Host: [::1\r\n", "host_invalid"),
        ("Host: b\u{fc}cher.example\r\n", "host_invalid"),
        ("Host:\r\n", "host_invalid"),
        ("Host : h.example.com\r\n", "host_missing"),
    ] {
        let before = refusals(&service, reason).await;
        let head = format!("GET /h HTTP/1.1\r\n{lines}X-Forwarded-User: alice\r\n\r\n");
        let (answer, mut connection) = answer_to(&service, &head).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "request_malformed"), "{lines:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{lines:?}");
        assert!(connection.is_closed().await, "{lines:?}");
        assert!((refusals(&service, reason).await - before - 1.0).abs() < 0.1, "{lines:?} is {reason}");
    }
    for lines in ["Host: H.Example.com:8080\r\n", "Host:\th.example.com \r\n", "host: [::1]:80\r\n", "Host: a_b\r\n"] {
        let head = format!("GET /h HTTP/1.1\r\n{lines}X-Forwarded-User: alice\r\n\r\n");
        assert_eq!(answer_to(&service, &head).await.0.status, 200, "{lines:?}");
    }
    let old = "GET /h HTTP/1.0\r\nX-Forwarded-User: alice\r\n\r\n";
    assert_eq!(answer_to(&service, old).await.0.status, 200, "HTTP/1.0 knows no Host");
    let old = "GET /h HTTP/1.0\r\nHost: a\r\nHost: b\r\nX-Forwarded-User: alice\r\n\r\n";
    assert_eq!(answer_to(&service, old).await.0.status, 400);
    // Also on the second request of a connection, and on one that came together with the first.
    let good = request("GET", "/h", &[ALICE], b"");
    let (answer, mut connection) =
        answer_to(&service, [&good[..], b"GET /h HTTP/1.1\r\n\r\n", &good[..]].concat()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(connection.answer().await.expect("an answer").status, 400);
    assert!(connection.is_closed().await);
}

/// T-69: the target counts; where `Host` leads to another route, some hop may have gone by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_address_wins_over_host_and_may_not_contradict_it() {
    let service = with(HOSTS, &[]).await;
    for (target, host, status) in [
        ("http://a.example.com/team", "a.example.com", 200),
        ("HTTP://A.example.com:80/team", "a.example.com", 200),
        ("http://a.example.com/team", "b.example.com", 200),
        ("http://b.example.com/team", "a.example.com", 404),
        ("http://h.example.com/h", "h.example.com", 200),
        ("http://h.example.com/h", "other.example.com", 400),
        ("http://other.example.com/h", "h.example.com", 400),
        ("http://other.example.com/h", "more.example.com", 200),
        ("http://h.example.com/nowhere", "other.example.com", 404),
        ("http://x@h.example.com/h", "h.example.com", 400),
        ("http://h.example.com:99999/h", "h.example.com", 400),
        ("http:///h", "h.example.com", 400),
        ("ftp://h.example.com/h", "h.example.com", 400),
        ("h.example.com", "h.example.com", 400),
        ("*", "h.example.com", 400),
    ] {
        let (answer, mut connection) = answer_to(&service, request("GET", target, &[ALICE, ("Host", host)], b"")).await;
        assert_eq!(answer.status, status, "{target} at {host}");
        if status == 400 {
            assert_eq!((answer.code().as_str(), answer.header("connection")), ("request_malformed", Some("close")));
            assert!(connection.is_closed().await, "{target} at {host}");
        }
    }
    assert!((refusals(&service, "host_differs").await - 2.0).abs() < 0.1);
    let tunnel = request("CONNECT", "h.example.com:443", &[ALICE, ("Host", "h.example.com:443")], b"");
    assert_eq!(answer_to(&service, tunnel).await.0.status, 400);
    // The list of hosts is asked about the target as well.
    let service = with("", &[("browser.allow_hosts", "[\"a.example.com\"]")]).await;
    for (target, host, status) in [("a.example.com", "b.example.com", 200), ("b.example.com", "a.example.com", 421)] {
        let target = format!("http://{target}{SESSION}");
        let (answer, _open) = answer_to(&service, request("GET", &target, &[ALICE, ("Host", host)], b"")).await;
        assert_eq!(answer.status, status, "{target} at {host}");
    }
}

/// T-69: over HTTP/2 `Host` and the authority are two places for one thing, and must agree (RFC 9113, 8.3.1).
#[tokio::test(flavor = "multi_thread")]
async fn http_2_names_one_host() {
    let service = with(HOSTS, &[("server.http2", "true")]).await;
    let stream = tokio::net::TcpStream::connect(service.address()).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    for (target, hosts, status) in [
        ("http://h.example.com/h", &[][..], 200),
        ("http://h.example.com/h", &["H.example.com"], 200),
        ("http://h.example.com/h", &["other.example.com"], 400),
        // Both lead to one route, so nothing else would refuse the request.
        ("http://a.example.com/h", &["other.example.com"], 400),
        ("http://h.example.com/h", &["h.example.com", "h.example.com"], 400),
        ("http://x@h.example.com/h", &[], 400),
        ("http://h.example.com:99999/h", &[], 400),
    ] {
        let mut asked = http::Request::get(target).header("X-Forwarded-User", "alice");
        for host in hosts {
            asked = asked.header("Host", *host);
        }
        let Ok(asked) = asked.body(Empty::<Bytes>::new()) else {
            assert_eq!(status, 400, "{target} is no address to the client");
            continue;
        };
        let answer = sender.send_request(asked).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{target} {hosts:?}");
        assert!(answer.headers().get("connection").is_none(), "HTTP/2 has no such header");
    }
    assert!(refusals(&service, "host_differs").await > 0.5);
}

// Odd addresses.

/// T-12: proxies hand on what clients write. Whatever follows the prefix counts for nothing, and elsewhere it is no path of
/// ours.
#[tokio::test(flavor = "multi_thread")]
async fn odd_addresses_pass_below_a_prefix_and_nowhere_else() {
    let service = Service::local().await;
    for odd in ["\"", "<", ">", "{", "|", "}", "^", "`", "\\", "[", "]", "%", "%zz", "\u{fc}", "\u{1f600}"] {
        for target in [format!("/auth/{odd}"), format!("/auth?q={odd}"), format!("/auth/{odd}?{odd}")] {
            let answer = service.ask("GET", &target, &[ALICE]).await;
            assert_eq!((answer.status, answer.header("x-chat-user-id")), (200, Some("alice")), "{target}");
        }
        assert_eq!(service.ask("GET", &format!("{SESSION}{odd}"), &[ALICE]).await.code(), "not_found", "{odd}");
        assert_eq!(service.ask("GET", &format!("/auth{odd}"), &[ALICE]).await.code(), "not_found", "{odd}");
        let answer = service.ask("GET", &format!("{SESSION}?q={odd}"), &[ALICE]).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{odd}");
    }
    for byte in 0x80..=0xff_u8 {
        for target in [&b"/auth/x?q="[..], b"/auth/"] {
            let head = [b"GET ", target, &[byte], b" HTTP/1.1\r\nHost: a\r\nX-Forwarded-User: alice\r\n\r\n"].concat();
            let (answer, mut connection) = answer_to(&service, head).await;
            assert_eq!((answer.status, answer.header("x-chat-user-id")), (200, Some("alice")), "{byte:#x}");
            assert_eq!(connection.ask("GET", "/auth", &[ALICE]).await.status, 200, "the connection goes on");
        }
    }
    let answer = service.ask("GET", "/auth/<#>", &[ALICE]).await;
    assert_eq!(answer.status, 200, "a fragment is no part of an address, as elsewhere");
    for control in ["\0", "\t", " ", "\u{7f}", "a b"] {
        let (answer, _open) = answer_to(&service, request("GET", &format!("/auth/{control}"), &[ALICE], b"")).await;
        assert_eq!(answer.code(), "request_malformed", "{control:?}");
    }
}

// Limits and refusals.

/// T-68: however a head is cut into packets, it has one outcome.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_the_same_however_a_head_is_cut() {
    let service = Service::local().await;
    let empty = request("GET", "/auth", &[ALICE, ("Cookie", "")], b"").len();
    for (bytes, status) in [(32_768, 200), (32_769, 431), (40_000, 431)] {
        let head = request("GET", "/auth", &[ALICE, ("Cookie", &"x".repeat(bytes - empty))], b"");
        assert_eq!(head.len(), bytes);
        for size in [usize::MAX, 32_768, 8192, 1000, 97] {
            let (answer, _open) = answer_in_pieces(&service, &head, size).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, status, "{bytes} bytes in pieces of {size}");
            assert_eq!(status == 431, answer.header("connection") == Some("close"));
        }
    }
}

/// T-68: no head is refused in silence, and none of it is told.
#[tokio::test(flavor = "multi_thread")]
async fn every_refused_head_is_answered_counted_and_told() {
    let service = Service::local().await;
    let long = format!("GET / HTTP/1.1\r\nHost: canary\r\nCookie: {}\r\n\r\n", "canary".repeat(6000));
    let lines = format!("GET / HTTP/1.1\r\nHost: canary\r\n{}\r\n", "X: canary\r\n".repeat(101));
    let address = format!("GET /{} HTTP/1.1\r\nHost: canary\r\n\r\n", "canary".repeat(6000));
    let mut told = 0;
    for (head, status, code, reason) in [
        (&long[..], 431, "head_too_large", "too_large"),
        (&lines, 431, "head_too_large", "too_many_lines"),
        (&address, 414, "target_too_long", "target_too_long"),
        ("GET /ca nary HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_malformed", "target"),
        ("GET /canary\r\nHost: a\r\n\r\n", 400, "request_malformed", "version"),
        ("GET /canary HTTP/3.0\r\nHost: a\r\n\r\n", 400, "request_malformed", "version"),
        ("GET /canary HTTP/1.1\nHost: a\r\n\r\n", 400, "request_malformed", "line"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n canary\r\n\r\n", 400, "request_malformed", "line"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: canary\r\n\r\n", 400, "request_malformed", "length"),
        ("GET / HTTP/1.1\r\nX: canary\r\n\r\n", 400, "request_malformed", "host_missing"),
        ("CA(NARY / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_malformed", "malformed"),
        ("GET / HTTP/1.1\r\nHost: a\r\nCanary\r\n\r\n", 400, "request_malformed", "malformed"),
        ("GET / HTTP/1.1\r\nHost: a\r\nCana ry: x\r\n\r\n", 400, "request_malformed", "malformed"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: cana\x01ry\r\n\r\n", 400, "request_malformed", "malformed"),
    ] {
        let before = refusals(&service, reason).await;
        let (answer, mut connection) = answer_to(&service, head).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{reason}: {answer:?}");
        for name in ["x-request-id", "date"] {
            assert!(answer.header(name).is_some(), "{reason}: {name}");
        }
        assert_eq!(answer.header("connection"), Some("close"), "{reason}");
        assert!(connection.is_closed().await, "{reason}");
        assert!((refusals(&service, reason).await - before - 1.0).abs() < 0.1, "{reason} is counted");
        let id = answer.header("x-request-id").expect("an id");
        let line_of = |log: &str| log.lines().find(|line| line.contains(id)).map(str::to_owned);
        // So many lines a second, and each of these is among them: the next waits for its second.
        told += 1;
        if told <= 9 {
            eventually("a line", async || line_of(&service.log()).is_some()).await;
            let line: Value = serde_json::from_str(&line_of(&service.log()).expect("a line")).expect("JSON");
            assert_eq!((line["outcome"].as_str(), line["reason"].as_str()), (Some(code), Some(reason)));
            assert_eq!((line["status"].as_u64(), line["peer"].as_str()), (Some(u64::from(status)), Some("127.0.0.1")));
        }
    }
    assert!(!service.log().to_lowercase().contains("canary"), "{}", service.log());
    let line = "sidemint_requests_total{outcome=\"request_malformed\",route=\"other\"}";
    assert!((service.metric(line).await - 11.0).abs() < 0.1);
    let (answer, mut connection) = answer_to(&service, "GET / HTTP/1.1\r\n\r\n").await;
    assert!(!answer.body.is_empty());
    assert!(connection.is_closed().await);
    let mut connection = service.connect().await;
    let answer = connection.ask("HEAD", "/", &[("Host", "")]).await;
    assert_eq!((answer.status, answer.body.len()), (400, 0));
    assert!(connection.is_closed().await, "not a byte after the head");
}

/// T-68: a client that sends nonsense all day fills no disk.
#[tokio::test(flavor = "multi_thread")]
async fn lines_about_refused_heads_are_few_and_all_are_counted() {
    let service = Service::local().await;
    let begin = std::time::Instant::now();
    for _ in 0..300 {
        answer_to(&service, "GET / HTTP/1.1\r\n\r\n").await;
    }
    let seconds = begin.elapsed().as_secs() + 2;
    assert!((refusals(&service, "host_missing").await - 300.0).abs() < 0.1);
    let lines = service.log_lines(10).await.len();
    assert!(lines >= 10 && u64::try_from(lines).unwrap() <= 10 * seconds, "{lines} lines in {seconds} s");
}

// Bodies that are not read.

/// RFC 9112, 9.6: a client that is told nothing keeps the connection, and loses the next request on it.
#[tokio::test(flavor = "multi_thread")]
async fn an_unread_body_ends_the_connection_and_the_answer_says_so() {
    let service = Service::local().await;
    let chunked = ("Transfer-Encoding", "chunked");
    for (method, path, headers, status) in [
        ("GET", "/auth", &[ALICE, ("Content-Length", "77")][..], 200),
        ("POST", "/auth/x", &[ALICE, chunked], 200),
        ("POST", "/auth", &[ALICE, ("Content-Length", "1000000000000")], 200),
        ("POST", "/auth", &[ALICE, ("Content-Length", "5"), ("Expect", "100-continue")], 200),
        ("POST", "/nowhere", &[("Content-Length", "5")], 404),
        ("PUT", SESSION, &[ALICE, ("Content-Length", "5")], 405),
        ("OPTIONS", SESSION, &[ALICE, ("Content-Length", "5")], 204),
        ("GET", SESSION, &[ALICE, ("Content-Length", "5")], 200),
        ("POST", SESSION, &[("Content-Length", "5")], 401),
        ("POST", SESSION, &[ALICE, ("Content-Length", "9000")], 413),
        ("POST", "/.well-known/jwks.json", &[("Content-Length", "5")], 405),
    ] {
        let (answer, mut connection) = answer_to(&service, request(method, path, headers, b"")).await;
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{method} {path}");
        // What comes late is dropped, and is no request.
        connection.try_send("12345GET /auth HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(connection.is_closed().await, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_here_is_dropped_and_the_connection_goes_on() {
    let service = Service::local().await;
    let mut connection = service.connect().await;
    for (method, path) in
        [("GET", "/auth"), ("POST", "/auth/x"), ("POST", "/nowhere"), ("PUT", SESSION), ("POST", SESSION)]
    {
        for body in [&b"12345"[..], &b" ".repeat(5000)] {
            connection.send(request(method, path, &[], body)).await;
            let answer = connection.answer().await.expect("an answer");
            assert_eq!(answer.header("connection"), None, "{method} {path}");
        }
        connection.send(request(method, path, &[("Transfer-Encoding", "chunked")], b"")).await;
        let _either = connection.answer().await.expect("an answer");
        connection = service.connect().await;
        let chunked = request(method, path, &[("Transfer-Encoding", "chunked")], b"");
        connection.send([&chunked[..], b"5;x=y\r\n12345\r\n0\r\nA: b\r\n\r\n"].concat()).await;
        assert_eq!(connection.answer().await.expect("an answer").header("connection"), None, "{method} {path}");
        assert_eq!(connection.ask("GET", "/auth", &[ALICE]).await.status, 200);
    }
}

/// T-48: a body in chunks that two hops could end differently ends the connection.
#[tokio::test(flavor = "multi_thread")]
async fn what_are_no_chunks_is_the_end_of_the_connection() {
    let service = Service::local().await;
    for body in [
        "5\n12345\r\n0\r\n\r\n",
        "0x5\r\n12345\r\n0\r\n\r\n",
        "5 \r\n12345\r\n0\r\n\r\n",
        "5;\n12345\r\n0\r\n\r\n",
        "0\r\n\n",
    ] {
        for path in ["/auth", SESSION] {
            let head = request("POST", path, &[ALICE, ("Transfer-Encoding", "chunked")], b"");
            let next = request("GET", "/auth", &[ALICE], b"");
            let (answer, mut connection) = answer_to(&service, [&head[..], body.as_bytes(), &next[..]].concat()).await;
            assert_eq!(answer.header("connection"), Some("close"), "{path} {body:?}");
            assert!(connection.is_closed().await, "{path} {body:?}: a second answer");
        }
    }
}
