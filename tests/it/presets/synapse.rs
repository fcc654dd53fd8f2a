//! Preset `synapse`, judged by a real Synapse.

use std::time::Duration;

use serde_json::{Value, json};
use sidemint::clock::Timestamp;

use super::front::{
    complaint, error, refused, session, session_of_alice, start, start_at, start_today, takes_none_of, today,
};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{NOW, Service};
use crate::parts::synapse::{SERVER_NAME, Synapse};

pub const TOKEN: &str = "syt_admin";
const USER: &str = "/_synapse/admin/v2/users/%40alice%3Achat.test";
const LOGIN: &str = "/_synapse/admin/v1/users/%40alice%3Achat.test/login";

fn lines(base: &str) -> String {
    format!("api_url = \"{base}\"\nserver_name = \"{SERVER_NAME}\"\n")
}

async fn before(synapse: &Synapse) -> Service {
    start_today("synapse", &lines(&synapse.base_url()), [("SYNAPSE_ADMIN_TOKEN", synapse.admin_token())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_made_and_their_tokens_are_good_until_they_end() {
    let synapse = Synapse::start().await;
    let service = before(&synapse).await;
    let own = session_of_alice(&service).await;
    let token = own["token"].as_str().unwrap();
    assert_eq!(own["chatUserId"], "@alice:chat.test");
    assert_eq!(synapse.whoami(token).await.as_deref(), Some("@alice:chat.test"));
    assert!(synapse.create_room_and_send(token, "hello").await.starts_with('$'));
    let profile = synapse.ask("GET", "/_matrix/client/v3/profile/@alice:chat.test", None, Value::Null).await;
    assert_eq!(profile.json()["displayname"], "Alice \"A\" Liddell");
    assert_ne!(token, synapse.admin_token());

    // Slashes are a part of the id, and no path.
    let odd = session(&service, "a/b=c+d.e").await.json();
    assert_eq!(synapse.whoami(odd["token"].as_str().unwrap()).await.as_deref(), Some("@a/b=c+d.e:chat.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_ends_when_the_session_says() {
    let synapse = Synapse::start().await;
    // Seen from an hour and a second ago, an hour is a second too short.
    let before = Timestamp::from_seconds(today().as_seconds() - 3601);
    let key = [("SYNAPSE_ADMIN_TOKEN", synapse.admin_token())];
    let early = start_at(before, "synapse", &lines(&synapse.base_url()), key).await;
    let ended = session(&early, "alice").await.json();
    let answer = synapse
        .ask("GET", "/_matrix/client/v3/account/whoami", Some(ended["token"].as_str().unwrap()), Value::Null)
        .await;
    assert_eq!((answer.status, &answer.json()["errcode"]), (401, &json!("M_UNKNOWN_TOKEN")));
    assert_eq!(answer.json()["soft_logout"], json!(true));
}

/// login-as would log a deactivated user in, and the token would work.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_deactivated_or_locked_gets_nothing() {
    let synapse = Synapse::start().await;
    let service = before(&synapse).await;
    for (user, change) in [("alice", json!({"deactivated": true})), ("bob", json!({"locked": true}))] {
        assert_eq!(session(&service, user).await.status, 200);
        let path = format!("/_synapse/admin/v2/users/@{user}:chat.test");
        assert_eq!(synapse.ask("PUT", &path, Some(synapse.admin_token()), change).await.status, 200);
    }
    service.advance(3600);
    for user in ["alice", "bob"] {
        let answer = session(&service, user).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "provider_bad_answer"), "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_synapse_would_fold_or_refuse_are_refused() {
    let synapse = Synapse::start().await;
    let service = before(&synapse).await;
    takes_none_of(&service, &["Alice", "123", "_alice", "a:evil", "a:1", "a@b", "a b", "ä", &"a".repeat(250)]).await;
    for user in ["1_", "0a", "a_1", "alice", "=2d", "1.5"] {
        assert_eq!(session(&service, user).await.status, 200, "{user}");
    }
    // The prefix that operators may set makes ids of numbers.
    let lines = format!("{}user_prefix = \"u\"\n", lines(&synapse.base_url()));
    let service = start_today("synapse", &lines, [("SYNAPSE_ADMIN_TOKEN", synapse.admin_token())]).await;
    let own = session(&service, "123").await.json();
    assert_eq!(synapse.whoami(own["token"].as_str().unwrap()).await.as_deref(), Some("@u123:chat.test"));
}

/// A homeserver of this name with alice in it, or without her.
pub async fn strict(server: &'static str) -> Fake {
    Fake::start(move |call| homeserver(server, call)).await
}

fn homeserver(server: &str, call: &Call) -> Script {
    if call.header("authorization") != "Bearer syt_admin" {
        return error(401, json!({"errcode": "M_UNKNOWN_TOKEN"}));
    }
    let user = json!({"name": format!("@alice:{server}"), "deactivated": false, "locked": false});
    let path = call.path.replace(&format!("%3A{server}"), "%3Achat.test");
    match (call.method.as_str(), path.as_str()) {
        ("PUT", USER) => match complaint(call, &[], &["displayname"]) {
            Some(problem) => error(400, json!({"errcode": "M_UNKNOWN", "error": problem})),
            None => Script::json(201, &user),
        },
        ("GET", USER) => Script::json(200, &user),
        ("POST", LOGIN) => match complaint(call, &["valid_until_ms"], &[]) {
            Some(problem) => error(400, json!({"errcode": "M_UNKNOWN", "error": problem})),
            None if !call.json["valid_until_ms"].is_i64() => error(400, json!({"errcode": "M_BAD_JSON"})),
            None => Script::json(200, &json!({"access_token": "syt_alice"})),
        },
        _ => error(404, json!({"errcode": "M_UNRECOGNIZED"})),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_say_what_they_must_and_nothing_more() {
    let fake = strict(SERVER_NAME).await;
    let service = start("synapse", &lines(&fake.base_url()), [("SYNAPSE_ADMIN_TOKEN", TOKEN)]).await;
    let own = session(&service, "alice").await.json();
    assert_eq!((&own["token"], &own["expiresAt"]), (&json!("syt_alice"), &json!("2026-05-04T19:40:00.000Z")));
    let calls = fake.calls();
    let shape: Vec<_> =
        calls.iter().map(|call| (call.method.as_str(), call.path.as_str(), call.json.clone())).collect();
    let until = (NOW.as_seconds() + 3600) * 1000;
    assert_eq!(
        shape,
        [("PUT", USER, json!({})), ("GET", USER, Value::Null), ("POST", LOGIN, json!({"valid_until_ms": until}))]
    );
    // A user who was deleted behind our back is made again.
    service.advance(3600);
    fake.next(USER, error(404, json!({"errcode": "M_NOT_FOUND"})));
    assert_eq!(session(&service, "alice").await.status, 200);
    let asked: Vec<_> = fake.asked()[3..].iter().map(|line| line[..4].to_owned()).collect();
    assert_eq!(asked, ["GET ", "PUT ", "GET ", "POST"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_in_the_profile_can_be_left_to_the_user() {
    let fake = strict(SERVER_NAME).await;
    let lines = format!("{}set_display_name = false\n", lines(&fake.base_url()));
    let service = start("synapse", &lines, [("SYNAPSE_ADMIN_TOKEN", TOKEN)]).await;
    assert_eq!(session_of_alice(&service).await["displayName"], "Alice \"A\" Liddell");
    assert_eq!(fake.calls()[0].json, json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_apart() {
    let fake = strict(SERVER_NAME).await;
    let service = start("synapse", &lines(&fake.base_url()), [("SYNAPSE_ADMIN_TOKEN", TOKEN)]).await;
    for (status, body, code, retry) in [
        (401, json!({"errcode": "M_UNKNOWN_TOKEN"}), "provider_credentials", None),
        (403, json!({"errcode": "M_FORBIDDEN"}), "provider_credentials", None),
        (400, json!({"errcode": "M_UNKNOWN"}), "provider_bad_answer", None),
        (429, json!({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 7000}), "provider_rate_limited", Some("7")),
        (502, json!({}), "provider_unavailable", None),
    ] {
        fake.next(LOGIN, error(status, body));
        let answer = session(&service, "alice").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, code));
        assert!(retry.is_none() || answer.header("retry-after") == retry, "{answer:?}");
        assert!(!answer.text().contains(TOKEN));
        service.clock.advance(Duration::from_secs(60));
    }
}

#[test]
fn the_server_name_is_no_address() {
    for name in ["https://chat.test", "chat test", "a/b"] {
        let text = format!("api_url = \"https://chat.test\"\nserver_name = \"{name}\"\n");
        assert!(refused("synapse", &text, [("SYNAPSE_ADMIN_TOKEN", TOKEN)]).contains("server_name"), "{name}");
    }
}
