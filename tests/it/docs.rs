//! The documentation is true: configurations load, command lines parse, links lead somewhere, the first commands work.
//!
//! A block marked `toml` is a complete configuration. One marked `toml,fragment` holds as a further file over the shipped
//! `config.toml`. Blocks of other pages that are neither (a chart's values, say) carry another language.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Parser as _;
use serde_json::{Value, json};
use sidemint::app::Blueprint;
use sidemint::cli::Cli;
use sidemint::config::{Config, Environment, Sources};
use sidemint::identity;
use sidemint::provider::{Alg, Definition, PRESETS, generate};

use crate::cli::Process;
use crate::fakes::sendsar::API_KEY;
use crate::harness::clock;
use crate::pki::Authority;

pub struct Page {
    /// Below the root of the repository.
    pub path: String,
    pub text: String,
}

/// A fenced block.
pub struct Block {
    pub page: String,
    pub line: usize,
    pub language: String,
    pub text: String,
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn pages() -> Vec<Page> {
    let mut paths: Vec<String> =
        ["README", "CHANGELOG", "CONTRIBUTING", "SECURITY", "UPGRADING"].map(|name| format!("{name}.md")).into();
    for folder in [
        "clients/js",
        "docs",
        "docs/clients",
        "docs/gateway",
        "docs/identity",
        "docs/providers",
        "docs/proxies",
        "docs/runbooks",
        "examples/compose",
        "examples/gateway",
        "examples/login-chain",
        "examples/webhooks",
    ] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let is_page = |name: &String| Path::new(name).extension().is_some_and(|end| end == "md");
        paths.extend(names.filter(is_page).map(|name| format!("{folder}/{name}")));
    }
    paths.sort();
    paths.into_iter().map(|path| Page { text: fs::read_to_string(root().join(&path)).unwrap(), path }).collect()
}

pub fn blocks(page: &Page) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(Block, usize)> = None;
    for (n, line) in page.text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        open = match (open, line.trim_start().strip_prefix("```")) {
            (Some((block, _)), Some("")) => {
                blocks.push(block);
                None
            }
            (Some((mut block, indent)), _) => {
                block.text.push_str(line.get(indent..).unwrap_or_default());
                block.text.push('\n');
                Some((block, indent))
            }
            (None, Some(language)) => {
                let (page, language) = (page.path.clone(), language.to_owned());
                Some((Block { page, line: n + 1, language, text: String::new() }, indent))
            }
            (None, None) => None,
        };
    }
    assert!(open.is_none(), "{}: a block without end", page.path);
    blocks
}

fn all_blocks(language: &str) -> Vec<Block> {
    let blocks: Vec<Block> = pages().iter().flat_map(blocks).filter(|block| block.language == language).collect();
    assert!(!blocks.is_empty(), "no block of {language}");
    blocks
}

/// Puts a secret where the text names a file below /run/secrets: a key where the name of the file or its setting asks for
/// one, and otherwise `secret`.
pub fn with_secrets(text: &str, folder: &Path, secret: &str) -> String {
    // Where systemd puts them.
    let text = text.replace("/run/credentials/sidemint.service/", "/run/secrets/");
    let key = generate(Alg::EdDsa).unwrap();
    let pair = Authority::new().server();
    for line in text.lines().filter(|line| line.contains("\"/run/secrets/")) {
        for path in line.split('"').filter_map(|part| part.strip_prefix("/run/secrets/")) {
            let file = folder.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            if let Some(kind) = path.strip_prefix("shared/") {
                let file = if kind == "keys" { file.join("a.key") } else { file };
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "01".repeat(32)).unwrap();
                continue;
            }
            if line.trim_start().starts_with("key_dir") {
                fs::create_dir_all(&file).unwrap();
                fs::write(file.join("2026-05.pem"), key.expose()).unwrap();
                continue;
            }
            // The name of the file says what is in it.
            let content = match (path, Path::new(path).extension().and_then(|end| end.to_str())) {
                ("amba-server-key", _) => b"amb_live_sk_0123456789".to_vec(),
                ("ably-api-key", _) => b"app.key:0123456789abcdef".to_vec(),
                // As `sidemint gateway key` makes them: a caller's own, and no secret of a provider.
                (path, _) if path.ends_with("-gateway") => b"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY".to_vec(),
                (path, _) if path == "forward.key" || path.ends_with("webhook") => {
                    let credentials = path.starts_with("cometchat").then_some("user:");
                    let key = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
                    [credentials.unwrap_or_default(), key].concat().into_bytes()
                }
                (path, _) if path.ends_with("/webhook-keys") => b"key.1: 0123456789abcdef0123456789abcdef".to_vec(),
                ("proxy-auth", _) => b"shop:password".to_vec(),
                ("firebase.json", _) => service_account(),
                (_, Some("crt")) => pair.certificate.clone().into_bytes(),
                ("tls/tls.key", _) => pair.key.clone().into_bytes(),
                (_, Some("pem")) => key.expose().to_vec(),
                (_, Some("jwk")) => br#"{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}"#.to_vec(),
                (_, Some("nk")) => b"SAAAOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOB6O4U".to_vec(),
                (path, _) if line.trim_start().starts_with("key_file") && !path.contains("secret") => {
                    key.expose().to_vec()
                }
                _ => secret.as_bytes().to_vec(),
            };
            fs::write(file, content).unwrap();
        }
    }
    text.replace("/run/secrets", &folder.display().to_string())
}

