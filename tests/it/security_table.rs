//! The table of attacks in `docs/security.md`: complete, and true to the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../docs/security.md");

/// One row: the tests that it names.
type Table = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Rows in the order of the page: id, and the last cell.
fn rows() -> Vec<(&'static str, &'static str)> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| T-"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        (cells[0], cells[3])
    })
    .collect()
}

/// The name of a test as a path from the root.
fn whole(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("tests/it/{name}") }
}

/// Names in backticks, as paths from the root.
fn table() -> Table {
    let named = |cell: &str| cell.split('`').skip(1).step_by(2).map(whole).collect();
    rows().into_iter().map(|(id, cell)| (id.to_owned(), named(cell))).collect()
}

/// Every test of the sources as `FILE::FUNCTION`, with its doc comment.
fn tests() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join("src"), root().join("tests/it")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let file = path.strip_prefix(root()).unwrap().display().to_string();
                let tests = tests_in(&fs::read_to_string(&path).unwrap());
                found.extend(tests.into_iter().map(|(name, docs)| (format!("{file}::{name}"), docs)));
            }
        }
    }
    // Targets are tests by a macro, which names them.
    let fuzzing = fs::read_to_string(root().join("src/fuzzing.rs")).unwrap();
    let targets = fuzzing.split("\ntargets! {").nth(1).unwrap().split('}').next().unwrap();
    let names = targets.split(',').filter_map(|target| target.split("::").nth(1));
    found.extend(names.map(|name| (format!("src/fuzzing.rs::{name}"), String::new())));
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

/// The rows that a comment claims: `T-40`, and `T-40, T-41 and T-42`.
fn claimed(docs: &str) -> impl Iterator<Item = &str> {
    let claims = docs.match_indices("T-").filter_map(|(at, _)| docs.get(at..at + 4));
    claims.filter(|claim| claim[2..].bytes().all(|b| b.is_ascii_digit()))
}

#[test]
fn every_row_is_there_once_and_in_order() {
    let ids: Vec<String> = rows().into_iter().map(|(id, _)| id.to_owned()).collect();
    let all: Vec<String> = (1..=75).map(|number| format!("T-{number:02}")).collect();
    assert_eq!(ids, all);
}

