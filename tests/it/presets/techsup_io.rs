//! Techsup IO: its vectors, and a fake that refuses what its page does not describe.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sidemint::config::Environment;

use super::vectors;
use crate::eventually::as_time_passes;
use crate::exchange::{Case, Stage};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{NOW, SESSION, Service, clock, config, draw};

pub const SECRET: &str = "test-app-secret";

/// A file with the secret, and the lines of a provider's table that name it.
fn lines(extra: &str) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SECRET).unwrap();
    let path = file.path().display().to_string();
    let lines = format!(
        "preset = \"techsup-io\"\napi_url = \"{{mock}}\"\napp_id = \"my-app-123\"\napp_secret_file = \"{path}\"\n{extra}"
    );
    (file, lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_ends_as_its_vector_says() {
    let file = vectors(include_str!("../../vectors/http-techsup-io.json"));
    let credentials = json!({ "app_id": "my-app-123", "app_secret": SECRET });
    assert_eq!((&file["now"], &file["credentials"]), (&json!(NOW.as_seconds()), &credentials));
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        for retries in [0, 2] {
            let (_secret, provider) = lines("");
            let answer = Case::of(case).play(&Stage { provider, retries, ..Stage::default() }).await;
            assert!(!answer.text().contains(SECRET), "{case}");
        }
    }
}

/// The vector `reserved_claims_from_user_data_dropped`: what a user sends never names a member of `payload`, and what the
/// operator names is refused where the provider has a meaning for it.
#[test]
fn reserved_claims_are_refused_in_the_operator_s_table() {
    let file = vectors(include_str!("../../vectors/http-techsup-io.json"));
    let of_vector = |case: &&Value| case["name"] == "reserved_claims_from_user_data_dropped";
    let case = file["cases"].as_array().unwrap().iter().find(of_vector).unwrap();
    let reserved = case["input"]["extra_claims"].as_object().unwrap().keys().map(String::as_str);
    for name in reserved.chain(["iat", "nbf", "iss", "aud", "sub", "user_id", "name", "{{ user.name }}"]) {
        let (_secret, lines) = lines("");
        let text = config(&route(&lines.replace("{mock}", "http://127.0.0.1:9")), &[]);
        let text = format!("{text}\n[providers.chat.payload]\n\"{name}\" = \"x\"\n");
        let problem = draw(&text, &Environment::default(), clock()).expect_err(name).to_string();
        assert!(problem.contains("providers.chat.payload") && problem.contains(name), "{problem}");
    }
}

fn route(provider: &str) -> String {
    format!(
        "[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"chat\"\n[providers.chat]\n{provider}\n"
    )
}

/// What the page describes, and nothing else.
fn honest(call: &Call) -> Script {
    let error = |status, text: &str| Script::json(status, &json!({ "success": false, "error": text }));
    if (call.method.as_str(), call.path.as_str()) != ("POST", "/api/token") || !call.query.is_empty() {
        return error(404, "Not found");
    }
    let keys = ["authorization", "x-api-key", "x-app-api-key", "x-admin-api-key"];
    if call.header("content-type") != "application/json" || keys.iter().any(|key| !call.header(key).is_empty()) {
        return error(400, "JSON, and no key");
    }
    let mut members = call.members();
    members.sort_unstable();
    if members != ["app_id", "app_secret", "payload"] || !call.json["payload"].is_object() {
        return error(400, "app_id and app_secret are required");
    }
    if call.json["app_secret"] != SECRET || call.json["app_id"] != "my-app-123" {
        return error(401, "Invalid app credentials");
    }
    let end = NOW.plus(Duration::from_secs(86_400)).to_rfc3339();
    Script::json(200, &json!({ "success": true, "token": "T", "expires_in": 86_400, "expires_at": end }))
}

/// The provider as far as it is documented.
pub async fn strict() -> Fake {
    Fake::start(honest).await
}

