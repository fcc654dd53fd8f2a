//! What proves a peer on each request: a shared secret, a signature, the word of our own mesh proxy, and callers that
//! prove themselves in ways of their own.

use std::path::Path;

use serde_json::{Value, json};
use sidemint::config::Environment;

use crate::canary::Traces;
use crate::client::{Answer, request};
use crate::fakes::sendsar::Sendsar;
use crate::harness::{LOCAL, NOW, SESSION, Service, clock, config, draw, sendsar, sendsar_key};
use crate::judge::judge;
use crate::pki::{Authority, Mount, TlsClient};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");
const SECRET: &str = "CANARYsecret-0123456789";
const OTHER: &str = "CANARYother-9876543210";
const KEY: &str = "CANARYkey-0123456789abcdef0123456789abcdef";
const NEW_KEY: &str = "CANARYnewkey-0123456789abcdef0123456789abcdef";
const GENERATION: &str = "sidemint_peer_secrets_generation";
const REJECTED: &str = "sidemint_peer_secrets_rejected_total";
/// A network that no test comes from.
const FOREIGN: &str = "[\"192.0.2.0/24\"]";

/// The service and its provider, with other peers than all of loopback.
async fn with(overrides: &[(&str, &str)]) -> (Service, Sendsar) {
    Service::sendsar_with("", overrides).await
}

/// Only the evidence of a request counts, and not which peer connects.
const ANYWHERE: (&str, &str) = ("identity.peers.networks", "[]");

async fn refusals(service: &Service, reason: &str) -> f64 {
    service.metric(&format!("sidemint_identity_refusals_total{{reason=\"{reason}\"}}")).await
}

/// The request is refused for `reason`, on every kind of route, and no provider hears of it.
async fn is_refused(service: &Service, fake: &Sendsar, headers: &[(&str, &str)], status: u16, reason: &str) {
    let before = refusals(service, reason).await;
    let calls = fake.calls().len();
    for (method, path) in
        [("GET", SESSION), ("POST", SESSION), ("DELETE", SESSION), ("GET", "/auth"), ("GET", "/guard")]
    {
        let answer = service.ask(method, path, headers).await;
        assert_eq!(answer.status, status, "{method} {path} {reason}: {answer:?}");
        assert_eq!(answer.header("x-chat-token"), None);
    }
    assert!((refusals(service, reason).await - before - 5.0).abs() < 0.1, "{reason} is counted");
    assert_eq!(fake.calls().len(), calls, "{reason}: no provider was asked");
}

async fn is_served(service: &Service, headers: &[(&str, &str)]) {
    let answer = service.ask("GET", SESSION, headers).await;
    assert_eq!((answer.status, answer.json()["chatUserId"].as_str()), (200, Some("alice")), "{headers:?}");
}

// A shared secret.

/// T-01 and T-52: right, wrong, missing, nearly right; nothing but the right one helps, and all others look alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_secret_proves_a_peer() {
    let mount = Mount::of(&[("one", SECRET), ("two", OTHER)]);
    let files = format!("[{}, {}]", mount.toml("one"), mount.toml("two"));
    let (service, fake) = with(&[ANYWHERE, ("identity.peers.secret_files", &files)]).await;
    assert_eq!(service.ops("/readyz").await.status, 200);
    let name = "X-Chat-Peer-Secret";
    is_served(&service, &[ALICE, (name, SECRET)]).await;
    is_served(&service, &[ALICE, (name, OTHER)]).await;
    let long = format!("{SECRET}x");
    let upper = SECRET.to_uppercase();
    let both = format!("{SECRET}, {OTHER}");
    for wrong in ["", "x", &SECRET[1..], &SECRET[..SECRET.len() - 1], &long, &upper, &both] {
        is_refused(&service, &fake, &[ALICE, (name, wrong)], 403, "peer_secret").await;
    }
    is_refused(&service, &fake, &[ALICE], 403, "peer_secret").await;
    is_refused(&service, &fake, &[ALICE, ("Authorization", SECRET)], 403, "peer_secret").await;
    // What is ambiguous proves nothing, even where one of it would.
    let right = (name, SECRET);
    for (more, reason) in [
        (right, "duplicate"),
        ((name, "x"), "duplicate"),
        (("X_Chat_Peer_Secret", "x"), "alias"),
        (("x-chat.peer-secret", "x"), "alias"),
        (("Connection", "X-Chat-Peer-Secret"), "listed_in_connection"),
        (("Connection", "keep-alive, x-chat-peer-secret"), "listed_in_connection"),
    ] {
        is_refused(&service, &fake, &[ALICE, right, more], 401, reason).await;
    }
}

