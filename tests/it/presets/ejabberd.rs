//! Preset `ejabberd`, judged by a real ejabberd.

use serde_json::{Value, json};

use super::front::{members, parts, session, session_of_alice, start, start_today, takes_none_of};
use crate::harness::NOW;
use crate::parts::ejabberd::{CLAIM, Ejabberd, HOST};

const KEY: &str = r#"{"kty":"oct","alg":"HS256","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}"#;

fn lines() -> String {
    format!("host = \"{HOST}\"\npublic_api_url = \"https://{HOST}:5443/ws\"\njid_field = \"{CLAIM}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_a_password() {
    let ejabberd = Ejabberd::start().await;
    // The same file as the server's.
    let lines = format!("{}jwt_key_file = \"{}\"\n", lines(), ejabberd.key_file().display());
    let service = start_today("ejabberd", &lines, []).await;
    for user in ["alice", "a.b_c=d+e~f-1"] {
        let own = session(&service, user).await.json();
        let token = own["token"].as_str().unwrap();
        assert_eq!(own["chatUserId"], format!("{user}@{HOST}"));
        assert!(ejabberd.check_password(user, token).await, "{user}");
        assert!(!ejabberd.check_password("bob", token).await);
        assert!(!ejabberd.check_password(user, &format!("{token}x")).await);
    }
    // Long ago: the token has ended.
    let service = start("ejabberd", &lines, []).await;
    let own = session(&service, "alice").await.json();
    assert!(!ejabberd.check_password("alice", own["token"].as_str().unwrap()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_does_not_open() {
    let ejabberd = Ejabberd::start().await;
    let key = r#"{"kty":"oct","k":"ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA"}"#;
    let service = start_today("ejabberd", &lines(), [("EJABBERD_JWT_KEY", key)]).await;
    let own = session(&service, "alice").await.json();
    assert!(!ejabberd.check_password("alice", own["token"].as_str().unwrap()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_what_converse_js_reads() {
    let service = start("ejabberd", &lines(), [("EJABBERD_JWT_KEY", KEY)]).await;
    let own = session_of_alice(&service).await;
    assert_eq!(members(&own), ["token", "expiresAt", "apiUrl", "chatUserId", "displayName", "jid", "password"]);
    assert_eq!((&own["jid"], &own["password"]), (&json!("alice@chat.test"), &own["token"]));
    let (header, claims) = parts(&own["token"]);
    assert_eq!(header, json!({"alg": "HS256", "typ": "JWT"}));
    // A text would be good for ever.
    assert_eq!(claims, json!({"jid": "alice@chat.test", "iat": NOW.as_seconds(), "exp": NOW.as_seconds() + 300}));
    assert_eq!(own["expiresAt"], "2026-05-04T18:45:00.000Z");
}

/// XMPP folds case and more: two ids could be one account.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_xmpp_would_change_are_refused() {
    let service = start("ejabberd", &lines(), [("EJABBERD_JWT_KEY", KEY)]).await;
    let users = ["Alice", "alice@example.org", "a/b", "a'b", "a\"b", "a&b", "a<b", "a b", "ä", "a\\40b", "a:b"];
    takes_none_of(&service, &users).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_keys_sign_as_well() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let service = start("ejabberd", &format!("{}alg = \"EdDSA\"\n", lines()), [("EJABBERD_JWT_KEY", jwk)]).await;
    let own = session(&service, "alice").await.json();
    assert_eq!(parts(&own["token"]).0["alg"], "EdDSA");
    assert!(own["token"].as_str().is_some_and(|token| !token.contains("nWGxne")) && own["keys"] == Value::Null);
}
