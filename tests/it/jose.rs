//! Tokens as others see them: verified by `PyJWT`, which shares no code with ours, against the public keys that we publish.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidemint::clock::Clock as _;
use sidemint::config::Environment;
use sidemint::provider::{Alg, generate};

use crate::harness::{LOCAL, Service, clock, config};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What `PyJWT` says about `order`: header and claims, or the name of its error.
pub fn pyjwt(order: &Value) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".tools/venv/bin/python");
    assert!(python.exists(), "{} is missing: run tests/install-parts", python.display());
    let mut child = Command::new(python)
        .arg(root.join("tests/parts/verify_jwt.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("a pipe").write_all(order.to_string().as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ends");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "verify_jwt.py failed (PyJWT missing? run tests/install-parts): {complaint}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The shipped providers table with this algorithm.
async fn service(alg: &str) -> Service {
    let (alg, shipped) = (format!("\"{alg}\""), shipped());
    Service::start(&config(&shipped, &[("providers.chat.alg", &alg)]), &Environment::default(), clock()).await
}

/// Routes and providers of the shipped configuration.
fn shipped() -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml")).expect("config.toml");
    let mut table: toml::Table = text.parse().expect("TOML");
    table.retain(|section, _| matches!(section, "routes" | "providers"));
    table.to_string()
}