/// T-53: missing and wrong secrets cannot be told apart, and neither can near and far.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_secrets_look_alike() {
    let mount = Mount::of(&[("one", SECRET)]);
    let files = format!("[{}]", mount.toml("one"));
    let (service, _fake) = with(&[ANYWHERE, ("identity.peers.secret_files", &files)]).await;
    let mut seen = Vec::new();
    for headers in [&[ALICE][..], &[ALICE, ("X-Chat-Peer-Secret", "x")], &[ALICE, ("X-Chat-Peer-Secret", &SECRET[1..])]]
    {
        let answer = service.ask("GET", SESSION, headers).await;
        let lines: Vec<_> =
            answer.headers.iter().filter(|(name, _)| name != "x-request-id" && name != "date").cloned().collect();
        seen.push((lines, answer.text().replace(answer.header("x-request-id").unwrap(), "ID")));
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    let lines = service.log_lines(3).await;
    assert!(
        lines.iter().all(|line| line["reason"] == "peer_secret" && line["outcome"] == "peer_untrusted"),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_header_may_carry_the_secret() {
    let mount = Mount::of(&[("one", SECRET)]);
    let files = format!("[{}]", mount.toml("one"));
    let own =
        [ANYWHERE, ("identity.peers.secret_files", &files), ("identity.peers.secret_header", "\"X-Gateway-Key\"")];
    let (service, fake) = with(&own).await;
    is_served(&service, &[ALICE, ("X-Gateway-Key", SECRET)]).await;
    is_refused(&service, &fake, &[ALICE, ("X-Chat-Peer-Secret", SECRET)], 403, "peer_secret").await;
}

/// Every kind must hold: a secret does not make up for the wrong network, nor a network for the secret.
#[tokio::test(flavor = "multi_thread")]
async fn every_configured_kind_must_hold() {
    let mount = Mount::of(&[("one", SECRET), ("key", KEY)]);
    let files = format!("[{}]", mount.toml("one"));
    let shown = ("X-Chat-Peer-Secret", SECRET);
    let (service, fake) = with(&[("identity.peers.networks", FOREIGN), ("identity.peers.secret_files", &files)]).await;
    is_refused(&service, &fake, &[ALICE, shown], 403, "peer_untrusted").await;
    let keys = format!("[{}]", mount.toml("key"));
    let (service, fake) =
        with(&[("identity.peers.secret_files", &files), ("identity.peers.hmac_key_files", &keys)]).await;
    is_refused(&service, &fake, &[ALICE], 403, "peer_secret").await;
    is_refused(&service, &fake, &[ALICE, shown], 403, "peer_signature").await;
    let signed = signature(KEY, 0, "GET", SESSION, "", &[ALICE]);
    is_refused(&service, &fake, &[ALICE, ("X-Chat-Peer-Signature", &signed)], 403, "peer_secret").await;
    is_served(&service, &[ALICE, shown, ("X-Chat-Peer-Signature", &signed)]).await;
}

/// T-58: secrets change while the service runs: two at once, then the old one is gone; what is unusable changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_rotate_without_a_gap() {
    let traces = Traces::capture();
    let mount = Mount::of(&[("one", SECRET), ("two", SECRET)]);
    let files = format!("[{}, {}]", mount.toml("one"), mount.toml("two"));
    let (service, fake) = with(&[ANYWHERE, ("identity.peers.secret_files", &files)]).await;
    let (old, new) = (("X-Chat-Peer-Secret", SECRET), ("X-Chat-Peer-Secret", OTHER));
    is_refused(&service, &fake, &[ALICE, new], 403, "peer_secret").await;
    mount.swap(&[("one", SECRET), ("two", OTHER)]);
    service.metric_reaches(GENERATION, 2.0).await;
    is_served(&service, &[ALICE, old]).await;
    is_served(&service, &[ALICE, new]).await;
    mount.swap(&[("one", OTHER), ("two", OTHER)]);
    service.metric_reaches(GENERATION, 3.0).await;
    is_refused(&service, &fake, &[ALICE, old], 403, "peer_secret").await;
    for files in [
        &[("one", "")][..],
        &[("one", OTHER)],
        &[("one", "CANARYshort"), ("two", OTHER)],
        &[("one", "CANARYwith a space in it"), ("two", OTHER)],
    ] {
        let before = service.metric(REJECTED).await;
        mount.swap(files);
        service.metric_reaches(REJECTED, before + 1.0).await;
        is_served(&service, &[ALICE, new]).await;
        is_refused(&service, &fake, &[ALICE], 403, "peer_secret").await;
    }
    assert!((service.metric(GENERATION).await - 3.0).abs() < 0.1);
    let told = format!("{}{}{}", traces.text(), service.log(), service.ops("/metrics").await.text());
    for secret in [SECRET, OTHER, "CANARYshort", "CANARYwith"] {
        assert!(!told.contains(secret), "{secret} is told");
    }
    assert!(traces.text().contains("new secrets of a peer are unusable; the last good ones stay"));
}

// A signature over the request.

/// The host that requests of these tests name.
const HOST: &str = "sidemint.test";

/// What the example of the documentation signs with `key`, so many seconds from the time of the service.
fn signature(key: &str, after: i64, method: &str, target: &str, body: &str, headers: &[(&str, &str)]) -> String {
    sign_with("peer_signature.py", key, NOW.as_seconds() + after, method, target, body, headers)
}

#[expect(clippy::too_many_arguments, reason = "each is a part of the signed text")]
fn sign_with(
    program: &str,
    key: &str,
    time: i64,
    method: &str,
    target: &str,
    body: &str,
    headers: &[(&str, &str)],
) -> String {
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    let input = json!({
        "key": key, "time": time, "method": method, "host": HOST, "target": target, "body": body, "headers": headers,
    });
    let signed = tokio::task::block_in_place(|| judge(program, input));
    signed["signature"].as_str().expect("a signature").to_owned()
}

async fn signing(extra: &[(&str, &str)]) -> (Service, Sendsar, Mount) {
    let mount = Mount::of(&[("one", KEY), ("two", NEW_KEY)]);
    let keys = format!("[{}, {}]", mount.toml("one"), mount.toml("two"));
    let own = [ANYWHERE, ("identity.peers.hmac_key_files", keys.as_str())];
    let (service, fake) = with(&[&own[..], extra].concat()).await;
    (service, fake, mount)
}

async fn ask_signed(service: &Service, method: &str, body: &str, headers: &[(&str, &str)], signed: &str) -> Answer {
    let mut connection = service.connect().await;
    let all = [headers, &[("X-Chat-Peer-Signature", signed)]].concat();
    connection.send(request(method, SESSION, &all, body.as_bytes())).await;
    connection.answer().await.expect("an answer")
}

/// The worked examples of the documentation, word for word, against the running service: both languages, both keys.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_documented_examples_sign_is_believed() {
    let (service, _fake, _mount) = signing(&[]).await;
    let name = ("X-Forwarded-Name", "Alice");
    for program in ["peer_signature.py", "peer_signature.mjs"] {
        for key in [KEY, NEW_KEY] {
            for (method, body) in [("GET", ""), ("POST", ""), ("POST", "{}")] {
                let headers = [ALICE, name];
                let signed = sign_with(program, key, NOW.as_seconds(), method, SESSION, body, &headers);
                let typed = [&headers[..], &[("Content-Type", "application/json")]].concat();
                let answer = ask_signed(&service, method, body, &typed, &signed).await;
                assert_eq!(answer.status, 200, "{program} {method} {body}: {answer:?}");
            }
            let signed = sign_with(program, key, NOW.as_seconds(), "DELETE", SESSION, "", &[ALICE]);
            assert_eq!(ask_signed(&service, "DELETE", "", &[ALICE], &signed).await.status, 204, "{program}");
        }
    }
}

