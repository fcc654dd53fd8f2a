//! Envoy's external authorization over gRPC: the same table as the subrequest, and who may say what in it.

pub mod client;
mod envoy;
mod hostile;
mod identity;
mod strangers;
mod wire;

use std::collections::BTreeSet;

use sidemint::config::Environment;
use tonic::Code;

use crate::fakes::http::Script;
use crate::fakes::sendsar::{Sendsar, subject_of};
use crate::harness::{LOCAL, Service, clock, config, draw};
use client::{Check, Verdict};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");
const SET: [&str; 6] = [
    "x-chat-token",
    "x-chat-token-expires-at",
    "x-chat-api-url",
    "x-chat-user-id",
    "x-chat-display-name",
    "x-chat-status",
];
const GRPC: [(&str, &str); 2] = [("grpc.listen", "\"127.0.0.1:0\""), ("grpc.route", "\"/auth\"")];

async fn start_with(overrides: &[(&str, &str)]) -> (Service, Sendsar) {
    Service::sendsar_with("retries = 0", &[&GRPC, overrides].concat()).await
}

async fn start() -> (Service, Sendsar) {
    start_with(&[]).await
}

/// A session: everything is set.
fn assert_session(verdict: &Verdict, user: &str) {
    assert_eq!((verdict.code, verdict.status, verdict.header("x-chat-status")), (Code::Ok, 200, Some("ok")));
    assert_eq!(subject_of(verdict.header("x-chat-token").unwrap()), user);
    assert_eq!(verdict.header("x-chat-user-id"), Some(user));
    assert_complete(verdict);
}

/// A6: every header of ours is either set or taken away, and nothing else is touched.
fn assert_complete(verdict: &Verdict) {
    let named: Vec<&str> = verdict.set.keys().chain(&verdict.removed).map(String::as_str).collect();
    assert_eq!(named.len(), SET.len(), "{verdict:?}");
    assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), SET.into());
}

fn assert_empty(verdict: &Verdict, status: &str) {
    assert_eq!((verdict.code, verdict.status), (Code::Ok, 200));
    assert_eq!(verdict.set, [("x-chat-status".to_owned(), status.to_owned())].into());
    assert_complete(verdict);
}

/// A7: a denial says nothing of chat.
fn assert_denied(verdict: &Verdict, code: Code, status: u16) {
    assert_eq!((verdict.code, verdict.status), (code, status), "{verdict:?}");
    assert_eq!(verdict.header("cache-control"), Some("no-store, private"));
    assert_eq!(verdict.header("www-authenticate"), (status == 401).then_some("Bearer"));
    assert_eq!(verdict.set.len(), if status == 401 { 2 } else { 1 });
    assert!(verdict.removed.is_empty());
}

/// The table of outcomes in both modes.
#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_that_of_the_subrequest() {
    let (service, fake) = start_with(&[("identity.users.deny", "[\"mallory\"]")]).await;
    let check = |user: &str, route: &str| Check::of(&[("X-Forwarded-User", user)]).route(route);
    for (user, optional, required) in [
        ("", Ok("anonymous"), (Code::Unauthenticated, 401)),
        ("mallory", Ok("denied"), (Code::PermissionDenied, 403)),
        ("{user}", Err(()), (Code::Unauthenticated, 401)),
        ("alice,bob", Err(()), (Code::Unauthenticated, 401)),
    ] {
        let verdict = check(user, "/auth").ask(&service).await.unwrap();
        match optional {
            Ok(status) => assert_empty(&verdict, status),
            Err(()) => assert_denied(&verdict, Code::Unauthenticated, 401),
        }
        let verdict = check(user, "/guard").ask(&service).await.unwrap();
        assert_denied(&verdict, required.0, required.1);
    }
    assert!(fake.calls().is_empty(), "no user was made known");
    for route in ["/auth", "/guard"] {
        assert_session(&check("alice", route).ask(&service).await.unwrap(), "alice");
    }
    fake.breaks(Some(Script::json(503, &serde_json::json!({}))));
    assert_empty(&check("bob", "/auth").ask(&service).await.unwrap(), "unavailable");
    let failure = check("bob", "/guard").ask(&service).await.unwrap_err();
    assert_eq!(failure.code(), Code::Unavailable, "the failure mode of the operator applies");
    assert_session(&check("alice", "/guard").ask(&service).await.unwrap(), "alice");
    // The same counters and lines as over HTTP.
    let count = |route, outcome| format!("sidemint_requests_total{{outcome=\"{outcome}\",route=\"{route}\"}}");
    for (route, outcome, count_of) in
        [("/auth", "anonymous", 1.0), ("/guard", "unauthorized", 3.0), ("/guard", "ok", 2.0)]
    {
        let seen = service.metric(&count(route, outcome)).await;
        assert!((seen - count_of).abs() < 0.1, "{route} {outcome}: {seen}");
    }
    let lines = service.log_lines(13).await;
    assert!(
        lines.iter().any(|line| line["route"] == "/guard" && line["reason"] == "template" && line["status"] == 401)
    );
}

