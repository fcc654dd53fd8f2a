//! `sidemint keys rotate` against a provider that verifies with registered public keys, and that is as strict as it can
//! be: interrupted at every point, run again, and at no moment a token that the provider would not take.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sidemint::app::Blueprint;
use sidemint::clock::{Clock as _, ManualClock};
use sidemint::config::{Config, Environment, Sources};
use sidemint::provider::{Alg, Progress, Rotation, RotationError, RotationPlan, Stage};

use crate::eventually::{as_time_passes, eventually};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{Service, clock, config};
use crate::jose::pyjwt;
use crate::keys::put;
use crate::reload::{kid_of, kids};

const KEY: &str = "app_key_0123456789";

/// What emb.chat documents of its keys, with an address of the operator's own: its paths are not published.
const DEFINITION: &str = r#"
name = "registered"
summary = "tokens signed here, verified with keys that were registered"
auth = { bearer = "api_key" }
[settings.public_api_url]
about = "Address."
kind = "url"
[settings.keys_url]
about = "Address of the keys of the app."
kind = "url"
optional = true
[settings.api_key]
about = "API key."
secret = true
optional = true
env = "REGISTERED_API_KEY"
[settings.private_key]
about = "Private key."
secret = true
[user]
case = "counts"
[lifetime]
default = "1h"
maximum = "24h"
margin = "60s"
on_credential_change = "drop"
[token.jwt]
alg = "EdDSA"
key = "private_key"
kid = "{{ config.kid? }}"
[token.jwt.claims]
iss = "sidemint"
sub = "{{ user.id }}"
aud = "chat"
iat = "{{ now.s }}"
exp = "{{ exp.s }}"
[settings.kid]
about = "Key id."
optional = true
[keys]
needs = ["keys_url", "api_key"]
[[keys.register]]
id = "register"
post = "{{ config.keys_url }}"
json = { kid = "{{ key.kid }}", publicKey = "{{ key.pem }}", algorithm = "{{ key.alg }}" }
on = [{ status = 409, accept = true }]
[[keys.verify]]
id = "verify"
get = "{{ config.keys_url }}/{{ key.kid }}"
on = [{ code = "/active", is_not = true, class = "unavailable" }]
[[keys.retire]]
id = "retire"
delete = "{{ config.keys_url }}/{{ key.kid }}"
on = [{ status = 404, accept = true }]
[response]
api_url = "{{ config.public_api_url }}"
"#;

/// The keys that the provider knows: PEM, and how many looks it takes until it uses them.
type Known = Arc<Mutex<BTreeMap<String, (String, u32)>>>;

/// A provider whose keys are below `path`. It refuses whatever is not as documented.
async fn provider(path: &'static str, known: Known) -> Fake {
    Fake::start(move |call: &Call| {
        let error = |status, code: &str| Script::json(status, &json!({"code": code, "message": code}));
        if call.header("authorization") != format!("Bearer {KEY}") {
            return error(401, "invalid_api_key");
        }
        let mut known = known.lock().unwrap();
        let kid = call.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('/'));
        match (call.method.as_str(), kid) {
            ("POST", None) if call.path == path => {
                let mut members = call.members();
                members.sort_unstable();
                let pem = call.json["publicKey"].as_str().unwrap_or_default();
                let framed =
                    pem.starts_with("-----BEGIN PUBLIC KEY-----\n") && pem.ends_with("-----END PUBLIC KEY-----\n");
                if members != ["algorithm", "kid", "publicKey"] || call.json["algorithm"] != "EdDSA" || !framed {
                    return error(400, "validation_error");
                }
                let kid = call.json["kid"].as_str().unwrap_or_default().to_owned();
                match known.get(&kid) {
                    Some((own, _)) if own == pem => error(409, "key_exists"),
                    Some(_) => error(422, "kid_taken"),
                    None => {
                        known.insert(kid, (pem.to_owned(), 2));
                        Script::json(201, &json!({}))
                    }
                }
            }
            ("GET", Some(kid)) => match known.get_mut(kid) {
                Some((_, looks)) => {
                    *looks = looks.saturating_sub(1);
                    Script::json(200, &json!({"active": *looks == 0}))
                }
                None => error(404, "unknown_kid"),
            },
            ("DELETE", Some(kid)) => match known.remove(kid) {
                Some(_) => Script::json(200, &json!({})),
                None => error(404, "unknown_kid"),
            },
            _ => error(404, "not_found"),
        }
    })
    .await
}

/// A provider with one registered key, and the folder that holds its private half.
struct World {
    folder: tempfile::TempDir,
    fake: Fake,
    known: Known,
    clock: Arc<ManualClock>,
}

