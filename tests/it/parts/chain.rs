//! The directory `examples/login-chain`, run as it is: provider, sidemint and Apache, started by its own script.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::net::TcpStream;

use super::Part;
use super::proxies::own_address;
use crate::eventually::eventually;
use crate::judge::tool;

/// The chain, or parts of it.
pub struct Chain {
    /// What a browser asks.
    pub app: SocketAddr,
    /// The provider.
    pub login: SocketAddr,
    /// sidemint, or what stands there in its place.
    pub chat: SocketAddr,
    environment: Vec<(&'static str, PathBuf)>,
    state: tempfile::TempDir,
    parts: Vec<Part>,
}

impl Chain {
    /// On addresses of this process, and nothing runs yet.
    pub fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let [app, login, chat, ops] = [0; 4].map(|_| own_address());
        let mut folders = vec![PathBuf::from(env!("CARGO_BIN_EXE_sidemint")).parent().unwrap().to_owned()];
        folders.push(tool("venv/bin/oidc-provider-mock").parent().unwrap().to_owned());
        folders.extend(["/usr/bin", "/bin"].map(PathBuf::from));
        let path = std::env::join_paths(folders).unwrap();
        let mut environment = vec![("PATH", path.into()), ("STATE", state.path().to_owned())];
        for (name, address) in [("APP", app), ("LOGIN", login), ("CHAT", chat), ("OPS", ops)] {
            environment.push((name, address.to_string().into()));
        }
        Self { app, login, chat, environment, state, parts: Vec::new() }
    }

    /// All of it.
    pub async fn start() -> Self {
        let mut chain = Self::new();
        let app = format!("ready: http://{}:", chain.app.ip());
        chain.run(&[]).address_after(&app).await;
        chain
    }

    /// One part.
    pub async fn start_part(&mut self, name: &str) {
        let address = match name {
            "provider" => self.login,
            "sidemint" => self.chat,
            "apache" => self.app,
            _ => panic!("{name}"),
        };
        self.run(&[name]);
        eventually("it listens", async || TcpStream::connect(address).await.is_ok()).await;
    }

    /// Stops sidemint, and nothing else. Until it has ended, it answers on connections that are kept.
    pub async fn stop_sidemint(&self) {
        let pid = std::fs::read_to_string(self.state.path().join("sidemint.pid")).unwrap();
        let pid = pid.trim();
        let sent = Command::new("sh").args(["-c", &format!("kill {pid}")]).status().expect("sh");
        assert!(sent.success());
        // A process that has ended has no command line, whether or not its parent knows.
        let is_over = || std::fs::read(format!("/proc/{pid}/cmdline")).map_or(true, |line| line.is_empty());
        eventually("sidemint has ended", async || is_over()).await;
    }

    fn run(&mut self, arguments: &[&str]) -> &mut Part {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/login-chain/run");
        let environment: Vec<(&str, &Path)> =
            self.environment.iter().map(|(name, value)| (*name, value.as_path())).collect();
        let folder = tempfile::tempdir().unwrap();
        self.parts.push(Part::start("login-chain", folder, &script, arguments, &environment));
        self.parts.last_mut().unwrap()
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["provider", "sidemint", "apache"] {
                let log = std::fs::read_to_string(self.state.path().join(format!("{name}.log"))).unwrap_or_default();
                eprintln!("--- {name} ---\n{log}");
            }
        }
    }
}