/// T-01: every part of a request is under the signature; one that was made for another request is worth nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_good_for_one_request() {
    let (service, fake, _mount) = signing(&[]).await;
    let bob = ("X-Forwarded-User", "bob");
    let mail = ("X-Forwarded-Email", "alice@example.org");
    let sign = |method: &str, target: &str, body: &str, headers: &[(&str, &str)]| {
        signature(KEY, 0, method, target, body, headers)
    };
    for (what, signed) in [
        ("another user", sign("GET", SESSION, "", &[bob])),
        ("a header more", sign("GET", SESSION, "", &[ALICE, mail])),
        ("no headers", sign("GET", SESSION, "", &[])),
        ("another method", sign("POST", SESSION, "", &[ALICE])),
        ("another path", sign("GET", "/auth", "", &[ALICE])),
        ("a query", sign("GET", &format!("{SESSION}?a=1"), "", &[ALICE])),
        ("a body", sign("GET", SESSION, "{}", &[ALICE])),
        ("another key", signature(&KEY.replace('0', "1"), 0, "GET", SESSION, "", &[ALICE])),
        ("nonsense", "t=1777920000,v2=00".to_owned()),
        ("nothing", String::new()),
    ] {
        let before = refusals(&service, "peer_signature").await;
        let answer = ask_signed(&service, "GET", "", &[ALICE], &signed).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "peer_untrusted"), "{what}");
        assert!((refusals(&service, "peer_signature").await - before - 1.0).abs() < 0.1, "{what}");
    }
    // A header that was added on the way, and a body that was changed there.
    let signed = sign("GET", SESSION, "", &[ALICE]);
    assert_eq!(ask_signed(&service, "GET", "", &[ALICE, mail], &signed).await.status, 403);
    let signed = sign("POST", SESSION, "{}", &[ALICE]);
    let typed = [ALICE, ("Content-Type", "application/json")];
    assert_eq!(ask_signed(&service, "POST", "{ }", &typed, &signed).await.status, 403);
    assert_eq!(ask_signed(&service, "POST", "", &typed, &signed).await.status, 403);
    assert!(fake.calls().is_empty(), "no provider was asked");
    assert_eq!(ask_signed(&service, "POST", "{}", &typed, &signed).await.status, 200);
    // Two identity headers, or two signatures, are one too many.
    let signed = sign("GET", SESSION, "", &[ALICE]);
    assert_eq!(ask_signed(&service, "GET", "", &[ALICE, ALICE], &signed).await.status, 401);
    let twice = [ALICE, ("X-Chat-Peer-Signature", signed.as_str())];
    assert_eq!(ask_signed(&service, "GET", "", &twice, &signed).await.status, 401);
    assert!((refusals(&service, "duplicate").await - 2.0).abs() < 0.1);
}

