//! The table of attacks in `docs/security.md`: complete, and true to the tests.

mod mutants;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mutants::List;

const PAGE: &str = include_str!("../../../docs/security.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The rows of the page, in its order.
fn rows() -> Vec<&'static str> {
    let rows = PAGE.lines().filter(|line| line.strip_prefix("| ").is_some_and(begins_with_row));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        cells[0]
    })
    .collect()
}

/// Every source file below the folders.
fn sources(folders: &[&str]) -> BTreeMap<PathBuf, String> {
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.insert(path.clone(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// The name of a file in the list: without its folders, but `mod.rs` with its own.
fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    let folder = path.parent().and_then(Path::file_name).unwrap().to_str().unwrap();
    if name == "mod.rs" { format!("{folder}/{name}") } else { name.to_owned() }
}

/// Every test of the sources as `FILE::FUNCTION`, with its doc comment.
fn tests() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (path, text) in sources(&["src", "tests/it"]) {
        let mut all = tests_in(&text);
        // Targets are tests by a macro, which names them.
        if let Some((_, targets)) = text.split_once("\ntargets! {") {
            let targets = targets.split('}').next().unwrap().split(',');
            all.extend(targets.filter_map(|target| Some((target.split("::").nth(1)?.to_owned(), String::new()))));
        }
        for (name, docs) in all {
            let name = format!("{}::{name}", file_name(&path));
            assert!(found.insert(name.clone(), docs).is_none(), "two tests are called {name}");
        }
    }
    found
}

/// Functions below a test attribute, with the comment above it. Where a macro writes them, as `fn $test`, what it is given
/// are lines of `name: VALUE,`.
fn tests_in(text: &str) -> Vec<(String, String)> {
    let (mut docs, mut is_test, mut found) = (String::new(), false, Vec::new());
    let mut by_macro = None;
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            docs.push_str(comment);
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else {
            let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            let name = function.filter(|_| is_test).and_then(|rest| rest.split(['(', '<']).next());
            let given = line.strip_suffix(',').and_then(|line| line.split_once(": "));
            match (name, given, &by_macro) {
                (Some("$test"), ..) => by_macro = Some(docs.clone()),
                (Some(name), ..) => found.push((name.to_owned(), docs.clone())),
                (None, Some((name, value)), Some(docs)) if value.bytes().all(|b| b.is_ascii_uppercase()) => {
                    found.push((name.to_owned(), docs.clone()));
                }
                _ => {}
            }
            (docs, is_test) = (String::new(), false);
        }
    }
    found
}

/// Whether a text begins with the id of a row: the letter of its table and two digits, such as `T-40` or `W-04`.
fn begins_with_row(text: &str) -> bool {
    match text.as_bytes() {
        [letter, b'-', tens, ones, rest @ ..] => {
            let ends = rest.first().is_none_or(|next| !next.is_ascii_alphanumeric());
            letter.is_ascii_uppercase() && tens.is_ascii_digit() && ones.is_ascii_digit() && ends
        }
        _ => false,
    }
}

/// The rows that a comment claims: `T-40`, and `T-40, W-04 and T-42`.
fn claimed(docs: &str) -> impl Iterator<Item = &str> {
    let words = docs.char_indices().map(|(at, _)| docs.split_at(at));
    let words = words.filter(|(before, _)| !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|(_, word)| begins_with_row(word)).filter_map(|(_, word)| word.get(..4))
}

#[test]
fn every_row_is_there_once_and_in_order() {
    let mut tables: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (table, number) in rows().into_iter().filter_map(|row| row.split_once('-')) {
        tables.entry(table).or_default().push(number);
    }
    for (table, numbers) in &tables {
        assert!(numbers.is_sorted_by(|one, next| one < next), "{table}: {numbers:?}");
    }
    assert_eq!(tables["T"], (1..=76).map(|number| format!("{number:02}")).collect::<Vec<_>>());
}

#[test]
fn every_named_test_exists() {
    let known = tests();
    let exists = |name: &str| known.contains_key(name) || (!name.contains("::") && root().join(name).is_file());
    let list = List::read();
    let missing: Vec<String> = list.rows().into_values().flatten().filter(|name| !exists(name)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_test_that_claims_a_row_is_in_it() {
    let rows = List::read().rows();
    let mut wrong = Vec::new();
    for (name, docs) in tests() {
        let missing = claimed(&docs).filter(|claim| !rows.get(*claim).is_some_and(|row| row.contains(&name)));
        wrong.extend(missing.map(|claim| format!("{claim}: {name}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_page_lists_every_fuzz_target() {
    let listed: BTreeSet<&str> = PAGE.split("| Target |").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
    let targets: BTreeSet<String> =
        tests().into_keys().filter_map(|name| name.strip_prefix("fuzzing.rs::").map(str::to_owned)).collect();
    let folders = fs::read_dir(root().join("fuzz/seeds")).unwrap();
    let targets: BTreeSet<&str> = targets.iter().map(String::as_str).collect();
    for folder in folders {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(listed.contains(name.as_str()) && targets.contains(name.as_str()), "{name}");
    }
}

/// T-51 and T-60: what is locked comes from the registry with its checksum.
#[test]
fn dependencies_come_from_the_registry_with_their_checksums() {
    for file in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let lock: toml::Table = fs::read_to_string(root().join(file)).unwrap().parse().unwrap();
        for package in lock["package"].as_array().unwrap() {
            let name = package["name"].as_str().unwrap();
            if name.starts_with("sidemint") {
                continue;
            }
            assert_eq!(
                package["source"].as_str(),
                Some("registry+https://github.com/rust-lang/crates.io-index"),
                "{file}: {name}"
            );
            assert!(package.get("checksum").is_some(), "{file}: {name} has no checksum");
        }
    }
}

/// The rules see what they should see: otherwise they would hold for any page.
#[test]
fn the_reader_of_tests_sees_tests_and_nothing_else() {
    let text = "/// T-01 and T-02.\n#[tokio::test(flavor = \"x\")]\nasync fn one() {\n/// T-03\nfn other() {}\n#[test]\nfn two() {\n";
    assert_eq!(tests_in(text), [("one".to_owned(), " T-01 and T-02.".to_owned()), ("two".to_owned(), String::new())]);
    let text =
        "macro_rules! each {\n/// T-04\n#[test]\nfn $test() {}\n}\neach! {\n    three: ONE,\n    four: TWO,\n}\n";
    assert_eq!(tests_in(text), ["three", "four"].map(|name| (name.to_owned(), " T-04".to_owned())));
    assert_eq!(claimed(" T-01, W-02 and T-9, as UTF-16 and P-256").collect::<Vec<_>>(), ["T-01", "W-02"]);
}
