//! Signed tokens through the front door: made by the jose library, which shares no code with ours.

use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sidemint::config::Environment;

use crate::client::Answer;
use crate::harness::{LOCAL, NOW, SESSION, Service, clock, config};
use crate::judge::judge;

/// Whatever must not come out anywhere.
const CANARY: &str = "canary-7d1f";

fn claims(over: Value) -> Value {
    let now = NOW.as_seconds();
    let mut claims =
        json!({ "iss": "https://issuer.example/", "aud": "chat", "sub": "alice", "iat": now, "exp": now + 300 });
    for (name, value) in over.as_object().expect("claims") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("claims").shift_remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn order(alg: &str, over: Value) -> Value {
    json!({ "alg": alg, "claims": claims(over) })
}

/// What the issuer answers to these orders.
struct Issued {
    jwks: Value,
    pems: Value,
    tokens: Vec<String>,
}

fn issue(orders: Vec<Value>) -> Issued {
    let mut issued = judge("issue.mjs", json!({ "orders": orders }));
    let tokens =
        issued["tokens"].as_array().expect("tokens").iter().map(|token| token.as_str().expect("text").to_owned());
    Issued { tokens: tokens.collect(), jwks: issued["jwks"].take(), pems: issued["pems"].take() }
}

/// The service with one source of tokens, whose keys lie in a file; `jwt` is more of its table.
async fn service(algorithms: &[&str], jwks: &Value, jwt: &str) -> (Service, tempfile::TempDir) {
    service_with(algorithms, jwks, jwt, &[]).await
}

/// The same with other settings beside it.
async fn service_with(
    algorithms: &[&str],
    jwks: &Value,
    jwt: &str,
    settings: &[(&str, &str)],
) -> (Service, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, jwks.to_string()).expect("written");
    let source = format!(
        "
[identity.sources.issuer]
kind = \"jwt\"
jwt = {{ header = \"Authorization\", algorithms = {algorithms:?}, issuer = \"https://issuer.example/\", audience = \"chat\"{jwt} }}
claims = {{ name = \"name\", email = \"email\" }}
keys = {{ file = \"{}\" }}
",
        file.display()
    );
    let settings = [&[("identity.source", "\"issuer\"")], settings].concat();
    let text = config(&format!("{LOCAL}{source}"), &settings);
    (Service::start(&text, &Environment::default(), clock()).await, folder)
}

/// The same token as a lenient reader would take it: each part padded as base64 has it, and a last character whose spare
/// bits are not zero.
fn other_spellings(token: &str) -> Vec<String> {
    let parts: Vec<&str> = token.split('.').collect();
    let padded = (0..parts.len()).map(|at| {
        let bytes = URL_SAFE_NO_PAD.decode(parts[at]).expect("base64url");
        let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        parts[at] = URL_SAFE.encode(bytes);
        assert!(parts[at].ends_with('='), "part {at} has no padding to try");
        parts.join(".")
    });
    // The signature's 256 bytes leave four bits of its last character, which is thus A, Q, g or w.
    let (rest, last) = token.split_at(token.len() - 1);
    let next = char::from(last.as_bytes()[0] + 1);
    padded.chain([format!("{rest}{next}")]).collect()
}

async fn with(service: &Service, token: &str) -> Answer {
    service.ask("GET", SESSION, &[("Authorization", &format!("Bearer {token}"))]).await
}

async fn refusals(service: &Service, reason: &str) -> f64 {
    service.metric(&format!("sidemint_identity_refusals_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_every_algorithm_name_the_user() {
    for algorithms in [
        &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..],
        &["ES256", "ES384", "ES512"],
        &["EdDSA", "Ed25519"],
    ] {
        let issued = issue(algorithms.iter().map(|alg| order(alg, json!({}))).collect());
        let (service, _folder) = service(algorithms, &issued.jwks, "").await;
        for token in &issued.tokens {
            let answer = with(&service, token).await;
            assert_eq!((answer.status, &answer.json()["chatUserId"]), (200, &json!("alice")), "{algorithms:?}");
        }
    }
}

/// `Ed25519` (RFC 9864) is `EdDSA` with its one curve: in the configuration, in the key and in the token, each is the other.
#[tokio::test(flavor = "multi_thread")]
async fn ed25519_is_another_name_of_eddsa() {
    let mut issued = issue(
        ["EdDSA", "Ed25519"]
            .map(|alg| json!({ "alg": alg, "header": { "kid": alg }, "claims": claims(json!({})) }))
            .into(),
    );
    for (key, alg) in issued.jwks["keys"].as_array_mut().expect("keys").iter_mut().zip(["Ed25519", "EdDSA"]) {
        key["alg"] = json!(alg);
    }
    for configured in ["EdDSA", "Ed25519"] {
        let (service, _folder) = service(&[configured], &issued.jwks, "").await;
        for token in &issued.tokens {
            assert_eq!(with(&service, token).await.status, 200, "{configured}");
        }
    }
    // Another curve is another algorithm, and no spelling but the registered one is a name.
    let forged = issue(vec![order("ES256", json!({}))]).tokens.remove(0);
    let (service, _folder) = service(&["Ed25519"], &issued.jwks, "").await;
    assert_eq!(with(&service, &forged).await.status, 401);
}

/// Members of a key that are null are not there: some issuers write all that they know.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_key_that_are_null_are_absent() {
    for member in ["alg", "use", "key_ops", "kid", "x5c", "d"] {
        let mut issued = issue(vec![json!({ "alg": "ES256", "claims": claims(json!({})), "header": { "kid": "" } })]);
        issued.jwks["keys"][0][member] = Value::Null;
        let (service, _folder) = service(&["ES256"], &issued.jwks, "").await;
        assert_eq!(with(&service, &issued.tokens[0]).await.status, 200, "{member}");
    }
}

/// An issuer signed these, so no proxy left a placeholder in them (T-16 is for headers).
#[tokio::test(flavor = "multi_thread")]
async fn signed_subjects_are_never_taken_for_placeholders() {
    let subjects = ["{6f9619ff-8b86-d011-b42d-00cf4fc964ff}", "$svc", "${user}", "%a%", "none"];
    let words = ["null", "<no value>", "None"];
    let orders = subjects.iter().chain(&words).map(|sub| order("ES256", json!({ "sub": sub })));
    let issued = issue(orders.collect());
    let (service, _folder) = service(&["ES256"], &issued.jwks, "").await;
    for (subject, token) in subjects.iter().zip(&issued.tokens) {
        assert_eq!(with(&service, token).await.json()["chatUserId"], json!(subject));
    }
    for token in &issued.tokens[subjects.len()..] {
        assert_eq!(with(&service, token).await.status, 401);
    }
}

/// T-17 to T-22, T-28: each attack has its reason inside, and outside they are all alike.
#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_are_refused_with_one_body() {
    // What a key in a token would make us fetch.
    let bait = TcpListener::bind("127.0.0.1:0").expect("a port");
    bait.set_nonblocking(true).expect("a socket");
    let jku = format!("http://{}/jwks.json", bait.local_addr().expect("an address"));
    let first = issue(vec![order("RS256", json!({})), order("ES256", json!({}))]);
    let pem = first.pems["RS256"].as_str().expect("PEM").to_owned();
    let mine = |header: Value, over: Value| json!({ "alg": "RS256", "header": header, "claims": claims(over) });
    let theirs =
        |header: Value| json!({ "alg": "RS256", "by": "theirs", "header": header, "claims": claims(json!({})) });
    let cases = [
        (theirs(json!({})), "signature"),
        (theirs(json!({ "jku": jku, "x5u": jku })), "signature"),
        (theirs(json!({ "kid": "../../etc/passwd" })), "key_unknown"),
        (theirs(json!({ "kid": "k".repeat(10_000) })), "token_header"),
        (
            json!({ "alg": "HS256", "header": { "kid": "RS256" }, "claims": claims(json!({})), "secret": pem }),
            "token_algorithm",
        ),
        (order("ES256", json!({})), "token_algorithm"),
        (mine(json!({ "typ": "logout+jwt" }), json!({})), "token_header"),
        (mine(json!({}), json!({ "iss": "https://issuer.example" })), "issuer"),
        (mine(json!({}), json!({ "aud": "chats" })), "audience"),
        (mine(json!({}), json!({ "aud": null })), "claim"),
        (mine(json!({}), json!({ "exp": null })), "claim"),
        (mine(json!({}), json!({ "exp": NOW.as_seconds() - 30 })), "expired"),
        (mine(json!({}), json!({ "nbf": NOW.as_seconds() + 31 })), "not_yet_valid"),
        (mine(json!({}), json!({ "sub": format!("{CANARY}\u{200b}") })), "character"),
    ];
    let issued = issue(cases.iter().map(|(order, _)| order.clone()).chain([mine(json!({}), json!({}))]).collect());
    let (service, _folder) = service(&["RS256"], &issued.jwks, "").await;
    let good = issued.tokens.last().expect("a good one");
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let (_, rest) = good.split_once('.').expect("parts");
    let none = format!("{}.{}.", part(r#"{"alg":"none"}"#), rest.split_once('.').expect("parts").0);
    let spellings = other_spellings(good).into_iter().map(|token| (token, "token_malformed"));
    let by_hand = [
        (none, "token_malformed"),
        (format!("{}.{rest}", part(r#"{"alg":"nOnE","kid":"RS256"}"#)), "token_algorithm"),
        (format!("{good}.."), "token_malformed"),
        (".".repeat(15_000), "token_malformed"),
        (format!("{good}{}", "A".repeat(16 * 1024)), "too_long"),
    ];
    let cases = cases.iter().zip(&issued.tokens).map(|((_, reason), token)| (token.clone(), *reason));
    let mut bodies = Vec::new();
    for (token, reason) in cases.chain(by_hand).chain(spellings) {
        let before = refusals(&service, reason).await;
        let answer = with(&service, &token).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{reason}");
        assert!((refusals(&service, reason).await - before - 1.0).abs() < 0.1, "{reason}");
        let mut body = answer.json();
        body["requestId"].take();
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(bait.accept().expect_err("no connection came").kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(with(&service, good).await.status, 200);
    let log = service.log();
    assert!(!log.contains(CANARY) && !log.contains(rest), "{log}");
}

/// T-21: a claim that is there twice is two tokens in one, wherever it is and whether or not it is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_there_twice_is_refused_at_every_depth() {
    let good = claims(json!({})).to_string();
    let with = |more: &str| format!("{},{more}}}", good.trim_end_matches('}'));
    let texts = [
        with(r#""sub":"bob""#),
        with(r#""s\u0075b":"bob""#),
        with(r#""x":1,"x":1"#),
        with(r#""realm_access":{"roles":["a"],"roles":["b"]}"#),
        with(r#""x":[[{"a":1,"\u0061":1}]]"#),
    ];
    let fine = with(r#""x":[{"a":1},{"a":{"a":1}}]"#);
    let order = |text: &String| json!({ "alg": "ES256", "text": text });
    let issued = issue(texts.iter().chain([&fine]).map(order).collect());
    let (service, _folder) = service(&["ES256"], &issued.jwks, "").await;
    for (text, token) in texts.iter().zip(&issued.tokens) {
        let before = refusals(&service, "token_malformed").await;
        assert_eq!(self::with(&service, token).await.status, 401, "{text}");
        assert!((refusals(&service, "token_malformed").await - before - 1.0).abs() < 0.1, "{text}");
    }
    assert_eq!(self::with(&service, &issued.tokens[texts.len()]).await.status, 200);
}

/// R2: where a token is asked for, headers that every client can write tell nothing.
#[tokio::test(flavor = "multi_thread")]
async fn plain_headers_beside_a_token_are_nothing() {
    let issued = issue(vec![order("ES256", json!({}))]);
    let (service, _folder) = service(&["ES256"], &issued.jwks, "").await;
    let bearer = format!("Bearer {}", issued.tokens[0]);
    let mallory = ("X-Forwarded-User", "mallory");
    assert_eq!(service.ask("GET", SESSION, &[mallory]).await.status, 401);
    assert_eq!(service.ask("GET", SESSION, &[mallory, ("Authorization", "Basic bWFsbG9yeTp4")]).await.status, 401);
    let both = service.ask("GET", SESSION, &[mallory, ("Authorization", &bearer)]).await;
    assert_eq!(both.json()["chatUserId"], "alice");
    assert!(both.header("vary").is_some_and(|vary| vary.to_lowercase().contains("authorization")), "{both:?}");
    for (headers, reason) in [
        (&[("Authorization", &*bearer), ("Authorization", &*bearer)][..], "duplicate"),
        (&[("Authorization", &*bearer), ("Connection", "Authorization")], "listed_in_connection"),
    ] {
        assert_eq!(service.ask("GET", SESSION, headers).await.status, 401, "{reason}");
        assert!((refusals(&service, reason).await - 1.0).abs() < 0.1, "{reason}");
    }
    service.stop().await;
}

/// T-29: what was verified once holds until it ends, and not a moment longer; a maximum age ends it sooner.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_by_the_clock() {
    let issued = issue(vec![order("EdDSA", json!({}))]);
    for (more, leeway, life) in [("", "\"30s\"", 330), ("", "\"0s\"", 300), (", max_age = \"1m\"", "\"10s\"", 70)] {
        let settings = [("identity.leeway", leeway)];
        let (service, _folder) = service_with(&["EdDSA"], &issued.jwks, more, &settings).await;
        for _ in 0..3 {
            assert_eq!(with(&service, &issued.tokens[0]).await.status, 200);
        }
        service.advance(life - 1);
        assert_eq!(with(&service, &issued.tokens[0]).await.status, 200, "{life}");
        service.advance(1);
        assert_eq!(with(&service, &issued.tokens[0]).await.status, 401, "{life}");
    }
}

/// A proof for itself, unless a peer is asked for as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_needs_no_peer_unless_it_says_so() {
    let issued = issue(vec![order("ES256", json!({}))]);
    for (more, status) in [("", 200), (", require_peer = true", 403)] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, issued.jwks.to_string()).expect("written");
        let source = format!(
            "
[identity.sources.issuer]
kind = \"jwt\"
jwt = {{ header = \"X-Token\", algorithms = [\"ES256\"], issuer = \"https://issuer.example/\", audience = \"chat\"{more} }}
keys = {{ file = \"{}\" }}
",
            file.display()
        );
        let overrides = [("identity.source", "\"issuer\""), ("identity.peers.networks", "[\"192.0.2.0/24\"]")];
        let text = config(&format!("{LOCAL}{source}"), &overrides);
        let service = Service::start(&text, &Environment::default(), clock()).await;
        assert_eq!(service.ask("GET", SESSION, &[("X-Token", &issued.tokens[0])]).await.status, status, "{more}");
    }
}
