//! What the README shows: its picture and its numbers are those of their sources, and what it counts is there.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::docs::root;

#[test]
fn the_picture_and_the_numbers_are_current() {
    let place = tempfile::tempdir().unwrap();
    let made =
        Command::new("python3").arg("-B").arg(root().join("docs/drawn/draw.py")).arg(place.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let pictures = ["flow-light", "flow-dark", "performance-light", "performance-dark"];
    let pages = ["README.md", "docs/performance.md"].map(str::to_owned);
    for path in pages.into_iter().chain(pictures.map(|name| format!("docs/images/{name}.svg"))) {
        let [own, fresh] =
            [root(), place.path().to_owned()].map(|folder| fs::read_to_string(folder.join(&path)).unwrap());
        assert!(own == fresh, "{path} is not what its sources make: run make front");
    }
}

#[test]
fn the_readme_counts_the_pages_of_providers() {
    let folder = fs::read_dir(root().join("docs/providers")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let general = ["README.md", "definition.md", "standard-webhooks.md", "write-a-definition.md"];
    let is_page = |path: &PathBuf| path.extension().is_some_and(|end| end == "md");
    let is_general = |path: &PathBuf| general.iter().any(|name| path.ends_with(name));
    let pages = paths.filter(|path| is_page(path) && !is_general(path)).count();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(&format!("[{pages} chat systems](docs/providers/README.md)")), "{pages} pages");
}

/// No wall of text: what is before the first command can be read at a glance.
#[test]
fn the_readme_comes_to_its_commands_soon() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let before = readme.split("```sh").next().unwrap();
    let prose: Vec<&str> = before.lines().filter(|line| !line.trim_start().starts_with(['<', '#'])).collect();
    assert!(prose.concat().split_whitespace().count() < 60, "{prose:?}");
}
