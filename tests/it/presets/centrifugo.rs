//! Centrifugo: tokens verified by the jose library, with the secret or the published keys.

use serde_json::{Value, json};
use sidemint::provider::{Alg, generate};

use super::{on, secret_file};
use crate::client::{Answer, request};
use crate::harness::{NOW, SESSION, Service};
use crate::judge::judge;

const SECRET: &str = "46b38493-147e-4e3f-86e0-dc5ec54f5133";
const SECRETS: [(&str, &str); 1] = [("CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY", SECRET)];
const URL: &str = "public_api_url = \"https://push.example.com\"";

fn order(token: &Value, checks: Value) -> Value {
    json!({"token": token, "secret": SECRET, "at": NOW.as_seconds(), "checks": checks})
}

/// The claims of a verified token without its `jti`, which must be there.
fn claims(seen: &Value) -> Value {
    let mut claims = seen["claims"].clone();
    let jti = claims.as_object_mut().unwrap_or_else(|| panic!("{seen}")).remove("jti");
    assert_eq!(jti.expect("a jti").as_str().unwrap().len(), 36);
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_token_says_who_and_nothing_else_unless_told() {
    let service = on("centrifugo", URL, SECRETS).await;
    let session = service.session("alice").await.json();
    let (seen, at) = (judge("jose.mjs", order(&session["token"], json!({"algorithms": ["HS256"]}))), NOW.as_seconds());
    assert_eq!(seen["header"], json!({"alg": "HS256", "typ": "JWT"}));
    assert_eq!(claims(&seen), json!({"sub": "alice", "exp": at + 600, "iat": at}));
    assert!(!session.to_string().contains(SECRET));
    let lines = format!(
        "{URL}\naudience = \"push\"\nissuer = \"login\"\ninfo = {{ name = \"{{{{ user.name? }}}}\" }}\n\
         meta = {{ groups = \"{{{{ user.groups }}}}\" }}\nchannels = [\"#{{{{ user.id }}}}\", \"news\"]"
    );
    let service = on("centrifugo", &lines, SECRETS).await;
    let headers = [("X-Forwarded-User", "alice"), ("X-Forwarded-Name", "Alice"), ("X-Forwarded-Groups", "a,b")];
    let session = service.ask("GET", SESSION, &headers).await.json();
    let seen = judge("jose.mjs", order(&session["token"], json!({"audience": "push", "issuer": "login"})));
    let expected = json!({
        "sub": "alice", "exp": at + 600, "iat": at, "aud": "push", "iss": "login", "info": {"name": "Alice"},
        "meta": {"groups": ["a", "b"]}, "channels": ["#alice", "news"],
    });
    assert_eq!(claims(&seen), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_verify_with_the_published_keys() {
    let folder = tempfile::tempdir().unwrap();
    for (preset, query) in [("centrifugo", ""), ("centrifugo-subscription", "?channel=news")] {
        for (name, alg) in [("RS256", Alg::Rs256), ("ES256", Alg::Es256), ("EdDSA", Alg::EdDsa)] {
            let file = secret_file(&folder, name, generate(alg).unwrap().expose());
            let list = if query.is_empty() { "" } else { "allow_channels = [\"news\"]" };
            let lines = format!("{URL}\nalg = \"{name}\"\nkey_file = \"{}\"\n{list}", file.display());
            let service = on(preset, &lines, []).await;
            let path = format!("{SESSION}{query}");
            let token = service.ask("GET", &path, &[("X-Forwarded-User", "alice")]).await.json()["token"].clone();
            let keys = service.ask("GET", "/.well-known/jwks.json", &[]).await.json();
            let order = json!({"token": token, "jwks": keys, "at": NOW.as_seconds(), "checks": {"algorithms": [name]}});
            assert_eq!(claims(&judge("jose.mjs", order))["sub"], "alice", "{preset} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_would_be_several_are_refused() {
    let service = on("centrifugo", URL, SECRETS).await;
    for user in ["a#b", "#"] {
        let answer = service.session(user).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "user_id_invalid"), "{user}");
    }
    assert_eq!(service.session("auth0|Alice@example.com").await.status, 200);
}

async fn subscribe(service: &Service, user: &str, channel: &str) -> Answer {
    let mut connection = service.connect().await;
    let headers =
        [("X-Forwarded-User", user), ("X-Forwarded-Groups", "red,blue"), ("Content-Type", "application/json")];
    let body = json!({"channel": channel}).to_string();
    connection.send(request("POST", SESSION, &headers, body.as_bytes())).await;
    connection.answer().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_for_a_channel_that_the_operator_allows() {
    let lines = format!(
        "{URL}\nallow_channels = [\"news\", \"user:{{{{ user.id }}}}\", \"public:*\", \
         {{ each = \"user.groups\", as = \"g\", value = \"team:{{{{ g }}}}\" }}]"
    );
    let service = on("centrifugo-subscription", &lines, SECRETS).await;
    for channel in ["news", "user:alice", "public:1", "team:blue"] {
        let answer = subscribe(&service, "alice", channel).await;
        assert_eq!(answer.status, 200, "{channel}: {answer:?}");
        let seen = judge("jose.mjs", order(&answer.json()["token"], json!({"algorithms": ["HS256"]})));
        let at = NOW.as_seconds();
        assert_eq!(claims(&seen), json!({"sub": "alice", "channel": channel, "exp": at + 600, "iat": at}));
    }
    // Clients that get 403 do not ask again.
    for channel in ["user:bob", "new", "news2", "public", "team:green", "team:", "$secret", "*", "user:alice#bob"] {
        let answer = subscribe(&service, "alice", channel).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "input_refused"), "{channel}");
    }
    for channel in ["", "a b", "ä", &"a".repeat(256)] {
        let answer = subscribe(&service, "alice", channel).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{channel}");
    }
    assert_eq!(service.session("alice").await.code(), "input_invalid", "a subscription is for one channel");
    assert!(!service.log().contains("user:bob"), "input is never logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_no_channel_is_allowed() {
    let service = on("centrifugo-subscription", URL, SECRETS).await;
    for channel in ["news", "user:alice", "*"] {
        assert_eq!(subscribe(&service, "alice", channel).await.code(), "input_refused", "{channel}");
    }
}
