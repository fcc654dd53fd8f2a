//! The built service with a queue, as a process of its own that can be started again and again on one folder.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cli::{Process, file, sidemint};
use crate::client::request;
use crate::harness::LOCAL;
use crate::parts::proxies::own_address;
use crate::webhooks::fixture::{PATH, PLAIN, Setup, signature};

/// Where a service is at home.
pub struct Home {
    pub folder: tempfile::TempDir,
    /// Where providers post.
    pub hooks: SocketAddr,
    arguments: [String; 5],
}

impl Home {
    /// Events go to the application at `base_url`; `lines` are more of `[webhooks.chat]`, and `queue` of `[queue]`.
    pub fn new(base_url: &str, lines: &str, queue: &str) -> Self {
        Self::with(base_url, lines, queue, false)
    }

    /// One whose queue is on a server, as the section `[queue]` says.
    pub fn shared(base_url: &str, queue: &str) -> Self {
        Self::with(base_url, "", queue, true)
    }

    fn with(base_url: &str, lines: &str, queue: &str, is_shared: bool) -> Self {
        let (folder, hooks) = (tempfile::tempdir().unwrap(), own_address());
        let definitions = folder.path().join("definitions");
        std::fs::create_dir(&definitions).unwrap();
        file(&definitions, "plain-hooks.toml", PLAIN);
        let setup = Setup {
            lines: lines.to_owned(),
            is_shared,
            rest: format!("{queue}\n{LOCAL}"),
            overrides: vec![("webhook_server.listen", format!("\"{hooks}\""))],
            ..Setup::default()
        };
        let config = file(folder.path(), "config.toml", &setup.text(folder.path(), base_url));
        let definitions = definitions.display().to_string();
        let arguments = ["serve".into(), "--config".into(), config, "--definitions".into(), definitions];
        Self { folder, hooks, arguments }
    }

    pub fn arguments(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    /// Starts the service, and waits until it serves.
    pub fn serve(&self, environment: &[(&str, &str)]) -> Process {
        Process::serve(&self.arguments(), environment)
    }

    /// Starts the service, and waits for nothing.
    pub fn spawn(&self) -> Child {
        let ports = [("SIDEMINT_SERVER__LISTEN", "127.0.0.1:0"), ("SIDEMINT_OPS__LISTEN", "127.0.0.1:0")];
        sidemint(&self.arguments(), &ports).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
    }

    pub fn queue(&self) -> PathBuf {
        self.folder.path().join("queue")
    }

    /// Posts an event as the provider does, and gives the status; `None` where there is no answer.
    pub async fn post(&self, body: &str) -> Option<u16> {
        Provider::new(self.hooks).post(body).await
    }
}

/// A provider, which keeps its connection for as long as it can.
pub struct Provider {
    hooks: SocketAddr,
    stream: Option<TcpStream>,
}

impl Provider {
    pub fn new(hooks: SocketAddr) -> Self {
        Self { hooks, stream: None }
    }

    /// Posts an event, and gives the status; `None` where there is no answer, because the service ended or does not listen.
    pub async fn post(&mut self, body: &str) -> Option<u16> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.hooks).await.ok()?,
        };
        let signature = signature(body.as_bytes());
        let lines = [("Content-Type", "application/json"), ("X-Signature", signature.as_str())];
        stream.write_all(&request("POST", PATH, &lines, body.as_bytes())).await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let status = std::str::from_utf8(&head).ok()?.split(' ').nth(1)?.parse().ok()?;
        // An answer that takes the event has no body.
        self.stream = Some(stream).filter(|_| status == 200);
        Some(status)
    }
}