/// A key file as Google hands it out.
fn service_account() -> Vec<u8> {
    let pem = generate(Alg::Rs256).unwrap();
    let (pem, email) = (pem.expose_text().unwrap(), "signer@example.iam.gserviceaccount.com");
    json!({"project_id": "example", "client_email": email, "private_key": pem}).to_string().into_bytes()
}

fn load(files: Vec<PathBuf>) -> Result<(), String> {
    let environment = Environment::of([("SENDSAR_API_KEY", API_KEY)]);
    let config = Config::load(&Sources { files, ..Sources::default() }, &environment);
    let drawn = config.and_then(|config| Blueprint::draw(config, &environment, clock()));
    drawn.map(|_| ()).map_err(|errors| errors.to_string())
}

#[test]
fn every_configuration_loads() {
    for block in all_blocks("toml") {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        fs::write(&file, with_secrets(&block.text, folder.path(), API_KEY)).unwrap();
        let outcome = load(vec![file]);
        assert_eq!(outcome, Ok(()), "{}:{}\n{}", block.page, block.line, block.text);
        assert!(block.text.contains("[[routes]]"), "{}:{} is a fragment", block.page, block.line);
    }
}

#[test]
fn every_fragment_holds_over_the_shipped_configuration() {
    for block in all_blocks("toml,fragment") {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fragment.toml");
        fs::write(&file, with_secrets(&block.text, folder.path(), API_KEY)).unwrap();
        let outcome = load(vec![root().join("config.toml"), file]);
        assert_eq!(outcome, Ok(()), "{}:{}\n{}", block.page, block.line, block.text);
    }
}

/// Words of a shell line up to the first operator; quotes are taken off.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        let word = words.last_mut().unwrap();
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '|' | '>' | '<' | '#' | ';' | '&') => break,
            (None, ' ') if !word.is_empty() => words.push(String::new()),
            (None, ' ') => {}
            (_, c) => word.push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_line_of_ours_is_understood() {
    let mut seen = 0;
    for block in all_blocks("sh") {
        for line in block.text.replace("\\\n", " ").lines() {
            // In a pod, the words after `--`.
            let line = line.split_once(" -- /usr/local/bin/").map_or(line, |(_, inside)| inside);
            let is_setting =
                |word: &String| word.split('=').next().is_some_and(|name| name.starts_with('S') && word.contains('='));
            let words: Vec<String> = words(line).into_iter().skip_while(is_setting).collect();
            if words.first().is_some_and(|word| word == "sidemint") {
                seen += 1;
                let parsed = Cli::try_parse_from(&words);
                assert!(parsed.is_ok(), "{}:{}: {line}\n{}", block.page, block.line, parsed.unwrap_err());
            }
        }
    }
    assert!(seen >= 15, "{seen} command lines were found");
}

