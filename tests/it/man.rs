//! Manual pages: one for each verb, made of the command line, and one for the configuration, made of `config.toml`. They stand in
//! `packaging/man`; `UPDATE_PAGES=1` writes them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use clap::CommandFactory as _;
use clap_mangen::roff::{Roff, bold, roman};
use sidemint::cli::Cli;

use crate::docs::root;

/// All pages by the names of their files.
fn pages() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(Cli::command(), folder.path()).unwrap();
    let written = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
    let mut pages: BTreeMap<String, String> = written
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    pages.insert("sidemint.toml.5".to_owned(), configuration(include_str!("../../config.toml")));
    pages
}

/// A line of `config.toml`.
enum Line<'t> {
    Section(&'t str),
    Key(&'t str),
    Prose(&'t str),
    Empty,
}

impl<'t> Line<'t> {
    fn of(line: &'t str) -> Self {
        let inner = line.strip_prefix("# ").unwrap_or(line);
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let section = inner.trim_start_matches('[').trim_end_matches(']');
        match inner.split_once(" = ") {
            _ if line.trim_matches('#').trim().is_empty() => Self::Empty,
            _ if inner.starts_with('[') && inner.ends_with(']') && is_name(section) => Self::Section(inner),
            Some((key, _)) if is_name(key) => Self::Key(inner),
            _ => Self::Prose(inner),
        }
    }
}

/// The page of `config.toml`. The words before keys are about them; those before a section stand below its heading.
fn configuration(text: &str) -> String {
    let mut page = Roff::new();
    page.control("TH", ["sidemint.toml", "5", "", concat!("sidemint ", env!("CARGO_PKG_VERSION")), ""]);
    page.control("SH", ["NAME"]);
    page.text([roman("sidemint.toml - configuration of sidemint")]);
    page.control("SH", ["DESCRIPTION"]);
    let (mut prose, mut keys) = (String::new(), Vec::new());
    for line in text.lines().map(Line::of).chain([Line::Empty]) {
        // One that follows a key begins the next item.
        if !matches!(line, Line::Key(_)) && !keys.is_empty() {
            for (number, key) in keys.drain(..).enumerate() {
                page.control(if number == 0 { "TP" } else { "TQ" }, []);
                page.text([bold(key)]);
            }
            page.text([roman(std::mem::take(&mut prose).trim_end())]);
        }
        match line {
            Line::Prose(words) => prose.extend([words, " "]),
            Line::Key(key) => keys.push(key),
            Line::Empty => paragraph(&mut page, &mut prose),
            Line::Section(section) => {
                page.control("SH", [section]);
                paragraph(&mut page, &mut prose);
            }
        }
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([roman("sidemint(1)")]);
    page.render()
}

fn paragraph(page: &mut Roff, prose: &mut String) {
    if !prose.is_empty() {
        page.control("PP", []);
        page.text([roman(std::mem::take(prose).trim_end())]);
    }
}

#[test]
fn the_pages_are_those_of_the_command_line_and_of_the_configuration() {
    let (folder, fresh) = (root().join("packaging/man"), pages());
    if std::env::var_os("UPDATE_PAGES").is_some() {
        let _old = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in &fresh {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let there: BTreeMap<String, String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    assert!(there.keys().eq(fresh.keys()), "UPDATE_PAGES=1 writes {:?}", fresh.keys());
    for (name, text) in &fresh {
        assert!(there[name] == *text, "{name} is another one: UPDATE_PAGES=1 writes it");
    }
}

/// Every key of the configuration is on its page, and every verb has one that says what it is for.
#[test]
fn nothing_is_left_out() {
    let pages = pages();
    let keys = include_str!("../../config.toml").lines().filter(|line| matches!(Line::of(line), Line::Key(_))).count();
    assert!(keys > 100, "{keys}");
    let page = &pages["sidemint.toml.5"];
    assert_eq!(page.matches("\n.TP\n").count() + page.matches("\n.TQ\n").count(), keys);
    for verb in ["serve", "check", "init", "mint", "keys-rotate", "webhooks-replay", "gateway-explain", "completions"] {
        let page = &pages[&format!("sidemint-{verb}.1")];
        assert!(page.contains(".SH DESCRIPTION") && page.contains(".SH OPTIONS"), "{page}");
        assert!(!page.contains("config\\-dir") || !["keygen", "completions"].contains(&verb), "{page}");
    }
}

#[test]
fn mandoc_takes_every_page() {
    for entry in fs::read_dir(root().join("packaging/man")).unwrap() {
        let path = entry.unwrap().path();
        // The generator breaks lines around blank ones, which is a warning and looks right.
        let output = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&path).output().expect("mandoc");
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stdout));
    }
}

/// The commands of the page, for another folder than the system's.
#[test]
fn the_pages_are_installed_as_printed() {
    let folder = tempfile::tempdir().unwrap();
    let page = fs::read_to_string(root().join("docs/command-line.md")).unwrap();
    let commands: Vec<&str> = page.lines().filter(|line| line.starts_with("sudo install ")).collect();
    let script = commands.join("\n").replace("sudo ", "").replace("/usr/local", folder.path().to_str().unwrap());
    assert!(Command::new("sh").args(["-ec", &script]).current_dir(root()).status().unwrap().success(), "{script}");
    for name in pages().keys() {
        let section = name.rsplit('.').next().unwrap();
        assert!(folder.path().join(format!("share/man/man{section}/{name}")).exists(), "{name}");
    }
}