async fn service(extra: &str, ttl: &str) -> (Service, Fake, tempfile::NamedTempFile) {
    let fake = strict().await;
    let (secret, lines) = lines(extra);
    let text = config(&route(&lines.replace("{mock}", &fake.base_url())), &[]);
    let text = text.replace("answer = \"session\"", &format!("answer = \"session\"\nttl = \"{ttl}\""));
    (Service::start(&text, &Environment::default(), clock()).await, fake, secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payload_says_who_it_is_and_what_the_operator_adds() {
    let (service, fake, _secret) =
        service("[providers.chat.payload]\nteam = \"{{ user.groups | first? }}\"\nplan = 7", "24h").await;
    let headers = [
        ("X-Forwarded-User", "al\"ice"),
        ("X-Forwarded-Name", "A\",\"app_id\":\"victim"),
        ("X-Forwarded-Groups", "staff"),
    ];
    let session = service.ask("GET", SESSION, &headers).await.json();
    assert_eq!((&session["token"], &session["chatUserId"]), (&json!("T"), &json!("al\"ice")));
    assert_eq!(session["apiUrl"], fake.base_url());
    assert_eq!(service.ask("GET", SESSION, &[("X-Forwarded-User", "bob")]).await.status, 200);
    let payloads: Vec<Value> = fake.calls().iter().map(|call| call.json["payload"].clone()).collect();
    let alice = json!({ "user_id": "al\"ice", "name": "A\",\"app_id\":\"victim", "team": "staff", "plan": 7 });
    assert_eq!(payloads, [alice, json!({ "user_id": "bob", "plan": 7 })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_end_before_its_token_and_never_after() {
    for (ttl, end) in [("1h", "2026-05-04T19:40:00.000Z"), ("24h", "2026-05-05T18:40:00.000Z")] {
        let (service, _fake, _secret) = service("", ttl).await;
        assert_eq!(service.session("alice").await.json()["expiresAt"], end, "{ttl}");
    }
    let (service, fake, _secret) = service("", "24h").await;
    for (told, end) in [
        (json!({ "expires_in": 600, "expires_at": "2026-05-04T19:40:00Z" }), "2026-05-04T18:50:00.000Z"),
        (json!({ "expires_in": 86_400, "expires_at": "2026-05-04T19:40:00Z" }), "2026-05-04T19:40:00.000Z"),
        (json!({ "expires_at": "2026-05-04T19:40:00Z" }), "2026-05-04T19:40:00.000Z"),
    ] {
        let mut body = json!({ "success": true, "token": "T" });
        body.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
        fake.next("/api/token", Script::json(200, &body));
        assert_eq!(service.session(&format!("user{}", fake.calls().len())).await.json()["expiresAt"], end, "{told}");
    }
    fake.next("/api/token", Script::json(200, &json!({ "success": true, "token": "T" })));
    assert_eq!(service.session("nobody").await.code(), "provider_bad_answer", "no end is told");
}

/// The clock stands still: ten pass at once, six wait for their turn, and who would wait longer than five seconds is told
/// when to come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_held_back_before_the_provider_would_do_it() {
    let (service, fake, _secret) = service("", "24h").await;
    for n in 0..10 {
        assert_eq!(service.session(&format!("u{n}")).await.status, 200);
    }
    let service = Arc::new(service);
    let mut waiting = tokio::task::JoinSet::new();
    for n in 10..16 {
        let service = Arc::clone(&service);
        waiting.spawn(async move { service.session(&format!("u{n}")).await.status });
    }
    service.metric_reaches("sidemint_limiter_waiting{provider=\"chat\"}", 6.0).await;
    let refused = service.session("u16").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "provider_rate_limited"));
    assert_eq!(refused.header("retry-after"), Some("6"));
    assert_eq!(service.session("u0").await.status, 200, "sessions that are there need no call");
    let done = async {
        while let Some(status) = waiting.join_next().await.transpose().unwrap() {
            assert_eq!(status, 200);
        }
    };
    as_time_passes(&service.clock, Duration::from_millis(100), done).await;
    assert_eq!(fake.calls().len(), 16);
}
