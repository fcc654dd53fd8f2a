//! Preset `synapse-jwt`, judged by a real Synapse.

use serde_json::json;

use super::front::{members, parts, session, session_of_alice, start, start_today, takes_none_of, today};
use crate::harness::NOW;
use crate::parts::synapse::{JWT_AUDIENCE, JWT_ISSUER, JWT_SECRET, SERVER_NAME, Synapse};

fn lines(issuer: &str) -> String {
    format!(
        "public_api_url = \"https://chat.test\"\nserver_name = \"{SERVER_NAME}\"\nissuer = \"{issuer}\"\naudience = \"{JWT_AUDIENCE}\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_log_in_with_the_token() {
    let synapse = Synapse::start().await;
    let service = start_today("synapse-jwt", &lines(JWT_ISSUER), [("SYNAPSE_JWT_SECRET", JWT_SECRET)]).await;
    let own = session_of_alice(&service).await;
    let login = synapse.login(own["token"].as_str().unwrap()).await.json();
    assert_eq!(login["user_id"], own["chatUserId"], "{login}");
    let access = login["access_token"].as_str().unwrap();
    assert_eq!(synapse.whoami(access).await.as_deref(), Some("@alice:chat.test"));
    assert!(synapse.create_room_and_send(access, "hello").await.starts_with('$'));
    // With a prefix, the user that the session names is the one that Synapse logs in.
    let prefixed = format!("{}user_prefix = \"u\"\n", lines(JWT_ISSUER));
    let service = start_today("synapse-jwt", &prefixed, [("SYNAPSE_JWT_SECRET", JWT_SECRET)]).await;
    let own = session(&service, "123").await.json();
    let login = synapse.login(own["token"].as_str().unwrap()).await.json();
    assert_eq!((&own["chatUserId"], &login["user_id"]), (&json!("@u123:chat.test"), &json!("@u123:chat.test")));
}

#[tokio::test(flavor = "multi_thread")]
async fn synapse_refuses_what_was_signed_otherwise() {
    let synapse = Synapse::start().await;
    let other_key = "fedcba9876543210fedcba9876543210";
    for (issuer, key) in [("nobody", JWT_SECRET), (JWT_ISSUER, other_key)] {
        let service = start_today("synapse-jwt", &lines(issuer), [("SYNAPSE_JWT_SECRET", key)]).await;
        let own = session(&service, "alice").await.json();
        let refused = synapse.login(own["token"].as_str().unwrap()).await;
        assert_eq!((refused.status, &refused.json()["errcode"]), (403, &json!("M_FORBIDDEN")));
    }
    // Three minutes after their end it forgives no more; two it would.
    let service = start_today("synapse-jwt", &lines(JWT_ISSUER), [("SYNAPSE_JWT_SECRET", JWT_SECRET)]).await;
    let own = session(&service, "alice").await.json();
    let (_, claims) = parts(&own["token"]);
    assert!(claims["exp"].as_i64().unwrap() - today().as_seconds() <= 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_these() {
    let service = start("synapse-jwt", &lines("sidemint"), [("SYNAPSE_JWT_SECRET", JWT_SECRET)]).await;
    let own = session_of_alice(&service).await;
    let (header, claims) = parts(&own["token"]);
    assert_eq!(header, json!({"alg": "HS256", "typ": "JWT"}));
    let (now, end) = (NOW.as_seconds(), NOW.as_seconds() + 300);
    let name = "Alice \"A\" Liddell";
    let expected = json!({"iss": "sidemint", "sub": "alice", "aud": "chat.test", "iat": now, "exp": end, "name": name});
    assert_eq!(claims, expected);
    assert_eq!(members(&own), ["token", "expiresAt", "apiUrl", "chatUserId", "displayName"]);
    // Synapse refuses an audience that it does not expect, so there is none without a setting.
    let bare = format!("public_api_url = \"https://chat.test\"\nserver_name = \"{SERVER_NAME}\"\n");
    let service = start("synapse-jwt", &bare, [("SYNAPSE_JWT_SECRET", JWT_SECRET)]).await;
    let (_, claims) = parts(&session(&service, "bob").await.json()["token"]);
    assert_eq!(claims, json!({"sub": "bob", "iat": now, "exp": end}));
}

/// Synapse logs "Bob" in as an existing "bob", and "a:x" as "a".
#[tokio::test(flavor = "multi_thread")]
async fn no_user_becomes_another() {
    let service = start("synapse-jwt", &lines("sidemint"), [("SYNAPSE_JWT_SECRET", JWT_SECRET)]).await;
    takes_none_of(&service, &["Bob", "bOb", "a:x", "a:1", "@bob", "bob@chat.test", "123", "_bob", "b ob", "böb"]).await;
}
