//! Commands of `docs/command-line.md` and `docs/configuration.md` that need nothing but the shipped configuration, run as
//! printed in a folder that holds it. (Those that serve, ask or rotate have tests of their own; `docs.rs` reads all of them.)

use std::fs;
use std::path::Path;

use super::shell;
use crate::docs::{blocks, pages, root};

/// The preset of the shipped configuration declares no input.
const OF_ANOTHER_CONFIGURATION: &str = "sidemint mint --user alice --input room=lobby";

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_reference_work_as_printed() {
    let program = Path::new(env!("CARGO_BIN_EXE_sidemint")).parent().unwrap().display();
    let mut done = 0;
    for page in pages().iter().filter(|page| ["docs/command-line.md", "docs/configuration.md"].contains(&&*page.path)) {
        let folder = tempfile::tempdir().unwrap();
        for copy in ["config.toml", "base.toml"] {
            fs::copy(root().join("config.toml"), folder.path().join(copy)).unwrap();
        }
        for below in ["conf.d", "keys"] {
            fs::create_dir(folder.path().join(below)).unwrap();
        }
        let here = folder.path().display();
        for block in blocks(page).iter().filter(|block| block.language == "sh") {
            for line in block.text.lines().filter(|line| *line != OF_ANOTHER_CONFIGURATION) {
                let verb = line.strip_prefix("sidemint ").and_then(|rest| rest.split(' ').next());
                if verb
                    .is_some_and(|verb| ["presets", "check", "keygen", "mint", "init", "completions"].contains(&verb))
                {
                    let line = line.replace("/run/keys", &format!("{here}/keys"));
                    let script = format!("cd {here}\nPATH={program}:$PATH\n{line}");
                    let said = shell(&script, ([127, 0, 0, 1], 8080).into()).await;
                    assert!(!said.is_empty() || line.contains('>'), "{line}");
                    done += 1;
                }
            }
        }
    }
    assert!(done >= 17, "{done} commands were run");
}