/// T-73: a signature for the host of one team is worth nothing at another's, however a host is told; and the form that did
/// not cover it is refused with a reason of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_good_at_one_host() {
    let (service, fake, _mount) = signing(&[]).await;
    let signed = signature(KEY, 0, "GET", SESSION, "", &[ALICE]);
    let at = |host: &'static str| [ALICE, ("Host", host)];
    for host in ["other.example.com", "sidemint.test:8080", "sidemint.test."] {
        let before = refusals(&service, "peer_signature").await;
        assert_eq!(ask_signed(&service, "GET", "", &at(host), &signed).await.status, 403, "{host}");
        assert!((refusals(&service, "peer_signature").await - before - 1.0).abs() < 0.1, "{host}");
    }
    assert!(fake.calls().is_empty(), "no provider was asked");
    assert_eq!(
        ask_signed(&service, "GET", "", &at("Sidemint.TEST"), &signed).await.status,
        200,
        "case is no difference"
    );
    // What the form before this one signed.
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let text = format!("v1\n{}\nGET\n{SESSION}\n{empty}\nx-forwarded-user:alice", NOW.as_seconds());
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, KEY.as_bytes());
    let tag = data_encoding::HEXLOWER.encode(aws_lc_rs::hmac::sign(&key, text.as_bytes()).as_ref());
    let older = format!("t={},v1={tag}", NOW.as_seconds());
    let answer = ask_signed(&service, "GET", "", &[ALICE], &older).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "peer_untrusted"));
    assert!((refusals(&service, "peer_signature_version").await - 1.0).abs() < 0.1);
    // Without a host, as HTTP/1.0 allows, the line is empty.
    let text = format!("v2\n{}\nGET\n\n{SESSION}\n{empty}\nx-forwarded-user:alice", NOW.as_seconds());
    let tag = data_encoding::HEXLOWER.encode(aws_lc_rs::hmac::sign(&key, text.as_bytes()).as_ref());
    let mut connection = service.connect().await;
    let signed = format!("X-Chat-Peer-Signature: t={},v2={tag}", NOW.as_seconds());
    connection
        .send(format!("GET {SESSION} HTTP/1.0\r\nX-Forwarded-User: alice\r\n{signed}\r\n\r\n").into_bytes())
        .await;
    assert_eq!(connection.answer().await.expect("an answer").status, 200);
}

/// T-29: a minute either way, by the clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_lasts_a_minute() {
    let (service, _fake, _mount) = signing(&[]).await;
    for (after, status) in [(0, 200), (60, 200), (61, 403), (-60, 200), (-61, 403), (86_400, 403)] {
        let signed = signature(KEY, after, "GET", SESSION, "", &[ALICE]);
        assert_eq!(ask_signed(&service, "GET", "", &[ALICE], &signed).await.status, status, "{after} s");
    }
    assert!((refusals(&service, "peer_signature_time").await - 3.0).abs() < 0.1);
    let signed = signature(KEY, 0, "GET", SESSION, "", &[ALICE]);
    service.advance(60);
    assert_eq!(ask_signed(&service, "GET", "", &[ALICE], &signed).await.status, 200);
    service.advance(1);
    assert_eq!(ask_signed(&service, "GET", "", &[ALICE], &signed).await.status, 403);
}

