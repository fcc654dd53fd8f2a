//! The five minutes of the README, third step: its configuration and its commands, before a Sendsar of our own. (The first
//! two are in `docs.rs`.) Replaced are the address of Sendsar and the ports; `cargo install` is left out, for the program
//! is on the path.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use sidemint::clock::ManualClock;

use super::shell;
use crate::cli::Process;
use crate::docs::{Block, blocks, pages};
use crate::fakes::sendsar::{API_KEY, Sendsar, subject_of};
use crate::presets::today;

#[tokio::test(flavor = "multi_thread")]
async fn the_third_step_ends_in_a_session() {
    let readme = pages().into_iter().find(|page| page.path == "README.md").unwrap();
    let blocks = blocks(&readme);
    let of = |language: &str, mark: &str| {
        let fits = |block: &&Block| block.language == language && block.text.contains(mark);
        blocks.iter().find(fits).unwrap_or_else(|| panic!("no {language} with {mark}")).text.clone()
    };
    let fake = Sendsar::start(Arc::new(ManualClock::new(today()))).await;
    let folder = tempfile::tempdir().unwrap();
    let printed = of("toml", "preset = \"sendsar\"");
    assert!(printed.contains("https://api.sendsar.com/v1"));
    let file = folder.path().join("sendsar.toml");
    fs::write(&file, printed.replace("https://api.sendsar.com/v1", &fake.base_url())).unwrap();
    fs::write(folder.path().join("api-key"), API_KEY).unwrap();

    let commands = of("sh", "cargo install");
    let commands = commands.strip_prefix("cargo install --locked --path .\n").expect("how it gets on the path");
    let commands = commands.strip_suffix("sidemint serve --config sendsar.toml\n").expect("what comes last");
    let program = Path::new(env!("CARGO_BIN_EXE_sidemint")).parent().unwrap().display();
    let script = format!("cd {}\nPATH={program}:$PATH\n{commands}", folder.path().display());
    let said = shell(&script, ([127, 0, 0, 1], 8080).into()).await;
    assert!(said.contains("\"chatUserId\":\"alice\""), "{said}");
    assert_eq!((fake.upserts(), fake.mints()), (1, 1), "by mint");

    let configuration = file.display().to_string();
    let process = Process::serve(&["--config", &configuration], &[("SENDSAR_API_KEY", API_KEY)]);
    let curl = of("sh", "make run");
    let curl = curl.lines().find(|line| line.starts_with("curl ")).expect("the command at the top");
    let session: Value = serde_json::from_str(&shell(curl, process.front).await).expect("a session");
    assert_eq!(subject_of(session["token"].as_str().unwrap()), "alice");
    assert_eq!((&session["chatUserId"], &session["displayName"]), (&"alice".into(), &"Alice".into()));
    assert_eq!((fake.upserts(), fake.mints()), (2, 2), "and by the request");
}
