//! Key sets of others: fetched ahead of their age, kept when their source is down, and never a lever for a client that sends
//! tokens or answers with them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sidemint::config::Environment;

use crate::client::{Answer, Connection};
use crate::eventually::eventually;
use crate::fakes::http::Script;
use crate::fakes::issuer::{Issuer, KEYS, Signer};
use crate::fakes::provider::Fake;
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw};

const AGE: &str = "sidemint_key_set_fetched_timestamp_seconds{source=\"corp\"}";
const NUMBER: &str = "sidemint_key_set_keys{source=\"corp\"}";
const UNKNOWN: &str = "sidemint_key_set_unknown_total{source=\"corp\"}";

fn looks(outcome: &str) -> String {
    format!("sidemint_key_set_fetches_total{{outcome=\"{outcome}\",source=\"corp\"}}")
}

fn text(keys: &str) -> String {
    config(&format!("{LOCAL}{}", Issuer::source(keys)), &[("identity.source", "\"corp\"")])
}

async fn start(keys: &str) -> Service {
    Service::start(&text(keys), &Environment::default(), clock()).await
}

/// The service with the keys of this issuer in it.
async fn ready(issuer: &Issuer) -> Service {
    let service = start(&issuer.keys()).await;
    service.metric_reaches(&looks("ok"), 1.0).await;
    service
}

async fn ask(connection: &mut Connection, token: &str) -> Answer {
    connection.ask("GET", SESSION, &[("Authorization", &format!("Bearer {token}"))]).await
}

async fn session(service: &Service, token: &str) -> Answer {
    ask(&mut service.connect().await, token).await
}

/// Moves time until the next look at the keys has ended so.
async fn next_look(service: &Service, outcome: &str, seconds: u64) {
    let line = looks(outcome);
    let before = service.metric(&line).await;
    service.advance(seconds);
    service.metric_reaches(&line, before + 1.0).await;
}

/// Waits until a gauge has this value.
async fn metric_becomes(service: &Service, line: &str, value: f64) {
    eventually(&format!("{line} is {value}"), async || (service.metric(line).await - value).abs() < 0.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_verified_with_the_keys_that_were_fetched_at_start() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let service = ready(&issuer).await;
    let answer = session(&service, &signer.token("alice")).await;
    assert_eq!((answer.status, answer.json()["chatUserId"].as_str()), (200, Some("alice")));
    assert_eq!(session(&service, &Signer::new("one").token("mallory")).await.status, 401, "signed by another key");
    assert_eq!((issuer.looks(), service.metric(NUMBER).await), (1, 1.0));
    assert!(service.metric(AGE).await > 1.0e9);
}

/// T-25: a client that sends tokens with key ids of its own making causes one look per cool-down.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unknown_kids_in_ten_seconds_cost_two_looks() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let service = ready(&issuer).await;
    let mut connection = service.connect().await;
    for n in 0..10_000 {
        let token = signer.token_naming(&format!("kid-{n}"), "mallory");
        assert_eq!(ask(&mut connection, &token).await.status, 401);
        service.clock.advance(Duration::from_millis(1));
    }
    assert_eq!(issuer.looks(), 2, "one at start, one for them");
    assert!((service.metric(UNKNOWN).await - 10_000.0).abs() < 0.1);
    // The same key id again is not asked for, though the cool-down is over.
    assert_eq!(session(&service, &signer.token_naming("kid-0", "mallory")).await.status, 401);
    assert_eq!(issuer.looks(), 2);
    assert_eq!(session(&service, &signer.token("alice")).await.status, 200);
    let metrics = service.ops("/metrics").await;
    assert!(!metrics.text().contains("kid-"), "key ids of strangers are no labels");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_found_by_one_look_and_an_old_one_ends() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let service = ready(&issuer).await;
    issuer.publish(&[&new, &old]);
    assert_eq!(session(&service, &new.token("alice")).await.status, 200, "the request waits for the look");
    assert_eq!(session(&service, &old.token("bob")).await.status, 200);
    assert_eq!(issuer.looks(), 2);
    issuer.publish(&[&new]);
    next_look(&service, "ok", 20 * 60).await;
    assert_eq!(session(&service, &old.token("carol")).await.status, 401);
    assert_eq!(session(&service, &new.token("dave")).await.status, 200);
}

