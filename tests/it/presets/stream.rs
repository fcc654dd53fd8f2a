//! Stream Chat: tokens equal to the official library's, and users at a strict fake.

use serde_json::{Value, json};

use super::{on, parts, refusal, sign_out};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{NOW, SESSION};
use crate::judge::judge;

const KEY: &str = "ym4hhpnpvx2j";
pub const SECRET: &str = "57gzvbebnexgf8h6pkx9a4c6zqwq6rx9u3tw3zs2qd7w5zqk5b2m9zqv7v3pj6xe";
const SECRETS: [(&str, &str); 2] = [("STREAM_API_KEY", KEY), ("STREAM_API_SECRET", SECRET)];

fn problem(status: u16, code: u16) -> Script {
    Script::json(status, &json!({"code": code, "message": "no", "StatusCode": status, "duration": "0.00ms"}))
}

/// Stream, as far as it is known: every call proves itself as the official library does.
fn stream(call: &Call) -> Script {
    if call.parameters() != [("api_key".to_owned(), KEY.to_owned())] {
        return problem(401, 2);
    }
    let order = json!({"token": call.header("authorization"), "secret": SECRET, "checks": {"algorithms": ["HS256"]}});
    if call.header("stream-auth-type") != "jwt" || judge("jose.mjs", order)["claims"] != json!({"server": true}) {
        return problem(401, 5);
    }
    let users = &call.json["users"];
    let known = |user: &Value, members: &[&str]| {
        user.as_object().is_some_and(|own| own.iter().all(|(name, _)| members.contains(&name.as_str())))
    };
    let body_fits = match call.method.as_str() {
        "PATCH" => users.as_array().is_some_and(|users| users.iter().all(|user| known(user, &["id", "set", "unset"]))),
        "POST" => users.as_object().is_some_and(|users| users.iter().all(|(id, user)| user["id"] == json!(id))),
        _ => false,
    };
    if call.path != "/users" || !body_fits || call.members() != ["users"] {
        return problem(400, 4);
    }
    if call.method == "PATCH" && users[0]["id"] == "new" {
        problem(404, 16)
    } else {
        Script::json(200, &json!({"users": {}}))
    }
}

/// The provider as far as it is documented.
pub async fn strict() -> Fake {
    Fake::start(stream).await
}

/// The service on a fake, and the fake.
async fn service(lines: &str) -> (crate::harness::Service, Fake) {
    let fake = strict().await;
    let lines = format!("api_url = \"{}\"\nretries = 0\n{lines}", fake.base_url());
    (on("stream", &lines, SECRETS).await, fake)
}

const ALICE: [(&str, &str); 2] = [("X-Forwarded-User", "alice"), ("X-Forwarded-Name", "Älice \"A\"")];

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_the_bytes_of_the_official_library() {
    let (service, fake) = service("").await;
    let session = service.ask("GET", SESSION, &ALICE).await.json();
    let at = NOW.as_seconds();
    let order = json!({"key": KEY, "secret": SECRET, "user": "alice", "exp": at + 3600, "iat": at});
    assert_eq!(session["token"], judge("stream.mjs", order)["token"]);
    assert_eq!((&session["apiKey"], &session["chatUserId"]), (&json!(KEY), &json!("alice")));
    assert_eq!(session["apiUrl"], fake.base_url());
    assert!(!session.to_string().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_updated_in_part_and_created_where_they_are_new() {
    let (service, fake) = service("").await;
    service.ask("GET", SESSION, &ALICE).await;
    let (calls, users) = (fake.calls(), json!({"users": [{"id": "alice", "set": {"name": "Älice \"A\""}}]}));
    assert_eq!((fake.asked(), &calls[0].json), (vec!["PATCH /users".to_owned()], &users), "nothing else is replaced");
    let new = service.session("new").await;
    assert_eq!((new.status, &fake.asked()[1..]), (200, &["PATCH /users".to_owned(), "POST /users".to_owned()][..]));
    assert_eq!(fake.calls()[2].json, json!({"users": {"new": {"id": "new", "name": "new"}}}));
    let nameless = service.ask("GET", SESSION, &[("X-Forwarded-User", "carol")]).await;
    assert_eq!((nameless.status, fake.calls().len()), (200, 3), "there is nothing to say");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_role_and_teams_are_the_operators() {
    let lines = "role = \"{{ user.groups | first }}\"\nteams = [\"blue\"]\nclaims = { tenant = \"acme\" }";
    let (service, fake) = service(lines).await;
    let headers = [("X-Forwarded-User", "alice"), ("X-Forwarded-Groups", "staff,chat")];
    let session = service.ask("GET", SESSION, &headers).await.json();
    assert_eq!(parts(&session["token"]).1["tenant"], "acme");
    let set = json!({"users": [{"id": "alice", "set": {"role": "staff", "teams": ["blue"]}}]});
    assert_eq!(fake.calls()[0].json, set);
    for name in ["server", "user_id"] {
        let told = refusal("stream", &format!("claims = {{ {name} = true }}"), SECRETS);
        assert!(told.contains(name) && told.contains("keeps for itself"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_stream_refuses_are_refused() {
    let (service, fake) = service("").await;
    for user in ["a.b", "auth0|abc", "a b", "a:b", "alice+x", "é"] {
        let answer = service.session(user).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "user_id_invalid"), "{user}");
    }
    assert!(fake.calls().is_empty());
    assert_eq!(service.session("Alice@example_com-1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_classes() {
    for (script, code) in [
        (problem(429, 9), "provider_rate_limited"),
        (problem(401, 5), "provider_credentials"),
        (problem(401, 43), "provider_credentials"),
        (problem(403, 17), "provider_credentials"),
        (problem(500, 0), "provider_unavailable"),
    ] {
        let (service, fake) = service("").await;
        fake.next("/users", script);
        let answer = service.session("bob").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, code));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_takes_tokens_back_that_were_issued_before() {
    let (service, fake) = service("").await;
    assert_eq!(sign_out(&service, "alice").await.status, 204);
    let set = json!({"revoke_tokens_issued_before": "2026-05-04T18:40:00Z"});
    assert_eq!(fake.calls()[0].json, json!({"users": [{"id": "alice", "set": set}]}));
    assert_eq!(sign_out(&service, "new").await.status, 204, "an unknown user has no tokens");
    assert_eq!((sign_out(&service, "a.b").await.status, fake.calls().len()), (204, 2), "nor has one who cannot be one");
    fake.next("/users", problem(500, 0));
    assert_eq!(sign_out(&service, "alice").await.code(), "provider_unavailable", "and is not told that it was done");
}
