//! The judges are able to judge: each takes what its documents call right, and those that verify refuse the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sidemint::provider::{Alg, generate};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{NOW, Service};
use crate::judge::judge;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// From Pusher's description of its signatures, as the results below.
const PUSHER_KEY: &str = "278d425bdf160c739803";
const PUSHER_SECRET: &str = "7ad3773142a6692b25b8";

fn at(seconds: i64) -> i64 {
    NOW.as_seconds() + seconds
}

/// `order` with some members changed.
fn with(order: &Value, changes: Value) -> Value {
    let mut order = order.clone();
    order.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    order
}

#[test]
fn livekit_mints_and_verifies() {
    let order = json!({
        "key": "devkey", "secret": SECRET, "at": at(0),
        "mint": {"identity": "alice", "name": "Alice", "ttl": 3600, "attributes": {"plan": "pro"}},
        "grant": {"roomJoin": true, "room": "lobby"},
        "room_config": {"agents": [{"agentName": "scribe"}]},
    });
    let minted = judge("livekit.mjs", order);
    let claims = json!({
        "iss": "devkey", "sub": "alice", "name": "Alice", "nbf": at(0), "exp": at(3600), "attributes": {"plan": "pro"},
        "video": {"roomJoin": true, "room": "lobby"},
    });
    let mut got = minted["claims"].as_object().unwrap().clone();
    // Written with every default that there is.
    assert_eq!(got.remove("roomConfig").unwrap()["agents"][0]["agentName"], "scribe");
    assert_eq!(Value::from(got), claims);
    let order = json!({"key": "devkey", "secret": SECRET, "at": at(3599), "token": minted["token"]});
    assert_eq!(judge("livekit.mjs", order.clone())["claims"]["sub"], "alice");
    for (change, code) in [
        (json!({"at": at(3600)}), "ERR_JWT_EXPIRED"),
        (json!({"key": "other"}), "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        (json!({"secret": "other"}), "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"),
    ] {
        assert_eq!(judge("livekit.mjs", with(&order, change))["error"], code);
    }
}

#[test]
fn stream_mints() {
    let order = json!({"key": "key", "secret": SECRET, "user": "alice", "exp": at(3600), "iat": at(0)});
    let minted = judge("stream.mjs", order);
    assert_eq!(minted["claims"], json!({"user_id": "alice", "exp": at(3600), "iat": at(0)}));
    let jose = json!({"token": minted["token"], "secret": SECRET, "checks": {"algorithms": ["HS256"]}, "at": at(0)});
    assert_eq!(judge("jose.mjs", jose.clone())["claims"]["user_id"], "alice");
    for (change, code) in [
        (json!({"at": at(3600)}), "ERR_JWT_EXPIRED"),
        (json!({"checks": {"algorithms": ["HS512"]}}), "ERR_JOSE_ALG_NOT_ALLOWED"),
        (json!({"checks": {"audience": "chat"}}), "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        (json!({"secret": "other"}), "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"),
    ] {
        assert_eq!(judge("jose.mjs", with(&jose, change))["error"], code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jose_verifies_with_a_published_key_set() {
    let service = Service::local().await;
    let token = service.session("alice").await.json()["token"].clone();
    let keys = service.ask("GET", "/.well-known/jwks.json", &[]).await.json();
    let checks = json!({"algorithms": ["EdDSA"], "issuer": "sidemint", "audience": "chat"});
    let order = json!({"token": token, "jwks": keys, "checks": checks, "at": at(0)});
    let seen = judge("jose.mjs", order.clone());
    assert_eq!((&seen["header"]["alg"], &seen["claims"]["sub"]), (&json!("EdDSA"), &json!("alice")));
    let unknown = judge("jose.mjs", with(&order, json!({"jwks": {"keys": []}})));
    assert_eq!(unknown["error"], "ERR_JWKS_NO_MATCHING_KEY");
}

#[test]
fn pusher_signs_what_it_publishes_as_examples() {
    let order = json!({"key": PUSHER_KEY, "secret": PUSHER_SECRET, "socket_id": "1234.1234"});
    let user = judge("pusher.mjs", with(&order, json!({"user": {"id": "12345"}})));
    let auth = "278d425bdf160c739803:4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba";
    assert_eq!(user, json!({"auth": auth, "user_data": "{\"id\":\"12345\"}"}));
    let channel = judge("pusher.mjs", with(&order, json!({"channel": "private-foobar"})));
    let auth = "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
    assert_eq!(channel, json!({"auth": auth}));
    let member = json!({"channel": "presence-foobar", "member": {"user_id": "12345"}});
    assert_eq!(judge("pusher.mjs", with(&order, member))["channel_data"], "{\"user_id\":\"12345\"}");
    let encrypted = json!({"channel": "private-encrypted-foobar", "encryption_key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="});
    assert!(judge("pusher.mjs", with(&order, encrypted))["shared_secret"].is_string());
}

/// The mac was also made with `openssl dgst -sha256 -hmac` from the text that Ably documents.
#[test]
fn ably_signs_a_token_request() {
    let params = json!({
        "clientId": "alice", "ttl": 3_600_000, "timestamp": NOW.as_millis(), "nonce": "0123456789abcdef",
        "capability": {"b": ["subscribe", "publish"], "a": ["*"]},
    });
    let signed = judge("ably.mjs", json!({"key": "app.key:secret", "params": params}));
    let expected = json!({
        "keyName": "app.key", "clientId": "alice", "ttl": 3_600_000, "timestamp": NOW.as_millis(),
        "nonce": "0123456789abcdef", "capability": "{\"a\":[\"*\"],\"b\":[\"publish\",\"subscribe\"]}",
        "mac": "9GzWLEK99d8HUCkC2e9cVLtEu/5jxmhTdio4zvpZB6I=",
    });
    assert_eq!(signed, expected);
}

#[test]
fn twilio_mints() {
    let order = json!({
        "account": "AC1", "key": "SK1", "secret": SECRET, "at": at(0),
        "options": {"identity": "alice", "ttl": 3600}, "grant": {"serviceSid": "IS1"},
    });
    let minted = judge("twilio.mjs", order);
    assert_eq!(minted["header"], json!({"alg": "HS256", "typ": "JWT", "cty": "twilio-fpa;v=1"}));
    let claims = json!({
        "jti": format!("SK1-{}", at(0)), "iss": "SK1", "sub": "AC1", "iat": at(0), "exp": at(3600),
        "grants": {"identity": "alice", "chat": {"service_sid": "IS1"}},
    });
    assert_eq!(minted["claims"], claims);
}

#[test]
fn firebase_mints_and_refuses_reserved_names() {
    let pem = generate(Alg::Rs256).unwrap();
    let account = "signer@chat-test.iam.gserviceaccount.com";
    let order = json!({
        "email": account, "pem": pem.expose_text().unwrap(), "uid": "alice", "claims": {"plan": "pro"}, "tenant": "acme", "at": at(0),
    });
    let minted = judge("firebase.mjs", order.clone());
    let audience = "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit";
    let claims = json!({
        "iss": account, "sub": account, "aud": audience, "uid": "alice", "iat": at(0), "exp": at(3600),
        "claims": {"plan": "pro"}, "tenant_id": "acme",
    });
    assert_eq!((&minted["header"]["alg"], &minted["claims"]), (&json!("RS256"), &claims));
    let refused = judge("firebase.mjs", with(&order, json!({"claims": {"aud": "mine"}})));
    assert_eq!(refused["error"], "auth/argument-error");
}

/// A backend of one's own: answers each path with a status and a body, and remembers what came.
struct Backend {
    url: String,
    seen: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Backend {
    async fn start(answers: Vec<(&'static str, &'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let remember = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (path, request) = serve(stream, &answers).await;
                remember.lock().unwrap().insert(path, request);
            }
        });
        Self { url, seen }
    }

    /// The request to a path, head in lower case.
    fn seen(&self, path: &str) -> String {
        self.seen.lock().unwrap().get(path).cloned().unwrap_or_else(|| panic!("nothing came to {path}"))
    }
}

/// One request of a connection, and its answer.
async fn serve(stream: TcpStream, answers: &[(&str, &str, &str)]) -> (String, String) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).await.unwrap(), 0, "closed within a head");
    }
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let (_, status, answer) = answers.iter().find(|(own, ..)| *own == path).expect("a known path");
    let (kind, length) = ("Content-Type: application/json\r\nConnection: close", answer.len());
    let text = format!("HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{answer}");
    stream.write_all(text.as_bytes()).await.unwrap();
    (path, head + std::str::from_utf8(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_livekit_client_asks_a_token_endpoint() {
    let details = "{\"server_url\": \"wss://media.example\", \"participant_token\": \"e30.e30.x\"}";
    let answers = vec![("/token", "201 Created", details), ("/no", "401 Unauthorized", "{}")];
    let backend = Backend::start(answers).await;
    let order = json!({
        "url": format!("{}/token", backend.url), "headers": {"X-Forwarded-User": "alice"},
        "wishes": {"roomName": "lobby", "participantName": "Alice"},
    });
    let got = judge("livekit-client.mjs", order.clone());
    assert_eq!(got, json!({"serverUrl": "wss://media.example", "participantToken": "e30.e30.x"}));
    let request = backend.seen("/token");
    assert!(request.starts_with("post /token ") && request.contains("\r\nx-forwarded-user: alice\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"room_name\":\"lobby\",\"participant_name\":\"Alice\"}"), "{request}");
    let refused = judge("livekit-client.mjs", with(&order, json!({"url": format!("{}/no", backend.url)})));
    assert!(refused["message"].as_str().unwrap().contains("received 401"), "{refused}");
}

/// Cases of the files of webhooks, in this scheme.
fn webhooks(scheme: &str) -> Vec<Value> {
    let schemes: Value = serde_json::from_str(include_str!("../vectors/webhook-schemes.json")).unwrap();
    let livekit: Value = serde_json::from_str(include_str!("../vectors/livekit-webhook.json")).unwrap();
    let mut all = schemes["schemes"].as_array().unwrap().iter().chain([&livekit]);
    let file = all.find(|file| file["scheme"] == scheme).unwrap_or_else(|| panic!("{scheme}"));
    file["cases"].as_array().unwrap().clone()
}

/// Libraries that providers give to applications judge the cases as we do, but for those that they are known to take.
#[test]
fn libraries_of_webhooks_take_and_refuse_the_cases() {
    let python = ["standardwebhooks", "slack", "twilio"].map(|library| ("webhooks.py", library));
    let node = ["standardwebhooks", "liveblocks", "svix", "stream", "pusher", "livekit", "twilio"];
    for (program, library) in python.into_iter().chain(node.map(|library| ("webhooks.mjs", library))) {
        let schemes: &[&str] = match library {
            "standardwebhooks" | "liveblocks" => &["standard-webhooks"],
            "slack" => &["slack-v0"],
            "livekit" => &["livekit-webhook"],
            "twilio" => &["twilio-form", "twilio-json"],
            scheme => &[scheme],
        };
        // npm pusher does not look at the time. An empty secret is refused when it is configured, which a library does not see.
        let laxer = ["invalid_stale_time_in_body", "invalid_empty_secret_forgery", "either_bearer_prefix"];
        for scheme in schemes {
            let mut cases = webhooks(scheme);
            cases.retain(|case| !laxer.contains(&case["name"].as_str().unwrap()));
            let verdicts = judge(program, json!({"library": library, "verify": cases}));
            assert_eq!(verdicts.as_array().map(Vec::len), Some(cases.len()), "{program}: {library}");
            for (case, verdict) in cases.iter().zip(verdicts.as_array().unwrap()) {
                assert_eq!(&case["valid"], verdict, "{program}: {library}: {}", case["name"]);
            }
        }
    }
}
