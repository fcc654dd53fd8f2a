//! Pages that people follow word for word, followed word for word: what they print is started, asked with the very
//! commands that they print, and answers what they print.
//!
//! Three things are replaced, and nothing else: the folder of secrets (`/run/secrets`), the address of a provider (by that
//! of a strict fake), and the port that sidemint listens at.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::docs::{Block, blocks, pages};

mod application;
mod body;
mod commands;
mod front;
mod gateway;
mod gateway_operations;
mod identity;
mod peers;
mod providers;
mod readme;
mod recipes;
mod teams;
mod webhooks;

/// The block of the page at `path` in this language that holds `mark`.
fn block(path: &str, language: &str, mark: &str) -> String {
    let page = pages().into_iter().find(|page| page.path == path).expect("the page");
    let fits = |block: &Block| block.language == language && block.text.contains(mark);
    let found = blocks(&page).into_iter().find(fits);
    found.unwrap_or_else(|| panic!("{path}: no block of {language} with {mark}")).text
}

/// Runs lines of a page in a shell, and gives what they print. The address that pages print stands for `front`.
async fn shell(lines: &str, front: SocketAddr) -> String {
    let lines = lines.replace("127.0.0.1:8080", &front.to_string());
    let script = lines.clone();
    let run = move || Command::new("sh").args(["-euc", &script]).stdin(Stdio::null()).output().expect("sh");
    let output = tokio::task::spawn_blocking(run).await.expect("no panic");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    assert!(output.status.success(), "{lines}\n{}", text(output.stderr));
    text(output.stdout)
}

/// Whether an answer is the one that a page shows: the same members in the same order, and the same values. A `…` in a
/// text stands for anything.
fn agrees(shown: &Value, own: &Value) -> bool {
    match (shown, own) {
        (Value::Object(shown), Value::Object(own)) => {
            shown.keys().eq(own.keys()) && shown.values().zip(own.values()).all(|(shown, own)| agrees(shown, own))
        }
        (Value::String(shown), Value::String(own)) => match shown.split_once('…') {
            Some((begin, end)) => own.len() > begin.len() + end.len() && own.starts_with(begin) && own.ends_with(end),
            None => shown == own,
        },
        (shown, own) => shown == own,
    }
}
