//! `sidemint init`: for every provider and every source, what it writes is good but for what only the operator knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use sidemint::app::Blueprint;
use sidemint::clock::SystemClock;
use sidemint::config::{Environment, Sources};
use sidemint::provider::Definition;
use sidemint::{identity, provider};

use crate::cli::{Process, Ran, run};
use crate::client::Connection;
use crate::harness::SESSION;

fn init(folder: &Path, preset: &str, upstream: &str) -> Ran {
    let file = folder.join("new.toml");
    run(&["init", "--preset", preset, "--upstream", upstream, "--out", file.to_str().unwrap()], &[])
}

/// Keys that the configuration in `folder` is said to lack, and what else is wrong with it.
fn lacks(folder: &Path) -> (BTreeSet<String>, Vec<String>) {
    let sources = Sources { files: vec![folder.join("new.toml")], ..Sources::default() };
    let drawn = Blueprint::load(&sources, &Environment::default(), Arc::new(SystemClock));
    let errors = drawn.map_or_else(|errors| errors.0, |_| Vec::new());
    let (missing, others): (Vec<_>, Vec<_>) =
        errors.into_iter().partition(|error| error.mistake.problem.starts_with("is missing"));
    let keys = missing.into_iter().map(|error| error.mistake.key.to_string()).collect();
    (keys, others.iter().map(ToString::to_string).collect())
}

#[test]
fn what_is_written_lacks_what_it_says() {
    let makers: Vec<&str> = provider::PRESETS
        .iter()
        .filter(|(_, text)| Definition::parse(text).unwrap().token.is_some())
        .map(|(name, _)| *name)
        .collect();
    let upstreams = identity::PRESETS.iter().map(|(name, _)| *name);
    let each = makers.iter().map(|preset| (*preset, "plain")).chain(upstreams.map(|upstream| ("local", upstream)));
    assert!(makers.len() > 20);
    for (preset, upstream) in each {
        let folder = tempfile::tempdir().unwrap();
        let done = init(folder.path(), preset, upstream);
        assert_eq!((done.code, &*done.err), (Some(0), ""), "{preset} {upstream}");
        let told: BTreeSet<String> =
            done.out.lines().filter_map(|line| line.strip_prefix("fill in ")).map(str::to_owned).collect();
        assert_eq!(lacks(folder.path()), (told, Vec::new()), "{preset} {upstream}\n{}", done.out);
        let text = fs::read_to_string(folder.path().join("new.toml")).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 130), "{text}");
    }
}

/// What stands there as a comment is a line of configuration: nothing but the values of the operator is to be written.
#[test]
fn a_comment_is_a_line_to_take() {
    for (preset, upstream) in [("livekit", "oidc"), ("sendsar", "envoy-payload"), ("stream", "azure-easy-auth")] {
        let folder = tempfile::tempdir().unwrap();
        init(folder.path(), preset, upstream);
        let file = folder.path().join("new.toml");
        let is_key = |line: &str| {
            line.split_once(" = ").is_some_and(|(key, _)| {
                key.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
            })
        };
        let taken: String = fs::read_to_string(&file)
            .unwrap()
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if is_key(rest) => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert!(taken.parse::<toml::Table>().is_ok(), "{taken}");
        fs::write(&file, &taken).unwrap();
        let (missing, others) = lacks(folder.path());
        assert_eq!(missing, BTreeSet::new(), "{taken}");
        assert!(others.iter().all(|other| !other.contains("unknown key")), "{others:?}");
    }
}

#[test]
fn nothing_is_replaced_and_no_name_is_guessed() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(init(folder.path(), "local", "plain").code, Some(0));
    let file = folder.path().join("new.toml");
    let before = fs::read_to_string(&file).unwrap();
    let again = init(folder.path(), "livekit", "plain");
    let told = format!("sidemint: {}: is there already; name another file with --out\n", file.display());
    assert_eq!((again.code, again.err), (Some(1), told));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    for (preset, upstream, told) in [
        ("livekid", "plain", "--preset: no preset \"livekid\"; there are "),
        ("svix", "plain", "--preset: \"svix\" makes no tokens, so there are no sessions to serve"),
        ("local", "oauth-proxy", "--upstream: no preset \"oauth-proxy\"; there are "),
        ("local", "livekit", "--upstream: no preset \"livekit\"; there are "),
    ] {
        let refused = init(&folder.path().join("nowhere"), preset, upstream);
        assert_eq!(refused.code, Some(2));
        assert!(refused.err.starts_with(&format!("sidemint: {told}")), "{}", refused.err);
    }
    assert!(init(folder.path(), "livekid", "plain").err.contains("did you mean livekit?"));
    let text = run(&["init", "--out", "-"], &[]);
    assert_eq!((text.code, text.out), (Some(0), before));
}

/// A newcomer's first two commands.
#[tokio::test]
async fn what_is_written_serves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.toml");
    assert_eq!(init(folder.path(), "local", "plain").code, Some(0));
    let given = [
        ("SIDEMINT_PROVIDERS__CHAT__PUBLIC_API_URL", "http://127.0.0.1:8080"),
        ("SIDEMINT_PROVIDERS__CHAT__ISSUER", "sidemint"),
        ("SIDEMINT_PROVIDERS__CHAT__AUDIENCE", "chat"),
    ];
    let process = Process::serve(&["--config", file.to_str().unwrap()], &given);
    let answer = Connection::open(process.front).await.ask("POST", SESSION, &[("X-Forwarded-User", "alice")]).await;
    assert_eq!((answer.status, &answer.json()["chatUserId"]), (200, &"alice".into()));
}
