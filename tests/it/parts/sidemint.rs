//! The program itself as a process of its own: what signals do to it, they do.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::net::TcpStream;

use super::Part;
use super::proxies::own_address;
use crate::client::Connection;
use crate::harness::config;

/// Writes down its process, forgets the environment, and becomes the program.
const PLAIN: &str = "echo $$ >pid; exec env -i \"$@\"";

/// A running program that can be started again at the same address. Ends with the test.
pub struct Program {
    pub front: SocketAddr,
    ops: SocketAddr,
    text: String,
    part: Option<Part>,
}

impl Program {
    /// Starts it with this configuration over the base one; ready when this returns.
    pub async fn start(rest: &str, overrides: &[(&str, &str)]) -> Self {
        let (front, ops) = (own_address(), own_address());
        let (listen, probes) = (format!("\"{front}\""), format!("\"{ops}\""));
        let own = [("server.listen", listen.as_str()), ("ops.listen", probes.as_str()), ("log.requests", "\"none\"")];
        let mut program = Self { front, ops, text: config(rest, &[&own, overrides].concat()), part: None };
        program.start_again().await;
        program
    }

    /// Starts it once more, where it was.
    pub async fn start_again(&mut self) {
        assert!(self.part.is_none(), "it has ended");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), &self.text).unwrap();
        let arguments = ["-c", PLAIN, "sh", env!("CARGO_BIN_EXE_sidemint"), "--config", "config.toml"];
        self.part = Some(Part::start("sidemint", folder, Path::new("/bin/sh"), arguments, &[]));
        self.until("it is ready", async |program| program.readiness().await == Some(200)).await;
    }

    /// Status of the readiness probe; `None` where nobody listens.
    pub async fn readiness(&self) -> Option<u16> {
        let mut probe = Connection::over(TcpStream::connect(self.ops).await.ok()?);
        probe.try_send("GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        Some(probe.answer().await?.status)
    }

    /// Sends a signal; what it does takes its time.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} $(cat pid)");
        let folder = self.part().folder.path();
        let sent = Command::new("sh").args(["-c", &kill]).current_dir(folder).status().expect("sh");
        assert!(sent.success());
    }

    /// Stops it where it stands: from here on the kernel takes connections for it, and nobody answers.
    pub async fn freeze(&self) {
        self.signal("STOP");
        let stat = format!("/proc/{}/stat", std::fs::read_to_string(self.part().path("pid")).unwrap().trim());
        let state = || std::fs::read_to_string(&stat).unwrap().rsplit_once(") ").unwrap().1.starts_with('T');
        self.until("it stands still", async |_| state()).await;
    }

    /// Waits for the end, and gives the log.
    pub async fn ended(&mut self) -> String {
        let mut part = self.part.take().expect("it was started");
        for _ in 0..4000 {
            if part.leash.try_wait().expect("a child").is_some() {
                return part.log();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it does not end:\n{}", part.last_lines());
    }

    async fn until(&self, what: &str, fits: impl AsyncFn(&Self) -> bool) {
        for _ in 0..4000 {
            if fits(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not in time: {what}:\n{}", self.part().last_lines());
    }

    fn part(&self) -> &Part {
        self.part.as_ref().expect("it was started")
    }
}
