//! Checks that no Envoy of today sends, and those that a client brings it to send. A client must not be able to make a
//! check fail: where failures are let in (`failure_mode_allow`), it would let itself in (T-57).

use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tonic::Code;

use sidemint::config::Environment;

use super::client::{Check, Wire, ask_with};
use super::{ALICE, GRPC, assert_denied, assert_empty, assert_session, start, start_with};
use crate::harness::{LOCAL, Service, clock, config};
use crate::inputs::with_inputs;

/// T-57: what cannot be read is denied like any other nonsense, and is no failure.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_denied() {
    let (service, fake) = start().await;
    // A field without its length, no field at all, groups in groups, and a method that is no text.
    let no_text = vec![0x0a, 7, 0x22, 5, 0x12, 3, 0x12, 1, 0xff];
    for bytes in [vec![0x0a, 0xff], vec![0xff; 64], vec![0x0b; 20_000], no_text, vec![0; 300 * 1024]] {
        let verdict = ask_with(bytes.clone(), &service).await.unwrap_or_else(|failure| panic!("{failure}"));
        assert_denied(&verdict, Code::Unauthenticated, 401);
    }
    let mut deep = json!("alice");
    for _ in 0..200 {
        deep = json!([deep]);
    }
    let deep = Check::of(&[ALICE]).metadata("envoy.filters.http.jwt_authn", "jwt", &deep);
    assert_denied(&deep.ask(&service).await.unwrap(), Code::Unauthenticated, 401);
    assert!(fake.calls().is_empty());
    let seen = service.metric("sidemint_identity_refusals_total{reason=\"malformed\"}").await;
    assert!((seen - 6.0).abs() < 0.1, "{seen}");
}

/// T-24, T-57: as many lines as fit are no trouble.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_lines_do_no_harm() {
    let (service, fake) = start().await;
    let wire = Wire::to(&service).await;
    let lines = |key: &str, n: usize| {
        let mut check = Check::of(&[]);
        check.lines = vec![HeaderValue { key: key.to_owned(), ..HeaderValue::default() }; n];
        check.ask_over(&wire)
    };
    assert_denied(&lines("", 100_000).await.unwrap(), Code::Unauthenticated, 401);
    assert_empty(&lines("a", 50_000).await.unwrap(), "anonymous");
    assert_denied(&lines("x-forwarded-user", 10_000).await.unwrap(), Code::Unauthenticated, 401);
    assert!(fake.calls().is_empty());
    assert_session(&Check::of(&[ALICE]).ask_over(&wire).await.unwrap(), "alice");
}

/// T-08: headers that are told in two ways at once could name two users.
#[tokio::test(flavor = "multi_thread")]
async fn headers_told_in_two_ways_are_refused() {
    let (service, fake) = start().await;
    let mallory = || [("x-forwarded-user".to_owned(), "mallory".to_owned())].into();
    let mut both = Check::of(&[ALICE]);
    both.http.headers = mallory();
    let mut other = Check::of(&[]);
    other.http.headers = mallory();
    let line = |value: &str, raw: &[u8]| HeaderValue {
        key: "x-forwarded-user".to_owned(),
        value: value.to_owned(),
        raw_value: raw.to_vec(),
    };
    let with = |line: HeaderValue| {
        let mut check = Check::of(&[]);
        check.lines.push(line);
        check
    };
    let mut spellings = Check::of(&[]);
    spellings.lines.clear();
    for name in ["x-forwarded-user", "X-Forwarded-User"] {
        spellings.http.headers.insert(name.to_owned(), "alice".to_owned());
    }
    for check in [both, other, with(line("alice", b"mallory")), with(line("alice", b"alice")), spellings.clone()] {
        assert_denied(&check.ask(&service).await.unwrap(), Code::Unauthenticated, 401);
    }
    assert!(fake.calls().is_empty());
    // One way is enough, whichever; an empty list says nothing beside a filled one.
    for check in [with(line("alice", b"")), with(line("", b"alice"))] {
        assert_session(&check.ask(&service).await.unwrap(), "alice");
    }
    spellings.http.headers.remove("X-Forwarded-User");
    spellings.http.header_map = Some(HeaderMap::default());
    assert_session(&spellings.clone().ask(&service).await.unwrap(), "alice");
    spellings.http.headers.insert("x-forwarded-user".to_owned(), "alice,mallory".to_owned());
    assert_denied(&spellings.ask(&service).await.unwrap(), Code::Unauthenticated, 401);
}

