//! For whom calls are made: whom a caller may name, and where the provider is told.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidemint::config::Environment;

use super::fixture::{Fixture, SHOP, Setup, code};
use super::recorder::{Recorder, Rules};
use crate::fakes::http::Script;
use crate::harness::{NOW, clock, draw_with};

/// A definition whose users are `u-ID` at the provider, with these lines in `[gateway]`.
fn definition(lines: &str) -> (&'static str, String) {
    let text = format!(
        r#"
name = "for-users"
summary = "Calls for users."
[settings.api_url]
about = "Address of the API."
kind = "url"
[settings.api_key]
about = "Key of the API."
secret = true
[user]
case = "counts"
prefix = "u-"
pattern = '[a-z-]{{1,32}}'
[gateway]
base = "{{{{ config.api_url }}}}"
auth = {{ bearer = "api_key" }}
{lines}
[[gateway.calls]]
as_user = "required"
write = {{ "message.send" = "POST /messages" }}
[[gateway.calls]]
as_user = "allowed"
write = {{ "note.put" = "PUT /notes" }}
[[gateway.calls]]
write = {{ "room.put" = "PUT /rooms" }}
"#
    );
    ("for-users", text)
}

fn setup(lines: &str, as_user: &str) -> Setup {
    let overrides = vec![
        ("gateway.callers.shop.as_user", format!("\"{as_user}\"")),
        ("gateway.callers.other.grants", "[{ provider = \"own\", allow = [\"default\"] }]".to_owned()),
    ];
    Setup { definition: definition(lines), overrides, ..Setup::default() }
}

async fn start(setup: Setup) -> Fixture {
    let rules = Rules::strict(&[SHOP], &["authorization", "x-for"]);
    setup.start_at(Recorder::start(rules, |_| Script::json(200, &json!({}))).await).await
}

async fn call(fixture: &Fixture, method: &str, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let headers = [&[("Content-Type", "application/json")], headers].concat();
    let answer = fixture.send(method, target, &headers, b"{\"a\":1}").await;
    (answer.status, code(&answer).to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

const IN_HEADER: &str = "as_user = { header = \"X-For\", sent_as = \"X-For\" }";

/// G-16, G-17: operation and caller decide together, and what was meant for a user is never made for none.
#[tokio::test(flavor = "multi_thread")]
async fn operation_and_caller_decide_for_whom_a_call_is_made() {
    let (ok, denied) = (refused(200, "none"), refused(403, "as_user_denied"));
    let missing = refused(400, "as_user_missing");
    for (as_user, sent, required, allowed, forbidden) in [
        ("any", true, &ok, &ok, &denied),
        ("any", false, &missing, &ok, &ok),
        ("none", true, &denied, &denied, &denied),
        ("none", false, &missing, &ok, &ok),
    ] {
        let fixture = start(setup(IN_HEADER, as_user)).await;
        let headers = if sent { &[("X-Chat-As-User", "alice")][..] } else { &[] };
        for (method, target, expected) in
            [("POST", "/messages", required), ("PUT", "/notes", allowed), ("PUT", "/rooms", forbidden)]
        {
            assert_eq!(&call(&fixture, method, target, headers).await, expected, "{as_user} {sent} {target}");
        }
    }
}

/// The provider is told by us alone, where the definition says, by the id that tokens have.
#[tokio::test(flavor = "multi_thread")]
async fn the_provider_is_told_where_the_definition_says() {
    let fixture = start(setup(IN_HEADER, "any")).await;
    for headers in
        [&[("X-Chat-As-User", "alice")][..], &[("X-For", "alice")], &[("x-for", "alice"), ("X-Chat-As-User", "alice")]]
    {
        assert_eq!(call(&fixture, "POST", "/messages", headers).await, refused(200, "none"), "{headers:?}");
        assert_eq!(fixture.provider.last().header("x-for"), Some("u-alice"));
    }
    // G-10: whom none may name, or two at once.
    for (headers, expected) in [
        (&[("X-For", "bob"), ("X-Chat-As-User", "alice")][..], refused(403, "as_user_denied")),
        (&[("X-Chat-As-User", "alice"), ("X-Chat-As-User", "bob")], refused(400, "header_invalid")),
        (&[("X-Chat-As-User", "ALICE/..")], refused(403, "as_user_denied")),
        (&[("X-Chat-As-User", "")], refused(400, "as_user_missing")),
    ] {
        assert_eq!(call(&fixture, "POST", "/messages", headers).await, expected, "{headers:?}");
    }
    let fixture =
        start(setup("as_user = { query = \"acting\", sent_as = \"query:acting\", encode = \"base64url\" }", "any"))
            .await;
    // An SDK writes it as the provider reads it.
    let encoded = format!("/messages?acting={}", URL_SAFE_NO_PAD.encode("alice"));
    for (target, headers) in [("/messages", &[("X-Chat-As-User", "alice")][..]), (encoded.as_str(), &[])] {
        assert_eq!(call(&fixture, "POST", target, headers).await, refused(200, "none"), "{target}");
        assert_eq!(fixture.provider.last().parameter("acting"), Some(URL_SAFE_NO_PAD.encode("u-alice")));
    }
    for target in ["/messages?acting=alice", "/messages?acting=YWxp*2U", "/messages?acting=_w"] {
        assert_eq!(call(&fixture, "POST", target, &[]).await, refused(403, "as_user_denied"), "{target}");
    }
    let fixture = start(setup("as_user = { json = \"/senderId\" }", "any")).await;
    let headers = [("Content-Type", "application/json"), ("X-Chat-As-User", "alice")];
    assert_eq!(fixture.send("POST", "/messages", &headers, b"{\"senderId\":\"bob\"}").await.status, 200);
    assert_eq!(fixture.provider.last().json()["senderId"], "u-alice");
}

/// Ids that are the provider's own are held against a pattern, and go as they are.
#[tokio::test(flavor = "multi_thread")]
async fn ids_of_the_provider_match_its_pattern() {
    let own = "as_user = { header = \"X-For\", id = \"provider\", pattern = \"[0-9a-f-]{36}\" }";
    let fixture = start(setup(own, "any")).await;
    let id = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    assert_eq!(call(&fixture, "POST", "/messages", &[("X-Chat-As-User", id)]).await, refused(200, "none"));
    assert_eq!(fixture.provider.last().header("x-for"), Some(id));
    for id in ["alice", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f00", "../../3c-4b5a-6978-8796-a5b4c3d2e1f0"] {
        assert_eq!(
            call(&fixture, "POST", "/messages", &[("X-Chat-As-User", id)]).await,
            refused(403, "as_user_denied"),
            "{id}"
        );
    }
}

/// An issuer whose keys lie in a file.
struct Issuer(Ed25519KeyPair);

impl Issuer {
    fn token(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": "k" })), part(claims));
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(text.as_bytes())))
    }

    fn of(&self, subject: &str) -> String {
        let now = NOW.as_seconds();
        self.token(
            &json!({ "iss": "https://issuer.example/", "aud": "chat", "sub": subject, "iat": now, "exp": now + 300 }),
        )
    }

    fn keys(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "alg": "EdDSA", "use": "sig", "x": x }] })
    }
}

