//! Preset `zendesk`, judged by an independent JOSE library; its claims by the documentation alone.

use serde_json::json;

use super::front::{jose, session, session_of_alice, start};
use crate::harness::NOW;
use crate::judge::judge;

const SECRET: &str = "kQ0x9GmZ1rB7sWcYh5uJdNfLpAe2K4oXiMqRtE8wvT3kQ0x9GmZ1rB7s";
const LINES: &str = "key_id = \"app_62b5e0ffca5a3800f0225c53\"\npublic_api_url = \"https://example.zendesk.com\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_token_logs_a_user_in() {
    for verified in [false, true] {
        let lines = format!("{LINES}email_verified = {verified}\n");
        let service = start("zendesk", &lines, [("ZENDESK_MESSAGING_SECRET", SECRET)]).await;
        let own = session_of_alice(&service).await;
        let seen = judge("jose.mjs", jose(&own["token"], SECRET, NOW));
        assert_eq!(seen["header"], json!({"alg": "HS256", "typ": "JWT", "kid": "app_62b5e0ffca5a3800f0225c53"}));
        let (now, end) = (NOW.as_seconds(), NOW.as_seconds() + 900);
        let expected = json!({
            "scope": "user", "external_id": "alice", "name": "Alice \"A\" Liddell", "email": "alice@example.org",
            "email_verified": verified, "iat": now, "exp": end,
        });
        assert_eq!(seen["claims"], expected);
        assert_eq!(own["apiUrl"], "https://example.zendesk.com");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_left_out() {
    let service = start("zendesk", LINES, [("ZENDESK_MESSAGING_SECRET", SECRET)]).await;
    let own = session(&service, "bob").await.json();
    let seen = judge("jose.mjs", jose(&own["token"], SECRET, NOW));
    let (now, end) = (NOW.as_seconds(), NOW.as_seconds() + 900);
    assert_eq!(seen["claims"], json!({"scope": "user", "external_id": "bob", "iat": now, "exp": end}));
    assert_eq!(session(&service, &"a".repeat(255)).await.status, 200);
}