#[test]
fn every_row_names_a_test_and_every_named_test_exists() {
    let known = tests();
    let mut wrong = Vec::new();
    for (id, named) in table() {
        if named.is_empty() {
            wrong.push(format!("{id} names no test"));
        }
        let exists = |name: &String| known.contains_key(name) || (!name.contains("::") && root().join(name).is_file());
        wrong.extend(named.iter().filter(|name| !exists(name)).map(|name| format!("{id}: there is no {name}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_test_that_claims_a_row_is_in_it() {
    let table = table();
    let mut wrong = Vec::new();
    for (name, docs) in tests() {
        let missing = claimed(&docs).filter(|claim| !table.get(*claim).is_some_and(|row| row.contains(&name)));
        wrong.extend(missing.map(|claim| format!("{claim}: {name}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_page_lists_every_fuzz_target() {
    let listed: BTreeSet<&str> = PAGE.split("| Target |").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
    let targets: BTreeSet<String> =
        tests().into_keys().filter_map(|name| name.strip_prefix("src/fuzzing.rs::").map(str::to_owned)).collect();
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

/// A check that `make mutants` removes: the rows that it is about, and the tests that must then fail.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    at: Option<String>,
    change: Option<String>,
    file: Option<String>,
    row: Option<String>,
    from: Option<String>,
    to: Option<String>,
    tests: Vec<String>,
}

impl Mutant {
    fn all() -> Vec<Self> {
        #[derive(serde::Deserialize)]
        struct List {
            mutants: Vec<Mutant>,
        }
        let list = fs::read_to_string(root().join("tests/mutants/list.toml")).unwrap();
        toml::from_str::<List>(&list).unwrap().mutants
    }

    fn rows(&self) -> Vec<&str> {
        let of_mark = self.at.iter().filter_map(|mark| mark.split_once(": ")).flat_map(|(rows, _)| rows.split(", "));
        of_mark.chain(self.row.as_deref()).collect()
    }

    fn tests(&self) -> impl Iterator<Item = String> {
        self.tests.iter().map(|test| whole(test))
    }

    /// What is wrong with it, or nothing. `marks` are those of the sources, with the code that follows.
    fn wrong(&self, marks: &BTreeMap<&str, Vec<&str>>) -> Option<String> {
        let changes = match (self.change.as_deref(), &self.from, &self.to) {
            (Some("remove" | "never" | "always"), None, None) => self.at.is_some(),
            (None, Some(from), Some(to)) => from != to,
            _ => false,
        };
        let from = self.from.as_deref().unwrap_or_default();
        let is_there = match (&self.at, &self.file, &self.row) {
            (Some(mark), None, None) => match marks.get(mark.as_str()).map(Vec::as_slice) {
                // As far from the mark as run.py looks.
                Some([code]) => code.find(from).is_some_and(|at| code[..at].matches('\n').count() <= 8),
                found => return Some(format!("{} marks", found.map_or(0, <[_]>::len))),
            },
            (None, Some(file), Some(_)) => fs::read_to_string(root().join(file)).unwrap().matches(from).count() == 1,
            _ => return Some("is neither of a mark nor of a file".to_owned()),
        };
        (!changes || !is_there).then(|| format!("changes nothing: {from}"))
    }
}

/// Every file below `src`.
fn sources() -> Vec<String> {
    let (mut folders, mut found) = (vec![root().join("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// Comments that begin with rows of the table, such as `// T-13, T-14: plain`, and the others that the list names; with the
/// code that they mark.
fn marks<'a>(sources: &'a [String], listed: &BTreeSet<&str>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut marks: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for source in sources {
        let mut begin = 0;
        for line in source.split_inclusive('\n') {
            if let Some((before, mark)) = line.trim_end().rsplit_once("// ")
                && !before.ends_with('/')
                && (listed.contains(mark) || (claimed(mark).next().is_some() && mark.starts_with("T-")))
            {
                let code = if before.trim().is_empty() { begin + line.len() } else { begin };
                marks.entry(mark).or_default().push(&source[code..]);
            }
            begin += line.len();
        }
    }
    marks
}

/// What `make mutants` removes is there, and what it expects to fail exists: otherwise it would prove nothing.
#[test]
fn every_mutant_changes_a_check_that_is_there() {
    let (known, table, mutants, sources) = (tests(), table(), Mutant::all(), sources());
    let listed: BTreeSet<&str> = mutants.iter().filter_map(|mutant| mutant.at.as_deref()).collect();
    let marks = marks(&sources, &listed);
    let mut wrong: Vec<String> =
        marks.keys().filter(|mark| !listed.contains(**mark)).map(ToString::to_string).collect();
    let mut changes = BTreeSet::new();
    for mutant in &mutants {
        let name = mutant.at.as_ref().or(mutant.file.as_ref()).unwrap();
        wrong.extend(mutant.wrong(&marks).map(|why| format!("{name}: {why}")));
        let is_new = changes.insert((name, &mutant.row, &mutant.change, &mutant.from, &mutant.to));
        wrong.extend((!is_new).then(|| format!("{name}: is there twice")));
        for test in mutant.tests() {
            wrong.extend((!known.contains_key(&test)).then(|| format!("{name}: there is no {test}")));
            let named = mutant.rows().into_iter().any(|row| table.get(row).is_none_or(|row| row.contains(&test)));
            wrong.extend((!named).then(|| format!("{name}: its row does not name {test}")));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// A test counts once it has been seen to fail: every row has a check that `make mutants` removes, and so has every test.
#[test]
fn every_row_and_every_test_of_it_has_a_mutant() {
    let mutants = Mutant::all();
    let rows_removed: BTreeSet<&str> = mutants.iter().flat_map(Mutant::rows).collect();
    let fail: BTreeSet<String> = mutants.iter().flat_map(Mutant::tests).collect();
    let mut left = Vec::new();
    for (id, named) in table() {
        left.extend((!rows_removed.contains(id.as_str())).then(|| id.clone()));
        let tests = named.into_iter().filter(|name| name.contains("::") && !fail.contains(name));
        left.extend(tests.map(|test| format!("{id}: {test}")));
    }
    assert_eq!(left, Vec::<String>::new());
}

/// The rules see what they should see: otherwise they would hold for any page.
#[test]
fn the_reader_of_tests_sees_tests_and_nothing_else() {
    let text = "/// T-01 and T-02.\n#[tokio::test(flavor = \"x\")]\nasync fn one() {\n/// T-03\nfn other() {}\n#[test]\nfn two() {\n";
    assert_eq!(tests_in(text), [("one".to_owned(), " T-01 and T-02.".to_owned()), ("two".to_owned(), String::new())]);
    let text =
        "macro_rules! each {\n/// T-04\n#[test]\nfn $test() {}\n}\neach! {\n    three: ONE,\n    four: TWO,\n}\n";
    assert_eq!(tests_in(text), ["three", "four"].map(|name| (name.to_owned(), " T-04".to_owned())));
    assert_eq!(claimed(" T-01, T-02 and T-9").collect::<Vec<_>>(), ["T-01", "T-02"]);
}
