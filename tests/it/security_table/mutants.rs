//! What `make mutants` removes: each check is there, and each test of the table is one that a mutant makes fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::{begins_with_row, root, rows, sources};

/// `tests/mutants/list.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    mutants: Vec<Mutant>,
    also: Vec<Also>,
}

/// Tests of a row that fail without a check of another row.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Also {
    row: String,
    tests: Vec<String>,
}

/// A check: the rows that it is about are in its mark.
#[derive(Deserialize)]
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

impl List {
    pub(super) fn read() -> Self {
        toml::from_str(&fs::read_to_string(root().join("tests/mutants/list.toml")).unwrap()).unwrap()
    }

    /// The tests of each row.
    pub(super) fn rows(&self) -> BTreeMap<String, BTreeSet<String>> {
        let of_mutants = self.mutants.iter().flat_map(|mutant| mutant.rows().map(|row| (row, &mutant.tests)));
        let also = self.also.iter().map(|also| (&*also.row, &also.tests));
        let mut rows: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (row, tests) in of_mutants.chain(also) {
            rows.entry(row.to_owned()).or_default().extend(tests.iter().cloned());
        }
        rows
    }
}

impl Mutant {
    fn rows(&self) -> impl Iterator<Item = &str> {
        let of_mark = self.at.iter().filter_map(|mark| mark.split_once(": ")).flat_map(|(rows, _)| rows.split(", "));
        of_mark.chain(self.row.as_deref())
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

/// Comments that begin with rows of the table, such as `// T-13, T-14: plain`, and the others that the list names; with the
/// code that they mark.
fn marks<'a>(sources: &'a BTreeMap<PathBuf, String>, listed: &BTreeSet<&str>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut marks: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for source in sources.values() {
        let mut begin = 0;
        for line in source.split_inclusive('\n') {
            if let Some((before, mark)) = line.trim_end().rsplit_once("// ")
                && !before.ends_with('/')
                && (listed.contains(mark) || begins_with_row(mark))
            {
                let code = if before.trim().is_empty() { begin + line.len() } else { begin };
                marks.entry(mark).or_default().push(&source[code..]);
            }
            begin += line.len();
        }
    }
    marks
}

/// What `make mutants` removes is there: otherwise it would prove nothing.
#[test]
fn every_mutant_changes_a_check_that_is_there() {
    let (list, sources) = (List::read(), sources(&["src"]));
    let listed: BTreeSet<&str> = list.mutants.iter().filter_map(|mutant| mutant.at.as_deref()).collect();
    let marks = marks(&sources, &listed);
    let mut wrong: Vec<String> =
        marks.keys().filter(|mark| !listed.contains(**mark)).map(ToString::to_string).collect();
    let mut changes = BTreeSet::new();
    for mutant in &list.mutants {
        let name = mutant.at.as_ref().or(mutant.file.as_ref()).unwrap();
        wrong.extend(mutant.wrong(&marks).map(|why| format!("{name}: {why}")));
        let is_new = changes.insert((name, &mutant.row, &mutant.change, &mutant.from, &mutant.to));
        wrong.extend((!is_new).then(|| format!("{name}: is there twice")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// A test counts once it has been seen to fail: every row has a check that `make mutants` removes, and so has every test.
/// A row that the list names is on the page.
#[test]
fn every_row_and_every_test_of_it_has_a_mutant() {
    let list = List::read();
    let removed: BTreeSet<&str> = list.mutants.iter().flat_map(Mutant::rows).collect();
    let mut left: Vec<&str> = rows().into_iter().filter(|row| !removed.contains(row)).collect();
    let fail: BTreeSet<&String> = list.mutants.iter().flat_map(|mutant| &mutant.tests).collect();
    let also = list.also.iter().flat_map(|also| &also.tests);
    left.extend(also.filter(|name| name.contains("::") && !fail.contains(name)).map(String::as_str));
    left.extend(list.also.iter().map(|also| &*also.row).filter(|row| !removed.contains(row)));
    left.extend(removed.iter().filter(|row| begins_with_row(row) && !rows().contains(*row)));
    assert_eq!(left, Vec::<&str>::new());
}
