//! The contract of the auth subrequest: what every reverse proxy that asks may rely on (A1 to A14).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use sidemint::config::Environment;

use crate::client::{Answer, request};
use crate::fakes::http::Script;
use crate::fakes::sendsar::{Sendsar, subject_of};
use crate::harness::{SESSION, Service, clock, config};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");
const OPTIONAL: &str = "/auth";
const REQUIRED: &str = "/guard";
const SET: [&str; 6] = [
    "x-chat-token",
    "x-chat-token-expires-at",
    "x-chat-api-url",
    "x-chat-user-id",
    "x-chat-display-name",
    "x-chat-status",
];

async fn start() -> (Service, Sendsar) {
    Service::sendsar_with("retries = 0", &[]).await
}

/// What holds for every answer, whatever its status (A3, A6, A7, A8, A12, A13).
fn assert_contract(answer: &Answer) {
    assert_eq!(answer.header("content-length"), Some("0"), "{answer:?}");
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.header("content-type"), None, "there is no content");
    assert_eq!(answer.header("cache-control"), Some("no-store, private"));
    assert!(answer.header("vary").expect("Vary").contains("x-forwarded-user"));
    assert_eq!(answer.header("location"), None);
    let sent: BTreeSet<&str> =
        answer.headers.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("x-chat")).collect();
    if answer.status == 200 {
        assert_eq!(sent, SET.into(), "the complete set");
    } else {
        assert_eq!(sent, BTreeSet::new(), "no chat header");
        assert_eq!(answer.header("x-envoy-auth-headers-to-remove"), None);
    }
    for (name, value) in &answer.headers {
        assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{name}: {value}");
    }
    assert_eq!(answer.header("www-authenticate"), (answer.status == 401).then_some("Bearer"));
}

/// A 200 without a session: everything empty but the status, and Envoy told to drop the client's own headers (A6).
fn assert_empty(answer: &Answer, status: &str) {
    assert_contract(answer);
    assert_eq!((answer.status, answer.header("x-chat-status")), (200, Some(status)));
    for name in &SET[..5] {
        assert_eq!(answer.header(name), Some(""), "{name}");
    }
    let removed = answer.header("x-envoy-auth-headers-to-remove").expect("a list");
    assert_eq!(removed.split(',').collect::<BTreeSet<_>>(), SET[..5].iter().copied().collect());
}

/// A 200 with a session.
fn assert_session(answer: &Answer, user: &str) {
    assert_contract(answer);
    assert_eq!((answer.status, answer.header("x-chat-status")), (200, Some("ok")));
    assert_eq!(subject_of(answer.header("x-chat-token").unwrap()), user);
    assert_eq!(answer.header("x-chat-token-expires-at"), Some("2026-05-04T19:40:00.000Z"));
    assert_eq!(answer.header("x-chat-api-url"), Some("https://api.sendsar.com/v1"));
    assert_eq!(answer.header("x-chat-user-id"), Some(user));
    assert_eq!(answer.header("x-envoy-auth-headers-to-remove"), None, "nothing is empty");
}

fn assert_denied(answer: &Answer, status: u16) {
    assert_contract(answer);
    assert_eq!(answer.status, status, "{answer:?}");
}

/// A1, A3, A14.
#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_answered_alike_on_one_connection() {
    let (service, fake) = start().await;
    let mut connection = service.connect().await;
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "X"] {
        for path in [OPTIONAL, REQUIRED] {
            let answer = connection.ask(method, path, &[ALICE]).await;
            assert_session(&answer, "alice");
            let visitor = connection.ask(method, path, &[]).await;
            if path == OPTIONAL { assert_empty(&visitor, "anonymous") } else { assert_denied(&visitor, 401) }
        }
    }
    assert_eq!(fake.upserts(), 1, "DELETE here is the proxied request's, and signs no user out");
}

