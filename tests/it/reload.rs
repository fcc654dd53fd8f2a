//! Secrets and keys that change while the service runs, in the way Kubernetes changes them, without a restart and
//! without a nudge where none is mentioned.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidemint::config::Environment;
use sidemint::identity::Identity;
use sidemint::provider::{Alg, generate};

use crate::canary::Traces;
use crate::eventually::eventually;
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::fakes::sendsar::{API_KEY, Sendsar};
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw, own_definition, sendsar};

const GENERATION: &str = "sidemint_credentials_generation{provider=\"chat\"}";
const REJECTED: &str = "sidemint_credentials_rejected_total{provider=\"chat\"}";
const NEW_KEY: &str = "sk_live_fedcba9876543210fedcba9876543210fedcba9876543210";

/// A folder as Kubernetes mounts a secret: `key` is a link to `..data/key`, and `..data` a link to the folder of the
/// current version. A new version replaces `..data` in one step.
struct Mount {
    folder: tempfile::TempDir,
    version: Cell<u32>,
}

impl Mount {
    fn of(content: &[u8]) -> Self {
        let mount = Self { folder: tempfile::tempdir().unwrap(), version: Cell::new(0) };
        mount.swap(Some(content));
        std::os::unix::fs::symlink("..data/key", mount.file()).unwrap();
        mount
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// The next version, with this content or without the file.
    fn swap(&self, content: Option<&[u8]>) {
        let old = format!("..2026_{:02}", self.version.get());
        self.version.set(self.version.get() + 1);
        let new = format!("..2026_{:02}", self.version.get());
        let at = |name: &str| self.folder.path().join(name);
        std::fs::create_dir(at(&new)).unwrap();
        if let Some(content) = content {
            std::fs::write(at(&new).join("key"), content).unwrap();
        }
        std::os::unix::fs::symlink(&new, at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        if at(&old).exists() {
            std::fs::remove_dir_all(at(&old)).unwrap();
        }
    }
}

async fn sendsar_with_file(file: PathBuf) -> (Service, Sendsar) {
    let clock = clock();
    let fake = Sendsar::start(Arc::clone(&clock)).await;
    let text = config(&sendsar(&fake, &format!("retries = 0\napi_key_file = \"{}\"", file.display())), &[]);
    (Service::start(&text, &Environment::default(), clock).await, fake)
}

async fn local_with_file(file: PathBuf) -> Service {
    let text = config(&format!("{LOCAL}\nkey_file = \"{}\"\n", file.display()), &[]);
    Service::start(&text, &Environment::default(), clock()).await
}

fn pem(alg: Alg) -> Vec<u8> {
    generate(alg).unwrap().expose().to_vec()
}

pub async fn kids(service: &Service) -> Vec<String> {
    let keys = service.ask("GET", "/.well-known/jwks.json", &[]).await.json();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// The key that signed the session of `user`.
pub async fn kid_of(service: &Service, user: &str) -> String {
    let session = service.session(user).await.json();
    let header = session["token"].as_str().unwrap().split('.').next().unwrap().to_owned();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

/// Promise 6, the part of a definition that says «keep»: a rotation costs no session.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_api_key_is_used_without_restart_and_sessions_outlive_the_old_one() {
    let mount = Mount::of(API_KEY.as_bytes());
    let (service, fake) = sendsar_with_file(mount.file()).await;
    let alice = service.session("alice").await.json();
    assert!((service.metric(GENERATION).await - 1.0).abs() < 0.1);
    fake.accept_key(NEW_KEY);
    mount.swap(Some(format!("{NEW_KEY}\n").as_bytes()));
    service.metric_reaches(GENERATION, 2.0).await;
    let calls = fake.calls().len();
    assert_eq!(service.session("alice").await.json(), alice);
    assert_eq!(fake.calls().len(), calls, "no call was made for that");
    assert_eq!(service.session("bob").await.status, 200);
    assert!(fake.calls()[calls..].iter().all(|call| call.headers["x-api-key"] == NEW_KEY));
    mount.swap(Some(API_KEY.as_bytes()));
    service.metric_reaches(GENERATION, 3.0).await;
    assert!(service.metric(REJECTED).await.abs() < 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_an_environment_variable_names_is_watched_as_well() {
    let mount = Mount::of(API_KEY.as_bytes());
    let clock = clock();
    let fake = Sendsar::start(Arc::clone(&clock)).await;
    let environment = Environment::of([("SENDSAR_API_KEY_FILE", mount.file().to_str().unwrap())]);
    let service = Service::start(&config(&sendsar(&fake, ""), &[]), &environment, clock).await;
    fake.accept_key(NEW_KEY);
    mount.swap(Some(NEW_KEY.as_bytes()));
    service.metric_reaches(GENERATION, 2.0).await;
    assert_eq!(service.session("alice").await.status, 200);
}

/// What Sendsar's rotation looks like from here: the old key is refused before the new one is in place.
#[tokio::test(flavor = "multi_thread")]
async fn between_the_end_of_a_key_and_the_next_only_new_users_wait() {
    let mount = Mount::of(API_KEY.as_bytes());
    let (service, fake) = sendsar_with_file(mount.file()).await;
    let alice = service.session("alice").await.json();
    fake.accept_key(NEW_KEY);
    let refused = service.session("bob").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "provider_credentials"));
    assert_eq!(service.session("alice").await.json(), alice);
    mount.swap(Some(NEW_KEY.as_bytes()));
    service.metric_reaches(GENERATION, 2.0).await;
    assert_eq!(service.session("bob").await.status, 200, "at once: a refused credential opens no breaker");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_is_not_remembered() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    fake.accept_key(NEW_KEY);
    for n in 1..=20 {
        let answer = service.session("alice").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "provider_credentials"));
        assert_eq!(fake.calls().len(), n, "each request asks the provider anew");
    }
    fake.accept_key(API_KEY);
    assert_eq!(service.session("alice").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_signing_key_signs_and_the_old_public_key_stays_for_its_tokens() {
    let mount = Mount::of(&pem(Alg::EdDsa));
    let service = local_with_file(mount.file()).await;
    let old = kid_of(&service, "alice").await;
    assert_eq!(kids(&service).await, std::slice::from_ref(&old));
    mount.swap(Some(&pem(Alg::EdDsa)));
    service.metric_reaches(GENERATION, 2.0).await;
    let new = kid_of(&service, "alice").await;
    assert_ne!(new, old, "what the old key signed is not handed out any more");
    assert_eq!(kids(&service).await, [new.clone(), old]);
    // The longest life that a route can ask for has passed: nothing that the old key signed is valid now.
    service.advance(24 * 3600 + 60);
    assert_eq!(kids(&service).await, [new]);
}

/// T-58: whatever is put into the file, the service goes on with what it had, says so, and takes the next good value.
#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_api_key_is_refused_and_the_last_good_one_stays() {
    let traces = Traces::capture();
    let mount = Mount::of(API_KEY.as_bytes());
    let (service, fake) = sendsar_with_file(mount.file()).await;
    let values: [Option<&[u8]>; 7] = [
        Some(b""),
        Some(b"\n"),
        Some(b"pk_live_WRONGKIND"),
        Some(b"sk_"),
        Some(b"sk_WRONG\nsk_WRONGTWICE"),
        Some("sk_WRONGLETTER\u{e9}".as_bytes()),
        None,
    ];
    for (n, value) in values.into_iter().enumerate() {
        let before = service.metric(REJECTED).await;
        mount.swap(value);
        service.metric_reaches(REJECTED, before + 1.0).await;
        assert!((service.metric(GENERATION).await - 1.0).abs() < 0.1, "{value:?}");
        assert_eq!(service.session(&format!("user{n}")).await.status, 200, "{value:?}");
    }
    assert!(traces.text().contains("new credentials are unusable; the last good ones stay"));
    assert!(!traces.text().contains("WRONG"), "{}", traces.text());
    fake.accept_key(NEW_KEY);
    mount.swap(Some(NEW_KEY.as_bytes()));
    service.metric_reaches(GENERATION, 2.0).await;
    assert_eq!(service.session("later").await.status, 200);
}

/// T-58.
#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_signing_key_is_refused_and_the_last_good_one_stays() {
    let mount = Mount::of(&pem(Alg::EdDsa));
    let service = local_with_file(mount.file()).await;
    let kid = kid_of(&service, "alice").await;
    let cut = pem(Alg::EdDsa).split_off(40);
    let other = pem(Alg::Es256);
    let garbage = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for value in [Some(&b""[..]), Some(b"garbage"), Some(garbage), Some(&cut), Some(&other), None] {
        let before = service.metric(REJECTED).await;
        mount.swap(value);
        service.metric_reaches(REJECTED, before + 1.0).await;
        assert_eq!(kids(&service).await, std::slice::from_ref(&kid));
    }
    assert_eq!(kid_of(&service, "bob").await, kid);
    mount.swap(Some(&pem(Alg::EdDsa)));
    service.metric_reaches(GENERATION, 2.0).await;
    assert_ne!(kid_of(&service, "alice").await, kid);
}

/// The same content again, as a mount that is synchronised does, is no change: no session is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_again_with_the_same_content_changes_nothing() {
    let key = pem(Alg::EdDsa);
    let mount = Mount::of(&key);
    let service = local_with_file(mount.file()).await;
    let session = service.session("alice").await.json();
    let looks = service.nudge.looks();
    mount.swap(Some(&key));
    eventually("the watch looks", async || service.nudge.looks() > looks).await;
    mount.swap(None);
    service.metric_reaches(REJECTED, 1.0).await;
    assert!((service.metric(GENERATION).await - 1.0).abs() < 0.1);
    assert_eq!(service.session("alice").await.json(), session);
}

