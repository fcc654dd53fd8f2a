//! Twilio: tokens equal to the official library's, and users at a strict fake.

use serde_json::json;

use super::{on, parts};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{NOW, SESSION, Service};
use crate::judge::judge;

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const KEY: &str = "SK0123456789abcdef0123456789abcdef";
const SERVICE: &str = "IS0123456789abcdef0123456789abcdef";
const SECRET: &str = "k8dTzQw3Lm5Xc7Vb9Nn1Rr2Ss4Tt6Uu8";
const SECRETS: [(&str, &str); 4] = [
    ("TWILIO_ACCOUNT_SID", ACCOUNT),
    ("TWILIO_API_KEY", KEY),
    ("TWILIO_API_SECRET", SECRET),
    ("TWILIO_CONVERSATIONS_SERVICE_SID", SERVICE),
];

/// The Conversations API, where «alice» exists, «new» does not, and «raced» is created by another client in between.
fn twilio(call: &Call) -> Script {
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{KEY}:{SECRET}"));
    let problem = |status: u16, code: u32| {
        Script::json(status, &json!({"code": code, "message": "no", "more_info": "", "status": status}))
    };
    if call.header("authorization") != format!("Basic {basic}") {
        return problem(401, 20003);
    }
    let form = call.form();
    let field = |name: &str| form.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    let known =
        form.iter().all(|(name, _)| ["Identity", "FriendlyName", "Attributes", "RoleSid"].contains(&name.as_str()));
    if call.method != "POST" || !known || call.header("content-type") != "application/x-www-form-urlencoded" {
        return problem(400, 20001);
    }
    match (call.path.strip_prefix(&format!("/v1/Services/{SERVICE}/Users")), field("Identity")) {
        (Some("/alice%40example.com"), None) => Script::json(200, &json!({"sid": "US1"})),
        (Some(user), None) if user.starts_with('/') => problem(404, 20404),
        (Some(""), Some("raced")) => problem(409, 50201),
        (Some(""), Some(_)) => Script::json(201, &json!({"sid": "US2"})),
        _ => problem(400, 20001),
    }
}

async fn with_users() -> (Service, Fake) {
    let fake = Fake::start(twilio).await;
    let lines = format!("api_url = \"{}\"\nupdate_users = true\nretries = 0", fake.base_url());
    (on("twilio", &lines, SECRETS).await, fake)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_what_the_official_librarys_says() {
    let push = "CR0123456789abcdef0123456789abcdef";
    for (lines, region, grant) in [
        (String::new(), json!(null), json!({"serviceSid": SERVICE})),
        (
            format!("region = \"ie1\"\npush_credential_sid = \"{push}\""),
            json!("ie1"),
            json!({"serviceSid": SERVICE, "pushCredentialSid": push}),
        ),
    ] {
        let service = on("twilio", &lines, SECRETS).await;
        let session = service.session("alice@example.com").await.json();
        let mut options = json!({"identity": "alice@example.com", "ttl": 3600});
        if !region.is_null() {
            options["region"] = region;
        }
        let order = json!({
            "account": ACCOUNT, "key": KEY, "secret": SECRET, "at": NOW.as_seconds(), "options": options, "grant": grant,
        });
        let theirs = judge("twilio.mjs", order);
        assert_eq!(parts(&session["token"]), (theirs["header"].clone(), theirs["claims"].clone()));
        let jose = json!({"token": session["token"], "secret": SECRET, "at": NOW.as_seconds(), "checks": {}});
        assert_eq!(judge("jose.mjs", jose)["claims"]["iss"], KEY);
        assert!(!session.to_string().contains(SECRET));
    }
}

/// Clients are told 180 s before the end, and do nothing where they get the same token again.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_told_gets_another_token() {
    let service = on("twilio", "", SECRETS).await;
    let first = service.session("alice").await.json()["token"].clone();
    service.advance(600);
    assert_eq!(service.session("alice").await.json()["token"], first);
    service.advance(2_759);
    service.session("alice").await;
    service.advance(61);
    let second = service.session("alice").await.json()["token"].clone();
    assert_ne!(second, first);
    assert!(parts(&second).1["exp"].as_i64().unwrap() > NOW.as_seconds() + 3_420 + 240);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_kept_up_to_date_where_the_operator_wants_it() {
    let (service, fake) = with_users().await;
    let users = format!("POST /v1/Services/{SERVICE}/Users");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = [("X-Forwarded-User", "alice@example.com"), ("X-Forwarded-Name", "Alice & co")];
    assert_eq!(service.ask("GET", SESSION, &headers).await.status, 200);
    assert_eq!(fake.asked(), [format!("{users}/alice%40example.com")]);
    assert_eq!(fake.calls()[0].form(), [pair("FriendlyName", "Alice & co")]);
    for user in ["new", "raced"] {
        assert_eq!(service.session(user).await.status, 200, "{user}");
        let calls = fake.calls();
        assert_eq!(calls.last().unwrap().form(), [pair("FriendlyName", user), pair("Identity", user)]);
    }
    let before = fake.calls().len();
    assert_eq!(service.ask("GET", SESSION, &[("X-Forwarded-User", "bob")]).await.status, 200);
    assert_eq!(fake.calls().len(), before, "there is no name to tell");
    fake.next(&format!("/v1/Services/{SERVICE}/Users/carol"), Script::json(429, &json!({"code": 20429})));
    assert_eq!(service.session("carol").await.code(), "provider_rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_made_where_the_operator_does_not_want_it() {
    let fake = Fake::start(twilio).await;
    let service = on("twilio", &format!("api_url = \"{}\"", fake.base_url()), SECRETS).await;
    assert_eq!(service.session("alice").await.status, 200);
    assert!(fake.calls().is_empty());
    let lines = "user_prefix = \"acme-\"";
    let service = on("twilio", lines, SECRETS).await;
    assert_eq!(service.session(&"a".repeat(251)).await.status, 200);
    assert_eq!(service.session(&"a".repeat(252)).await.code(), "user_id_invalid", "257 bytes");
}

#[test]
fn more_than_a_day_and_sids_of_another_kind_are_refused() {
    let told = super::refusal("twilio", &format!("service_sid = \"{KEY}\""), SECRETS);
    assert!(told.contains("does not match"), "{told}");
    let text = super::route("twilio", "").replace("answer = \"session\"", "answer = \"session\"\nttl = \"25h\"");
    let environment = sidemint::config::Environment::of(SECRETS);
    let told = crate::harness::draw(&text, &environment, crate::harness::clock()).map(|_| ()).expect_err("refused");
    assert!(told.to_string().contains("maximum is 1day"), "{told}");
}
