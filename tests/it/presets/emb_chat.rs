//! emb.chat: tokens that are the vectors' byte for byte, and a stand-in for the verifier that its pages describe.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidemint::clock::Clock as _;
use sidemint::config::Environment;
use sidemint::provider::{Alg, Progress, Rotation, RotationPlan};

use super::{text_of, vectors};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{NOW, SESSION, Service, clock, config, draw};
use crate::judge::judge;
use crate::keys::put;

fn file() -> Value {
    vectors(include_str!("../../vectors/emb-chat-token.json"))
}

fn key_of<'f>(file: &'f Value, kid: &Value) -> &'f Value {
    file["keys"].as_array().unwrap().iter().find(|key| key["kid"] == *kid).expect("a key")
}

/// A folder with the key, and a configuration that signs with it.
fn setup(key: &Value, extra: &str) -> (tempfile::TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, key["private_pem"].as_str().unwrap()).unwrap();
    let text = format!(
        "[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"chat\"
[providers.chat]\npreset = \"emb-chat\"\npublic_api_url = \"https://chat.acme.com\"\napp_id = \"app_demo\"
private_key_file = \"{}\"\nalg = {}\n{extra}\n",
        file.display(),
        key["algorithm"]
    );
    (folder, file, config(&text, &[]))
}

async fn service(key: &Value, extra: &str) -> (tempfile::TempDir, Service) {
    let (folder, _, text) = setup(key, extra);
    (folder, Service::start(&text, &Environment::default(), clock()).await)
}

fn verdict(token: &Value, at: i64) -> Value {
    judge("emb-chat.mjs", json!({ "token": token, "keys": file()["keys"], "at": at }))
}

fn parts(token: &Value) -> Vec<Value> {
    let decode = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    token.as_str().unwrap().split('.').take(2).map(decode).collect()
}

