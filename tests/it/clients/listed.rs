//! The table of providers names the clients that are run here: no other, none less, and each in its version.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The tests of this folder, without this one.
fn tests() -> String {
    ["tests/it/clients/stand_ins.rs", "tests/it/clients/real.rs"].map(text).concat()
}

/// The judges of providers' clients, with their text. Our own has no provider.
fn judges() -> Vec<(PathBuf, String)> {
    let folder = fs::read_dir(root().join("tests/judges/clients")).unwrap();
    let others = ["stage.mjs", "chat-session.mjs"];
    let files =
        folder.map(|entry| entry.unwrap().path()).filter(|path| !others.iter().any(|name| path.ends_with(name)));
    files.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// What is between the first two marks.
fn quoted(text: &str, mark: char) -> &str {
    text.split(mark).nth(1).unwrap_or_else(|| panic!("nothing between two {mark} in {text}"))
}

#[test]
fn every_client_of_the_table_is_run_and_no_other() {
    let versions: Value = serde_json::from_str(&text("tests/parts/package.json")).unwrap();
    let (tests, judges, real) = (tests(), judges(), text("tests/it/go_judges/servers.rs"));
    let mut named = BTreeSet::new();
    let page = text("docs/providers/README.md");
    let head = page.lines().find(|row| row.starts_with("| preset | ")).unwrap();
    let column = head.split(" | ").position(|cell| cell == "client, unmodified").unwrap();
    for row in page.lines().filter(|row| row.starts_with("| [`")) {
        let (preset, cell) = (quoted(row, '`'), row.split(" | ").nth(column).unwrap());
        if cell == "–" {
            continue;
        }
        let client = quoted(cell, '`');
        let version = versions["dependencies"][client].as_str().unwrap_or_else(|| panic!("{client} is not installed"));
        assert!(cell.starts_with(&format!("`{client}` {version} ")), "{preset}: version {version} is run: {cell}");
        let imports = |judge: &str| {
            [format!("part(\"{client}\")"), format!("part(\"{client}/")].iter().any(|own| judge.contains(own))
        };
        let own = judges.iter().find(|(_, judge)| imports(judge) || judge.contains(&format!("resolve(\"{client}\")")));
        let (path, judge) = own.unwrap_or_else(|| panic!("no judge runs {client}"));
        assert_eq!(cell.contains("Chromium"), judge.contains("chromium.mjs"), "{preset}: {cell}");
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(tests.contains(&format!("play(\"{name}\"")), "no test plays {name}");
        assert!(tests.contains(&format!("\"{preset}\"")), "no test has a route on {preset}");
        let before_real = format!("{}_renews(Some(", name.split('-').next().unwrap());
        assert_eq!(cell.contains("make judges"), real.contains(&before_real), "{preset}: {cell}");
        named.insert(path);
    }
    let unnamed: Vec<_> = judges.iter().map(|(path, _)| path).filter(|path| !named.contains(path)).collect();
    assert!(unnamed.is_empty(), "the table does not name what these run: {unnamed:?}");
}