/// The examples, and another implementation that makes the text by hand, agree with the committed vectors.
#[test]
fn the_vectors_of_signatures_hold() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/peer-signature.json");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 4);
    for case in cases {
        for program in ["peer_signature.py", "peer_signature.mjs"] {
            let signed = judge(program, case["request"].clone());
            assert_eq!(signed["signature"], case["signature"], "{program}: {}", case["name"]);
        }
        let key = aws_lc_rs::hmac::Key::new(
            aws_lc_rs::hmac::HMAC_SHA256,
            case["request"]["key"].as_str().unwrap().as_bytes(),
        );
        let tag = aws_lc_rs::hmac::sign(&key, case["text"].as_str().unwrap().as_bytes());
        let hex = data_encoding::HEXLOWER.encode(tag.as_ref());
        let time = case["request"]["time"].as_i64().unwrap();
        assert_eq!(case["signature"], format!("t={time},v2={hex}"), "{}", case["name"]);
    }
}

// The mesh.

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// T-01: our own Envoy names the immediate peer last; what stands before that is hearsay.
#[tokio::test(flavor = "multi_thread")]
async fn the_workload_that_envoy_names_proves_a_peer() {
    let (service, fake) = with(&[("identity.peers.xfcc", &format!("[\"{WEB}\"]"))]).await;
    let name = "X-Forwarded-Client-Cert";
    let hash = "By=spiffe://cluster.local/ns/chat/sa/sidemint;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";
    for good in [
        format!("{hash};Subject=\"\";URI={WEB}"),
        format!("{hash};URI=spiffe://cluster.local/ns/evil/sa/x,{hash};Subject=\"O=a, CN=\\\"b\\\"\";URI={WEB}"),
        format!("uri={WEB}"),
    ] {
        is_served(&service, &[ALICE, (name, &good)]).await;
    }
    let large = format!("Cert=\"{}\";URI={WEB}", "a".repeat(33_000));
    for bad in [
        String::new(),
        WEB.to_owned(),
        format!("{hash};URI={WEB}x"),
        format!("{hash};URI={WEB},{hash}"),
        format!("URI={WEB},URI=spiffe://cluster.local/ns/evil/sa/x"),
        format!("Subject=\"URI={WEB}\""),
        format!("Subject=\"x;URI={WEB}\";URI=spiffe://evil"),
        format!("DNS={WEB}"),
        format!("URI={WEB};"),
        format!("URI={WEB}, "),
        format!("URI=\"{WEB}"),
    ] {
        is_refused(&service, &fake, &[ALICE, (name, &bad)], 403, "peer_workload").await;
    }
    is_refused(&service, &fake, &[ALICE], 403, "peer_workload").await;
    assert_ne!(service.ask("GET", SESSION, &[ALICE, (name, &large)]).await.status, 200);
    let right = format!("URI={WEB}");
    is_refused(&service, &fake, &[ALICE, (name, &right), (name, &right)], 401, "duplicate").await;
    is_refused(&service, &fake, &[ALICE, (name, &right), ("X_Forwarded_Client_Cert", "x")], 401, "alias").await;
    is_refused(&service, &fake, &[ALICE, (name, &right), ("Connection", name)], 401, "listed_in_connection").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workload_that_linkerd_names_proves_a_peer() {
    let own = "web.shop.serviceaccount.identity.linkerd.cluster.local";
    let (service, fake) = with(&[("identity.peers.linkerd", &format!("[\"{own}\"]"))]).await;
    is_served(&service, &[ALICE, ("l5d-client-id", own)]).await;
    let longer = format!("x.{own}");
    for bad in ["", "web", &longer, &own[1..], &own.to_uppercase()] {
        is_refused(&service, &fake, &[ALICE, ("l5d-client-id", bad)], 403, "peer_workload").await;
    }
    is_refused(&service, &fake, &[ALICE], 403, "peer_workload").await;
    is_refused(&service, &fake, &[ALICE, ("l5d-client-id", own), ("l5d_client_id", own)], 401, "alias").await;
}

/// T-01: a header of the mesh is worth nothing but from our own proxy.
#[test]
fn words_of_the_mesh_are_taken_from_this_machine_only() {
    let web = format!("[\"{WEB}\"]");
    let linkerd = "[\"web.shop.serviceaccount.identity.linkerd.cluster.local\"]";
    for (networks, fine) in [
        ("[\"127.0.0.0/8\"]", true),
        ("[\"127.0.0.0/8\", \"::1/128\"]", true),
        ("[\"10.1.2.3/32\"]", true),
        ("[]", false),
        ("[\"10.1.0.0/16\"]", false),
        ("[\"127.0.0.0/8\", \"10.1.2.0/31\"]", false),
    ] {
        for (key, value) in [("identity.peers.xfcc", web.as_str()), ("identity.peers.linkerd", linkerd)] {
            let text = config(LOCAL, &[("identity.peers.networks", networks), (key, value)]);
            let outcome = draw(&text, &Environment::default(), clock());
            assert_eq!(outcome.is_ok(), fine, "{key} {networks}");
            assert!(fine || outcome.unwrap_err().to_string().contains(&format!("{key}: is a header")));
        }
    }
}

// Callers.

/// T-01: a caller is believed for what it shows, on the routes that it was given, and no further.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_believed_on_its_own_routes() {
    let mount = Mount::of(&[("shop", SECRET), ("crm", OTHER)]);
    let (shop, crm) = (format!("[{}]", mount.toml("shop")), format!("[{}]", mount.toml("crm")));
    let (service, fake) = with(&[
        ("identity.peers.networks", FOREIGN),
        ("identity.callers.shop.secret_files", &shop),
        ("identity.callers.shop.routes", "[\"/api/chat/session\"]"),
        ("identity.callers.crm.secret_files", &crm),
        ("identity.callers.crm.secret_header", "\"X-Crm-Key\""),
    ])
    .await;
    let (shop, crm) = (("X-Chat-Peer-Secret", SECRET), ("X-Crm-Key", OTHER));
    is_served(&service, &[ALICE, shop]).await;
    is_served(&service, &[ALICE, crm]).await;
    assert_eq!(service.ask("GET", "/auth", &[ALICE, crm]).await.status, 200);
    let calls = fake.calls().len();
    for path in ["/auth", "/guard", "/auth/api/chat/session"] {
        assert_eq!(service.ask("GET", path, &[ALICE, shop]).await.status, 403, "{path}");
    }
    assert!((refusals(&service, "caller_route").await - 3.0).abs() < 0.1);
    assert_eq!(fake.calls().len(), calls);
    // One's secret in the other's header, and nothing at all.
    is_refused(&service, &fake, &[ALICE, ("X-Chat-Peer-Secret", OTHER)], 403, "peer_secret").await;
    is_refused(&service, &fake, &[ALICE, ("X-Crm-Key", SECRET)], 403, "peer_secret").await;
    is_refused(&service, &fake, &[ALICE], 403, "peer_secret").await;
    is_refused(&service, &fake, &[ALICE, shop, ("X_Crm_Key", "x")], 401, "alias").await;
}