/// A hundred requests with one new key are one look.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_miss_a_key_share_one_look() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let service = Arc::new(ready(&issuer).await);
    issuer.publish(&[&old, &new]);
    let asked = (0..100).map(|n| {
        let (service, token) = (Arc::clone(&service), new.token(&format!("user-{n}")));
        tokio::spawn(async move { session(&service, &token).await.status })
    });
    for status in asked.collect::<Vec<_>>() {
        assert_eq!(status.await.unwrap(), 200);
    }
    assert_eq!(issuer.looks(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_looked_at_ahead_of_their_age() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let body = json!({"keys": [signer.jwk()]}).to_string().into_bytes();
    let headers = vec![("Cache-Control".to_owned(), "public, max-age=3600".to_owned())];
    issuer.fake.next(KEYS, Script::Answer { status: 200, headers, body });
    let service = ready(&issuer).await;
    service.advance(48 * 60 - 1);
    assert_eq!(session(&service, &signer.token("alice")).await.status, 200);
    assert_eq!(issuer.looks(), 1, "not before four fifths of its age");
    next_look(&service, "ok", 12 * 60).await;
    // That answer says nothing, so it is twenty minutes from here.
    next_look(&service, "ok", 20 * 60).await;
    assert_eq!(issuer.looks(), 3);
}

/// T-27: an answer that calls itself fresh for longer than keys may be old does not bring about an outage.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_looked_at_before_they_are_too_old() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let body = json!({"keys": [signer.jwk()]}).to_string().into_bytes();
    let headers = vec![("Cache-Control".to_owned(), "max-age=86400".to_owned())];
    issuer.breaks(Some(Script::Answer { status: 200, headers, body }));
    let service = start(&format!("{}max_age = \"1h\"\n", issuer.keys())).await;
    service.metric_reaches(&looks("ok"), 1.0).await;
    next_look(&service, "ok", 59 * 60).await;
    next_look(&service, "ok", 59 * 60).await;
    assert!((service.metric(NUMBER).await - 1.0).abs() < 0.1);
}

/// A service whose users and caller come with tokens of two issuers, and the keys of both in it.
async fn with_caller(users: &Issuer, callers: &Issuer) -> Service {
    let cluster = Issuer::source(&callers.keys()).replace("sources.corp", "sources.cluster");
    let cluster = cluster.replace("Authorization", "X-Caller-Token");
    let own = [
        ("identity.source", "\"corp\""),
        ("identity.sources.corp.jwt.require_peer", "true"),
        ("identity.peers.networks", "[\"192.0.2.0/24\"]"),
        ("identity.callers.shop.token", "{ source = \"cluster\", subjects = [\"shop\"] }"),
    ];
    let text = config(&format!("{LOCAL}{}{cluster}", Issuer::source(&users.keys())), &own);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    for source in ["corp", "cluster"] {
        service.metric_reaches(&looks("ok").replace("corp", source), 1.0).await;
    }
    service
}

async fn status(service: &Service, user: &str, caller: &str) -> u16 {
    let bearer = format!("Bearer {user}");
    let headers = [("Authorization", bearer.as_str()), ("X-Caller-Token", caller)];
    service.connect().await.ask("GET", SESSION, &headers).await.status
}

/// A token that proves a caller is looked after like one that names a user, where both are asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_of_a_callers_token_is_found_beside_a_users_token() {
    let (signer, old, new) = (Signer::new("user"), Signer::new("old"), Signer::new("new"));
    let (users, callers) = (Issuer::start(&[&signer]).await, Issuer::start(&[&old]).await);
    let service = with_caller(&users, &callers).await;
    callers.publish(&[&new]);
    let alice = signer.token("alice");
    for (caller, expected) in [(&old, 200), (&new, 200), (&old, 401)] {
        assert_eq!(status(&service, &alice, &caller.token("shop")).await, expected);
    }
    assert_eq!((users.looks(), callers.looks()), (1, 2));
}

