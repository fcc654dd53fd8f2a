//! Preset `cometchat`, before a fake that refuses what the REST API would refuse.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::front::{complaint, error, members, refused, session, session_of_alice, sign_out, start, takes_none_of};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;

pub const KEY: &str = "0f4e1b7c9a2d4c6e8f";
const MINT: &str = "/v3/users/alice/auth_tokens";

fn failure(status: u16, code: &str) -> Script {
    error(status, json!({"error": {"code": code, "message": "…"}}))
}

/// The app, with users that were created by calls. It folds ids as the real one does.
fn app_of(users: &mut BTreeSet<String>, call: &Call) -> Script {
    if call.header("apikey") != KEY {
        return failure(401, "AUTH_ERR_APIKEY_NOT_FOUND");
    }
    let path: Vec<&str> = call.path.trim_start_matches('/').split('/').collect();
    match (call.method.as_str(), path.as_slice()) {
        ("POST", ["v3", "users"]) => {
            if complaint(call, &["uid", "name"], &["avatar"]).is_some() {
                return failure(400, "ERR_BAD_REQUEST");
            }
            if users.insert(call.json["uid"].as_str().unwrap_or_default().to_lowercase()) {
                Script::json(200, &json!({"data": call.json}))
            } else {
                failure(400, "ERR_UID_ALREADY_EXISTS")
            }
        }
        (_, ["v3", "users", id, ..]) if !users.contains(&id.to_lowercase()) => failure(404, "ERR_UID_NOT_FOUND"),
        ("PUT", ["v3", "users", _]) => match complaint(call, &[], &["name", "avatar"]) {
            Some(_) => failure(400, "ERR_BAD_REQUEST"),
            None => Script::json(200, &json!({"data": call.json})),
        },
        ("POST", ["v3", "users", id, "auth_tokens"]) if call.json == json!({"force": true}) => {
            let token = format!("{id}_1777920000abcdef");
            Script::json(200, &json!({"data": {"uid": id, "authToken": token, "createdAt": 1_777_920_000}}))
        }
        ("DELETE", ["v3", "users", _, "auth_tokens"]) => Script::json(200, &json!({"data": {"success": true}})),
        _ => failure(400, "ERR_BAD_REQUEST"),
    }
}

pub async fn app(users: &[&str]) -> Fake {
    let users: BTreeSet<String> = users.iter().map(|user| (*user).to_owned()).collect();
    let users = Arc::new(Mutex::new(users));
    Fake::start(move |call| app_of(&mut users.lock().unwrap(), call)).await
}