/// G-16: a caller that is no trusted deputy shows the user's own word.
#[tokio::test(flavor = "multi_thread")]
async fn a_proven_user_is_the_one_whose_assertion_comes_along() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, stranger) = (Issuer(Ed25519KeyPair::generate().unwrap()), Issuer(Ed25519KeyPair::generate().unwrap()));
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, issuer.keys().to_string()).unwrap();
    let mut setup = setup(IN_HEADER, "proven");
    setup.rest = format!(
        "[identity.sources.issuer]\nkind = \"jwt\"\n\
         jwt = {{ header = \"Authorization\", scheme = \"Bearer\", algorithms = [\"EdDSA\"], issuer = \"https://issuer.example/\", audience = \"chat\" }}\n\
         keys = {{ file = \"{}\" }}\n",
        file.display()
    );
    setup.overrides.push(("identity.source", "\"issuer\"".to_owned()));
    setup.overrides.push(("identity.users.deny", "[\"mallory\"]".to_owned()));
    let fixture = start(setup).await;
    let denied = refused(403, "as_user_denied");
    let expired = {
        let now = NOW.as_seconds();
        issuer.token(&json!({ "iss": "https://issuer.example/", "aud": "chat", "sub": "alice", "iat": now - 600, "exp": now - 300 }))
    };
    for (named, token, expected) in [
        ("alice", Some(issuer.of("alice")), refused(200, "none")),
        ("alice", Some(issuer.of("bob")), denied.clone()),
        ("alice", Some(stranger.of("alice")), denied.clone()),
        ("alice", Some(expired), denied.clone()),
        ("alice", Some("alice".to_owned()), denied.clone()),
        ("alice", None, denied.clone()),
        ("mallory", Some(issuer.of("mallory")), denied.clone()),
    ] {
        let mut headers = vec![("X-Chat-As-User", named)];
        headers.extend(token.as_deref().map(|token| ("X-Chat-User-Assertion", token)));
        assert_eq!(call(&fixture, "POST", "/messages", &headers).await, expected, "{named} {token:?}");
    }
    let missing = call(&fixture, "POST", "/messages", &[("X-Chat-User-Assertion", &issuer.of("alice"))]).await;
    assert_eq!(missing, refused(400, "as_user_missing"));
    assert_eq!(fixture.provider.last().header("x-for"), Some("u-alice"));
    assert_eq!(fixture.provider.requests().len(), 1);
}

#[test]
fn proven_users_need_a_source_that_proves_them() {
    let told = |lines: &str| {
        let folder = tempfile::tempdir().unwrap();
        let own = setup(lines, "proven");
        let text = own.text(folder.path(), "http://127.0.0.1:1");
        let (name, definition) = (own.definition.0, own.definition.1.as_str());
        draw_with(&text, &Environment::default(), clock(), &[(name, definition)]).unwrap_err().to_string()
    };
    let key = "gateway.callers.shop.as_user: is \"proven\", and";
    assert!(
        told(IN_HEADER).contains(&format!("{key} nothing verifies users' assertions; name a source of kind \"jwt\""))
    );
    let own = told("as_user = { header = \"X-For\", id = \"provider\" }");
    assert!(own.contains(&format!("{key} provider own takes ids of its own, which no assertion tells")), "{own}");
}
