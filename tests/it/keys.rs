//! Several signing keys in a folder: which one signs, which are published, who loses a session, and what is told.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use sidemint::config::Environment;
use sidemint::provider::{Alg, generate};

use crate::canary::Traces;
use crate::eventually::eventually;
use crate::harness::{LOCAL, Service, clock, config, draw};
use crate::reload::{kid_of, kids};

const GENERATION: &str = "sidemint_credentials_generation{provider=\"chat\"}";
const REJECTED: &str = "sidemint_credentials_rejected_total{provider=\"chat\"}";

/// A key appears at once and whole, as `mv` and Kubernetes do it.
pub fn put(folder: &Path, name: &str, alg: Alg) {
    let draft = folder.join(format!(".{name}"));
    std::fs::write(&draft, generate(alg).unwrap().expose()).unwrap();
    std::fs::rename(draft, folder.join(name)).unwrap();
}

fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        put(folder.path(), name, Alg::EdDsa);
    }
    folder
}

fn text(folder: &Path, overrides: &[(&str, &str)]) -> String {
    let dir = format!("\"{}\"", folder.display());
    config(LOCAL, &[&[("providers.chat.key_dir", dir.as_str())], overrides].concat())
}

async fn service(folder: &Path) -> Service {
    Service::start(&text(folder, &[]), &Environment::default(), clock()).await
}