/// T-01: one path on two hosts is two routes, and a caller of one is none of the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_a_host_is_named_with_its_host() {
    let mount = Mount::of(&[("shop", SECRET)]);
    let secret = format!("[{}]", mount.toml("shop"));
    let route = |host: &str| format!("{{ path = \"{SESSION}\", {host} answer = \"session\", provider = \"chat\" }}");
    let routes = format!("[{}, {}]", route("host = \"A.example\","), route("host = \"b.example\","));
    let text = |routes: &str, own: &str| {
        let own = [
            ANYWHERE,
            ("identity.callers.shop.secret_files", secret.as_str()),
            ("identity.callers.shop.routes", own),
            ("routes", routes),
        ];
        config(LOCAL, &own)
    };
    let own = format!("[\"a.example{SESSION}\"]");
    let service = Service::start(&text(&routes, &own), &Environment::default(), clock()).await;
    let shop = ("X-Chat-Peer-Secret", SECRET);
    for (host, status) in [("a.example", 200), ("b.example", 403), ("c.example", 404)] {
        assert_eq!(service.ask("GET", SESSION, &[ALICE, shop, ("Host", host)]).await.status, status, "{host}");
    }
    // A path alone is the route of every other host.
    let all = format!("[{}, {}]", route("host = \"a.example\","), route(""));
    let service = Service::start(&text(&all, &format!("[\"{SESSION}\"]")), &Environment::default(), clock()).await;
    for (host, status) in [("a.example", 403), ("b.example", 200)] {
        assert_eq!(service.ask("GET", SESSION, &[ALICE, shop, ("Host", host)]).await.status, status, "{host}");
    }
    let text = text(&routes, &format!("[\"{SESSION}\"]"));
    let errors = draw(&text, &Environment::default(), clock()).expect_err("refused").to_string();
    let told = "identity.callers.shop.routes: no route \"/api/chat/session\"; configured: a.example/api/chat/session, b.example/api/chat/session";
    assert!(errors.contains(told), "{errors}");
}

