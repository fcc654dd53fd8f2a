//! Preset `liveblocks`, judged by Liveblocks' dev server; its client is in `clients`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use sidemint::clock::Timestamp;

use super::front::{
    complaint, error, parts, refused, session, session_of_alice, start, start_at, takes_none_of, today,
};
use crate::client::{Answer, request};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{SESSION, Service};
use crate::parts::liveblocks::{Liveblocks, SECRET};

const ACCESS: &str = "tokens = \"access\"\n[providers.chat.permissions]\n\"{{ user.id }}:*\" = [\"*:write\"]\n\
    \"open:*\" = [\"*:read\"]\n";

/// Before the dev server, whose tokens live for an hour of the machine's time. `now` is the time of the service.
async fn before(liveblocks: &Liveblocks, now: Timestamp, more: &str) -> Service {
    let lines = format!("api_url = \"{}\"\n{more}", liveblocks.base_url());
    start_at(now, "liveblocks", &lines, [("LIVEBLOCKS_SECRET_KEY", SECRET)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dev_server_hands_tokens_out() {
    let liveblocks = Liveblocks::start().await;
    let slow = today().minus(Duration::from_mins(5));
    let own = session_of_alice(&before(&liveblocks, slow, "").await).await;
    let (_, claims) = parts(&own["token"]);
    assert_eq!(
        (&claims["k"], &claims["uid"], &claims["gids"]),
        (&json!("id"), &json!("alice"), &json!(["staff", "admins"]))
    );
    assert_eq!(claims["ui"], json!({"name": "Alice \"A\" Liddell"}));
    assert_eq!(own["expiresAt"], slow.plus(Duration::from_hours(1)).to_rfc3339(), "an hour, and never more");
    let fast = today().plus(Duration::from_mins(5));
    let own = session_of_alice(&before(&liveblocks, fast, ACCESS).await).await;
    let (_, claims) = parts(&own["token"]);
    assert_eq!((&claims["k"], &claims["uid"]), (&json!("acc"), &json!("alice")));
    assert_eq!(claims["perms"], json!({"alice:*": ["*:write"], "open:*": ["*:read"]}));
    let end = Timestamp::from_seconds(claims["exp"].as_i64().unwrap());
    assert_eq!(own["expiresAt"], end.to_rfc3339(), "the token says when it ends");
    assert!(!own.to_string().contains(SECRET));
}

/// The secret key that the fake takes.
pub const KEY: &str = "sk_test";

/// A project that signs tokens of its own number.
fn project(call: &Call) -> Script {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    if call.header("authorization") != format!("Bearer {KEY}") || call.method != "POST" {
        return error(403, json!({"error": "INVALID_SECRET_KEY", "message": "…"}));
    }
    let optional: &[&str] = match call.path.as_str() {
        "/v2/identify-user" => &["groupIds", "userInfo", "organizationId"],
        "/v2/authorize-user" => &["permissions", "userInfo", "organizationId"],
        _ => return error(404, json!({"error": "NOT_FOUND"})),
    };
    if let Some(problem) = complaint(call, &["userId"], optional) {
        return error(422, json!({"error": "UNPROCESSABLE_ENTITY", "message": problem}));
    }
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let claims = json!({"k": "id", "iat": 1_777_920_000, "exp": 1_777_923_600, "jti": number});
    Script::json(200, &json!({"token": format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))}))
}

pub async fn fake() -> Fake {
    Fake::start(project).await
}

async fn before_fake(fake: &Fake, more: &str) -> Service {
    let lines = format!("api_url = \"{}\"\n{more}", fake.base_url());
    start("liveblocks", &lines, [("LIVEBLOCKS_SECRET_KEY", "sk_test")]).await
}

/// Their client refuses a token that it has seen before.
#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_handed_out_twice() {
    let fake = fake().await;
    let service = before_fake(&fake, "").await;
    let mut tokens = BTreeSet::new();
    for _ in 0..3 {
        assert!(tokens.insert(session(&service, "alice").await.json()["token"].to_string()));
    }
    // Nor shared by those who ask at the same time.
    let both = tokio::join!(session(&service, "alice"), session(&service, "alice"), session(&service, "alice"));
    for answer in [both.0, both.1, both.2] {
        assert!(tokens.insert(answer.json()["token"].to_string()));
    }
    assert_eq!((tokens.len(), fake.calls().len()), (6, 6));
    // Nothing is renewed unasked.
    service.advance(3600);
    assert!(service.metric("sidemint_cache_entries").await.abs() < 0.1);
    assert_eq!(fake.calls().len(), 6);
}

async fn post(service: &Service, body: &Value) -> Answer {
    let headers = [("X-Forwarded-User", "alice"), ("Content-Type", "application/json")];
    let mut connection = service.connect().await;
    connection.send(request("POST", SESSION, &headers, body.to_string().as_bytes())).await;
    connection.answer().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_asked_for_gives_no_rights() {
    let fake = fake().await;
    let service = before_fake(&fake, ACCESS).await;
    assert_eq!(post(&service, &json!({"room": "bob:secret"})).await.status, 200);
    assert_eq!(post(&service, &json!({})).await.status, 200);
    for call in fake.calls() {
        let rights = json!({"alice:*": ["*:write"], "open:*": ["*:read"]});
        assert_eq!(call.json, json!({"userId": "alice", "permissions": rights}));
    }
    for body in [json!({"room": "*"}), json!({"room": "alice:*"}), json!({"room": ""}), json!({"permissions": {}})] {
        let answer = post(&service, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_see_is_for_the_operator_to_say() {
    let fake = fake().await;
    let service = before_fake(&fake, "").await;
    assert_eq!(session(&service, "bob").await.status, 200);
    assert_eq!(fake.calls()[0].json, json!({"userId": "bob"}), "what is not known is left out");
    let more = "organization_id = \"org-{{ identity.source }}\"\n[providers.chat.user_info]\ncolor = \"red\"\nmail = \"{{ user.email? }}\"\n";
    let service = before_fake(&fake, more).await;
    let _alice = session_of_alice(&service).await;
    let expected = json!({
        "userId": "alice", "groupIds": ["staff", "admins"], "organizationId": "org-plain",
        "userInfo": {"color": "red", "mail": "alice@example.org"},
    });
    assert_eq!(fake.calls()[1].json, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_apart() {
    const MINT: &str = "/v2/identify-user";
    let fake = fake().await;
    let service = before_fake(&fake, "").await;
    for (script, code) in [
        (error(401, json!({"error": "WRONG_KEY_USED"})), "provider_credentials"),
        (error(403, json!({"error": "INVALID_SECRET_KEY"})), "provider_credentials"),
        (error(422, json!({"error": "UNPROCESSABLE_ENTITY"})), "provider_bad_answer"),
        (error(429, json!({})), "provider_rate_limited"),
        (error(500, json!({})), "provider_unavailable"),
        (Script::json(200, &json!({"token": "opaque"})), "provider_bad_answer"),
        (Script::json(200, &json!({})), "provider_bad_answer"),
    ] {
        fake.next(MINT, script.clone());
        let answer = session(&service, "alice").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, code), "{script:?}");
        service.advance(60);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_have_no_wildcard_and_keys_are_secret_ones() {
    let service = before_fake(&fake().await, "").await;
    takes_none_of(&service, &["*", "a*", "a*b", &"a".repeat(129)]).await;
    let problem = refused("liveblocks", "", [("LIVEBLOCKS_SECRET_KEY", "pk_test")]);
    assert!(problem.contains("secret_key") && !problem.contains("pk_test"), "{problem}");
}