/// T-09: an input that could be two, joined, is none.
#[tokio::test(flavor = "multi_thread")]
async fn joined_inputs_are_refused() {
    let definition = with_inputs().replace("[a-z0-9_-]{1,20}", "[a-z,]{1,20}");
    let text = config(&LOCAL.replace("\"local\"", "\"with-inputs\""), &GRPC);
    let definitions = [("with-inputs", definition.as_str())];
    let service = Service::start_with(&text, &Environment::default(), clock(), &definitions).await;
    let status = async |check: Check| check.ask(&service).await.unwrap().header("x-chat-status").map(str::to_owned);
    let room = |lines: &[(&str, &str)]| Check::of(&[&[ALICE], lines].concat());
    let (one, two) = ([("X-Room", "lobby")], [("X-Room", "a"), ("X-Room", "b")]);
    for (check, told) in [
        (room(&one), "ok"),
        (room(&one).joined(), "ok"),
        (room(&[("X-Room", "a,b")]), "ok"),
        (room(&two), "denied"),
        (room(&two).joined(), "denied"),
    ] {
        assert_eq!(status(check).await.as_deref(), Some(told));
    }
}

/// Joined headers hold text of any language, as separate ones do.
#[tokio::test(flavor = "multi_thread")]
async fn joined_headers_hold_any_text() {
    let (service, _fake) = start().await;
    let check = Check::of(&[ALICE, ("X-Forwarded-Name", "Ålice"), ("Cookie", "a=ö")]).joined();
    let verdict = check.ask(&service).await.unwrap();
    assert_session(&verdict, "alice");
    assert_eq!(verdict.header("x-chat-display-name"), Some("%C3%85lice"));
}

/// T-12, T-57: the host is the client's word. It chooses among the routes for hosts, and it makes nothing fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_route_is_denied() {
    let (service, fake) = hosts().await;
    let check = |host: &str, lines: &[(&str, &str)]| {
        let mut check = Check::of(lines);
        check.http.host = host.to_owned();
        check
    };
    assert_empty(&check("open.test", &[]).ask(&service).await.unwrap(), "anonymous");
    assert_empty(&check("OPEN.test:8443", &[]).ask(&service).await.unwrap(), "anonymous");
    assert_denied(&check("closed.test", &[]).ask(&service).await.unwrap(), Code::Unauthenticated, 401);
    for host in ["other.test", "open.test.", "open.test@other.test", ""] {
        let verdict = check(host, &[ALICE]).ask(&service).await.unwrap_or_else(|failure| panic!("{host}: {failure}"));
        assert_denied(&verdict, Code::PermissionDenied, 404);
    }
    // Headers that look like it choose nothing.
    let forged = [("host", "open.test"), ("x-forwarded-host", "open.test"), (":authority", "open.test")];
    for host in ["closed.test", ""] {
        let verdict = check(host, &forged).ask(&service).await.unwrap();
        assert!(matches!(verdict.status, 401 | 404), "{host}: {verdict:?}");
    }
    assert!(fake.calls().is_empty());
    let lost = service.metric("sidemint_requests_total{outcome=\"not_found\",route=\"other\"}").await;
    assert!((lost - 5.0).abs() < 0.1, "{lost}");
}

async fn hosts() -> (Service, crate::fakes::sendsar::Sendsar) {
    let routes = "[\
        { path = \"/auth\", answer = \"subrequest\", provider = \"chat\", host = \"open.test\" },\
        { path = \"/auth\", answer = \"subrequest\", provider = \"chat\", host = \"closed.test\", mode = \"required\" }]";
    start_with(&[("routes", routes), GRPC[1]]).await
}

/// T-01, T-12: no header of the client stands in for what Envoy itself says.
#[tokio::test(flavor = "multi_thread")]
async fn headers_of_the_client_are_no_word_of_envoy() {
    let only = [
        ("identity.source", "[\"envoy-metadata\", \"envoy-principal\", \"plain\"]"),
        ("identity.sources.envoy-metadata", "{ issuer = \"https://idp.example.com/\", namespace = \"\" }"),
        ("identity.sources.envoy-principal", "{ namespace = \"mesh\" }"),
        ("identity.sources.plain", "{ namespace = \"\" }"),
        ("grpc.route", "\"/guard\""),
    ];
    let (service, fake) = start_with(&only).await;
    let claims: Value = json!({ "iss": "https://idp.example.com/", "sub": "alice", "exp": 4_000_000_000_u64 });
    for (name, value) in [
        ("x-envoy-dynamic-metadata", &*claims.to_string()),
        ("x-envoy-original-path", "/auth"),
        ("x-envoy-peer-metadata", "alice"),
        ("x-envoy-auth-headers-to-remove", "x-chat-token"),
        ("context_extensions", "sidemint.route=/auth"),
        ("metadata_context", &*claims.to_string()),
        (":sidemint.route", "/auth"),
        (":x-forwarded-user", "alice"),
        ("principal", "spiffe://corp/user/alice"),
    ] {
        for check in [Check::of(&[(name, value)]), Check::of(&[(name, value)]).joined()] {
            let verdict = check.ask(&service).await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
            assert_denied(&verdict, Code::Unauthenticated, 401);
        }
    }
    assert!(fake.calls().is_empty());
}
