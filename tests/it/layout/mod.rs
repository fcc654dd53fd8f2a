//! The shape of the code, held: arrows point down, each large crate has one door, files stay small and say their job.

mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from top to bottom. A room may use those in lower rows; rooms that share a row do not
/// know each other. The last row uses nothing above itself, and within it there is no circle.
const ROWS: [&[&str]; 8] = [
    &["main"],
    &["cli"],
    &["app", "fuzzing"],
    &["inbound"],
    &["session", "webhook", "gateway"],
    &["identity", "provider"],
    &["outbound", "shared"],
    &LEAVES,
];

const LEAVES: [&str; 10] =
    ["clock", "config", "decode", "definition", "lifecycle", "metrics", "pacing", "secrets", "telemetry", "trace"];

/// Large crates, and the only places that may name them.
const DOORS: [(&str, &[&str]); 23] = [
    ("warp", &["inbound/"]),
    ("hyper", &["inbound/"]),
    ("hyper_util", &["inbound/"]),
    ("reqwest", &["outbound/"]),
    ("figment", &["config/"]),
    ("prometheus", &["metrics/"]),
    ("notify", &["secrets/"]),
    ("rusqlite", &["webhook/store/sqlite/"]),
    ("rustix", &["clock/", "app/", "secrets/fence.rs", "webhook/store/sqlite/"]),
    ("jsonwebtoken", &["provider/keys/"]),
    ("minijinja", &["provider/template/"]),
    ("moka", &["session/cache/mod.rs", "provider/mint/upserts.rs"]),
    ("clap", &["cli/", "main.rs"]),
    ("tracing_subscriber", &["telemetry/"]),
    ("secrecy", &["secrets/"]),
    ("ipnet", &["config/", "identity/peer/", "identity/fuzzing/"]),
    ("tokio_rustls", &["inbound/listener/tls/", "outbound/fault.rs"]),
    ("webpki", &["inbound/listener/tls/"]),
    ("tonic", &["inbound/grpc/"]),
    ("tonic_health", &["inbound/grpc/"]),
    ("envoy_types", &["inbound/grpc/"]),
    ("flate2", &["webhook/scheme/"]),
    ("redis", &["shared/redis/"]),
];

/// Lines of one file at most, its unit tests not counted.
const MOST_LINES: usize = 450;

/// Entries of one folder at most, so that a room is seen at a glance.
const MOST_ENTRIES: usize = 12;

struct Source {
    /// Below `src/`.
    path: String,
    /// As it is.
    text: String,
    /// Without comments and string literals.
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().display().to_string();
                found.push(Source { path, code: code(&text), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 30, "the folder was read");
    found
}

/// What is left of `text` without comments and the content of string literals.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n')
        } else if rest.starts_with("'\"'") {
            Some(3)
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map(|end| end + 2)
        } else if c == '"' {
            end_of_string(rest)
        } else {
            code.push(c);
            Some(c.len_utf8())
        };
        rest = skipped.map_or("", |skipped| &rest[skipped..]);
    }
    code
}

/// Where the literal that begins `text` ends.
fn end_of_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == '"' && !escaped {
            return Some(at + 1);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

/// Rooms that `code` names: `crate::room` and `crate::{room, other::…}`; the binary calls the crate by its name.
fn named_rooms(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            rooms.extend(word(rest));
            continue;
        };
        let mut depth = 0;
        let ends = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth < 0
        };
        let group = group.split(ends).next().unwrap_or_default();
        depth = 0;
        let parts = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        };
        rooms.extend(group.split(parts).filter_map(word));
    }
    rooms
}

/// The identifier that `text` begins with.
fn word(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// Whether `code` names a crate: as the beginning of a path, or alone in a `use`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, behind) = (&code[..at], &code[at + name.len()..]);
        let whole = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
        whole && (behind.starts_with("::") || (behind.starts_with(';') && before.ends_with("use ")))
    })
}

/// Which room uses which.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        let code =
            if source.path == "main.rs" { source.code.replace("sidemint::", "crate::") } else { source.code.clone() };
        let targets = named_rooms(&code).into_iter().filter(|room| room != source.room());
        arrows.entry(source.room().to_owned()).or_default().extend(targets);
    }
    arrows
}

fn row(room: &str) -> usize {
    ROWS.iter().position(|row| row.contains(&room)).unwrap_or_else(|| panic!("room {room} is not in the table of rows"))
}

#[test]
fn arrows_point_down() {
    let mut wrong = Vec::new();
    for (from, targets) in arrows() {
        for to in targets {
            let leaves = row(&from) == row("clock") && row(&to) == row("clock");
            if row(&from) >= row(&to) && !leaves {
                wrong.push(format!("{from} uses {to}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_two_rooms_use_each_other_not_even_in_a_circle() {
    let mut left = arrows();
    // Rooms that use nothing that is left can go; what cannot go is a circle.
    while let Some(free) =
        left.iter().find(|(_, to)| to.iter().all(|to| !left.contains_key(to))).map(|(room, _)| room.clone())
    {
        left.remove(&free);
    }
    assert_eq!(left, BTreeMap::new());
}

#[test]
fn every_room_of_the_table_exists() {
    let rooms: BTreeSet<String> = arrows().into_keys().collect();
    let table: BTreeSet<String> = ROWS.iter().copied().flatten().map(|room| (*room).to_owned()).collect();
    assert_eq!(rooms, table);
}

#[test]
fn each_large_crate_has_one_door() {
    let sources = sources();
    for (name, doors) in DOORS {
        let users: Vec<&str> = sources
            .iter()
            .filter(|source| names_crate(&source.code, name))
            .map(|source| source.path.as_str())
            .collect();
        let outside: Vec<_> = users.iter().filter(|path| !doors.iter().any(|door| path.starts_with(door))).collect();
        assert!(outside.is_empty(), "{name} belongs to {doors:?}, and is named in {outside:?}");
        for door in doors {
            assert!(
                users.iter().any(|path| path.starts_with(door)),
                "{name} is not used in {door}: the rule is out of date"
            );
        }
    }
}

#[test]
fn files_are_small_and_begin_with_their_job() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{} has {lines} lines", source.path));
        }
        let first = source.text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") {
            wrong.push(format!("{} begins without a sentence that says its job", source.path));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn folders_are_small() {
    let mut entries: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let parts: Vec<&str> = source.path.split('/').collect();
        for depth in 1..parts.len() {
            entries.entry(parts[..depth].join("/")).or_default().insert(parts[depth].to_owned());
        }
    }
    entries.retain(|_, entries| entries.len() > MOST_ENTRIES);
    assert_eq!(entries, BTreeMap::new());
}

/// The rules see what they should see: otherwise they would hold for any code.
#[test]
fn the_reader_of_sources_sees_uses_and_nothing_else() {
    let text = "use crate::{identity, provider::{Alg, Order}, clock::Clock};\n// crate::inbound\nlet x = crate::trace::of(\"crate::app\");\n";
    let rooms: Vec<String> = named_rooms(&code(text)).into_iter().collect();
    assert_eq!(rooms, ["clock", "identity", "provider", "trace"]);
    assert!(names_crate("use warp;", "warp") && names_crate("fn f() -> warp::Reply", "warp"));
    assert!(!names_crate("crate::warp::x(); my_warp::y(); warped::z()", "warp"));
}
