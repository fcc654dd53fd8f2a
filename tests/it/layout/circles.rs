//! No circle of files: whichever file one reads first, it leads on to others and not back.
//!
//! A file leads to each file whose items it names, also where another file passes them on (`pub use`). A folder's own file
//! puts the files of the folder together, so its arrows into the folder do not count; theirs to it do.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, sources};

/// The path of a module below the crate.
type Module = Vec<String>;

/// What the `use` lines of a file call by a name, and the path that they write.
type Names = BTreeMap<String, Vec<String>>;

struct Files {
    names: BTreeMap<Module, Names>,
    code: BTreeMap<Module, String>,
}

fn words(path: &str) -> Vec<String> {
    path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn module(path: &str) -> Module {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The paths of a `use`, each with the name that it gets.
fn tree(text: &str, before: &[String], into: &mut Names) {
    let text = text.trim();
    if let Some((start, group)) = text.strip_suffix('}').and_then(|text| text.split_once('{')) {
        let before = [before, &words(start)].concat();
        let mut depth = 0;
        let comma = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        };
        group.split(comma).for_each(|part| tree(part, &before, into));
    } else if !text.is_empty() {
        let (path, name) = text.split_once(" as ").unwrap_or((text, ""));
        let mut path = [before, &words(path)].concat();
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = if name.is_empty() { path.last().cloned().unwrap_or_default() } else { name.trim().to_owned() };
        into.insert(name, path);
    }
}

/// Paths of two parts and more that stand in code.
fn paths(code: &str) -> impl Iterator<Item = Vec<String>> {
    let texts = code.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')));
    texts.map(words).filter(|path| path.len() > 1)
}

impl Files {
    fn of(sources: Vec<Source>) -> Self {
        let mut files = Self { names: BTreeMap::new(), code: BTreeMap::new() };
        for source in sources {
            let module = module(&source.path);
            // Tests may look at anything.
            if module.iter().any(|part| part == "tests" || part == "fuzzing") {
                continue;
            }
            let code = source.code.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
            let (mut names, mut rest) = (Names::new(), String::new());
            for statement in code.split_inclusive(';') {
                let begin = statement
                    .find("use ")
                    .filter(|at| statement[..*at].trim_end_matches(' ').ends_with(['\n', ')', 'b']));
                match begin.filter(|_| statement.ends_with(';')) {
                    Some(at) => tree(statement[at + 4..].trim_end_matches(';'), &[], &mut names),
                    None => rest.push_str(statement),
                }
            }
            files.names.insert(module.clone(), names);
            files.code.insert(module, rest);
        }
        files
    }

    /// The file in which what a path of `from` names is written.
    fn home(&self, from: &[String], path: &[String], hops: usize) -> Option<Module> {
        let ups = path.iter().take_while(|part| *part == "super").count();
        let (mut at, mut rest) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (from.to_vec(), &path[1..]),
            "super" => (from[..from.len().checked_sub(ups)?].to_vec(), &path[ups..]),
            _ => (from.to_vec(), path),
        };
        let is_own = path.first().is_some_and(|first| !["crate", "self", "super"].contains(&first.as_str()));
        while let Some((next, others)) = rest.split_first() {
            let below = [&at[..], std::slice::from_ref(next)].concat();
            if !self.code.contains_key(&below) {
                break;
            }
            (at, rest) = (below, others);
        }
        let named = rest.first().and_then(|name| self.names.get(&at)?.get(name));
        match named {
            Some(path) if hops < 6 && (at != from || is_own) => {
                self.home(&at, &[path, &rest[1..]].concat(), hops + 1).or(Some(at))
            }
            None if is_own && at == from => None,
            _ => Some(at),
        }
    }

    fn arrows(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let mut arrows = BTreeMap::new();
        for (from, code) in &self.code {
            let used = self.names[from].values().cloned().chain(paths(code));
            let homes = used.filter_map(|path| self.home(from, &path, 0));
            arrows.insert(from.clone(), homes.filter(|home| !home.starts_with(from)).collect());
        }
        arrows
    }
}

/// The arrows that are a part of a circle: what they point to leads back.
fn circles(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    let mut found = Vec::new();
    for (from, to) in arrows {
        for to in to {
            let (mut seen, mut next) = (BTreeSet::new(), vec![to]);
            while let Some(file) = next.pop() {
                if seen.insert(file) {
                    next.extend(arrows.get(file).into_iter().flatten());
                }
            }
            found.extend(seen.contains(from).then(|| format!("{} -> {}", from.join("/"), to.join("/"))));
        }
    }
    found
}

#[test]
fn no_file_leads_back_to_itself() {
    assert_eq!(circles(&Files::of(sources()).arrows()), Vec::<String>::new());
}

/// The rule sees a circle, also through what a folder passes on, and none where a folder puts its files together.
#[test]
fn the_reader_of_files_sees_circles() {
    let source =
        |path: &str, code: &str| Source { path: path.to_owned(), text: String::new(), code: format!("\n{code}") };
    let seen = |sources| circles(&Files::of(sources).arrows());
    let folder = source("a/mod.rs", "mod b;\nmod c;\npub use b::B;\npub use self::c::C;\nstruct A;");
    let parts = |of_c: &str| vec![source("a/b.rs", "use super::{A, C};\nstruct B;"), source("a/c.rs", of_c)];
    let with = |of_c: &str| seen(parts(of_c).into_iter().chain([source("a/mod.rs", &folder.code)]).collect());
    assert_eq!(with("struct C(super::A);"), Vec::<String>::new());
    assert_eq!(with("struct C(crate::a::B);"), ["a/b -> a/c", "a/c -> a/b"]);
    assert_eq!(with("use super::B as Other;\nstruct C(Other);"), ["a/b -> a/c", "a/c -> a/b"]);
}