/// A user's token that names no key could be of one that is new; that its issuer was just asked ends no search.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_of_a_callers_token_is_found_beside_a_users_token_that_names_none() {
    let (signer, old, new) = (Signer::new("user"), Signer::new("old"), Signer::new("new"));
    let (users, callers) = (Issuer::start(&[&signer]).await, Issuer::start(&[&old]).await);
    let service = with_caller(&users, &callers).await;
    // So the issuer of users is not asked again for ten seconds.
    let evil = Signer::new("evil").token_naming("", "mallory");
    assert_eq!(status(&service, &evil, &old.token("shop")).await, 401);
    assert_eq!((users.looks(), callers.looks()), (2, 1));
    callers.publish(&[&new]);
    assert_eq!(status(&service, &signer.token_naming("", "alice"), &new.token("shop")).await, 200);
    assert_eq!((users.looks(), callers.looks()), (2, 2));
}

/// T-26: an answer that is not what it must be changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_answers_leave_the_last_good_keys() {
    let signer = Signer::new("one");
    let evil = Signer::new("evil");
    let issuer = Issuer::start(&[&signer]).await;
    let service = ready(&issuer).await;
    let many: Vec<Value> = (0..1000).map(|_| evil.jwk()).collect();
    let keys = |keys: Value| Script::json(200, &json!({ "keys": keys }));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let deep = format!("{{\"keys\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let symmetric = json!({"kty": "oct", "kid": "evil", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    let huge = format!("{head}Content-Length: 10000000\r\n\r\n{{");
    let endless = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n";
    for (what, script, outcome) in [
        ("oversized, and says so", Script::Stall(huge.into_bytes()), "too_large"),
        (
            "oversized without end",
            Script::Endless(
                endless.into_bytes(),
                b"400\r\n".iter().chain([b' '; 1024].iter()).chain(b"\r\n").copied().collect(),
            ),
            "too_large",
        ),
        ("a thousand keys", keys(Value::Array(many)), "content"),
        ("a page", Script::text(200, "text/html", "<!doctype html><title>Sign in</title>"), "content"),
        ("a redirect", Script::Raw(redirect.as_bytes().to_vec()), "status"),
        ("an error", Script::text(500, "application/json", "{}"), "status"),
        ("another document", Script::json(200, &json!({"issuer": "x"})), "content"),
        ("no keys", keys(json!([])), "content"),
        ("keys that are no list", keys(json!({"kid": "evil"})), "content"),
        ("a shared secret", keys(json!([symmetric])), "content"),
        ("broken JSON", Script::text(200, "application/json", "{\"keys\":["), "content"),
        ("deep JSON", Script::text(200, "application/json", deep), "content"),
        ("a cut answer", Script::Raw(format!("{head}Content-Length: 100\r\n\r\n{{").into_bytes()), "broken"),
        ("nothing", Script::Reset, "broken"),
    ] {
        issuer.breaks(Some(script));
        next_look(&service, outcome, 20 * 60).await;
        assert_eq!(session(&service, &signer.token(what)).await.status, 200, "{what}");
        assert!((service.metric(NUMBER).await - 1.0).abs() < 0.1, "{what}");
        assert_eq!(session(&service, &evil.token("mallory")).await.status, 503, "{what}: it cannot be known");
        issuer.breaks(None);
        next_look(&service, "ok", 5 * 60).await;
        assert_eq!(session(&service, &evil.token("mallory")).await.status, 401, "{what}");
    }
    assert_eq!(service.ops("/readyz").await.status, 200);
}

/// T-26: a source that takes its time holds up no token with a known key, and the rest for three seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_source_is_given_three_seconds() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let service = Arc::new(ready(&issuer).await);
    issuer.breaks(Some(Script::Silence));
    let (own, token) = (Arc::clone(&service), signer.token_naming("new", "bob"));
    let waiting = tokio::spawn(async move { session(&own, &token).await });
    eventually("the source is asked", async || issuer.looks() == 2).await;
    assert_eq!(session(&service, &signer.token("alice")).await.status, 200);
    service.advance(2);
    assert!(!waiting.is_finished());
    service.advance(1);
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("identity_unavailable")));
    assert!((service.metric(&looks("timeout")).await - 1.0).abs() < 0.1);
}