/// A2 and T-12.
#[tokio::test(flavor = "multi_thread")]
async fn path_and_query_below_the_prefix_change_nothing() {
    let (service, _fake) = start().await;
    let mut connection = service.connect().await;
    for rest in [
        "",
        "/",
        "/app/page?x=1",
        "?mode=optional",
        "?mode=optional&user=bob",
        "?X-Forwarded-User=bob",
        "/?allow=1",
        "/x/../y//z/%2e%2e/..;/",
        "/%23?#mode=optional",
        "/livez",
        "/api/chat/session",
        "/%ff%00",
    ] {
        assert_session(&connection.ask("GET", &format!("{OPTIONAL}{rest}"), &[ALICE]).await, "alice");
        assert_empty(&connection.ask("GET", &format!("{OPTIONAL}{rest}"), &[]).await, "anonymous");
        assert_session(&connection.ask("GET", &format!("{REQUIRED}{rest}"), &[ALICE]).await, "alice");
        assert_denied(&connection.ask("GET", &format!("{REQUIRED}{rest}"), &[]).await, 401);
    }
}

/// T-12: nothing of what proxies tell about the original request matters.
#[tokio::test(flavor = "multi_thread")]
async fn forwarded_headers_change_nothing() {
    let (service, _fake) = start().await;
    let mut connection = service.connect().await;
    for header in [
        ("User-Agent", "kube-probe/1.34"),
        ("User-Agent", "GoogleHC/1.0"),
        ("X-Forwarded-Uri", "/livez"),
        ("X-Original-URI", "/auth?mode=optional"),
        ("X-Forwarded-Prefix", "/admin"),
        ("X-Original-Method", "OPTIONS"),
        ("X-HTTP-Method-Override", "OPTIONS"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Authorization", "Bearer x"),
        ("X-Chat-Status", "ok"),
        ("X-Chat-Token", "forged"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Origin", "https://evil.example"),
    ] {
        assert_denied(&connection.ask("GET", REQUIRED, &[header]).await, 401);
        assert_empty(&connection.ask("GET", OPTIONAL, &[header]).await, "anonymous");
        assert_session(&connection.ask("GET", REQUIRED, &[header, ALICE]).await, "alice");
    }
}

/// A1, A3.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_ignored_and_the_connection_stays_usable() {
    let (service, _fake) = start().await;
    let mut connection = service.connect().await;
    for (method, path) in [("POST", OPTIONAL), ("GET", OPTIONAL), ("PUT", REQUIRED)] {
        connection.send(request(method, path, &[ALICE], b"{\"user\": \"bob\"}")).await;
        assert_session(&connection.answer().await.expect("an answer"), "alice");
        connection.send(request(method, path, &[], b"user=bob")).await;
        let visitor = connection.answer().await.expect("an answer");
        if path == OPTIONAL { assert_empty(&visitor, "anonymous") } else { assert_denied(&visitor, 401) }
    }
    // Announced, but kept back, as some proxies do: the answer does not wait for it.
    let mut waiting = service.connect().await;
    waiting.send(request("POST", OPTIONAL, &[ALICE, ("Content-Length", "100000")], b"")).await;
    assert_session(&waiting.answer().await.expect("an answer"), "alice");
}

/// The outcome table, row by row, in both modes (A4, A5, A11).
#[tokio::test(flavor = "multi_thread")]
async fn visitors_pass_where_that_is_optional() {
    let (service, fake) = start().await;
    for word in ["", " ", "-", "(null)", "anonymous"] {
        let headers = [("X-Forwarded-User", word)];
        assert_empty(&service.ask("GET", OPTIONAL, &headers).await, "anonymous");
        assert_denied(&service.ask("GET", REQUIRED, &headers).await, 401);
    }
    assert!(fake.calls().is_empty());
}

/// A6: a session may say nothing in one of its headers; Envoy is told to drop the client's own all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_leaves_empty_is_removed_too() {
    let rest = "
[[routes]]
path = \"/auth\"
answer = \"subrequest\"
provider = \"chat\"
[providers.chat]
preset = \"identity-hash\"
public_api_url = \"https://chatwoot.example.com\"
";
    let environment = Environment::of([("IDENTITY_HASH_SECRET", "JNbSzXIEonCFiiOepXyMtcXl")]);
    let service = Service::start(&config(rest, &[]), &environment, clock()).await;
    for _ in ["minted", "kept"] {
        let answer = service.ask("GET", OPTIONAL, &[ALICE]).await;
        assert_contract(&answer);
        assert_eq!((answer.status, answer.header("x-chat-status")), (200, Some("ok")));
        assert_eq!(answer.header("x-chat-token-expires-at"), Some(""), "this token has no end");
        assert_eq!(answer.header("x-envoy-auth-headers-to-remove"), Some("x-chat-token-expires-at"));
    }
    assert_empty(&service.ask("GET", OPTIONAL, &[]).await, "anonymous");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_identity_is_refused_in_both_modes() {
    let (service, fake) = start().await;
    for headers in [
        &[ALICE, ("X-Forwarded-User", "bob")][..],
        &[ALICE, ALICE],
        &[("X-Forwarded-User", "alice, bob")],
        &[ALICE, ("X_Forwarded_User", "bob")],
        &[ALICE, ("X-Forwarded.User", "bob")],
        &[ALICE, ("Connection", "X-Forwarded-User")],
        &[ALICE, ("X-Forwarded-Email", "a@b.example"), ("X-Forwarded-Email", "c@d.example")],
        &[("X-Forwarded-User", "{http.auth.user.id}")],
        &[("X-Forwarded-User", "ro\u{200b}ot")],
        &[("X-Forwarded-Email", "alice@example.org")],
        &[("X-Forwarded-Groups", "admins")],
    ] {
        for path in [OPTIONAL, REQUIRED] {
            assert_denied(&service.ask("GET", path, headers).await, 401);
        }
    }
    assert!(fake.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_may_not_speak_is_refused_in_both_modes() {
    let foreign = [("identity.peers.networks", "[\"192.0.2.0/24\"]")];
    let (service, fake) = Service::sendsar_with("", &foreign).await;
    for path in [OPTIONAL, REQUIRED] {
        assert_denied(&service.ask("GET", path, &[ALICE]).await, 403);
        assert_denied(&service.ask("GET", path, &[]).await, 403);
    }
    assert!(fake.calls().is_empty());
}

/// A11: an outage of the chat is not an outage of the application.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_locks_no_user_out_where_chat_is_optional() {
    for failure in [
        Script::Reset,
        Script::text(500, "text/plain", "oops"),
        Script::text(302, "text/html", ""),
        Script::text(200, "text/html", "<html>captive portal</html>"),
        Script::json(401, &json!({"error": "Invalid API key"})),
        Script::json(200, &json!({"token": ""})),
    ] {
        let (service, fake) = start().await;
        fake.breaks(Some(failure));
        assert_empty(&service.ask("GET", OPTIONAL, &[ALICE]).await, "unavailable");
        let denied = service.ask("GET", REQUIRED, &[ALICE]).await;
        assert_denied(&denied, 503);
        assert!(denied.header("retry-after").is_some());
        fake.breaks(None);
        service.advance(60);
        assert_eq!(service.ask("GET", REQUIRED, &[ALICE]).await.status, 200, "it heals");
    }
}

/// The provider's advice is passed on, as on a session route; where it gave none, ours is the same everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_told_when_to_ask_again() {
    for (advice, told) in [(vec![("Retry-After".to_owned(), "30".to_owned())], "30"), (vec![], "5")] {
        let (service, fake) = start().await;
        fake.breaks(Some(Script::Answer { status: 503, headers: advice, body: b"{}".to_vec() }));
        for path in [SESSION, REQUIRED] {
            assert_eq!(service.ask("GET", path, &[ALICE]).await.header("retry-after"), Some(told), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_user_passes_without_a_token_or_is_refused() {
    let (service, fake) = start().await;
    fake.always("/v1/users", Some(Script::text(429, "application/json", "{}")));
    assert_empty(&service.ask("GET", OPTIONAL, &[ALICE]).await, "limited");
    assert_denied(&service.ask("GET", REQUIRED, &[ALICE]).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_session_is_handed_out_while_the_provider_is_down() {
    let (service, fake) = start().await;
    let first = service.ask("GET", REQUIRED, &[ALICE]).await;
    assert_session(&first, "alice");
    fake.breaks(Some(Script::Reset));
    for _ in 0..5 {
        let answer = service.ask("GET", REQUIRED, &[ALICE]).await;
        assert_eq!(answer.header("x-chat-token"), first.header("x-chat-token"));
    }
}

/// A10: a provider that does not answer is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_provider_is_given_up_at_the_deadline() {
    // Only the route's deadline can end this wait.
    let (service, fake) = Service::sendsar_with("timeout = \"10m\"", &[]).await;
    fake.breaks(Some(Script::Silence));
    for (path, calls) in [(OPTIONAL, 1), (REQUIRED, 2)] {
        let (answer, ()) = tokio::join!(service.ask("GET", path, &[ALICE]), async {
            fake.until(|fake| fake.upserts() == calls).await;
            service.clock.advance(Duration::from_millis(151));
        });
        if path == OPTIONAL { assert_empty(&answer, "unavailable") } else { assert_denied(&answer, 503) }
    }
}

/// A9: nginx reads all headers of an answer into one page of 4 KiB.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_no_proxy_could_take_is_not_sent() {
    let (service, fake) = start().await;
    let minted =
        |bytes| Script::json(200, &json!({"token": "t".repeat(bytes), "expiresAt": "2026-05-04T19:40:00.000Z"}));
    fake.always("/v1/auth/token", Some(minted(4096)));
    assert_empty(&service.ask("GET", OPTIONAL, &[ALICE]).await, "unavailable");
    assert_denied(&service.ask("GET", REQUIRED, &[ALICE]).await, 503);
    let session = service.ask("GET", SESSION, &[ALICE]).await;
    assert_eq!(session.json()["token"].as_str().unwrap().len(), 4096, "JSON has room for it");
    let asked = fake.mints();
    assert_empty(&service.ask("GET", OPTIONAL, &[ALICE]).await, "unavailable");
    assert_denied(&service.ask("GET", REQUIRED, &[ALICE]).await, 503);
    assert_eq!(fake.mints(), asked, "asking again would bring the same");
    fake.always("/v1/auth/token", Some(minted(3000)));
    for path in [OPTIONAL, REQUIRED] {
        let answer = service.ask("GET", path, &[("X-Forwarded-User", "bob")]).await;
        assert_contract(&answer);
        let bytes: usize = answer.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        assert!(bytes < 4000, "{bytes} bytes");
        assert_eq!(answer.header("x-chat-token").map(str::len), Some(3000));
    }
}

/// A8 and T-46.
#[tokio::test(flavor = "multi_thread")]
async fn names_travel_percent_encoded() {
    let (service, _fake) = start().await;
    for (n, (name, sent)) in [
        ("Zo\u{eb} M\u{fc}ller", "Zo%C3%AB%20M%C3%BCller"),
        ("\u{674e}\u{5c0f}\u{9f99}", "%E6%9D%8E%E5%B0%8F%E9%BE%99"),
        ("100%", "100%25"),
        ("a%0d%0aX-Evil: 1", "a%250d%250aX-Evil:%201"),
        ("a\u{560a}\u{560d}b", "a%E5%98%8A%E5%98%8Db"),
        ("a\tb", "a%20b"),
        ("\"x\", y;z\\", "%22x%22%2C%20y%3Bz%5C"),
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("user{n}");
        let answer = service.ask("GET", OPTIONAL, &[("X-Forwarded-User", &user), ("X-Forwarded-Name", name)]).await;
        assert_session(&answer, &user);
        assert_eq!(answer.header("x-chat-display-name"), Some(sent));
        assert_eq!(answer.header("x-evil"), None);
    }
    let answer = service.ask("GET", OPTIONAL, &[("X-Forwarded-User", "j\u{f6}rg w")]).await;
    assert_contract(&answer);
    assert_eq!(answer.header("x-chat-user-id"), Some("j%C3%B6rg%20w"));
}

/// A14.
#[tokio::test(flavor = "multi_thread")]
async fn old_proxies_without_keep_alive_are_served() {
    let (service, _fake) = start().await;
    for path in [OPTIONAL, REQUIRED] {
        let mut connection = service.connect().await;
        connection.send(format!("GET {path} HTTP/1.0\r\nX-Forwarded-User: alice\r\n\r\n")).await;
        assert_session(&connection.answer().await.expect("an answer"), "alice");
        assert!(connection.is_closed().await);
        let mut connection = service.connect().await;
        assert_eq!(connection.ask("HEAD", path, &[ALICE, ("Connection", "close")]).await.status, 200);
        assert!(connection.is_closed().await);
    }
}
