//! Secrets of webhooks: several at once, read again when they change, and once when a signature does not fit.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, Method};
use sidemint::clock::{Clock, ManualClock, Timestamp};
use sidemint::config::{Config, Environment, Sources};
use sidemint::provider::{Definitions, WebhookSettings};
use sidemint::secrets::Reports;
use sidemint::webhook::keys::Standing;
use sidemint::webhook::scheme::{Head, Scheme};
use sidemint::webhook::secrets::Secrets;

use super::MOST;

const NOW: Timestamp = Timestamp::from_seconds(1_777_920_123);

const DEFINITION: &str = r#"
name = "hook"
summary = "signs bodies"
settings.webhook_secret = { about = "Secret.", secret = true, optional = true }
[webhook]
secret = "webhook_secret"
hmac = "sha256"
text = "{{ request.body }}"
signature = { header = "x-signature", encode = "hex" }
"#;

struct Stage {
    _folder: tempfile::TempDir,
    at: std::path::PathBuf,
    scheme: Scheme,
    secrets: Arc<Secrets>,
    clock: Arc<ManualClock>,
}

/// A provider with the given settings, whose files lie in a folder of their own.
fn settings(folder: &Path, settings: &[(&str, String)]) -> Result<WebhookSettings, String> {
    std::fs::write(folder.join("hook.toml"), DEFINITION).unwrap();
    let (definitions, mistakes) = Definitions::read(Some(folder));
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let lines: Vec<String> = settings.iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect();
    let lines = lines.concat();
    let file = folder.join("config");
    std::fs::write(&file, format!("[providers.chat]\npreset = \"hook\"\n{lines}")).unwrap();
    let sources = Sources { files: vec![file], ..Sources::default() };
    let (config, _) = Config::examine(&sources, &Environment::default());
    let table = &config.providers["chat"];
    let read = WebhookSettings::configure("chat", table, &Environment::default(), &definitions);
    read.map_err(|errors| format!("{errors:?}"))
}

fn stage(member: &str, files: &[(&str, &str)], overlap: Duration) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("secrets");
    std::fs::create_dir(&at).unwrap();
    for (name, content) in files {
        std::fs::write(at.join(name), content).unwrap();
    }
    let place = if member.ends_with("_dir") { at.clone() } else { at.join(files[0].0) };
    let settings = settings(folder.path(), &[(member, place.display().to_string())]).unwrap();
    let scheme = Scheme::compile(settings.webhook(), None).unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let own: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let reports = Reports::new("webhook secrets", "webhooks.chat");
    let secrets = Secrets::open(&settings, scheme.keys(), overlap, reports, own).unwrap();
    Stage { _folder: folder, at, scheme, secrets: Arc::new(secrets), clock }
}

impl Stage {
    /// Which secret proves what `key` signed, if one does.
    fn proves(&self, key: &str) -> Option<bool> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let tag = HEXLOWER.encode(hmac::sign(&key, b"{}").as_ref());
        let mut headers = HeaderMap::new();
        headers.insert("x-signature", HeaderValue::from_str(&tag).unwrap());
        let examined =
            self.scheme.examine(&Head { method: &Method::POST, query: None, headers: &headers }, NOW).unwrap();
        let proven = self.scheme.prove(&examined, Bytes::from_static(b"{}"), MOST, &self.secrets.ring(), NOW);
        proven.ok().map(|proven| proven.standing == Standing::Current)
    }
}

const OLD: &str = "the-old-secret-0123456789";
const NEW: &str = "the-new-secret-0123456789";

/// W-22: a secret that is newer than ours is found by the first request that it signs, and the old one has its time.
#[tokio::test]
async fn a_rotation_loses_no_event_and_comes_to_an_end() {
    let stage = stage("webhook_secret_file", &[("secret", OLD)], Duration::from_hours(1));
    assert_eq!((stage.proves(OLD), stage.proves(NEW)), (Some(true), None));
    // The provider signs with the new one before our file has it.
    let ring = stage.secrets.ring();
    assert!(!stage.secrets.is_newer(&ring).await);
    std::fs::write(stage.at.join("secret"), NEW).unwrap();
    assert!(!stage.secrets.is_newer(&ring).await, "the files rest");
    stage.clock.advance(Duration::from_secs(10));
    assert!(stage.secrets.is_newer(&ring).await);
    assert_eq!((stage.proves(OLD), stage.proves(NEW)), (Some(false), Some(true)));
    stage.clock.advance(Duration::from_secs(3599));
    assert_eq!(stage.proves(OLD), Some(false));
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!((stage.proves(OLD), stage.proves(NEW)), (None, Some(true)));
    stage.secrets.look();
    assert_eq!((stage.proves(OLD), stage.proves(NEW)), (None, Some(true)));
}

/// After a leak the old secret has no time at all.
#[tokio::test]
async fn a_leaked_secret_ends_with_its_file() {
    let stage = stage("webhook_secret_file", &[("secret", OLD)], Duration::ZERO);
    std::fs::write(stage.at.join("secret"), NEW).unwrap();
    stage.secrets.look();
    assert_eq!((stage.proves(OLD), stage.proves(NEW)), (None, Some(true)));
    // What is no secret changes nothing.
    std::fs::write(stage.at.join("secret"), "short").unwrap();
    stage.secrets.look();
    assert_eq!(stage.proves(NEW), Some(true));
}

/// W-23: every file of the folder is valid, and no other secret is.
#[test]
fn each_file_of_a_folder_is_valid_and_nothing_else_is() {
    let files = [("first", OLD), ("second.txt", NEW), (".hidden", "the-hidden-secret-0123456789")];
    let stage = stage("webhook_secret_dir", &files, Duration::ZERO);
    assert_eq!((stage.proves(OLD), stage.proves(NEW)), (Some(true), Some(true)));
    assert_eq!(stage.proves("the-hidden-secret-0123456789"), None);
    assert_eq!(stage.proves("the-secret-of-another-webhook"), None);
}

#[test]
fn a_secret_that_is_missing_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let told = settings(folder.path(), &[]).unwrap_err();
    assert!(told.contains("webhook_secret_file") && told.contains("its webhooks need it"), "{told}");
}