/// T-05: what has no value is taken from the client's request.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_value_is_taken_from_the_client() {
    let (service, _fake) = start().await;
    let forged = SET.map(|name| (name, "forged"));
    let verdict = Check::of(&forged).ask(&service).await.unwrap();
    assert_empty(&verdict, "anonymous");
    assert_eq!(verdict.removed.len(), SET.len() - 1);
    let verdict =
        Check::of(&[&forged[..], &[ALICE, ("X-Forwarded-Name", "Ålice")]].concat()).ask(&service).await.unwrap();
    assert_session(&verdict, "alice");
    assert_eq!((verdict.header("x-chat-display-name"), verdict.removed.len()), (Some("%C3%85lice"), 0));
}

/// A1, A2: method, path and query are the user's own request to the application.
#[tokio::test(flavor = "multi_thread")]
async fn the_request_itself_changes_nothing() {
    let (service, _fake) = start().await;
    for (method, path) in [
        ("POST", "/guard"),
        ("DELETE", "/api/chat/session"),
        ("X", "*"),
        ("CONNECT", ""),
        ("PUT", "/auth?mode=optional"),
    ] {
        let mut check = Check::of(&[ALICE]);
        (check.http.method, check.http.path) = (method.to_owned(), path.to_owned());
        assert_session(&check.ask(&service).await.unwrap(), "alice");
    }
}

/// T-57: what cannot be HTTP is refused, and nothing panics.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_the_letter_of_http_is_refused() {
    let (service, fake) = start().await;
    let mut checks: Vec<Check> = vec![
        Check::of(&[ALICE]).raw("x-a b", b"1"),
        Check::of(&[ALICE]).raw("", b"1"),
        Check::of(&[ALICE]).raw("x-ä", b"1"),
        Check::of(&[ALICE]).raw("x-other", b"a\r\nX-Forwarded-User: bob"),
        Check::of(&[ALICE]).raw("x-other", b"a\0b"),
    ];
    for (method, path, host) in
        [("G T", "/", "h"), ("", "/", "h"), ("GET", "/\u{0}", "h"), ("GET", "/ x", "h"), ("GET", "/", "h\n")]
    {
        let mut check = Check::of(&[ALICE]);
        (check.http.method, check.http.path, check.http.host) = (method.to_owned(), path.to_owned(), host.to_owned());
        checks.push(check);
    }
    let all = checks.len();
    for (n, check) in checks.into_iter().enumerate() {
        let verdict = check.ask(&service).await.unwrap_or_else(|status| panic!("{n}: {status}"));
        assert_denied(&verdict, Code::Unauthenticated, 401);
    }
    assert!(fake.calls().is_empty());
    let seen = service.metric("sidemint_identity_refusals_total{reason=\"malformed\"}").await;
    assert!((seen - f64::from(u32::try_from(all).unwrap())).abs() < 0.1, "{seen}");
    // Bytes that are no text may stand in a header that is not read.
    assert_session(&Check::of(&[ALICE]).raw("x-other", b"\xff\xfe").ask(&service).await.unwrap(), "alice");
    // An empty message is a check of nothing.
    assert_denied(&Check::default().ask(&service).await.unwrap(), Code::Unauthenticated, 401);
}