/// T-01: the caller shows a token of its own (a Kubernetes service account's), and names the user in headers.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_a_token_of_its_own_is_believed() {
    let web = "system:serviceaccount:shop:web";
    let now = NOW.as_seconds();
    let order = |subject: &str, audience: &str, expires: i64| {
        let claims =
            json!({"iss": "https://cluster.example", "aud": audience, "sub": subject, "iat": now, "exp": expires});
        json!({"alg": "RS256", "claims": claims})
    };
    let orders = json!({"orders": [
        order(web, "sidemint", now + 600),
        order("system:serviceaccount:shop:other", "sidemint", now + 600),
        order(web, "another", now + 600),
        order(web, "sidemint", now - 600),
    ]});
    let issued = tokio::task::block_in_place(|| judge("issue.mjs", orders));
    let mount = Mount::of(&[("jwks.json", &issued["jwks"].to_string())]);
    let keys = format!("{{ file = {} }}", mount.toml("jwks.json"));
    let jwt = "{ header = \"Authorization\", algorithms = [\"RS256\"], issuer = \"https://cluster.example\", audience = \"sidemint\" }";
    let token = format!("{{ source = \"cluster\", subjects = [\"{web}\"] }}");
    let own = [
        ("identity.peers.networks", FOREIGN),
        ("identity.sources.cluster.kind", "\"jwt\""),
        ("identity.sources.cluster.jwt", jwt),
        ("identity.sources.cluster.keys", keys.as_str()),
        ("identity.callers.shop.token", token.as_str()),
        ("identity.callers.shop.routes", "[\"/api/chat/session\", \"/guard\"]"),
    ];
    let (service, fake) = with(&own).await;
    let bearer = |n: usize| format!("Bearer {}", issued["tokens"][n].as_str().unwrap());
    let (good, other, elsewhere, expired) = (bearer(0), bearer(1), bearer(2), bearer(3));
    is_served(&service, &[ALICE, ("Authorization", &good)]).await;
    assert_eq!(service.ask("GET", "/guard", &[ALICE, ("Authorization", &good)]).await.status, 200);
    assert_eq!(service.ask("GET", "/auth", &[ALICE, ("Authorization", &good)]).await.status, 403);
    assert_eq!(service.ask("GET", SESSION, &[("Authorization", &good)]).await.status, 401, "the caller is no user");
    is_refused(&service, &fake, &[ALICE], 403, "peer_untrusted").await;
    is_refused(&service, &fake, &[ALICE, ("Authorization", &other)], 403, "peer_workload").await;
    is_refused(&service, &fake, &[ALICE, ("Authorization", &elsewhere)], 401, "audience").await;
    is_refused(&service, &fake, &[ALICE, ("Authorization", &expired)], 401, "expired").await;
    // A token that proves a caller would else name it as a user.
    let both = [&own[..], &[("identity.source", "[\"cluster\", \"plain\"]")]].concat();
    let errors = draw(&config(&sendsar(&fake, ""), &both), &sendsar_key(), clock()).expect_err("refused").to_string();
    assert!(errors.contains("identity.callers.shop.token.source: \"cluster\" names users as well"), "{errors}");
}

/// A caller of its own certificate, beside a proxy of its own network.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_a_certificate_has_its_own_routes() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let mount = Mount::of_pair(&ca.server(), &clients.pem);
    let (crt, key, authority) = (mount.toml("tls.crt"), mount.toml("tls.key"), mount.toml("ca.crt"));
    let text = config(
        LOCAL,
        &[
            ("server.tls.cert_file", crt.as_str()),
            ("server.tls.key_file", &key),
            ("server.tls.client_ca_file", &authority),
            ("identity.peers.networks", "[]"),
            ("identity.callers.shop.certificates", "[\"spiffe://corp/shop\"]"),
            ("identity.callers.shop.routes", "[\"/api/chat/session\"]"),
            ("identity.callers.crm.certificates", "[\"spiffe://corp/crm\"]"),
            ("identity.callers.crm.routes", "[\"/auth\"]"),
        ],
    );
    let service = Service::start(&text, &Environment::default(), clock()).await;
    for (name, status) in [("spiffe://corp/shop", 200), ("spiffe://corp/crm", 403), ("spiffe://corp/x", 403)] {
        let client = TlsClient::new(&ca.pem, Some(&clients.client(name)));
        assert_eq!(client.ask(service.address(), &[ALICE]).await.expect("an answer").status, status, "{name}");
    }
    assert!((refusals(&service, "caller_route").await - 1.0).abs() < 0.1);
    assert!((refusals(&service, "peer_untrusted").await - 1.0).abs() < 0.1);
}

/// T-02: with callers but without `identity.peers`, a peer can be believed; with neither, none, and readiness says so.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_knows_whether_a_peer_could_be_believed() {
    let mount = Mount::of(&[("one", SECRET)]);
    let files = format!("[{}]", mount.toml("one"));
    for (overrides, status) in [
        (vec![ANYWHERE], 503),
        (vec![ANYWHERE, ("identity.peers.unix_uids", "[1000]"), ("identity.peers.secret_files", files.as_str())], 503),
        (vec![ANYWHERE, ("identity.peers.secret_files", &files)], 200),
        (vec![ANYWHERE, ("identity.callers.shop.secret_files", &files)], 200),
    ] {
        let service = Service::start(&config(LOCAL, &overrides), &Environment::default(), clock()).await;
        assert_eq!(service.ops("/readyz").await.status, status, "{overrides:?}");
    }
}

