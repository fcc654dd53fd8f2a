//! The program itself as a process of its own: what signals do to it, they do.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};

use tokio::net::TcpStream;

use super::proxies::own_address;
use crate::client::Connection;
use crate::eventually::eventually;
use crate::harness::config;

/// A program that can be started again at the same address. Ends with the test.
pub struct Program {
    pub front: SocketAddr,
    ops: SocketAddr,
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
    /// A child of ours and not of a shell's: until we have waited for it, no other process gets its number, and with it
    /// our signals.
    child: Option<Child>,
}

impl Program {
    /// Starts it with this configuration over the base one; ready when this returns.
    pub async fn start(rest: &str, overrides: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        let (front, ops) = (own_address(), own_address());
        let (listen, probes) = (format!("\"{front}\""), format!("\"{ops}\""));
        let own = [("server.listen", listen.as_str()), ("ops.listen", probes.as_str()), ("log.requests", "\"none\"")];
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), config(rest, &[&own, overrides].concat())).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut program = Self { front, ops, folder, environment, child: None };
        program.start_again().await;
        program
    }

    /// Starts it once more, where it was.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "it has ended");
        let log = File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_sidemint"))
            .args(["--config", "config.toml"])
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("starts");
        self.child = Some(child);
        eventually("it is ready", async || self.readiness().await == Some(200)).await;
    }

    /// Status of the readiness probe; `None` where nothing listens.
    pub async fn readiness(&self) -> Option<u16> {
        let mut probe = Connection::over(TcpStream::connect(self.ops).await.ok()?);
        probe.try_send("GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        Some(probe.answer().await?.status)
    }

    /// Waits until it was asked for a session or a token since it was started.
    pub async fn is_asked(&self) {
        eventually("it is asked", async || self.has_requests().await == Some(true)).await;
    }

    async fn has_requests(&self) -> Option<bool> {
        let mut ops = Connection::over(TcpStream::connect(self.ops).await.ok()?);
        let metrics = ops.ask("GET", "/metrics", &[]).await;
        let counts = metrics.text().lines().filter(|line| line.starts_with("sidemint_requests_total{"));
        Some(counts.into_iter().any(|line| !line.ends_with(" 0")))
    }

    /// Sends a signal; what it does takes its time.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("sh");
        assert!(sent.success());
    }

    /// Stops it where it stands: from here on the kernel takes connections for it, and there is no answer.
    pub async fn freeze(&self) {
        self.signal("STOP");
        let stat = format!("/proc/{}/stat", self.id());
        let state = || std::fs::read_to_string(&stat).unwrap().rsplit_once(") ").unwrap().1.starts_with('T');
        eventually("it stands still", async || state()).await;
    }

    /// Waits for the end, and gives how that came and the log.
    pub async fn ended(&mut self) -> (ExitStatus, String) {
        let child = self.child.as_mut().expect("it was started");
        let status = eventually("it ends", || std::future::ready(child.try_wait().expect("a child"))).await;
        self.child = None;
        (status, self.log())
    }

    fn id(&self) -> u32 {
        self.child.as_ref().expect("it was started").id()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that stands still is woken by it, too.
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            eprintln!("--- sidemint ---\n{}", self.log());
        }
    }
}
