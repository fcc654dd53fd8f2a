//! Preset `sendbird`, before a fake that refuses what the Platform API would refuse.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::front::{complaint, error, members, refused, session, session_of_alice, sign_out, start, takes_none_of};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::NOW;

pub const TOKEN: &str = "61a5f3e0b8c94d2f";
const ALICE: &str = "/v3/users/alice";
const MINT: &str = "/v3/users/alice/token";

fn failure(status: u16, code: u32) -> Script {
    error(status, json!({"error": true, "code": code, "message": "…"}))
}

/// The application, with users that were created by calls.
fn application(users: &mut BTreeMap<String, Value>, call: &Call) -> Script {
    if call.header("api-token") != TOKEN {
        return failure(400, 400_401);
    }
    let path: Vec<&str> = call.path.trim_start_matches('/').split('/').collect();
    match (call.method.as_str(), path.as_slice()) {
        ("POST", ["v3", "users"]) => {
            let own = &call.json;
            if complaint(call, &["user_id", "nickname", "profile_url"], &[]).is_some()
                || !own["profile_url"].is_string()
            {
                return failure(400, 400_105);
            }
            let id = own["user_id"].as_str().unwrap_or_default().to_owned();
            if users.contains_key(&id) {
                return failure(400, 400_202);
            }
            users.insert(id, own.clone());
            Script::json(200, own)
        }
        (_, ["v3", "users", id, ..]) if !users.contains_key(*id) => failure(400, 400_201),
        ("PUT", ["v3", "users", _]) => match complaint(call, &[], &["nickname", "profile_url"]) {
            Some(_) => failure(400, 400_105),
            None => Script::json(200, &call.json),
        },
        ("POST", ["v3", "users", id, "token"]) => match call.json["expires_at"].as_i64() {
            Some(end) if call.members() == ["expires_at"] && end.to_string().len() == 13 => {
                Script::json(200, &json!({"token": format!("token-of-{id}-until-{end}"), "expires_at": end}))
            }
            _ => failure(400, 400_105),
        },
        ("DELETE", ["v3", "users", _, "token"]) => Script::text(200, "application/json", ""),
        _ => failure(404, 400_201),
    }
}

pub async fn app(users: &[&str]) -> Fake {
    let users = users.iter().map(|user| ((*user).to_owned(), Value::Null)).collect();
    let users = Arc::new(Mutex::new(users));
    Fake::start(move |call| application(&mut users.lock().unwrap(), call)).await
}