#[test]
fn what_proves_a_peer_is_shown_by_check() {
    let mount = Mount::of(&[("one", SECRET), ("key", KEY)]);
    let (files, keys) = (format!("[{}]", mount.toml("one")), format!("[{0}, {0}]", mount.toml("key")));
    let text = config(
        LOCAL,
        &[
            ("identity.peers.secret_files", files.as_str()),
            ("identity.callers.shop.hmac_key_files", &keys),
            ("identity.callers.shop.routes", "[\"/auth\"]"),
        ],
    );
    let shown = draw(&text, &Environment::default(), clock()).expect("fits").to_string();
    assert!(shown.contains("told by         127.0.0.0/8 + secret in x-chat-peer-secret\n"), "{shown}");
    assert!(shown.contains("told by         caller shop: signed request (one of 2), on /auth\n"), "{shown}");
    assert!(!shown.contains("CANARY"), "{shown}");
}

/// Mistakes are refused at load with what to write instead, and no secret is repeated.
#[test]
fn proof_that_cannot_be_is_refused_at_load() {
    let mount =
        Mount::of(&[("one", "CANARYshort"), ("two", "CANARYwith a space in it"), ("three", SECRET), ("four", "")]);
    let list = |file: &str| format!("[{}]", mount.toml(file));
    let (short, spaced, fine, empty) = (list("one"), list("two"), list("three"), list("four"));
    for (overrides, expected) in [
        (
            vec![("identity.peers.secret_files", short.as_str())],
            "identity.peers.secret_files[0]: holds less than 16 bytes",
        ),
        (
            vec![("identity.peers.secret_files", &spaced)],
            "identity.peers.secret_files[0]: holds characters that a header cannot carry",
        ),
        (vec![("identity.peers.secret_files", &empty)], "identity.peers.secret_files[0]: "),
        (
            vec![("identity.peers.secret_files", "[\"/nonexistent\"]")],
            "identity.peers.secret_files[0]: /nonexistent cannot be read",
        ),
        (vec![("identity.peers.hmac_key_files", &fine)], "identity.peers.hmac_key_files[0]: holds less than 32 bytes"),
        (
            vec![("identity.peers.secret_header", "\"X-Key\"")],
            "identity.peers.secret_header: needs identity.peers.secret_files",
        ),
        (
            vec![("identity.peers.secret_files", &fine), ("identity.peers.secret_header", "\"X_Key\"")],
            "identity.peers.secret_header: \"x_key\" must not hold '_' or '.'",
        ),
        (
            vec![("identity.peers.secret_files", &fine), ("identity.peers.secret_header", "\"X-Forwarded-Email\"")],
            "identity.peers: x-forwarded-email names the user in source \"plain\" and cannot prove a peer as well",
        ),
        (vec![("identity.callers.shop", "{}")], "identity.callers.shop: has nothing that proves it"),
        (
            vec![("identity.callers.shop.networks", "[\"10.0.0.0/8\"]"), ("identity.callers.shop.routes", "[\"/x\"]")],
            "identity.callers.shop.routes: no route \"/x\"; configured: /api/chat/session, /auth",
        ),
        (
            vec![("identity.callers.shop.token", "{ source = \"cluster\", subjects = [\"a\"] }")],
            "identity.callers.shop.token.source: no source \"cluster\"",
        ),
        (
            vec![("identity.callers.shop.token", "{ source = \"authelia\", subjects = [\"a\"] }")],
            "identity.callers.shop.token.source: \"authelia\" tells what a peer says, which is no proof",
        ),
        (
            vec![("identity.callers.shop.token", "{ source = \"authelia\", subjects = [] }")],
            "identity.callers.shop.token.subjects: is empty",
        ),
        (
            vec![("identity.peers.certificates", "[\"CN=web\"]")],
            "identity.peers.certificates: \"CN=web\" is no name of a certificate",
        ),
        (vec![("identity.peers.xfcc", "[\"web\"]")], "identity.peers.xfcc: \"web\" is not a URI"),
        (
            vec![("identity.peers.linkerd", "[\"*.shop\"]")],
            "identity.peers.linkerd: \"*.shop\" is not an identity of Linkerd",
        ),
    ] {
        let errors =
            draw(&config(LOCAL, &overrides), &Environment::default(), clock()).expect_err(expected).to_string();
        assert!(errors.contains(expected), "{expected}:\n{errors}");
        assert!(!errors.contains("CANARY"), "{errors}");
    }
}