/// T-26: two keys with one id are both tried; the id alone proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_share_an_id_are_both_tried() {
    let (one, other) = (Signer::new("same"), Signer::new("same"));
    let issuer = Issuer::start(&[&one, &other]).await;
    let service = ready(&issuer).await;
    assert_eq!(session(&service, &one.token("alice")).await.status, 200);
    assert_eq!(session(&service, &other.token("bob")).await.status, 200);
    assert_eq!(session(&service, &Signer::new("same").token("mallory")).await.status, 401);
}

/// T-27: an outage of the issuer is not ours: known keys go on, the age shows, readiness stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_leaves_known_keys_in_service_for_a_day() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let service = ready(&issuer).await;
    let since = service.metric(AGE).await;
    issuer.breaks(Some(Script::Reset));
    next_look(&service, "broken", 20 * 60).await;
    let looked = issuer.looks();
    for minute in 0..60 {
        service.advance(60);
        assert_eq!(session(&service, &signer.token(&format!("user-{minute}"))).await.status, 200);
    }
    let more = issuer.looks() - looked;
    assert!((10..=40).contains(&more), "{more} looks in an hour");
    assert!((service.metric(AGE).await - since).abs() < 0.1, "the age grows");
    assert_eq!(service.ops("/readyz").await.status, 200);
    service.advance(24 * 60 * 60);
    metric_becomes(&service, NUMBER, 0.0).await;
    let answer = session(&service, &signer.token("alice")).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("identity_unavailable")));
    assert!(answer.header("retry-after").is_some());
    issuer.breaks(None);
    next_look(&service, "ok", 5 * 60).await;
    assert_eq!(session(&service, &signer.token("alice")).await.status, 200);
}

/// T-27: an issuer that is down at the start keeps the service from being ready, and from nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_starts_without_its_issuer_and_recovers() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    issuer.breaks(Some(Script::Reset));
    let service = start(&issuer.keys()).await;
    service.metric_reaches(&looks("broken"), 1.0).await;
    assert_eq!(service.ops("/livez").await.status, 200);
    let ready = service.ops("/readyz").await;
    assert_eq!((ready.status, ready.json()["reasons"][0]["code"].as_str()), (503, Some("keys_missing")));
    let answer = session(&service, &signer.token("alice")).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("identity_unavailable")));
    issuer.breaks(None);
    next_look(&service, "ok", 20).await;
    assert_eq!(service.ops("/readyz").await.status, 200);
    assert_eq!(session(&service, &signer.token("alice")).await.status, 200);
}

/// T-23: what the issuer says of itself leads to no other issuer, and to no address that is not safe.
#[tokio::test(flavor = "multi_thread")]
async fn a_description_is_believed_within_limits() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let keys = format!("{}{KEYS}", issuer.fake.base_url());
    let description: Arc<std::sync::Mutex<Value>> = Arc::default();
    let told = Arc::clone(&description);
    let fake = Fake::start(move |call| {
        assert_eq!((call.method.as_str(), call.path.as_str()), ("GET", "/realm/.well-known/openid-configuration"));
        Script::json(200, &told.lock().unwrap())
    })
    .await;
    let own = format!("{}/realm", fake.base_url());
    let text = text("discovery = true\nnetwork = \"private\"\n").replace("https://issuer.example", &own);
    let set = |issuer: &str, keys: &str| *description.lock().unwrap() = json!({"issuer": issuer, "jwks_uri": keys});
    set(&format!("{own}/"), &keys);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    service.metric_reaches(&looks("issuer"), 1.0).await;
    for (name, found, outcome) in [
        (own.to_uppercase(), keys.clone(), "issuer"),
        ("https://issuer.example".to_owned(), keys.clone(), "issuer"),
        (own.clone(), "http://169.254.169.254/latest/meta-data".to_owned(), "address"),
        (own.clone(), "http://issuer.example@169.254.169.254/".to_owned(), "address"),
        (own.clone(), keys.replace("127.0.0.1", "user@127.0.0.1"), "address"),
        (own.clone(), "http://issuer.example/keys".to_owned(), "address"),
        (own.clone(), "file:///etc/passwd".to_owned(), "address"),
        (own.clone(), "keys".to_owned(), "content"),
    ] {
        set(&name, &found);
        next_look(&service, outcome, 5 * 60).await;
    }
    assert_eq!(issuer.looks(), 0);
    set(&own, &keys);
    next_look(&service, "ok", 5 * 60).await;
    assert_eq!((issuer.looks(), service.ops("/readyz").await.status), (1, 200));
}