/// The promise of point 9: a verifier that keeps the key set as long as it may never meets an unknown key, no user loses
/// a session, and a key that is taken away is published until its last token has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_announced_then_signs_and_the_old_one_stays_for_its_tokens() {
    let keys = folder(&["2026-04.pem"]);
    let service = service(keys.path()).await;
    let alice = service.session("alice").await.json();
    assert_eq!(kid_of(&service, "alice").await, "2026-04");
    put(keys.path(), "2026-05.pem", Alg::EdDsa);
    service.metric_reaches(GENERATION, 2.0).await;
    assert_eq!(kids(&service).await, ["2026-04", "2026-05"], "published");
    assert_eq!(service.session("alice").await.json(), alice, "a further key costs no session");
    assert_eq!(kid_of(&service, "bob").await, "2026-04", "but it does not sign yet");
    let jwks = service.ask("GET", "/.well-known/jwks.json", &[]).await;
    let age: u64 = jwks.header("cache-control").unwrap().rsplit_once("max-age=").unwrap().1.parse().unwrap();
    let mut waited = 0;
    while kids(&service).await[0] == "2026-04" {
        let looks = service.nudge.looks();
        service.advance(30);
        waited += 30;
        service.nudge.now();
        eventually("the watch looks", async || service.nudge.looks() > looks).await;
        assert!(waited < 600, "never signs");
    }
    assert!(waited > age, "a set that was fetched just before is still kept at {waited} s");
    assert_eq!(kid_of(&service, "carol").await, "2026-05");
    assert_eq!(service.session("alice").await.json(), alice, "signed by a key that is still published");
    std::fs::remove_file(keys.path().join("2026-04.pem")).unwrap();
    service.metric_reaches(GENERATION, 3.0).await;
    assert_eq!(kids(&service).await, ["2026-05", "2026-04"], "its tokens may be alive");
    assert_eq!(service.session("alice").await.json(), alice);
    service.advance(24 * 3600 + 59);
    assert_eq!(kids(&service).await, ["2026-05", "2026-04"], "the longest life, and what clocks differ");
    service.advance(1);
    assert_eq!(kids(&service).await, ["2026-05"]);
    assert!(service.metric(REJECTED).await.abs() < 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_start_the_last_by_name_signs_and_a_file_may_name_another() {
    let keys = folder(&["a.pem", "b.pem", "c.jwk.pem"]);
    let service = service(keys.path()).await;
    assert_eq!(kids(&service).await, ["c.jwk", "b", "a"]);
    for (n, name) in ["a", "b"].into_iter().enumerate() {
        std::fs::write(keys.path().join(".signing"), format!("{name}\n")).unwrap();
        std::fs::rename(keys.path().join(".signing"), keys.path().join("signing")).unwrap();
        let generation = f64::from(u32::try_from(n).unwrap()) + 2.0;
        service.metric_reaches(GENERATION, generation).await;
        assert_eq!(kid_of(&service, &format!("user{n}")).await, name, "named, so at once");
    }
    std::fs::remove_file(keys.path().join("signing")).unwrap();
    service.metric_reaches(GENERATION, 4.0).await;
    assert_eq!(kids(&service).await[0], "c.jwk");
    assert_eq!(service.session("user0").await.status, 200);
}

/// T-58, for folders.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_used_is_refused_and_the_last_good_keys_stay() {
    let traces = Traces::capture();
    let keys = folder(&["a.pem", "b.pem"]);
    let service = service(keys.path()).await;
    let good = std::fs::read(keys.path().join("b.pem")).unwrap();
    let mut rejected = 0.0;
    for (name, content) in [
        ("c.pem", &b"-----BEGIN PRIVATE KEY-----\nV1JPTkc=\n-----END PRIVATE KEY-----\n"[..]),
        ("c.pem", b""),
        ("d e.pem", &good),
        ("b.jwk", &good),
        ("signing", b"nobody\n"),
        // Another key under a name that verifiers know.
        ("b.pem", generate(Alg::EdDsa).unwrap().expose()),
    ] {
        let path = keys.path().join(name);
        let looks = service.nudge.looks();
        std::fs::write(keys.path().join(".draft"), content).unwrap();
        std::fs::rename(keys.path().join(".draft"), &path).unwrap();
        rejected += 1.0;
        service.metric_reaches(REJECTED, rejected).await;
        assert_eq!(kids(&service).await, ["b", "a"], "{name}");
        if name == "b.pem" {
            std::fs::write(&path, &good).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        // The look at what is good again must not be taken for the one at the next bad one.
        eventually("the watch has looked twice", async || service.nudge.looks() >= looks + 2).await;
        rejected = service.metric(REJECTED).await;
    }
    assert!((service.metric(GENERATION).await - 1.0).abs() < 0.1);
    assert_eq!(kid_of(&service, "alice").await, "b");
    assert!(!traces.text().contains("WRONG") && !traces.text().contains("V1JPTkc"), "{}", traces.text());
    assert!(traces.text().contains("another key than before under the name b"), "{}", traces.text());
}

/// Shared secrets have no public half: a verifier accepts those it was given, and nothing says that it keeps one which is
/// gone from here.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_secret_that_is_taken_away_ends_its_sessions() {
    let keys = tempfile::tempdir().unwrap();
    put(keys.path(), "a.key", Alg::Hs256);
    put(keys.path(), "b.key", Alg::Hs256);
    let text = text(keys.path(), &[("providers.chat.alg", "\"HS256\"")]);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    assert_eq!(kid_of(&service, "alice").await, "b");
    assert!(kids(&service).await.is_empty());
    put(keys.path(), "c.key", Alg::Hs256);
    service.metric_reaches(GENERATION, 2.0).await;
    assert_eq!(kid_of(&service, "alice").await, "b", "kept");
    std::fs::remove_file(keys.path().join("b.key")).unwrap();
    service.metric_reaches(GENERATION, 3.0).await;
    assert_eq!(kid_of(&service, "alice").await, "a", "minted anew; c is not announced long enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_and_metrics_show_every_key_and_which_one_signs() {
    let keys = folder(&["a.pem", "b.pem"]);
    for (name, ago) in [("a.pem", 86_400), ("b.pem", 60)] {
        let file = std::fs::File::options().write(true).open(keys.path().join(name)).unwrap();
        let now = std::time::UNIX_EPOCH + Duration::from_secs(1_777_920_000);
        file.set_modified(now - Duration::from_secs(ago)).unwrap();
    }
    let service = service(keys.path()).await;
    let shown = service.ops("/readyz").await.json();
    let key = |kid: &str, age: u64, signs: bool| json!({"provider": "chat", "kid": kid, "alg": "EdDSA", "ageSeconds": age, "signs": signs});
    assert_eq!(shown["keys"], json!([key("b", 60, true), key("a", 86_400, false)]));
    let metric = |name: &str, kid: &str| format!("{name}{{alg=\"EdDSA\",kid=\"{kid}\",provider=\"chat\"}}");
    for (kid, signs, since) in [("a", 0.0, 1_777_833_600.0), ("b", 1.0, 1_777_919_940.0)] {
        assert!((service.metric(&metric("sidemint_signing_key_signs", kid)).await - signs).abs() < 0.1, "{kid}");
        let told = service.metric(&metric("sidemint_signing_key_since_timestamp_seconds", kid)).await;
        assert!((told - since).abs() < 1.0, "{kid}: {told}");
    }
    std::fs::remove_file(keys.path().join("a.pem")).unwrap();
    service.metric_reaches(GENERATION, 2.0).await;
    let shown = service.ops("/readyz").await.json();
    assert_eq!(shown["keys"][1]["publishedUntil"], "2026-05-05T18:41:00.000Z");
    service.advance(24 * 3600 + 60);
    assert_eq!(service.ops("/readyz").await.json()["keys"].as_array().map(Vec::len), Some(1));
    let text = service.ops("/metrics").await.text().to_owned();
    assert!(text.contains("kid=\"b\"") && !text.contains("kid=\"a\""), "{text}");
}

/// A folder as Kubernetes mounts it: `..data` and its targets are no keys, the links beside it are.
#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_secret_is_a_folder_of_keys() {
    let mount = tempfile::tempdir().unwrap();
    let version = |name: &str, keys: &[&str]| {
        std::fs::create_dir(mount.path().join(name)).unwrap();
        for key in keys {
            put(&mount.path().join(name), key, Alg::EdDsa);
        }
        std::os::unix::fs::symlink(name, mount.path().join("..data_tmp")).unwrap();
        std::fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).unwrap();
    };
    let link = |key: &str| std::os::unix::fs::symlink(format!("..data/{key}"), mount.path().join(key)).unwrap();
    version("..1", &["a.pem"]);
    link("a.pem");
    let service = service(mount.path()).await;
    assert_eq!(kids(&service).await, ["a"]);
    std::fs::create_dir(mount.path().join("..2")).unwrap();
    std::fs::copy(mount.path().join("..1/a.pem"), mount.path().join("..2/a.pem")).unwrap();
    put(&mount.path().join("..2"), "b.pem", Alg::EdDsa);
    std::os::unix::fs::symlink("..2", mount.path().join("..data_tmp")).unwrap();
    std::fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).unwrap();
    link("b.pem");
    service.metric_reaches(GENERATION, 2.0).await;
    assert_eq!(kids(&service).await, ["a", "b"]);
}

#[test]
fn what_cannot_be_with_a_folder_is_a_sentence() {
    let (keys, empty) = (folder(&["a.pem"]), tempfile::tempdir().unwrap());
    let file = format!("\"{}\"", keys.path().join("a.pem").display());
    for (folder, overrides, problem) in [
        (&keys, &[("providers.chat.key_file", file.as_str())][..], "key_dir: is set beside another source of key"),
        (&keys, &[("providers.chat.kid", "\"x\"")], "remove the fixed key id"),
        (&keys, &[("providers.chat.alg", "\"ES256\"")], "(key a)"),
        (&empty, &[], "holds no key (.pem, .jwk, .key, .nk)"),
    ] {
        let errors = draw(&text(folder.path(), overrides), &Environment::default(), clock()).unwrap_err();
        assert!(errors.to_string().contains(problem), "{errors}");
    }
    let shown = draw(&text(keys.path(), &[]), &Environment::default(), clock()).unwrap().to_string();
    assert!(shown.contains("signs with EdDSA (kid a)"), "{shown}");
}
