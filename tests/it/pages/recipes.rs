//! `docs/clients`: the recipes for React and Vue are compiled and rendered, those for Swift, Kotlin and Flutter are parsed.

use serde_json::{Map, Value, json};

use super::block;
use crate::docs::{blocks, pages};
use crate::judge::judge;

/// The files that a page prints; each begins with a comment that names it.
fn files(path: &str) -> Map<String, Value> {
    let page = pages().into_iter().find(|page| page.path == path).expect("the page");
    let named = blocks(&page).into_iter().filter(|block| ["ts", "tsx", "vue"].contains(&block.language.as_str()));
    named
        .map(|block| {
            let name = block.text.split_whitespace().nth(1).expect("a name").to_owned();
            (name, json!(block.text))
        })
        .collect()
}

#[test]
fn recipes_for_pages_compile_and_render() {
    for framework in ["react", "vue"] {
        let files = files(&format!("docs/clients/{framework}.md"));
        assert_eq!(files.len(), 2, "{framework}");
        let seen = judge("recipes.mjs", json!({"framework": framework, "files": files}));
        let rendered = seen["rendered"].as_str().unwrap();
        assert!(rendered.contains("<p role=\"status\">Connecting …</p>"), "{framework}: {rendered}");
    }
}

#[test]
fn recipes_for_apps_are_written_in_their_language() {
    for (page, language, mark) in [
        ("swift", "swift", "actor ChatSession"),
        ("kotlin", "kotlin", "class ChatSession"),
        ("flutter", "dart", "class ChatSession"),
    ] {
        let path = format!("docs/clients/{page}.md");
        let text = block(&path, language, mark);
        let seen = judge("syntax.py", json!({"language": language, "text": text}));
        assert_eq!(seen["errors"], json!([]), "{path}");
        assert!(seen["nodes"].as_u64() > Some(500), "{path}: {seen}");
        // What the page says of itself.
        let whole = pages().into_iter().find(|page| page.path == path).unwrap().text;
        assert!(whole.contains("The tests parse this page, and do not compile it."), "{path}");
        let broken = judge("syntax.py", json!({"language": language, "text": text.replacen('{', "", 1)}));
        assert_ne!(broken["errors"], json!([]), "{path}: the parser takes anything");
    }
}