/// T-23: addresses that lead inside are mistakes where keys are public.
#[test]
fn private_addresses_are_refused_for_public_sources() {
    for url in [
        "http://127.0.0.1/keys",
        "https://127.0.0.1/keys",
        "https://[::ffff:10.0.0.1]/keys",
        "https://169.254.169.254/keys",
        "https://user@issuer.example/keys",
        "https://issuer.example/keys#x",
        "http://issuer.example/keys",
    ] {
        let keys = format!("url = \"{url}\"\n");
        let errors = draw(&text(&keys), &Environment::default(), clock()).expect_err(url).to_string();
        assert!(errors.contains("identity.sources.corp") && errors.contains("keys.url: "), "{url}: {errors}");
    }
}

/// T-20: each key has an address of its own; only a UUID becomes one.
#[tokio::test(flavor = "multi_thread")]
async fn keys_with_addresses_of_their_own_are_fetched_when_a_token_names_them() {
    let fake = Fake::start(|_| Script::text(403, "application/xml", "<Error><Code>AccessDenied</Code></Error>")).await;
    let service =
        start(&format!("pem_url = \"{}/{{{{ token.kid }}}}\"\nnetwork = \"private\"\n", fake.base_url())).await;
    assert_eq!(service.ops("/readyz").await.status, 200, "there is nothing to wait for");
    let signer = Signer::new("x");
    for kid in ["", "../x", "%2e%2e", "http://evil.example/", "0123abcd-4567-89ab-cdef-0123456789a/"] {
        assert_eq!(session(&service, &signer.token_naming(kid, "mallory")).await.status, 401, "{kid}");
    }
    assert_eq!(fake.asked(), Vec::<String>::new());
    let kid = |n: u32| format!("{n:08x}-4567-89ab-cdef-0123456789ab");
    for n in 0..100 {
        assert_eq!(session(&service, &signer.token_naming(&kid(n), "mallory")).await.status, 401);
        service.clock.advance(Duration::from_millis(10));
    }
    assert_eq!(fake.asked().len(), 4, "so many per cool-down");
    assert_eq!(fake.asked()[0], format!("GET /{}", kid(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_a_file_are_read_again_when_it_changes() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write(&json!({"keys": [old.jwk()]}).to_string());
    let service = start(&format!("file = \"{}\"\n", path.display())).await;
    assert_eq!(session(&service, &old.token("alice")).await.status, 200);
    write("<html>");
    service.nudge.now();
    service.metric_reaches(&looks("file"), 1.0).await;
    assert_eq!(session(&service, &old.token("alice")).await.status, 200);
    write(&json!({"keys": [new.jwk()]}).to_string());
    service.nudge.now();
    service.metric_reaches(&looks("ok"), 2.0).await;
    assert_eq!(session(&service, &new.token("bob")).await.status, 200);
    assert_eq!(session(&service, &old.token("alice")).await.status, 401);
}

#[test]
fn a_file_that_cannot_be_used_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    for (content, told) in [
        ("{\"keys\": []}", "has no key that verifies signatures"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "holds a public key that cannot be used"),
        ("-----BEGIN CERTIFICATE-----\n", "holds neither a key set nor PUBLIC KEY blocks"),
    ] {
        std::fs::write(&path, content).unwrap();
        let keys = format!("file = \"{}\"\n", path.display());
        let errors = draw(&text(&keys), &Environment::default(), clock()).expect_err(told).to_string();
        assert!(errors.contains("identity.sources.corp.keys.file") && errors.contains(told), "{errors}");
    }
}

#[test]
fn the_summary_tells_where_keys_come_from() {
    let blueprint = draw(&text("url = \"https://issuer.example/keys\"\n"), &Environment::default(), clock()).unwrap();
    let summary = blueprint.to_string();
    assert!(summary.contains("keys of         corp: https://issuer.example/keys\n"), "{summary}");
}
