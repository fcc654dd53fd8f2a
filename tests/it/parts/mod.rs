//! Real servers of chat systems and logins, and a real browser, each on a free port of loopback and in a folder of its own. They end with the test.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use serde_json::Value;
use tokio::net::TcpStream;

use crate::client::Answer;
use crate::eventually::{Finding, eventually};

pub mod chain;
pub mod chromium;
pub mod ejabberd;
pub mod liveblocks;
pub mod nats;
pub mod oidc;
pub mod proxies;
pub mod sidemint;
pub mod synapse;

/// Runs a server, and ends its whole process group when this process lets go of the pipe to it: on drop, and also when a
/// test is killed for hanging and drops nothing. A server that ends by itself takes the group with it, the leash too, so
/// the log keeps how it ended: 137 is a SIGKILL from elsewhere.
const LEASH: &str =
    "{ \"$@\" </dev/null; echo \"ended with status $?\"; kill -KILL 0; } & cat >/dev/null; kill -KILL 0";

/// A server in its folder.
pub struct Part {
    name: &'static str,
    leash: Mutex<Child>,
    folder: tempfile::TempDir,
}

impl Part {
    /// Starts a program in `folder`, which becomes its working directory and keeps its log.
    pub fn start<A: AsRef<OsStr>>(
        name: &'static str,
        folder: tempfile::TempDir,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &Path)],
    ) -> Self {
        let log = File::create(folder.path().join("log")).unwrap();
        let leash = Command::new("sh")
            .args(["-c", LEASH, "sh"])
            .arg(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(folder.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("sh");
        Self { name, leash: Mutex::new(leash), folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }

    /// The end of the log, for people: some servers tell hundreds of lines about their start.
    pub fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Waits until the server tells its port: the number behind `mark` in its log. The servers choose free ones
    /// themselves; a port that was chosen for them could be taken before they listen.
    async fn address_after(&self, mark: &str) -> SocketAddr {
        let port = self.starts(async || number_after(&self.log(), mark)).await;
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// Waits until the server listens, while it runs.
    pub async fn listens(&self, address: SocketAddr) {
        self.starts(async || TcpStream::connect(address).await.is_ok()).await;
    }

    /// Waits until a look finds that the server has started, while it runs.
    pub async fn starts<F: Finding, L: Future<Output = F>>(&self, mut look: impl FnMut() -> L) -> F::Found {
        let while_it_runs = |found: Option<F::Found>| {
            let ended = self.leash.lock().unwrap().try_wait().expect("a child");
            if let (None, Some(status)) = (&found, ended) {
                let (name, lines) = (self.name, self.last_lines());
                panic!("{name} ended ({status}); is it installed? run tests/install-parts:\n{lines}");
            }
            found
        };
        eventually(&format!("{} starts", self.name), || {
            let looking = look();
            async move { while_it_runs(looking.await.found()) }
        })
        .await
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let leash = self.leash.get_mut().unwrap();
        drop(leash.stdin.take());
        let _reaped = leash.wait();
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.name, self.last_lines());
        }
    }
}

/// The number behind a mark, once something is behind the number: before that it may still grow.
fn number_after(text: &str, mark: &str) -> Option<u16> {
    let (_, rest) = text.split_once(mark)?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    Some(rest[..end].parse().expect("a port"))
}

/// One request with a JSON body, as the bearer of `token` where given. By an ordinary client: some servers chunk.
async fn call(address: SocketAddr, method: &str, path: &str, token: Option<&str>, body: &Value) -> Answer {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method.parse().unwrap(), format!("http://{address}{path}"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if !body.is_null() {
        request = request.header("Content-Type", "application/json").body(body.to_string());
    }
    let reply = request.send().await.unwrap();
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = reply.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Answer { status: reply.status().as_u16(), headers, body: reply.bytes().await.unwrap().to_vec() }
}
