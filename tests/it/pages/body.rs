//! The page of a body from one's own server: its configuration and its two clients, as printed. The socket, the user id
//! and the folder of secrets are replaced; the client that speaks TCP gets what the page says above it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use serde_json::Value;
use sidemint::app::Blueprint;
use sidemint::clock::ManualClock;
use sidemint::config::{Config, Environment, Sources};

use super::shell;
use crate::docs::{blocks, pages, with_secrets};
use crate::fakes::sendsar::API_KEY;
use crate::harness::{Service, clock};

const SOCKET: &str = "/run/sidemint/front.sock";

async fn serve(text: &str, folder: tempfile::TempDir, front: &str) -> Service {
    let (file, clock) = (folder.path().join("config.toml"), clock());
    fs::write(&file, with_secrets(text, folder.path(), API_KEY)).unwrap();
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let overrides = [("server.listen", front), ("ops.listen", "127.0.0.1:0")].map(own).into();
    let sources = Sources { files: vec![file], overrides, ..Sources::default() };
    let environment = Environment::default();
    let config = Config::load(&sources, &environment).unwrap();
    let blueprint = Blueprint::draw(config, &environment, Arc::<ManualClock>::clone(&clock)).unwrap();
    Service::of(blueprint, clock, folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_clients_of_the_page_get_the_session_of_the_user_they_name() {
    let page = pages().into_iter().find(|page| page.path == "docs/identity/body.md").unwrap();
    let blocks = blocks(&page);
    let of = |language: &str| &blocks.iter().find(|block| block.language == language).unwrap().text;
    let (configuration, folder) = (of("toml"), tempfile::tempdir().unwrap());
    assert!(configuration.contains(SOCKET) && configuration.contains("unix_uids = [1000]"));
    let socket = folder.path().join("front.sock").display().to_string();
    let uid = fs::metadata(folder.path()).unwrap().uid();
    let own = configuration.replace(SOCKET, &socket).replace("[1000]", &format!("[{uid}]"));
    let _service = serve(&own, folder, &format!("unix:{socket}")).await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 8080));
    let said = shell(&of("sh").replace("curl ", "curl -sS ").replace(SOCKET, &socket), nowhere).await;
    let session: Value = serde_json::from_str(&said).expect(&said);
    assert_eq!((&session["chatUserId"], &session["displayName"]), (&"u1".into(), &"Alice".into()));

    let tcp = ["listen = \"127.0.0.1:8080\"", "networks = [\"127.0.0.0/8\"]"];
    assert!(tcp.iter().all(|line| page.text.contains(&format!("`{line}`"))), "what the page says above it");
    let lines = configuration.lines().map(|line| match line.split(' ').next() {
        Some("listen") => tcp[0],
        Some("unix_uids") => tcp[1],
        _ => line,
    });
    let own = lines.collect::<Vec<_>>().join("\n");
    let service = serve(&own, tempfile::tempdir().unwrap(), "127.0.0.1:0").await;
    let call = "import types\nprint(json.dumps(chat_session(types.SimpleNamespace(id=\"u1\", name=\"Alice\"))))";
    let program = format!("python3 -B - <<'END'\n{}\n{call}\nEND\n", of("python"));
    let session: Value = serde_json::from_str(&shell(&program, service.address()).await).unwrap();
    assert_eq!((&session["chatUserId"], &session["displayName"]), (&"u1".into(), &"Alice".into()));
}