fn lines(fake: &Fake) -> String {
    format!("app_id = \"2D7B4CDB-932F\"\napi_url = \"{}\"\n", fake.base_url())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_missing_is_created() {
    let fake = app(&[]).await;
    let service = start("sendbird", &lines(&fake), [("SENDBIRD_API_TOKEN", TOKEN)]).await;
    let own = session_of_alice(&service).await;
    assert_eq!(own["token"], format!("token-of-alice-until-{}", NOW.as_millis() + 3_600_000));
    assert_eq!((&own["appId"], &own["expiresAt"]), (&json!("2D7B4CDB-932F"), &json!("2026-05-04T19:40:00.000Z")));
    assert_eq!(own["apiUrl"], "https://api-2D7B4CDB-932F.sendbird.com");
    assert_eq!(members(&own), ["token", "expiresAt", "apiUrl", "chatUserId", "displayName", "appId"]);
    assert!(!own.to_string().contains(TOKEN));
    let calls = fake.calls();
    let shape: Vec<_> =
        calls.iter().map(|call| (format!("{} {}", call.method, call.path), call.json.clone())).collect();
    let name = "Alice \"A\" Liddell";
    assert_eq!(
        shape,
        [
            (format!("PUT {ALICE}"), json!({"nickname": name})),
            ("POST /v3/users".to_owned(), json!({"user_id": "alice", "nickname": name, "profile_url": ""})),
            (format!("POST {MINT}"), json!({"expires_at": (NOW.as_seconds() + 3600) * 1000})),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_is_updated_and_who_was_deleted_is_made_again() {
    let fake = app(&["alice"]).await;
    let service = start("sendbird", &lines(&fake), [("SENDBIRD_API_TOKEN", TOKEN)]).await;
    assert_eq!(session(&service, "alice").await.status, 200);
    assert_eq!(fake.asked(), [format!("PUT {ALICE}"), format!("POST {MINT}")]);
    assert_eq!(fake.calls()[0].json, json!({}), "a name that was not told renames no user");
    service.advance(3600);
    fake.next(MINT, failure(400, 400_201));
    fake.next(ALICE, failure(400, 400_201));
    // Created by another instance in between.
    assert_eq!(session(&service, "alice").await.status, 200);
    let again = [format!("POST {MINT}"), format!("PUT {ALICE}"), "POST /v3/users".to_owned(), format!("POST {MINT}")];
    assert_eq!(fake.asked()[2..], again);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_apart() {
    let fake = app(&["alice"]).await;
    let service = start("sendbird", &lines(&fake), [("SENDBIRD_API_TOKEN", TOKEN)]).await;
    let limited = |name: &str| Script::Answer {
        status: 429,
        headers: vec![(name.to_owned(), "9".to_owned())],
        body: json!({"error": true, "code": 500_910}).to_string().into_bytes(),
    };
    for (script, code, retry) in [
        (failure(400, 400_401), "provider_credentials", None),
        (failure(400, 400_108), "provider_credentials", None),
        (failure(400, 400_300), "provider_bad_answer", None),
        (failure(400, 400_105), "provider_bad_answer", None),
        (failure(400, 500_910), "provider_rate_limited", None),
        (limited("X-RateLimit-RetryAfter"), "provider_rate_limited", Some("9")),
        (failure(500, 500_901), "provider_unavailable", None),
        (Script::json(200, &json!({"token": "t", "expires_at": 1_777_920_000})), "provider_bad_answer", None),
        (Script::json(200, &json!({"token": "t"})), "provider_bad_answer", None),
        (Script::json(200, &json!({"expires_at": 1_777_923_600_000_i64})), "provider_bad_answer", None),
    ] {
        fake.next(MINT, script.clone());
        let answer = session(&service, "alice").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, code), "{script:?}");
        assert!(retry.is_none() || answer.header("retry-after") == retry, "{answer:?}");
        service.advance(60);
    }
    // A deactivated user is not created anew.
    assert!(!fake.asked().contains(&"POST /v3/users".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_takes_all_tokens_back() {
    let fake = app(&["alice"]).await;
    let service = start("sendbird", &lines(&fake), [("SENDBIRD_API_TOKEN", TOKEN)]).await;
    assert_eq!(session(&service, "alice").await.status, 200);
    assert_eq!(sign_out(&service, "alice").await.status, 204);
    assert_eq!(fake.asked().last(), Some(&format!("DELETE {MINT}")));
    assert!(fake.calls().last().unwrap().body.is_empty());
    // Who is not known there has no tokens; a key that is refused is told.
    assert_eq!(sign_out(&service, "bob").await.status, 204);
    fake.next(MINT, failure(400, 400_401));
    assert_eq!(sign_out(&service, "alice").await.code(), "provider_credentials");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_have_eighty_characters_and_stay_in_their_segment() {
    let fake = app(&[]).await;
    let service = start("sendbird", &lines(&fake), [("SENDBIRD_API_TOKEN", TOKEN)]).await;
    takes_none_of(&service, &[&"a".repeat(81)]).await;
    assert!(fake.calls().is_empty());
    assert_eq!(session(&service, &"a".repeat(80)).await.status, 200);
    let _odd = session(&service, "a/../b?c").await;
    assert!(fake.asked().contains(&"PUT /v3/users/a%2F..%2Fb%3Fc".to_owned()), "{:?}", fake.asked());
}

#[test]
fn the_application_chooses_no_host() {
    let problem = refused("sendbird", "app_id = \"evil.example/\"\n", [("SENDBIRD_API_TOKEN", TOKEN)]);
    assert!(problem.contains("app_id"), "{problem}");
}