#[test]
fn every_relative_link_leads_somewhere() {
    for page in pages() {
        let folder = root().join(Path::new(&page.path).parent().unwrap());
        // What is written in code is no link.
        let prose: String = page.text.split("\n```").step_by(2).collect();
        let prose: String = prose.split('`').step_by(2).collect();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { root().join(&page.path) } else { folder.join(file) };
            assert!(path.exists(), "{} links to {target}, which is not there", page.path);
            if !anchor.is_empty() {
                let text = fs::read_to_string(&path).unwrap();
                let headings: Vec<String> = text.lines().filter(|line| line.starts_with('#')).map(anchor_of).collect();
                assert!(headings.iter().any(|own| own == anchor), "{} links to {target}: {headings:?}", page.path);
            }
        }
    }
}

/// The anchor that a heading gets where Markdown is shown.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).collect::<String>().replace(' ', "-")
}

#[test]
fn every_page_is_reachable_from_the_list_of_pages() {
    for page in pages() {
        let Some((folder, name)) = page.path.rsplit_once('/') else { continue };
        // A folder's own list is listed one folder up.
        let (above, name) = match name {
            "README.md" if folder == "docs" => continue,
            "README.md" if folder == "clients/js" => ("docs/clients", "../../clients/js/README.md"),
            "README.md" if folder.starts_with("examples/") => ("", page.path.as_str()),
            "README.md" => ("docs", page.path.trim_start_matches("docs/")),
            name => (folder, name),
        };
        let list = fs::read_to_string(root().join(above).join("README.md")).unwrap();
        assert!(list.contains(&format!("({name})")), "{above}/README.md does not list {name}");
    }
}

/// Runs a script with the address of the README replaced by that of `process`.
fn run(mut command: Command, script: &str, process: &Process) -> String {
    let script = script.replace("127.0.0.1:8080", &process.front.to_string());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{script}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_first_commands_of_the_readme_work() {
    let readme = pages().into_iter().find(|page| page.path == "README.md").unwrap();
    let first = &blocks(&readme)[0];
    let run_line = first.text.lines().next().unwrap();
    assert!(run_line.starts_with("make run") && readme.text.contains("`make test`"));
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    assert!(makefile.contains("\nrun:") && makefile.contains("--config config.toml") && makefile.contains("\ntest:"));
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let compiler = manifest["package"]["rust-version"].as_str().unwrap();
    assert!(readme.text.contains(&format!("Rust {compiler} or newer")), "the README asks for another compiler");
    let curl = first.text.lines().find(|line| line.starts_with("curl ")).expect("a curl line");
    let process = Process::serve(&["--config", "config.toml"], &[]);
    let session: Value = serde_json::from_str(&run(Command::new("sh"), curl, &process)).expect("a session");
    // The answer that the README shows has the same members in the same order.
    let shown: Value = serde_json::from_str(&blocks(&readme)[1].text).expect("JSON");
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&session), ["token", "expiresAt", "apiUrl", "chatUserId", "displayName"]);
    assert_eq!(members(&session), members(&shown));
    for member in ["apiUrl", "chatUserId", "displayName"] {
        assert_eq!(session[member], shown[member]);
    }
}

#[test]
fn the_verification_of_the_readme_works() {
    let python = root().join(".tools/venv/bin/python");
    assert!(python.exists(), "{} is missing: run tests/install-parts", python.display());
    let script = all_blocks("python").into_iter().find(|block| block.page == "README.md").expect("a script");
    let process = Process::serve(&[], &[]);
    let claims = run(Command::new(python), &script.text, &process);
    assert!(claims.contains("'sub': 'alice'") && claims.contains("'iss': 'sidemint'"), "{claims}");
}

/// The members of a table of the definition format, as the parser lists them.
fn members_of(table: &str) -> Vec<String> {
    let has_it = |(_, text): &&(&str, &str)| text.contains(table);
    let (_, text) = PRESETS.iter().find(has_it).unwrap_or_else(|| panic!("no preset has {table}"));
    let mistakes =
        Definition::parse(&text.replacen(table, &format!("{table}\nzzz = 1"), 1)).expect_err("zzz is unknown");
    let known = mistakes.iter().find_map(|own| own.problem.strip_prefix("unknown key; known here: ")).expect("a list");
    known.split(';').next().into_iter().flat_map(|list| list.split(", ")).map(str::to_owned).collect()
}