/// A link to a folder that is not watched, as with `subPath` and bind mounts: there are no events.
struct Unwatched {
    target: tempfile::TempDir,
    link: tempfile::TempDir,
}

impl Unwatched {
    fn of(content: &str) -> Self {
        let own = Self { target: tempfile::tempdir().unwrap(), link: tempfile::tempdir().unwrap() };
        own.write(content);
        std::os::unix::fs::symlink(own.target.path().join("key"), own.file()).unwrap();
        own
    }

    fn file(&self) -> PathBuf {
        self.link.path().join("key")
    }

    fn write(&self, content: &str) {
        std::fs::write(self.target.path().join("key"), content).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nudge_reads_files_that_have_no_events() {
    let file = Unwatched::of(API_KEY);
    let (service, fake) = sendsar_with_file(file.file()).await;
    file.write(NEW_KEY);
    fake.accept_key(NEW_KEY);
    service.nudge.now();
    service.metric_reaches(GENERATION, 2.0).await;
    assert_eq!(service.session("alice").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_have_no_events_are_read_twice_a_minute() {
    let file = Unwatched::of(API_KEY);
    let (service, fake) = sendsar_with_file(file.file()).await;
    eventually("the watch waits for its next look", async || service.clock.sleepers() >= 1).await;
    file.write(NEW_KEY);
    fake.accept_key(NEW_KEY);
    service.advance(30);
    service.metric_reaches(GENERATION, 2.0).await;
    assert_eq!(service.session("alice").await.status, 200);
}

/// Key changed at the provider and in the file, and no call has failed yet: the refused call has the file read, and is made
/// once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_has_the_file_read_and_is_made_once_more() {
    let file = Unwatched::of(API_KEY);
    let (service, fake) = sendsar_with_file(file.file()).await;
    assert_eq!(service.session("alice").await.status, 200);
    file.write(NEW_KEY);
    fake.accept_key(NEW_KEY);
    let before = fake.calls().len();
    assert_eq!(service.session("bob").await.status, 200);
    let keys: Vec<_> = fake.calls()[before..].iter().map(|call| call.headers["x-api-key"].clone()).collect();
    assert_eq!(keys, [API_KEY, NEW_KEY, NEW_KEY], "refused once; then the upsert and the mint");
    assert!((service.metric(GENERATION).await - 2.0).abs() < 0.1);
}

/// Many at once: a user who was refused with the old key gets the new one, and the file is read for all of them together.
#[tokio::test(flavor = "multi_thread")]
async fn many_refused_calls_have_the_file_read_once_and_all_succeed() {
    let file = Unwatched::of(API_KEY);
    let (service, fake) = sendsar_with_file(file.file()).await;
    file.write(NEW_KEY);
    fake.accept_key(NEW_KEY);
    let users: Vec<String> = (0..60).map(|n| format!("user{n}")).collect();
    let mut asked = Vec::new();
    for user in users {
        let address = service.address();
        asked.push(tokio::spawn(async move {
            let headers = [("X-Forwarded-User", user.as_str()), ("X-Forwarded-Name", user.as_str())];
            crate::client::Connection::open(address).await.ask("GET", SESSION, &headers).await.status
        }));
    }
    for one in asked {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert!((service.metric(GENERATION).await - 2.0).abs() < 0.1, "one generation for all");
    let old = fake.calls().iter().filter(|call| call.headers["x-api-key"] == API_KEY).count();
    assert!(old <= 60, "{old} calls with the old key for 60 users");
}

/// Key changed at the provider only: each request fails once, nothing goes round in circles, and the file, which cannot
/// help, is not read for each of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_only_the_provider_changed_costs_one_call_a_request_and_few_reads() {
    let file = Unwatched::of(API_KEY);
    let (service, fake) = sendsar_with_file(file.file()).await;
    fake.accept_key(NEW_KEY);
    for n in 1..=50 {
        // Unusable, and each time another one, so that each look is counted.
        file.write(&format!("pk_live_of_another_kind_{n}"));
        let answer = service.session(&format!("user{n}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "provider_credentials"));
        assert_eq!(fake.calls().len(), n, "one call a request");
    }
    assert!((service.metric(REJECTED).await - 1.0).abs() < 0.1, "one look for 50 refused calls");
    service.advance(1);
    assert_eq!(service.session("later").await.status, 503);
    assert!((service.metric(REJECTED).await - 2.0).abs() < 0.1, "another look after a while");
    file.write(NEW_KEY);
    service.advance(1);
    assert_eq!(service.session("later").await.status, 200, "and it finds what was put right");
}

/// A mount with several files that change in one step: each provider gets one new generation, never half of one.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_change_together_are_one_generation() {
    let mount = tempfile::tempdir().unwrap();
    let version = |name: &str, key: &str, users: &str| {
        std::fs::create_dir(mount.path().join(name)).unwrap();
        for (file, content) in [("one", key), ("two", key), ("users", users)] {
            std::fs::write(mount.path().join(name).join(file), content).unwrap();
        }
        std::os::unix::fs::symlink(name, mount.path().join("..data_tmp")).unwrap();
        std::fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).unwrap();
    };
    version("..1", API_KEY, &"a".repeat(32));
    for file in ["one", "two", "users"] {
        std::os::unix::fs::symlink(format!("..data/{file}"), mount.path().join(file)).unwrap();
    }
    let clock = clock();
    let fake = Sendsar::start(Arc::clone(&clock)).await;
    let at = |file: &str| mount.path().join(file).display().to_string();
    let own = format!("api_key_file = \"{}\"\nuser_unfit = \"hash\"\nuser_key_file = \"{}\"", at("one"), at("users"));
    let [other, users] = ["two", "users"].map(|file| format!("\"{}\"", at(file)));
    let api = format!("\"{}\"", fake.base_url());
    let overrides = [
        ("providers.other.preset", "\"sendsar\""),
        ("providers.other.api_url", api.as_str()),
        ("providers.other.api_key_file", other.as_str()),
        // The same people, so the same ids.
        ("providers.other.user_unfit", "\"hash\""),
        ("providers.other.user_key_file", users.as_str()),
    ];
    let text = config(&sendsar(&fake, &own), &overrides);
    let service = Service::start(&text, &Environment::default(), clock).await;
    for round in 2..=6 {
        let key = if round % 2 == 0 { NEW_KEY } else { API_KEY };
        fake.accept_key(key);
        version(&format!("..{round}"), key, &char::from(b'a' + u8::try_from(round).unwrap()).to_string().repeat(32));
        for provider in ["chat", "other"] {
            let line = format!("sidemint_credentials_generation{{provider=\"{provider}\"}}");
            service.metric_reaches(&line, f64::from(round)).await;
            assert!((service.metric(&line).await - f64::from(round)).abs() < 0.1, "{provider}: one for each change");
        }
        assert_eq!(service.session(&format!("user{round}")).await.status, 200);
    }
    assert!(service.metric(REJECTED).await.abs() < 0.1);
}

/// T-58: another credential gives another session, and one that comes back after it brings none of its sessions back: they
/// may have been revoked with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_back_makes_no_old_session_good_again() {
    let mount = Mount::of(b"first-key");
    let minted = AtomicU32::new(0);
    let fake = Fake::start(move |_: &Call| {
        Script::json(200, &json!({"token": format!("token-{}", minted.fetch_add(1, Ordering::Relaxed))}))
    })
    .await;
    let definition = own_definition(
        "https://chat.example",
        &format!(
            "[auth]\nbearer = \"secret\"\n[[token.steps]]\nid = \"mint\"\npost = \"{}/token\"\ntoken = \"/token\"\n\
             expires = {{ kind = \"requested\" }}",
            fake.base_url()
        ),
    );
    let text = config(
        &format!(
            "[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"chat\"\n[providers.chat]\npreset = \"own\"\n\
             secret_file = \"{}\"\n",
            mount.file().display()
        ),
        &[],
    );
    let service = Service::start_with(&text, &Environment::default(), clock(), &[("own", &definition)]).await;
    let token = async || service.session("alice").await.json()["token"].clone();
    assert_eq!((token().await, token().await), (json!("token-0"), json!("token-0")));
    for (n, key) in [(1, "second-key"), (2, "first-key"), (3, "second-key"), (4, "first-key")] {
        mount.swap(Some(key.as_bytes()));
        service.metric_reaches(GENERATION, f64::from(n + 1)).await;
        let expected = json!(format!("token-{n}"));
        assert_eq!((token().await, token().await), (expected.clone(), expected), "{key} for the time {n}");
    }
}

/// What a session depends on has the same name in every replica, whatever stands before it in the configuration.
#[test]
fn replicas_name_a_session_alike() {
    let alice = Identity::of_operator("alice", None).unwrap();
    let key = |before: &str| {
        let route = |path: &str| format!("[[routes]]\npath = \"{path}\"\nanswer = \"session\"\nprovider = \"chat\"\n");
        let before = if before.is_empty() { String::new() } else { route(before) };
        let provider = "[providers.chat]\npreset = \"ably\"\ncapability = { a = [\"*\"] }\n";
        let text = config(&format!("{before}{}{provider}", route("/one")), &[]);
        let blueprint = draw(&text, &Environment::of([("ABLY_API_KEY", "app.key:0123456789abcdef")]), clock()).unwrap();
        let plan = blueprint.plans().iter().find(|plan| plan.route.path == "/one").unwrap();
        plan.key(&alice, &[])
    };
    assert_eq!(key(""), key("/other"), "its place among the routes does not matter");
}