/// The judge first: it must tell every case of the vectors as they do.
#[test]
fn the_stand_in_says_of_every_token_what_its_vector_says() {
    let file = file();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 13);
    for case in cases {
        let seen = verdict(&case["token"], case["now"].as_i64().unwrap());
        let code = seen.get("error").cloned().unwrap_or(json!("ok"));
        assert_eq!(code, case["code"], "{}: {seen}", case["name"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_those_of_the_vectors_byte_for_byte() {
    let file = file();
    let valid: Vec<&Value> = file["cases"].as_array().unwrap().iter().filter(|case| case["valid"] == true).collect();
    assert_eq!(valid.len(), 4);
    for case in valid {
        let (name, claims) = (&case["name"], &case["claims"]);
        assert_eq!((&case["now"], &case["exact"]), (&json!(NOW.as_seconds()), &json!(true)));
        let mut extra = format!("kid = {}\n", case["header"]["kid"]);
        if let Some(meta) = claims["meta"].as_object() {
            extra.push_str("[providers.chat.meta]\n");
            meta.iter().for_each(|(name, value)| extra.push_str(&format!("{name} = {value}\n")));
        }
        let (_folder, _, mut text) = setup(key_of(&file, &case["header"]["kid"]), &extra);
        // The preset leaves `typ` out, as most of the vectors do; a definition that writes it is as exact.
        let with_typ =
            text_of("emb-chat").replace("header = { typ = \"\" }", "").replace("\"emb-chat\"", "\"with-typ\"");
        if case["header"]["typ"] == "JWT" {
            text = text.replace("\"emb-chat\"", "\"with-typ\"");
        }
        let service = Service::start_with(&text, &Environment::default(), clock(), &[("with-typ", &with_typ)]).await;
        let mut headers = vec![("X-Forwarded-User", claims["sub"].as_str().unwrap())];
        headers.extend(claims["name"].as_str().map(|name| ("X-Forwarded-Name", name)));
        let session = service.ask("GET", SESSION, &headers).await.json();
        assert_eq!(session["token"], case["token"], "{name}");
        assert_eq!(session["expiresAt"], "2026-05-04T19:40:00.000Z", "{name}: an hour, where the route says nothing");
        assert_eq!((&session["chatUserId"], &session["apiUrl"]), (&claims["sub"], &json!("https://chat.acme.com")));
    }
}

/// The service copies claim by claim what is there: an empty one would wipe what it stores.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_empty_is_left_out() {
    let file = file();
    let key = key_of(&file, &json!("key_02"));
    let meta = "kid = \"key_02\"\n[providers.chat.meta]\nmail = \"{{ user.email? }}\"\nteams = \"{{ user.groups? }}\"";
    let (_folder, service) = service(key, meta).await;
    let bare = service.ask("GET", SESSION, &[("X-Forwarded-User", "alice")]).await.json();
    let claims = json!({ "sub": "alice", "aud": "app_demo", "exp": NOW.as_seconds() + 3600 });
    assert_eq!(parts(&bare["token"]), [json!({ "alg": "EdDSA", "kid": "key_02" }), claims]);
    let headers = [
        ("X-Forwarded-User", "bob"),
        ("X-Forwarded-Name", "Bob \"B\""),
        ("X-Forwarded-Email", "bob@example.com"),
        ("X-Forwarded-Groups", "a,b"),
    ];
    let full = service.ask("GET", SESSION, &headers).await.json();
    let claims = json!({
        "sub": "bob", "aud": "app_demo", "exp": NOW.as_seconds() + 3600, "name": "Bob \"B\"",
        "meta": { "mail": "bob@example.com", "teams": ["a", "b"] },
    });
    assert_eq!(verdict(&full["token"], NOW.as_seconds())["claims"], claims);
    assert_eq!(verdict(&full["token"], NOW.as_seconds() + 3600)["error"], "expired_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_may_be_made_from_the_user() {
    let file = file();
    let key = key_of(&file, &json!("key_02"));
    let (_folder, own) = service(key, "kid = \"key_02\"\navatar = \"https://cdn.example/{{ user.id }}.png\"").await;
    let session = own.session("alice").await.json();
    assert_eq!(verdict(&session["token"], NOW.as_seconds())["claims"]["avatar"], "https://cdn.example/alice.png");
    let (_folder, none) = service(key, "").await;
    assert!(parts(&none.session("alice").await.json()["token"])[1].get("avatar").is_none(), "no source tells one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_an_id_is_named_by_its_thumbprint() {
    let file = file();
    let (_folder, service) = service(key_of(&file, &json!("key_02")), "").await;
    let header = parts(&service.session("alice").await.json()["token"])[0].clone();
    let published = service.ask("GET", "/.well-known/jwks.json", &[]).await.json();
    assert_eq!(header["kid"], published["keys"][0]["kid"]);
    assert_eq!(header["kid"].as_str().unwrap().len(), 43);
}

/// Deactivating a key may end what it signed, so a session never outlives its key here.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_the_old_key_are_dropped_with_it() {
    let file = file();
    let (_folder, path, text) = setup(key_of(&file, &json!("key_01")), "");
    let service = Service::start(&text, &Environment::default(), clock()).await;
    let before = service.session("alice").await.json();
    assert_eq!(service.session("alice").await.json()["token"], before["token"]);
    std::fs::write(&path, key_of(&file, &json!("key_00"))["private_pem"].as_str().unwrap()).unwrap();
    service.nudge.now();
    service.metric_reaches("sidemint_credentials_generation{provider=\"chat\"}", 2.0).await;
    let after = service.session("alice").await.json();
    assert_ne!(parts(&after["token"])[0]["kid"], parts(&before["token"])[0]["kid"]);
}

#[test]
fn what_the_provider_would_refuse_is_refused_at_load() {
    let file = file();
    let (rsa, ed25519) = (key_of(&file, &json!("key_01")), key_of(&file, &json!("key_02")));
    for (key, change, problem) in [
        (rsa, ("alg = \"RS256\"", "alg = \"HS256\""), "not one of RS256, EdDSA"),
        (rsa, ("alg = \"RS256\"", "alg = \"EdDSA\""), "private_key"),
        (ed25519, ("alg = \"EdDSA\"", "alg = \"RS256\""), "private_key"),
        (rsa, ("answer = \"session\"", "answer = \"session\"\nttl = \"25h\""), "maximum is 1day"),
        (rsa, ("app_id = \"app_demo\"\n", ""), "app_id"),
    ] {
        let (_folder, _, text) = setup(key, "");
        let changed = text.replace(change.0, change.1);
        assert_ne!(changed, text);
        let told = draw(&changed, &Environment::default(), clock()).expect_err(problem).to_string();
        assert!(told.contains(problem) && !told.contains("PRIVATE"), "{problem}: {told}");
    }
}

/// What the pages say of keys, at an address of the operator's.
fn admin(call: &Call) -> Script {
    let error = |status, code: &str| Script::json(status, &json!({ "code": code, "message": "x" }));
    if call.header("authorization") != "Bearer app_key" {
        return error(401, "invalid_api_key");
    }
    let mut members = call.members();
    members.sort_unstable();
    match (call.method.as_str(), call.path.strip_prefix("/admin/keys")) {
        ("POST", Some("")) if members == ["algorithm", "kid", "publicKey"] => {
            let pem = call.json["publicKey"].as_str().unwrap();
            let good = pem.starts_with("-----BEGIN PUBLIC KEY-----\n") && call.json["algorithm"] == "EdDSA";
            if good { Script::json(201, &json!({})) } else { error(400, "validation_error") }
        }
        ("DELETE", Some("/old")) if call.body.is_empty() => Script::json(200, &json!({})),
        _ => error(404, "unknown_kid"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_registered_and_retired_where_the_operator_says_so() {
    let (fake, clock, folder) = (Fake::start(admin).await, clock(), tempfile::tempdir().unwrap());
    put(folder.path(), "old.pem", Alg::EdDsa);
    let lines = format!(
        "alg = \"EdDSA\"\nprivate_key_dir = \"{}\"\nkeys_url = \"{}/admin/keys\"\nretries = 0\n\
         public_api_url = \"https://chat.acme.com\"\napp_id = \"app_demo\"",
        folder.path().display(),
        fake.base_url()
    );
    let environment = Environment::of([("EMB_CHAT_API_KEY", "app_key")]);
    let blueprint = draw(&super::route("emb-chat", &lines), &environment, Arc::clone(&clock)).unwrap();
    let plan = RotationPlan {
        overlap: None,
        kid: Some("new".to_owned()),
        may_begin: true,
        by_hand: false,
        patience: Duration::from_secs(60),
    };
    let mut rotation = Rotation::open(blueprint.provider("chat").unwrap(), plan).unwrap();
    loop {
        match rotation.step().await.unwrap() {
            Progress::Reached(_) => {}
            Progress::Waits(until) => clock.advance(until.since(clock.now())),
            Progress::Done => break,
        }
    }
    assert_eq!(fake.asked(), ["POST /admin/keys", "DELETE /admin/keys/old"]);
    assert_eq!(fake.calls()[0].json["kid"], "new");
    // One of the two settings is of no use alone; neither is, where keys are registered by hand.
    let told = draw(&super::route("emb-chat", &lines), &Environment::default(), clock).expect_err("half").to_string();
    assert!(told.contains("api_key: is missing; keys_url is given"), "{told}");
}
