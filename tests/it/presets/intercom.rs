//! Preset `intercom`, judged by an independent JOSE library; its claims by the documentation alone.

use serde_json::json;

use super::front::{jose, refused, session, session_of_alice, start};
use crate::harness::NOW;
use crate::judge::judge;

const SECRET: &str = "vT3kQ0x9GmZ1rB7sWcYh5uJdNfLpAe2K4oXiMqRtE8w";
const APP: &str = "app_id = \"abc123\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_token_says_who_the_user_is() {
    let lines = format!("{APP}[providers.chat.claims]\ncompany = \"acme\"\nplan = \"{{{{ user.groups | first }}}}\"\n");
    let service = start("intercom", &lines, [("INTERCOM_SECRET", SECRET)]).await;
    let own = session_of_alice(&service).await;
    let seen = judge("jose.mjs", jose(&own["token"], SECRET, NOW));
    let (now, end) = (NOW.as_seconds(), NOW.as_seconds() + 3600);
    let expected = json!({
        "user_id": "alice", "email": "alice@example.org", "name": "Alice \"A\" Liddell", "iat": now, "exp": end,
        "company": "acme", "plan": "staff",
    });
    assert_eq!(seen["claims"], expected);
    assert_eq!(seen["header"], json!({"alg": "HS256", "typ": "JWT"}));
    assert_eq!((&own["appId"], &own["apiUrl"]), (&json!("abc123"), &json!("https://api-iam.intercom.io")));
    assert_eq!(own["expiresAt"], "2026-05-04T19:40:00.000Z");
    assert!(judge("jose.mjs", jose(&own["token"], "another secret of that kind", NOW))["error"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_left_out() {
    let service = start("intercom", APP, [("INTERCOM_SECRET", SECRET)]).await;
    let own = session(&service, "bob|7").await.json();
    let seen = judge("jose.mjs", jose(&own["token"], SECRET, NOW));
    let (now, end) = (NOW.as_seconds(), NOW.as_seconds() + 3600);
    assert_eq!(seen["claims"], json!({"user_id": "bob|7", "iat": now, "exp": end}));
}

#[test]
fn who_and_how_long_are_not_for_overriding() {
    for claim in ["user_id = \"admin\"", "exp = 4000000000", "iat = 1", "sub = \"admin\""] {
        let lines = format!("{APP}[providers.chat.claims]\n{claim}\n");
        let problem = refused("intercom", &lines, [("INTERCOM_SECRET", SECRET)]);
        assert!(problem.contains(claim.split(' ').next().unwrap()), "{problem}");
    }
    assert!(refused("intercom", APP, [("INTERCOM_SECRET", "short")]).contains("at least 16"));
}