fn lines(fake: &Fake) -> String {
    format!("app_id = \"2561a0b3c4d5e6f7\"\nregion = \"eu\"\napi_url = \"{}/v3\"\n", fake.base_url())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_missing_is_created_once() {
    let fake = app(&[]).await;
    let service = start("cometchat", &lines(&fake), [("COMETCHAT_API_KEY", KEY)]).await;
    let own = session_of_alice(&service).await;
    assert_eq!((&own["token"], &own["expiresAt"]), (&json!("alice_1777920000abcdef"), &Value::Null));
    assert_eq!((&own["appId"], &own["region"]), (&json!("2561a0b3c4d5e6f7"), &json!("eu")));
    assert_eq!(own["apiUrl"], "https://2561a0b3c4d5e6f7.api-eu.cometchat.io/v3");
    assert_eq!(members(&own), ["token", "expiresAt", "apiUrl", "chatUserId", "displayName", "appId", "region"]);
    assert!(!own.to_string().contains(KEY));
    let bodies: Vec<_> = fake.calls().into_iter().map(|call| call.json).collect();
    let name = "Alice \"A\" Liddell";
    assert_eq!(bodies, [json!({"name": name}), json!({"uid": "alice", "name": name}), json!({"force": true})]);
    // One token serves until a day is over, and then there is another.
    assert_eq!(session_of_alice(&service).await["token"], own["token"]);
    assert_eq!(fake.calls().len(), 3);
    service.advance(86_400);
    assert_eq!(session_of_alice(&service).await["chatUserId"], "alice");
    assert!(fake.calls().len() > 3);
}

/// To `CometChat` a deactivated user is missing, and exists.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_deactivated_is_not_tried_for_ever() {
    let fake = Fake::start(|call| match call.path.as_str() {
        "/v3/users" => failure(400, "ERR_UID_ALREADY_EXISTS"),
        _ => failure(404, "ERR_UID_NOT_FOUND"),
    })
    .await;
    let service = start("cometchat", &lines(&fake), [("COMETCHAT_API_KEY", KEY)]).await;
    let answer = session(&service, "alice").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "provider_bad_answer"));
    assert_eq!(fake.asked(), ["PUT /v3/users/alice", "POST /v3/users", &format!("POST {MINT}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_deleted_is_made_again() {
    let fake = app(&["alice"]).await;
    let lines = format!("{}upsert_memory = \"72h\"\n", lines(&fake));
    let service = start("cometchat", &lines, [("COMETCHAT_API_KEY", KEY)]).await;
    assert_eq!(session(&service, "alice").await.status, 200);
    service.advance(86_400);
    fake.next(MINT, failure(404, "ERR_UID_NOT_FOUND"));
    assert_eq!(session(&service, "alice").await.status, 200);
    let again = [format!("POST {MINT}"), "PUT /v3/users/alice".to_owned(), format!("POST {MINT}")];
    assert_eq!(fake.asked()[2..], again);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_takes_all_tokens_back_and_the_next_session_has_another() {
    let fake = app(&["alice"]).await;
    let service = start("cometchat", &lines(&fake), [("COMETCHAT_API_KEY", KEY)]).await;
    assert_eq!(session(&service, "alice").await.status, 200);
    assert_eq!(sign_out(&service, "alice").await.status, 204);
    assert_eq!(fake.asked().last(), Some(&format!("DELETE {MINT}")));
    assert_eq!(session(&service, "alice").await.status, 200);
    assert_eq!(fake.asked().last(), Some(&format!("POST {MINT}")));
    assert_eq!(sign_out(&service, "bob").await.status, 204);
}

/// `CometChat` makes ids lower case: `Bob` would get the tokens of `bob`.
#[tokio::test(flavor = "multi_thread")]
async fn no_user_becomes_another() {
    let fake = app(&["bob"]).await;
    let service = start("cometchat", &lines(&fake), [("COMETCHAT_API_KEY", KEY)]).await;
    takes_none_of(&service, &["Bob", "BOB", "bob@example.org", "a.b", "a:b", "a|b", "a b", "ä", &"a".repeat(101)])
        .await;
    assert!(fake.calls().is_empty());
    assert_eq!(session(&service, "bob_1-x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_apart() {
    let fake = app(&["alice"]).await;
    let service = start("cometchat", &lines(&fake), [("COMETCHAT_API_KEY", KEY)]).await;
    let limited = Script::Answer {
        status: 429,
        headers: vec![("Retry-After".to_owned(), "9".to_owned())],
        body: json!({"error": {"code": "ERR_TOO_MANY_REQUESTS"}}).to_string().into_bytes(),
    };
    for (script, code, retry) in [
        (failure(400, "AUTH_ERR_APIKEY_NOT_FOUND"), "provider_credentials", None),
        (failure(403, "AUTH_ERR_NO_ACCESS"), "provider_credentials", None),
        (failure(400, "ERR_BAD_REQUEST"), "provider_bad_answer", None),
        (limited, "provider_rate_limited", Some("9")),
        (failure(503, "ERR_INTERNAL"), "provider_unavailable", None),
        (Script::json(200, &json!({"data": {"uid": "alice"}})), "provider_bad_answer", None),
    ] {
        fake.next(MINT, script.clone());
        let answer = session(&service, "alice").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, code), "{script:?}");
        assert!(retry.is_none() || answer.header("retry-after") == retry, "{answer:?}");
        service.advance(60);
    }
}

#[test]
fn neither_app_nor_region_choose_a_host() {
    for lines in ["app_id = \"evil.example/\"\n", "app_id = \"a\"\nregion = \"eu.evil.example/\"\n"] {
        let problem = refused("cometchat", lines, [("COMETCHAT_API_KEY", KEY)]);
        assert!(problem.contains("does not match"), "{problem}");
    }
}
