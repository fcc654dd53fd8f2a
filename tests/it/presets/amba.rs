//! Amba: its vectors, and a fake with accounts that refuses what its pages do not describe.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidemint::config::Environment;

use super::vectors;
use crate::exchange::{Case, Stage};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{NOW, SESSION, Service, clock, config, draw};

const CLIENT_KEY: &str = "amb_dev_ck_0123456789";
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
const LOGIN: &str = "/v1/client/auth/email/login";
const SIGNUP: &str = "/v1/client/auth/email/signup";
const ME: &str = "/v1/client/users/me";

/// The password of an address, worked out with another library than the engine's template.
fn password(address: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, format!("sidemint amba password\n{address}").as_bytes()))
}

fn environment() -> Environment {
    Environment::of([("AMBA_CLIENT_KEY", CLIENT_KEY), ("AMBA_PASSWORD_SECRET", SECRET)])
}

/// What the shipped preset does not do by design: one call of the client routes, with the refresh token as a secret where
/// there is one. The engine could.
fn other_mode(route: &str, body: &str, rule: &str) -> String {
    format!(
        "name = \"amba-other\"\nsummary = \"One call of Amba's client routes\"
[settings.api_url]
about = \"Address.\"
kind = \"url\"
[settings.client_key]
about = \"Client key.\"
{body}
expires = {{ kind = \"jwt\" }}
on = [{rule}]
post = \"{{{{ config.api_url }}}}/v1/client/auth/{route}\"
headers = {{ X-Api-Key = \"{{{{ config.client_key }}}}\" }}
token = \"/data/session_token\"
[user]
case = \"counts\"
[lifetime]
default = \"1h\"
margin = \"60s\"
on_credential_change = \"keep\"
[response]
api_url = \"{{{{ config.api_url }}}}\"
"
    )
}

fn anonymous() -> String {
    let body = "[[token.steps]]\nid = \"anonymous\"\njson = {}\ntake = { user = \"/data/user/id\" }";
    let text = other_mode("anonymous", body, "");
    format!("{text}user_id = \"{{{{ step.anonymous.user }}}}\"\n")
}

fn refresh() -> String {
    let body = "[settings.refresh_token]\nabout = \"Refresh token.\"\nsecret = true\nenv = \"AMBA_REFRESH_TOKEN\"
[[token.steps]]\nid = \"refresh\"\nauth = { member = \"refresh_token\", secret = \"refresh_token\" }";
    other_mode("refresh", body, "{ status = 401, class = \"session_lost\" }")
}

/// The stage for a case of the vectors, by its mode.
fn stage(case: &Value, retries: u32) -> Stage {
    let table = |preset: &str, more: &str| format!("preset = \"{preset}\"\napi_url = \"{{mock}}\"\n{more}");
    let other = format!("client_key = \"{CLIENT_KEY}\"");
    let (provider, definition, environment) = match case["mode"].as_str().unwrap() {
        "email" => (table("amba", ""), None, environment()),
        "anonymous" => (table("amba-other", &other), Some(anonymous()), Environment::default()),
        "refresh" => {
            let token = case["input"]["refresh_token"].as_str().unwrap();
            (table("amba-other", &other), Some(refresh()), Environment::of([("AMBA_REFRESH_TOKEN", token)]))
        }
        other => panic!("unknown mode {other}"),
    };
    let definitions = definition.map(|text| ("amba-other", text)).into_iter().collect();
    Stage { provider, environment, definitions, retries, ..Stage::default() }
}

/// Cases of mode `email` are played by the preset. It has no other mode; those cases are played by definitions of this
/// test, which shows that the engine could.
#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_ends_as_its_vector_says() {
    let file = vectors(include_str!("../../vectors/http-amba.json"));
    assert_eq!((&file["now"], &file["credentials"]["client_key"]), (&json!(NOW.as_seconds()), &json!(CLIENT_KEY)));
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        for retries in [0, 2] {
            let mut played = Case::of(case);
            for step in &mut played.steps {
                let body = &mut step["request"]["json"];
                if body["password"] == "derived-from-a-server-secret" {
                    body["password"] = json!(password(body["email"].as_str().unwrap()));
                }
            }
            played.play(&stage(case, retries)).await;
        }
    }
}

fn jwt(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// An account: password, id and name.
type Accounts = Arc<Mutex<BTreeMap<String, (String, String, String)>>>;

/// What the pages describe, and nothing else.
fn honest(accounts: &Accounts, call: &Call) -> Script {
    let error = |status, code: &str| Script::json(status, &json!({ "error": { "code": code, "message": "x" } }));
    if call.header("x-api-key") != CLIENT_KEY {
        return error(401, "INVALID_KEY");
    }
    if call.header("content-type") != "application/json" || !call.query.is_empty() {
        return error(400, "INVALID_JSON");
    }
    let mut accounts = accounts.lock().unwrap();
    let mut members = call.members();
    members.sort_unstable();
    match (call.method.as_str(), call.path.as_str(), members.as_slice()) {
        ("POST", LOGIN | SIGNUP, ["email", "password"]) => {
            if !call.header("authorization").is_empty() {
                return error(400, "INVALID_PAYLOAD");
            }
            let (email, password) = (call.json["email"].as_str().unwrap(), call.json["password"].as_str().unwrap());
            let known = accounts.get(email).cloned();
            let (id, name) = match (call.path.as_str(), known) {
                (LOGIN, Some((own, id, name))) if own == password => (id, name),
                (LOGIN, _) => return error(401, "INVALID_CREDENTIALS"),
                (_, Some(_)) => return error(409, "CONFLICT"),
                (_, None) => {
                    let (id, name) = (format!("amba-{}", accounts.len()), "OakHiker".to_owned());
                    accounts.insert(email.to_owned(), (password.to_owned(), id.clone(), name.clone()));
                    (id, name)
                }
            };
            let session = jwt(&json!({ "sub": id, "pid": "proj_1", "exp": NOW.as_seconds() + 1800 }));
            let refresh = jwt(&json!({ "sub": id, "sid": "s1", "exp": NOW.as_seconds() + 7_776_000 }));
            let user = json!({ "id": id, "email": email, "display_name": name, "anonymous_id": null });
            let data = json!({ "session_token": session, "refresh_token": refresh, "user": user });
            Script::json(if call.path == LOGIN { 200 } else { 201 }, &json!({ "data": data }))
        }
        ("PATCH", ME, ["display_name"]) => {
            let own = |id: &str| {
                format!("Bearer {}", jwt(&json!({ "sub": id, "pid": "proj_1", "exp": NOW.as_seconds() + 1800 })))
            };
            let told = call.header("authorization");
            let Some((_, _, name)) = accounts.values_mut().find(|(_, id, _)| own(id) == told) else {
                return error(401, "INVALID_TOKEN");
            };
            call.json["display_name"].as_str().unwrap().clone_into(name);
            Script::json(200, &json!({ "data": { "display_name": name } }))
        }
        _ => error(404, "NOT_FOUND"),
    }
}

fn settings(fake: &Fake, extra: &str) -> String {
    let route = format!("[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"chat\"\n");
    format!("{route}[providers.chat]\npreset = \"amba\"\nretries = 0\napi_url = \"{}\"\n{extra}\n", fake.base_url())
}

/// The service that the pages describe, without users.
pub async fn strict() -> Fake {
    let accounts = Accounts::default();
    Fake::start(move |call| honest(&accounts, call)).await
}

async fn service(extra: &str) -> (Service, Fake, Accounts) {
    let accounts = Accounts::default();
    let own = Arc::clone(&accounts);
    let fake = Fake::start(move |call| honest(&own, call)).await;
    let text = config(&settings(&fake, extra), &[]);
    (Service::start(&text, &environment(), clock()).await, fake, accounts)
}

fn alice(name: &str) -> [(&'static str, &str); 2] {
    [("X-Forwarded-User", "alice"), ("X-Forwarded-Name", name)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_is_signed_up_once_and_named_where_the_name_differs() {
    let (service, fake, accounts) = service("project_id = \"proj_1\"").await;
    let answer = service.ask("GET", SESSION, &alice("Alice")).await;
    let mut session = answer.json();
    let members = session.as_object_mut().unwrap();
    assert_eq!(
        members.remove("token").unwrap(),
        jwt(&json!({ "sub": "amba-0", "pid": "proj_1", "exp": NOW.as_seconds() + 1800 }))
    );
    let expected = json!({
        "expiresAt": "2026-05-04T19:10:00.000Z", "apiUrl": fake.base_url(), "chatUserId": "amba-0",
        "displayName": "Alice", "clientKey": CLIENT_KEY, "projectId": "proj_1",
    });
    assert_eq!(session, expected, "and no refresh token, no password, no address");
    let first = [format!("POST {LOGIN}"), format!("POST {SIGNUP}"), format!("PATCH {ME}")];
    assert_eq!(fake.asked(), first);
    let derived = password("alice@users.invalid");
    let expected = ("alice@users.invalid".to_owned(), (derived, "amba-0".to_owned(), "Alice".to_owned()));
    assert_eq!(accounts.lock().unwrap().clone().into_iter().collect::<Vec<_>>(), [expected]);
    // Signed in again under the same name, under another, and under none.
    for (headers, calls) in [(&alice("Alice")[..], 1), (&alice("Älice \"A\""), 2), (&alice("Alice")[..1], 1)] {
        let before = fake.asked().len();
        service.ask("DELETE", SESSION, headers).await;
        assert_eq!(service.ask("GET", SESSION, headers).await.json()["chatUserId"], "amba-0");
        assert_eq!(fake.asked().len() - before, calls, "{headers:?}");
    }
    assert_eq!(accounts.lock().unwrap()["alice@users.invalid"].2, "Älice \"A\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_another_password_is_our_operator_s_trouble_and_no_loop() {
    let (service, fake, accounts) = service("").await;
    let taken = ("another".to_owned(), "amba-9".to_owned(), "Mallory".to_owned());
    accounts.lock().unwrap().insert("alice@users.invalid".to_owned(), taken);
    assert_eq!(service.session("alice").await.code(), "provider_credentials");
    assert_eq!(fake.asked(), [format!("POST {LOGIN}"), format!("POST {SIGNUP}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_amba_does_not_take_costs_no_session() {
    for status in [400, 422, 429, 500] {
        let (service, fake, _accounts) = service("").await;
        fake.next(ME, Script::json(status, &json!({ "error": { "code": "INVALID_PAYLOAD", "message": "x" } })));
        assert_eq!(service.session("alice").await.status, 200, "{status}");
        assert_eq!(fake.asked().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subjects_that_are_no_part_of_an_address_are_refused_or_folded() {
    let (refusing, fake, _accounts) = service("").await;
    let (folding, _fake, accounts) = service("user_unfit = \"hash\"").await;
    for subject in ["Alice", "alice@example.com", "auth0|7", "a b", ".a", "a..b", "a+b", "ä", &"x".repeat(65)] {
        let answer = refusing.session(subject).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "user_id_invalid"), "{subject}");
        assert_eq!(folding.session(subject).await.status, 200, "{subject}");
    }
    assert!(fake.asked().is_empty());
    assert_eq!(accounts.lock().unwrap().len(), 9, "no two users share an account");
    for subject in ["alice", "a.b-c_d", "7c9e6679-7425-40de-944b-e07fc1f90ae7"] {
        assert_eq!(refusing.session(subject).await.status, 200, "{subject}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_amba_keep_their_class_and_advice() {
    let details = json!({ "error": { "code": "rate_limited", "details": { "retry_after_seconds": 7 } } });
    let error = |code: &str| json!({ "error": { "code": code, "message": "x" } });
    for (status, body, code, retry) in [
        (429, details, "provider_rate_limited", Some("7")),
        (
            503,
            json!({ "error": { "kind": "tenant_unavailable", "details": { "retry_after_seconds": 5 } } }),
            "provider_unavailable",
            Some("5"),
        ),
        (400, json!({ "error": "bad" }), "provider_bad_answer", None),
        (403, error("PROJECT_FORBIDDEN"), "provider_credentials", None),
        (404, error("NOT_FOUND"), "provider_bad_answer", None),
        (200, json!({ "data": { "session_token": "opaque", "user": { "id": "u" } } }), "provider_bad_answer", None),
        (
            200,
            json!({ "data": { "session_token": jwt(&json!({ "exp": NOW.as_seconds() + 1800 })) } }),
            "provider_bad_answer",
            None,
        ),
    ] {
        let (service, fake, _accounts) = service("").await;
        fake.next(LOGIN, Script::json(status, &body));
        let answer = service.session("alice").await;
        assert_eq!(answer.code(), code, "{status} {body}");
        assert!(retry.is_none() || answer.header("retry-after") == retry, "{answer:?}");
        assert_eq!(fake.asked().len(), 1, "{status} {body}");
    }
    let (service, fake, _accounts) = service("").await;
    fake.next(LOGIN, Script::json(404, &error("USER_NOT_FOUND")));
    assert_eq!(service.session("alice").await.status, 200, "an account that is not there yet");
}

/// A server key in place of the client key would be handed to every browser.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_key_is_refused_and_not_repeated() {
    let fake = Fake::start(|_call| Script::Reset).await;
    for key in [
        "amb_live_sk_CANARY",
        "amb_dev_sk_CANARY",
        "amb_server_sk_CANARY",
        "amb_dpat_CANARY",
        "sk_CANARY",
        "amb_live_ck_CANARY\nx",
    ] {
        let environment = Environment::of([("AMBA_CLIENT_KEY", key), ("AMBA_PASSWORD_SECRET", SECRET)]);
        let problem = draw(&config(&settings(&fake, ""), &[]), &environment, clock()).expect_err(key).to_string();
        assert!(problem.contains("client_key") && !problem.contains("CANARY"), "{problem}");
    }
    for key in ["amb_live_ck_x-1_y", "amb_dev_ck_0", "amb_client_ck_0"] {
        let environment = Environment::of([("AMBA_CLIENT_KEY", key), ("AMBA_PASSWORD_SECRET", SECRET)]);
        draw(&config(&settings(&fake, ""), &[]), &environment, clock()).expect(key);
    }
    let short = Environment::of([("AMBA_CLIENT_KEY", CLIENT_KEY), ("AMBA_PASSWORD_SECRET", "too short for a secret")]);
    let problem = draw(&config(&settings(&fake, ""), &[]), &short, clock()).expect_err("short").to_string();
    assert!(problem.contains("password_secret") && !problem.contains("too short for a secret"), "{problem}");
}