impl World {
    async fn new(path: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("keys")).unwrap();
        fs::create_dir(folder.path().join("definitions")).unwrap();
        fs::write(folder.path().join("definitions/registered.toml"), DEFINITION).unwrap();
        put(&folder.path().join("keys"), "old.pem", Alg::EdDsa);
        let known = Known::default();
        known.lock().unwrap().insert("old".to_owned(), ("registered by hand".to_owned(), 0));
        let fake = provider(path, Arc::clone(&known)).await;
        let world = Self { folder, fake, known, clock: clock() };
        let text = world.text(path, "");
        fs::write(world.folder.path().join("config.toml"), text).unwrap();
        world
    }

    fn text(&self, path: &str, more: &str) -> String {
        config(
            &format!(
                "[[routes]]\npath = \"/api/chat/session\"\nanswer = \"session\"\nprovider = \"chat\"\n\
                 [providers.chat]\npreset = \"registered\"\nretries = 0\nprivate_key_dir = \"{}\"\n\
                 public_api_url = \"https://chat.example\"\nkeys_url = \"{}{path}\"\n{more}\n",
                self.keys().display(),
                self.fake.base_url()
            ),
            &[],
        )
    }

    fn keys(&self) -> std::path::PathBuf {
        self.folder.path().join("keys")
    }

    fn sources(&self) -> Sources {
        let at = |name: &str| self.folder.path().join(name);
        Sources { files: vec![at("config.toml")], definitions: Some(at("definitions")), ..Sources::default() }
    }

    /// Everything read anew, as a process that starts does it.
    fn blueprint(&self) -> Blueprint {
        let environment = Environment::of([("REGISTERED_API_KEY", KEY)]);
        let config = Config::load(&self.sources(), &environment).unwrap();
        let clock = Arc::clone(&self.clock);
        Blueprint::draw(config, &environment, clock).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn registered(&self) -> Vec<String> {
        self.known.lock().unwrap().keys().cloned().collect()
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.keys().join("rotation.json")).unwrap()).unwrap()
    }

    /// Files of the folder, by name; the lock is of no interest.
    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.keys()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != ".rotation.lock").collect();
        names.sort();
        names
    }

    /// One step, while time goes on.
    async fn step(&self, rotation: &mut Rotation<'_>) -> Result<Progress, RotationError> {
        as_time_passes(&self.clock, Duration::from_secs(1), rotation.step()).await
    }

    /// Steps until the old key is gone.
    async fn finish(&self, rotation: &mut Rotation<'_>) {
        loop {
            match self.step(rotation).await.unwrap() {
                Progress::Reached(_) => {}
                Progress::Waits(until) => self.clock.advance(until.since(self.clock.now())),
                Progress::Done => return,
            }
        }
    }

    /// Exactly one new key, known to the provider, and nothing of the old one.
    fn is_done(&self, what: &str) {
        let new = self.record()["new_kid"].as_str().unwrap().to_owned();
        assert_eq!(self.registered(), [new.as_str()], "{what}");
        assert_eq!(self.files(), [format!("{new}.pem"), "rotation.json".to_owned(), "signing".to_owned()], "{what}");
        let mode = fs::metadata(self.keys().join(format!("{new}.pem"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(self.record()["stage"], "done");
        let text = fs::read_to_string(self.keys().join("rotation.json")).unwrap();
        assert!(!text.contains("PRIVATE"), "nothing secret is written down");
        assert_eq!(self.fake.asked().iter().filter(|call| call.starts_with("DELETE")).count(), deletes(self), "{what}");
    }
}

/// Every call of the provider that takes a key away was about the old one.
fn deletes(world: &World) -> usize {
    let calls = world.fake.asked();
    calls.iter().filter(|call| call.starts_with("DELETE") && call.ends_with("/old")).count()
}

fn plan() -> RotationPlan {
    RotationPlan { overlap: None, kid: None, may_begin: true, by_hand: false, patience: Duration::from_secs(60) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_never_signs_what_the_provider_would_not_take() {
    let world = World::new("/api/v7/apps/app_demo/keys").await;
    let scratch = tempfile::tempdir().unwrap();
    let service = Service::of(world.blueprint(), Arc::clone(&world.clock), scratch).await;
    assert_eq!(kid_of(&service, "alice").await, "old");
    let blueprint = world.blueprint();
    let mut rotation = Rotation::open(blueprint.provider("chat").unwrap(), plan()).unwrap();
    let mut stages = Vec::new();
    for n in 0.. {
        let progress = world.step(&mut rotation).await.unwrap();
        // However late the service notices what happened, and whatever it is.
        let kid = kid_of(&service, &format!("user{n}")).await;
        assert!(world.registered().contains(&kid), "{kid} after {progress:?}");
        match progress {
            Progress::Reached(stage) => stages.push(stage),
            Progress::Waits(until) => {
                let overlap = until.since(service.clock.now());
                assert!(overlap >= Duration::from_secs(24 * 3600), "the longest life of a token: {overlap:?}");
                let new = rotation.now_at().new;
                eventually("the new key signs", async || kids(&service).await[0] == new).await;
                assert_eq!(kids(&service).await, [new.as_str(), "old"]);
                world.clock.advance(overlap);
            }
            Progress::Done => break,
        }
    }
    let all = [Stage::Made, Stage::Registered, Stage::Verified, Stage::Switched, Stage::Retired, Stage::Done];
    assert_eq!(stages, all);
    world.is_done("at the end");
    // The provider would verify with what it was given: another implementation of JOSE says so.
    let session = service.session("alice").await.json();
    let pem = world.known.lock().unwrap().values().next().unwrap().0.clone();
    let now = service.clock.now().as_seconds();
    let order = json!({"token": session["token"], "secret": pem, "alg": "EdDSA", "audience": "chat", "issuer": "sidemint", "now": now});
    assert_eq!(pyjwt(&order)["claims"]["sub"], "alice");
}

/// Ends before the n-th step, or after it has done its work and before it is written down.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_ends_anywhere_goes_on_there() {
    for cut in 0..=6 {
        for forgets in [false, true] {
            let world = World::new("/keys").await;
            let blueprint = world.blueprint();
            let mut rotation = Rotation::open(blueprint.provider("chat").unwrap(), plan()).unwrap();
            let mut before = fs::read(world.keys().join("rotation.json")).unwrap();
            let mut steps = 0;
            while steps < cut {
                before = fs::read(world.keys().join("rotation.json")).unwrap();
                match world.step(&mut rotation).await.unwrap() {
                    Progress::Reached(_) => steps += 1,
                    Progress::Waits(until) => world.clock.advance(until.since(world.clock.now())),
                    Progress::Done => break,
                }
            }
            drop(rotation);
            if forgets {
                fs::write(world.keys().join("rotation.json"), before).unwrap();
            }
            let what = format!("ended after step {cut}, {}", if forgets { "unwritten" } else { "written" });
            if cut == 6 && !forgets {
                world.is_done(&what);
                continue;
            }
            let blueprint = world.blueprint();
            let resume = RotationPlan { may_begin: false, ..plan() };
            let mut rotation = Rotation::open(blueprint.provider("chat").unwrap(), resume).expect(&what);
            world.finish(&mut rotation).await;
            world.is_done(&what);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_stays_where_it_is() {
    let world = World::new("/keys").await;
    let blueprint = world.blueprint();
    let provider = blueprint.provider("chat").unwrap();
    let mut rotation = Rotation::open(provider, plan()).unwrap();
    let second = Rotation::open(provider, plan()).unwrap_err().to_string();
    assert!(second.starts_with("another rotation is at work"), "{second}");
    world.step(&mut rotation).await.unwrap();
    for (script, problem) in [
        (Script::Reset, "register failed: register: unavailable (connection broke)"),
        (Script::json(401, &json!({})), "register failed: register: credential_rejected (answered 401)"),
        (Script::json(500, &json!({})), "register failed: register: unavailable (answered 500)"),
    ] {
        world.fake.next("/keys", script);
        let said = world.step(&mut rotation).await.unwrap_err().to_string();
        assert_eq!(said, format!("{problem} at {}", world.fake.base_url().trim_start_matches("http://")));
        assert_eq!(world.record()["stage"], "made");
    }
    world.step(&mut rotation).await.unwrap();
    // A provider that never takes the key: patience ends, and the old key goes on signing.
    let kid = rotation.now_at().new;
    world.known.lock().unwrap().get_mut(&kid).unwrap().1 = u32::MAX;
    let error = world.step(&mut rotation).await.unwrap_err().to_string();
    assert!(error.starts_with("verify failed: verify: unavailable"), "{error}");
    assert_eq!(fs::read_to_string(world.keys().join("signing")).unwrap(), "old\n");
    assert_eq!(Rotation::status(provider).unwrap().unwrap().stage, Stage::Registered);
    // The new key disappears or is exchanged before it signs.
    world.known.lock().unwrap().get_mut(&kid).unwrap().1 = 0;
    world.step(&mut rotation).await.unwrap();
    fs::remove_file(world.keys().join(format!("{kid}.pem"))).unwrap();
    let error = world.step(&mut rotation).await.unwrap_err().to_string();
    assert!(error.contains("is not in"), "{error}");
    assert_eq!(fs::read_to_string(world.keys().join("signing")).unwrap(), "old\n");
}

/// Without the address of the keys, a person registers them.
#[tokio::test(flavor = "multi_thread")]
async fn without_calls_the_operator_registers_the_key() {
    let world = World::new("/keys").await;
    let text = fs::read_to_string(world.folder.path().join("config.toml")).unwrap();
    let text: String =
        text.lines().filter(|line| !line.starts_with("keys_url")).fold(String::new(), |all, line| all + line + "\n");
    fs::write(world.folder.path().join("config.toml"), text).unwrap();
    let config = Config::load(&world.sources(), &Environment::default()).unwrap();
    let blueprint = {
        let clock = Arc::clone(&world.clock);
        Blueprint::draw(config, &Environment::default(), clock).unwrap()
    };
    let provider = blueprint.provider("chat").unwrap();
    let mut rotation = Rotation::open(provider, plan()).unwrap();
    world.step(&mut rotation).await.unwrap();
    let error = world.step(&mut rotation).await.unwrap_err().to_string();
    assert!(error.contains("run this again with --registered"), "{error}");
    drop(rotation);
    let mut rotation = Rotation::open(provider, RotationPlan { by_hand: true, ..plan() }).unwrap();
    world.finish(&mut rotation).await;
    assert_eq!((world.fake.calls().len(), &world.record()["stage"]), (0, &json!("done")));
    assert!(!world.keys().join("old.pem").exists());
}

/// The binary itself, killed while it waits for the provider.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_command_goes_on_when_it_is_run_again() {
    let world = World::new("/keys").await;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidemint"));
        command.env_clear().env("REGISTERED_API_KEY", KEY).args(["keys", "rotate", "chat"]).args(arguments);
        command.arg("-c").arg(world.folder.path().join("config.toml"));
        command.arg("--definitions").arg(world.folder.path().join("definitions"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let done = |arguments: &[&str]| {
        let output = run(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(done(&["--status"]), (Some(0), "no rotation yet\n".to_owned(), String::new()));
    assert_eq!(done(&["--resume"]).2, "sidemint: keys rotate: no rotation is under way\n");
    world.fake.next("/keys", Script::Silence);
    let mut child = run(&["--kid", "2026-05"]).spawn().unwrap();
    eventually("the provider is asked", async || !world.fake.calls().is_empty()).await;
    assert_eq!(world.fake.asked(), ["POST /keys"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(done(&["--status"]).1.starts_with("made: "));
    // The folder by its other name: it need not be where the service sees it.
    let (code, out, err) = done(&["--overlap", "0s", "--dir", &world.keys().display().to_string()]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.starts_with("from key old to key 2026-05\n") && out.ends_with("done: the old key is removed\n"),
        "{out}"
    );
    assert_eq!((world.registered(), world.record()["stage"].clone()), (vec!["2026-05".to_owned()], json!("done")));
    assert!(done(&["--status"]).1.contains("new key  2026-05\n"));
}

/// Where those who verify fetch the key set, the new key is published for as long as they may keep it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_only_published_waits_for_those_who_fetch_it() {
    let keys = tempfile::tempdir().unwrap();
    put(keys.path(), "old.pem", Alg::EdDsa);
    let text = crate::harness::LOCAL.to_owned() + &format!("key_dir = \"{}\"\n", keys.path().display());
    let clock = clock();
    let draw = || crate::harness::draw(&config(&text, &[]), &Environment::default(), Arc::clone(&clock)).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let service = Service::of(draw(), Arc::clone(&clock), scratch).await;
    let blueprint = draw();
    let mut rotation = Rotation::open(blueprint.provider("chat").unwrap(), plan()).unwrap();
    assert_eq!(rotation.step().await.unwrap(), Progress::Reached(Stage::Made));
    assert_eq!(rotation.step().await.unwrap(), Progress::Reached(Stage::Registered));
    let Progress::Waits(until) = rotation.step().await.unwrap() else { panic!("no wait") };
    assert!(until.since(clock.now()) > Duration::from_secs(300));
    let new = rotation.now_at().new;
    assert_eq!(new, "20260504184000");
    clock.advance(until.since(clock.now()));
    assert_eq!(kid_of(&service, "alice").await, "old", "pinned");
    assert_eq!(rotation.step().await.unwrap(), Progress::Reached(Stage::Verified));
    assert_eq!(rotation.step().await.unwrap(), Progress::Reached(Stage::Switched));
    let Progress::Waits(until) = rotation.step().await.unwrap() else { panic!("no wait") };
    clock.advance(until.since(clock.now()));
    assert_eq!(rotation.step().await.unwrap(), Progress::Reached(Stage::Retired));
    assert_eq!(rotation.step().await.unwrap(), Progress::Reached(Stage::Done));
    assert_eq!(rotation.step().await.unwrap(), Progress::Done);
    let has = |name: &str| Path::new(keys.path()).join(name).exists();
    assert!(!has("old.pem") && has(&format!("{new}.pem")));
}
