//! Our own module for pages (`clients/js`): its unit tests, its types, its package, and two tabs of a real browser.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use sidemint::clock::ManualClock;

use super::{PATH, asked, play_by, route};
use crate::fakes::http::Script;
use crate::fakes::sendsar::{API_KEY, Sendsar};
use crate::judge::tool;
use crate::presets::today;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/js"))
}

/// What a program prints that ends well.
fn output(command: &mut Command) -> String {
    let output = command.output().expect("starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn its_unit_tests_pass() {
    let files = ["one-tab", "tabs"].map(|name| folder().join(format!("test/{name}.test.mjs")));
    let said = output(Command::new("node").args(["--test", "--test-reporter=tap"]).args(files));
    let number = |mark: &str| -> u32 {
        let line = said.lines().find_map(|line| line.strip_prefix(mark));
        line.unwrap_or_else(|| panic!("no {mark} in {said}")).parse().expect("a number")
    };
    assert_eq!((number("# fail "), number("# skipped "), number("# todo ")), (0, 0, 0), "{said}");
    assert!(number("# pass ") >= 37, "{said}");
}

/// In strict mode, with nothing but the browser's own types.
#[test]
fn its_types_are_those_of_a_page() {
    let place = tempfile::tempdir().unwrap();
    let options = json!({
        "strict": true, "noEmit": true, "target": "es2022", "module": "nodenext", "lib": ["es2022", "dom"], "types": [],
        "paths": {"@sidemint/chat-session": [folder().join("chat-session.d.ts")]},
    });
    let project = json!({"compilerOptions": options, "files": [folder().join("test/types.ts")]});
    std::fs::write(place.path().join("tsconfig.json"), project.to_string()).unwrap();
    output(Command::new(tool("node/node_modules/.bin/tsc")).arg("--project").arg(place.path()));
}

/// What `npm publish` would send, and nothing else; in the version of this program.
#[test]
fn its_package_holds_what_pages_need() {
    let place = tempfile::tempdir().unwrap();
    // In a copy, for packing adds the licences for a moment.
    let copy = place.path().join("clients/js");
    output(Command::new("mkdir").arg("-p").arg(place.path().join("clients")));
    output(Command::new("cp").arg("-r").arg(folder()).arg(&copy));
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), place.path().join(name)).unwrap();
    }
    let mut npm = Command::new("npm");
    npm.args(["pack", "--json", "--offline", "--silent", "--cache"]).arg(place.path().join("cache"));
    let said = output(npm.env("HOME", place.path()).current_dir(&copy));
    // npm 11 gives a list, npm 12 an object by name.
    let packed: Value = serde_json::from_str(&said[said.find(['[', '{']).expect("JSON")..]).expect("JSON");
    let packed = packed.get(0).or_else(|| packed.get("@sidemint/chat-session")).expect("one package");
    let mut files: Vec<&str> =
        packed["files"].as_array().unwrap().iter().filter_map(|file| file["path"].as_str()).collect();
    files.sort_unstable();
    assert_eq!(
        files,
        ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "chat-session.d.ts", "chat-session.js", "package.json"]
    );
    assert_eq!(packed["version"], env!("CARGO_PKG_VERSION"));
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join("package.json")).unwrap()).unwrap();
    assert!(manifest.get("dependencies").is_none(), "{manifest}");
}

/// One waits as it is told, both share a session and its renewal, and a sign-out in one is one in both.
#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_of_a_browser_share_a_session() {
    let clock = Arc::new(ManualClock::new(today()));
    let provider = Sendsar::start(Arc::clone(&clock)).await;
    let retry = vec![("Retry-After".to_owned(), "20".to_owned())];
    provider.next("/v1/users", Script::Answer { status: 503, headers: retry, body: Vec::new() });
    // Clients may keep a session to its last minute here: the module's own margin.
    let lines = format!("api_url = \"{}\"\nclient_margin = \"60s\"\n", provider.base_url());
    let routes = route(PATH, "session", "sendsar", &lines);
    let order = json!({"ttl": 3600});
    let seen = play_by(clock, "chat-session", &routes, [("SENDSAR_API_KEY", API_KEY)], order).await;
    assert_eq!(
        (&seen["refused"], &seen["again"]),
        (&json!("provider_unavailable"), &json!("provider_unavailable")),
        "{seen}"
    );
    let wait = seen["wait"].as_f64().unwrap();
    assert!((19.0..26.0).contains(&wait), "{wait}");
    assert_eq!(
        (&seen["askedWhileWaiting"], &seen["askedForBoth"], &seen["askedForRenewal"]),
        (&json!(1), &json!(2), &json!(3)),
        "{seen}"
    );
    assert_eq!(
        (&seen["shared"], &seen["renewed"], &seen["same"]),
        (&json!(true), &json!(true), &json!(true)),
        "{seen}"
    );
    assert_eq!(seen["kept"], json!([{}, {}, "", 0, 0]));
    assert_eq!((&seen["confirmed"], &seen["after"]), (&json!(true), &json!("signed_out")), "{seen}");
    assert_eq!(seen["signedOut"], json!([{"token": null}, {"token": null}]));
    assert_eq!(seen["leaks"], json!([]));
    // The browser itself tells of the 503, and nothing else is said.
    assert_eq!(seen["complaints"].as_array().map(Vec::len), Some(1), "{seen}");
    let all = asked(&seen);
    assert_eq!(
        (all[0].as_str(), all.last().map(String::as_str)),
        ("POST /chat/token 503", Some("DELETE /chat/token 204"))
    );
}