/// The order to verify a session's token with the key set of `service`, as the shipped configuration says.
async fn order(service: &Service, token: &Value, alg: &str) -> Value {
    let keys = service.ask("GET", "/.well-known/jwks.json", &[]).await;
    assert_eq!(keys.header("content-type"), Some("application/jwk-set+json"));
    let now = service.clock.now().as_seconds();
    json!({"token": token, "jwks": keys.json(), "alg": alg, "audience": "chat", "issuer": "sidemint", "now": now})
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_verify_with_the_published_keys() {
    // `Ed25519` is the newer name of EdDSA (RFC 9864); tokens say the one that every verifier knows.
    for (configured, alg) in [("EdDSA", "EdDSA"), ("Ed25519", "EdDSA"), ("ES256", "ES256"), ("RS256", "RS256")] {
        let service = service(configured).await;
        let headers = [("X-Forwarded-User", "alice"), ("X-Forwarded-Name", "Älice \"A\" Liddell")];
        let session = service.ask("GET", "/api/chat/session", &headers).await.json();
        let seen = pyjwt(&order(&service, &session["token"], alg).await);
        let (header, claims) = (&seen["header"], &seen["claims"]);
        let now = service.clock.now().as_seconds();
        let expected = json!({
            "iss": "sidemint", "sub": "alice", "aud": "chat", "iat": now, "exp": now + 3600,
            "name": "Älice \"A\" Liddell",
        });
        assert_eq!(claims, &expected, "{alg}: {seen}");
        assert_eq!((&header["alg"], &header["typ"]), (&json!(alg), &json!("JWT")));
        assert_eq!(session["expiresAt"], "2026-05-04T19:40:00.000Z");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_secret_signs_and_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let path = format!("\"{}\"", file.display());
    let text = config(LOCAL, &[("providers.chat.alg", "\"HS256\""), ("providers.chat.key_file", &path)]);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    let session = service.session("alice").await.json();
    let mut order = order(&service, &session["token"], "HS256").await;
    assert_eq!(order["jwks"], json!({"keys": []}));
    order["secret"] = json!(SECRET);
    assert_eq!(pyjwt(&order)["claims"]["sub"], "alice");
    order["secret"] = json!("fedcba9876543210fedcba9876543210");
    assert_eq!(pyjwt(&order), json!({"error": "InvalidSignatureError"}));
}

/// The verifier is able to refuse: otherwise the tests above would prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_tampered_with_or_signed_by_another_key_does_not_verify() {
    let (service, other) = (service("EdDSA").await, service("EdDSA").await);
    let token = service.session("alice").await.json()["token"].as_str().unwrap().to_owned();
    let good = order(&service, &json!(token), "EdDSA").await;
    assert_eq!(pyjwt(&good)["claims"]["sub"], "alice");
    let parts: Vec<&str> = token.split('.').collect();
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap().replace("alice", "admin");
    let forged = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims), parts[2]);
    let with = |member: &str, value: Value| {
        let mut order = good.clone();
        order[member] = value;
        pyjwt(&order)["error"].clone()
    };
    assert_eq!(with("token", json!(forged)), "InvalidSignatureError");
    // Another service's key under the same id, and its key set as it is.
    let mut keys = order(&other, &json!(token), "EdDSA").await["jwks"].clone();
    assert_eq!(with("jwks", keys.clone()), "KeyError", "the key id is unknown there");
    keys["keys"][0]["kid"] = good["jwks"]["keys"][0]["kid"].clone();
    assert_eq!(with("jwks", keys), "InvalidSignatureError");
    assert_eq!(with("audience", json!("mail")), "InvalidAudienceError");
    assert_eq!(with("issuer", json!("nobody")), "InvalidIssuerError");
    assert_eq!(with("alg", json!("ES256")), "InvalidAlgorithmError");
    assert_eq!(with("now", json!(good["now"].as_i64().unwrap() + 3600)), "ExpiredSignatureError");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_ones_own_arrive_with_their_types() {
    let claims = "{ \
        tenant = \"acme\", level = 7, ratio = 0.5, admin = false, \
        groups = \"{{ user.groups }}\", mail = \"{{ user.email? }}\", name = \"{{ user.display_name | upper }}\", \
        ids = [\"{{ user.id }}\", \"at-{{ identity.source }}\"], \
        nested = { until = \"{{ exp.s }}\", room = { id = \"room-{{ user.id }}\", tags = [1, \"two\"] } } }";
    let text = config(LOCAL, &[("providers.chat.claims", claims)]);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    let headers = [("X-Forwarded-User", "alice"), ("X-Forwarded-Name", "Alice"), ("X-Forwarded-Groups", "staff, chat")];
    let session = service.ask("GET", "/api/chat/session", &headers).await.json();
    let mut claims = pyjwt(&order(&service, &session["token"], "EdDSA").await)["claims"].clone();
    let now = service.clock.now().as_seconds();
    for (own, value) in
        [("iss", json!("sidemint")), ("sub", json!("alice")), ("aud", json!("chat")), ("iat", json!(now))]
    {
        assert_eq!(claims.as_object_mut().unwrap().remove(own), Some(value));
    }
    let expected = json!({
        "tenant": "acme", "level": 7, "ratio": 0.5, "admin": false, "groups": ["staff", "chat"], "name": "ALICE",
        "ids": ["alice", "at-plain"], "exp": now + 3600,
        "nested": {"until": now + 3600, "room": {"id": "room-alice", "tags": [1, "two"]}},
    });
    assert_eq!(claims, expected, "and no mail: there is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_id_of_ones_own_is_used_in_token_and_key_set() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, generate(Alg::Es256).unwrap().expose()).unwrap();
    let path = format!("\"{}\"", file.display());
    let overrides = [
        ("providers.chat.alg", "\"ES256\""),
        ("providers.chat.key_file", &path),
        ("providers.chat.kid", "\"2026-05\""),
    ];
    let service = Service::start(&config(LOCAL, &overrides), &Environment::default(), clock()).await;
    let session = service.session("alice").await.json();
    let order = order(&service, &session["token"], "ES256").await;
    assert_eq!(order["jwks"]["keys"][0]["kid"], "2026-05");
    let seen = pyjwt(&order);
    assert_eq!((&seen["header"]["kid"], &seen["claims"]["sub"]), (&json!("2026-05"), &json!("alice")));
}

/// Private members (RFC 7518, 6.2.2, 6.3.2; RFC 8037, 2) never leave.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_set_holds_public_members_only() {
    for (alg, members) in [
        ("EdDSA", &["kty", "crv", "x", "use", "alg", "kid"][..]),
        ("ES256", &["kty", "crv", "x", "y", "use", "alg", "kid"]),
        ("RS256", &["kty", "n", "e", "use", "alg", "kid"]),
    ] {
        let keys = service(alg).await.ask("GET", "/.well-known/jwks.json", &[]).await.json();
        let found: Vec<&str> = keys["keys"][0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, members, "{alg}");
    }
}