/// T-12: the route is named in Envoy's configuration, or in ours.
#[tokio::test(flavor = "multi_thread")]
async fn the_route_is_the_one_that_envoy_names() {
    let (service, _fake) = start_with(&[("grpc.route", "\"/guard\"")]).await;
    assert_denied(&Check::of(&[]).ask(&service).await.unwrap(), Code::Unauthenticated, 401);
    assert_empty(&Check::of(&[]).route("/auth").ask(&service).await.unwrap(), "anonymous");
    for unknown in ["/nowhere", "/api/chat/session", "", "/auth/", "auth"] {
        let failure = Check::of(&[ALICE]).route(unknown).ask(&service).await.unwrap_err();
        assert_eq!(failure.code(), Code::Unavailable, "{unknown}");
    }
    // A client has no say in it.
    let forged =
        Check::of(&[("sidemint.route", "/auth"), ("x-sidemint-route", "/auth")]).own("sidemint.route", "/auth");
    assert_denied(&forged.ask(&service).await.unwrap(), Code::Unauthenticated, 401);
}

#[test]
fn mistakes_are_told_with_what_to_write_instead() {
    let second = format!("{LOCAL}[[routes]]\npath = \"/second\"\nanswer = \"subrequest\"\nprovider = \"chat\"\n");
    let none = LOCAL.replace("answer = \"subrequest\"", "answer = \"session\"");
    for (rest, overrides, told) in [
        (LOCAL, &[("grpc.route", "\"/auth\"")][..], "grpc.route: needs grpc.listen"),
        (LOCAL, &[("grpc.listen", "\"nine\"")], "grpc.listen: \"nine\" is not an address; write IP and port"),
        (LOCAL, &[("grpc.port", "9001")], "grpc.port: unknown"),
        (
            LOCAL,
            &[("grpc.listen", "\"127.0.0.1:9001\""), ("ops.listen", "\"127.0.0.1:9001\"")],
            "grpc.listen: is 127.0.0.1:9001, and so is ops.listen; write another address",
        ),
        (
            LOCAL,
            &[("grpc.listen", "\"unix:/run/x\""), ("server.listen", "\"unix:/run/x\"")],
            "grpc.listen: is unix:/run/x, and so is server.listen",
        ),
        (
            &second,
            &[("grpc.listen", "\"127.0.0.1:9001\"")],
            "grpc.route: is missing, and several routes answer subrequests: /auth, /second; name one",
        ),
        (
            LOCAL,
            &[("grpc.listen", "\"127.0.0.1:9001\""), ("grpc.route", "\"/api/chat/session\"")],
            "grpc.route: \"/api/chat/session\" does not answer subrequests; those that do: /auth",
        ),
        (
            LOCAL,
            &[("grpc.listen", "\"127.0.0.1:9001\""), ("grpc.route", "\"/nowhere\"")],
            "grpc.route: no route \"/nowhere\"; those that answer subrequests: /auth",
        ),
        (&none, &[("grpc.listen", "\"127.0.0.1:9001\"")], "grpc.listen: needs a route with answer = \"subrequest\""),
        (
            LOCAL,
            &[
                ("server.listen", "\"unix:/run/front\""),
                ("grpc.listen", "\"0.0.0.0:9001\""),
                ("identity.peers.networks", "[]"),
                ("identity.peers.xfcc", "[\"spiffe://corp/a\"]"),
            ],
            "identity.peers.xfcc: is a header, and only our own sidecar proxy's word counts",
        ),
    ] {
        let errors = draw(&config(rest, overrides), &Environment::default(), clock()).expect_err(told).to_string();
        assert!(errors.contains(told), "{told}\n{errors}");
    }
    let blueprint = draw(&config(LOCAL, &[GRPC[0]]), &Environment::default(), clock()).expect("one route is enough");
    assert!(blueprint.to_string().contains("grpc listener   127.0.0.1:0, answered by /auth\n"), "{blueprint}");
}
