//! `TalkJS`: no server and no library to judge; a strict fake of what is documented, and the jose library.

use serde_json::{Value, json};

use super::on;
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{NOW, SESSION, Service};
use crate::judge::judge;

pub const SECRET: &str = "sk_test_9f8YdmqP2xYv4Qk1Lr7TzWc3";
const SECRETS: [(&str, &str); 2] = [("TALKJS_APP_ID", "tAbc123"), ("TALKJS_SECRET_KEY", SECRET)];

/// The claims of a token that this secret signed.
fn verified(token: &str) -> Value {
    let order = json!({
        "token": token, "secret": SECRET, "at": NOW.as_seconds(), "checks": {"algorithms": ["HS256"], "issuer": "tAbc123"},
    });
    judge("jose.mjs", order)["claims"].clone()
}

/// `TalkJS`, as it is documented.
fn talkjs(call: &Call) -> Script {
    let token = call.header("authorization").strip_prefix("Bearer ").unwrap_or_default().to_owned();
    if verified(&token) != json!({"tokenType": "app", "iss": "tAbc123", "exp": NOW.as_seconds() + 30}) {
        return Script::json(401, &json!({}));
    }
    if call.method != "PUT" || !call.path.starts_with("/v1/tAbc123/users/") {
        return Script::json(404, &json!({}));
    }
    let known = ["name", "email", "photoUrl", "role", "custom", "welcomeMessage", "locale", "phone"];
    let texts =
        |value: &Value| value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string));
    let fits = call.members().iter().all(|name| known.contains(name))
        && call.json["name"].is_string()
        && call.json.get("email").is_none_or(texts)
        && call.json.get("custom").is_none_or(|custom| custom.as_object().unwrap().values().all(Value::is_string))
        && call.header("content-type") == "application/json";
    Script::json(if fits { 200 } else { 400 }, &json!({}))
}

/// The provider as far as it is documented.
pub async fn strict() -> Fake {
    Fake::start(talkjs).await
}

async fn service(lines: &str) -> (Service, Fake) {
    let fake = strict().await;
    (on("talkjs", &format!("api_url = \"{}\"\nretries = 0\n{lines}", fake.base_url()), SECRETS).await, fake)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_is_there_before_the_token() {
    let (service, fake) = service("role = \"{{ user.groups | first }}\"\ncustom = { tenant = \"acme\" }").await;
    let headers = [
        ("X-Forwarded-User", "a/b c"),
        ("X-Forwarded-Name", "Alice"),
        ("X-Forwarded-Email", "alice@example.com"),
        ("X-Forwarded-Groups", "staff"),
    ];
    let session = service.ask("GET", SESSION, &headers).await.json();
    let (at, calls) = (NOW.as_seconds(), fake.calls());
    assert_eq!(fake.asked(), ["PUT /v1/tAbc123/users/a%2Fb%20c"]);
    let body = json!({"name": "Alice", "email": ["alice@example.com"], "role": "staff", "custom": {"tenant": "acme"}});
    assert_eq!(calls[0].json, body);
    let claims = verified(session["token"].as_str().unwrap());
    let expected = json!({"tokenType": "user", "iat": at, "exp": at + 3600, "iss": "tAbc123", "sub": "a/b c"});
    assert_eq!(claims, expected);
    assert_eq!((&session["appId"], &session["apiUrl"]), (&json!("tAbc123"), &json!(fake.base_url())));
    assert!(!session.to_string().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_without_a_value_are_left_out() {
    let (service, fake) = service("").await;
    assert_eq!(service.ask("GET", SESSION, &[("X-Forwarded-User", "bob")]).await.status, 200);
    assert_eq!(fake.calls()[0].json, json!({"name": "bob"}), "what was not said stays as it is");
}

/// With 600 s or less the client asks again too soon to get another token.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_replaced_before_clients_ask_for_others() {
    let (service, _fake) = service("").await;
    let first = service.session("bob").await.json()["token"].clone();
    service.advance(2_999);
    assert_eq!(service.session("bob").await.status, 200);
    service.advance(1);
    let left = verified(service.session("bob").await.json()["token"].as_str().unwrap());
    assert!(left["exp"].as_i64().unwrap() - NOW.as_seconds() - 3_000 > 600, "{left}, after {first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_classes() {
    for (status, code) in [
        (400, "provider_bad_answer"),
        (401, "provider_credentials"),
        (404, "provider_bad_answer"),
        (429, "provider_rate_limited"),
        (502, "provider_unavailable"),
    ] {
        let (service, fake) = service("").await;
        fake.next("/v1/tAbc123/users/bob", Script::json(status, &json!({})));
        let answer = service.session("bob").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, code));
    }
}
