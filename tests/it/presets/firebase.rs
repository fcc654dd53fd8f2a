//! Firebase: tokens equal to the official library's.

use serde_json::{Value, json};
use sidemint::provider::{Alg, generate};

use super::{on, refusal, secret_file};
use crate::harness::{NOW, SESSION};
use crate::judge::judge;

const EMAIL: &str = "signer@chat-test.iam.gserviceaccount.com";

/// A key file as Google hands it out, and the key in it.
fn account() -> (String, String) {
    let pem = generate(Alg::Rs256).unwrap().expose_text().unwrap().to_owned();
    let account = json!({
        "type": "service_account", "project_id": "chat-test", "private_key_id": "0f1e", "private_key": pem,
        "client_email": EMAIL, "client_id": "1", "token_uri": "https://oauth2.googleapis.com/token",
    });
    (account.to_string(), pem)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_the_bytes_of_the_official_library() {
    let (account, pem) = account();
    for (lines, claims, tenant) in [
        ("", json!(null), json!(null)),
        (
            "tenant_id = \"acme\"\nclaims = { plan = \"{{ user.groups | first }}\", admin = false }",
            json!({"admin": false, "plan": "pro"}),
            json!("acme"),
        ),
    ] {
        let service = on("firebase", lines, [("FIREBASE_SERVICE_ACCOUNT", &account)]).await;
        let headers = [("X-Forwarded-User", "auth0|Älice"), ("X-Forwarded-Groups", "pro")];
        let session = service.ask("GET", SESSION, &headers).await.json();
        let mut order = json!({"email": EMAIL, "pem": pem, "uid": "auth0|Älice", "at": NOW.as_seconds()});
        for (name, value) in [("claims", claims), ("tenant", tenant.clone())] {
            if !value.is_null() {
                order[name] = value;
            }
        }
        let theirs = judge("firebase.mjs", order);
        assert_eq!(session["token"], theirs["token"], "{theirs}");
        assert_eq!(session["apiUrl"], "https://identitytoolkit.googleapis.com");
        assert_eq!(
            (&session["projectId"], session.get("tenantId").unwrap_or(&Value::Null)),
            (&json!("chat-test"), &tenant)
        );
        assert!(!session.to_string().contains("PRIVATE KEY"));
    }
}

#[test]
fn names_that_firebase_keeps_for_itself_are_refused_as_the_official_library_does() {
    let (account, pem) = account();
    for name in [
        "acr",
        "amr",
        "at_hash",
        "aud",
        "auth_time",
        "azp",
        "cnf",
        "c_hash",
        "exp",
        "firebase",
        "iat",
        "iss",
        "jti",
        "nbf",
        "nonce",
        "sub",
    ] {
        let told =
            refusal("firebase", &format!("claims = {{ {name} = \"x\" }}"), [("FIREBASE_SERVICE_ACCOUNT", &account)]);
        assert!(told.contains("keeps for itself"), "{name}: {told}");
    }
    let order = json!({"email": EMAIL, "pem": pem, "uid": "alice", "claims": {"nonce": "x"}, "at": NOW.as_seconds()});
    assert_eq!(judge("firebase.mjs", order)["error"], "auth/argument-error");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_has_128_bytes_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let file = secret_file(&folder, "account.json", account().0);
    let service = on("firebase", &format!("service_account_file = \"{}\"", file.display()), []).await;
    assert_eq!(service.session(&"a".repeat(128)).await.status, 200);
    let answer = service.session(&"a".repeat(129)).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "user_id_invalid"));
}

#[test]
fn what_is_not_a_key_file_is_refused_without_its_content() {
    let (_, pem) = account();
    let without_key = json!({"client_email": EMAIL, "project_id": "chat-test"}).to_string();
    let swapped = json!({"client_email": pem, "project_id": "chat-test", "private_key": pem}).to_string();
    for account in [&pem, &without_key, &swapped] {
        let told = refusal("firebase", "", [("FIREBASE_SERVICE_ACCOUNT", account)]);
        assert!(told.contains("service_account") && !told.contains("MII"), "{told}");
    }
    let text = super::route("firebase", "").replace("answer = \"session\"", "answer = \"session\"\nttl = \"2h\"");
    let (account, _) = self::account();
    let environment = sidemint::config::Environment::of([("FIREBASE_SERVICE_ACCOUNT", account.as_str())]);
    let told = crate::harness::draw(&text, &environment, crate::harness::clock()).map(|_| ()).expect_err("refused");
    assert!(told.to_string().contains("1h"), "{told}");
}