#[test]
fn the_page_about_definitions_names_every_member() {
    let page = fs::read_to_string(root().join("docs/providers/definition.md")).unwrap();
    let top = "name = \"sendsar\"";
    for table in
        [top, "[settings.alg]", "[lifetime]", "[upsert]", "[token.jwt]", "[[token.steps]]", "[response]", "[client]"]
    {
        let members = members_of(table);
        assert!(members.len() >= 2, "{table}: {members:?}");
        for member in members {
            assert!(
                page.contains(&format!("`{member}`")),
                "docs/providers/definition.md does not name {member} of {table}"
            );
        }
    }
}

#[test]
fn the_pages_name_every_setting_of_the_presets() {
    let mut text: String = pages().into_iter().map(|page| page.text).collect();
    text.push_str(&fs::read_to_string(root().join("config.toml")).unwrap());
    for (name, definition) in PRESETS {
        for (setting, about) in Definition::parse(definition).unwrap().settings {
            let key = if about.secret { format!("{setting}_file") } else { setting };
            let named = [format!("`{key}`"), format!("{key} = "), format!(".{key}]")];
            assert!(named.iter().any(|form| text.contains(form)), "no page names {key} of {name}");
        }
    }
}

/// Every identity preset has a row with its page, which says all of its settings.
#[test]
fn the_table_of_sources_is_true() {
    let page = fs::read_to_string(root().join("docs/identity/README.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| [`")).collect();
    for (name, text) in identity::PRESETS {
        let row = rows.iter().find_map(|row| row.strip_prefix(&format!("{name}`](")));
        let row = row.unwrap_or_else(|| panic!("docs/identity/README.md has no row of {name}"));
        let own = fs::read_to_string(root().join("docs/identity").join(row.split(')').next().unwrap())).unwrap();
        assert!(own.contains(&format!("`{name}`")), "the page of {name} does not name it");
        let preset: toml::Table = text.parse().unwrap();
        let settings = preset.get("settings").and_then(toml::Value::as_table).into_iter().flatten();
        for (setting, _) in settings {
            let named = [format!("`{setting}`"), format!("{setting} = ")];
            assert!(named.iter().any(|form| own.contains(form)), "the page of {name} does not name {setting}");
        }
    }
    assert_eq!(rows.len(), identity::PRESETS.len(), "a row without a preset");
}

/// A span as the table of presets writes it.
fn span(text: &str) -> Option<std::time::Duration> {
    let (number, unit) = text.trim().split_once(' ')?;
    let seconds = match unit {
        "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(std::time::Duration::from_secs(number.parse::<u64>().ok()? * seconds))
}

#[test]
fn the_table_of_presets_is_true() {
    let page = fs::read_to_string(root().join("docs/providers/README.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| [`"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let names: Vec<&str> = rows.iter().map(|row| row[0].split('`').nth(1).unwrap()).collect();
    assert_eq!(names, PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "the rows");
    let mut compared = 0;
    for (row, (name, text)) in rows.iter().zip(PRESETS) {
        let definition = Definition::parse(text).unwrap();
        let kind = match &definition.token {
            None => "none",
            Some(token) if token.jwt.is_some() => "jwt",
            Some(token) if token.render.is_some() => "render",
            Some(_) => "steps",
        };
        assert_eq!(row[2], kind, "{name}");
        let upserts = definition.upsert.is_some();
        assert!(row[4] != "yes" || upserts, "{name} has no upsert");
        assert!(row[4] != "no" || !upserts, "{name} has an upsert");
        if let Some((default, maximum)) = row[5].split_once(',').and_then(|(a, b)| Some((span(a)?, span(b)?))) {
            compared += 1;
            let day = std::time::Duration::from_secs(86_400);
            let lifetime = definition.lifetime.unwrap();
            let own = (lifetime.default.0, lifetime.maximum.map_or(day, |span| span.0));
            assert_eq!((default, maximum), own, "{name}");
        }
    }
    assert!(compared >= 18, "{compared} lifetimes were compared");
}
