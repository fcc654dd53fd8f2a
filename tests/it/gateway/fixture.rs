//! A service with a gateway before a provider of the test's making.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sidemint::clock::ManualClock;
use sidemint::config::{Environment, Listen};
use tempfile::TempDir;

use crate::client::{Answer, Connection, request};
use crate::fakes::http::Script;
use crate::harness::{LOCAL, Service, clock, config};

use super::recorder::{Recorder, Request, Rules};

/// The provider's secret.
pub const SECRET: &str = "CANARYprovider-0123456789abcdefghij/+";
/// The key of the caller `shop`, and that of `other`.
pub const SHOP: &str = "CANARYshop0123456789abcdefghijklmnopqrstuvwxyzABC";
pub const OTHER: &str = "CANARYother0123456789abcdefghijklmnopqrstuvwxyzAB";

/// A provider whose calls prove themselves with a static credential.
pub const PLAIN: &str = r#"
name = "plain-calls"
summary = "Calls with a static credential."
[settings.api_url]
about = "Address of the API."
kind = "url"
[settings.api_key]
about = "Key of the API."
secret = true
[gateway]
base = "{{ config.api_url }}/v1"
auth = { bearer = "api_key" }
headers = ["x-request-key"]
answer_headers = ["x-answer"]
idempotency = "x-request-key"
[[gateway.calls]]
query = ["limit"]
params = { room = { json = ["/room"] } }
read = { "room.list" = "GET /rooms", "room.get" = "GET /rooms/{room}" }
write = { "room.create" = "POST /rooms", "room.put" = "PUT /rooms/{room}" }
destroy = { "room.delete" = "DELETE /rooms/{room}" }
[[gateway.calls]]
types = ["any"]
stream = true
read = { "events" = "GET /events" }
write = { "file.put" = "PUT /files/{file}", "file.post" = "POST /files" }
"#;

/// How a fixture is set up. `..Setup::default()` is a mount `chat` of the definition `plain-calls` and the callers `shop`, who may
/// do what reads and writes, and `other`, who may list rooms.
#[derive(Clone)]
pub struct Setup {
    /// Definition, by name and text.
    pub definition: (&'static str, String),
    /// More lines of `[providers.chat]`.
    pub lines: String,
    /// What `shop` may do.
    pub allow: String,
    /// More lines of the grant of `shop`.
    pub grant: String,
    /// More lines of the file, behind everything else.
    pub rest: String,
    /// Keys with other values.
    pub overrides: Vec<(&'static str, String)>,
    /// The time.
    pub clock: Arc<ManualClock>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            definition: ("plain-calls", PLAIN.to_owned()),
            lines: String::new(),
            allow: "[\"default\"]".to_owned(),
            grant: String::new(),
            rest: String::new(),
            overrides: Vec::new(),
            clock: clock(),
        }
    }
}

/// All of it, running.
pub struct Fixture {
    pub service: Service,
    pub provider: Recorder,
    pub folder: TempDir,
}

impl Setup {
    /// The service before a provider that answers `{}`.
    pub async fn start(self) -> Fixture {
        self.start_before(|_| Script::json(200, &serde_json::json!({}))).await
    }

    /// The same before one that answers as `answers` says.
    pub async fn start_before(self, answers: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Fixture {
        let rules = Rules::strict(&[SHOP, OTHER], &["authorization", "x-request-key"]);
        let provider = Recorder::start(rules, answers).await;
        self.start_at(provider).await
    }

    /// The same before this provider.
    pub async fn start_at(self, provider: Recorder) -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let text = self.text(folder.path(), &provider.base_url());
        let (name, definition) = &self.definition;
        let own = [(*name, definition.as_str())];
        let service = Service::start_with(&text, &Environment::default(), Arc::clone(&self.clock), &own).await;
        Fixture { service, provider, folder }
    }

    /// The configuration, with the files that it names in `folder`.
    pub fn text(&self, folder: &Path, url: &str) -> String {
        for (file, secret) in [("secret", SECRET), ("shop", SHOP), ("other", OTHER)] {
            std::fs::write(folder.join(file), secret).expect("written");
        }
        let folder = folder.display();
        let (preset, lines, allow, grant, rest) =
            (self.definition.0, &self.lines, &self.allow, &self.grant, &self.rest);
        let rest = format!(
            "{LOCAL}
[gateway]
listen = \"127.0.0.1:0\"
hosts = [\"sidemint.test\"]
[[gateway.mounts]]
provider = \"own\"
listen = \"127.0.0.1:0\"
[gateway.callers.shop]
key_files = [\"{folder}/shop\"]
[[gateway.callers.shop.grants]]
provider = \"own\"
allow = {allow}
{grant}
[gateway.callers.other]
key_files = [\"{folder}/other\"]
[[gateway.callers.other.grants]]
provider = \"own\"
allow = [\"room.list\"]
[providers.own]
preset = \"{preset}\"
api_url = \"{url}\"
api_key_file = \"{folder}/secret\"
{lines}
{rest}"
        );
        let overrides: Vec<(&str, &str)> = self.overrides.iter().map(|(key, value)| (*key, value.as_str())).collect();
        config(&rest, &overrides)
    }
}

/// What `shop` sends as proof.
pub fn proof() -> String {
    format!("Bearer {SHOP}")
}

impl Fixture {
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    /// Where the mount is at `/`.
    pub fn address(&self) -> SocketAddr {
        let Some(Listen::Tcp(address)) = &self.service.mount else { panic!("a listener of the mount") };
        *address
    }

    /// Where all mounts are.
    pub fn gateway(&self) -> SocketAddr {
        let Some(Listen::Tcp(address)) = &self.service.gateway else { panic!("a listener of the gateway") };
        *address
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.address()).await
    }

    /// A call of `shop` on the mount's own listener.
    pub async fn ask(&self, method: &str, target: &str) -> Answer {
        self.send(method, target, &[], b"").await
    }

    /// The same with JSON.
    pub async fn json(&self, method: &str, target: &str, body: &str) -> Answer {
        self.send(method, target, &[("Content-Type", "application/json")], body.as_bytes()).await
    }

    /// The same with these header lines and this body.
    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let proof = proof();
        let headers = [&[("Authorization", proof.as_str())], headers].concat();
        self.raw(method, target, &headers, body).await
    }

    /// A request as it is written here.
    pub async fn raw(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut connection = self.connect().await;
        connection.send(request(method, target, headers, body)).await;
        connection.answer_to(method).await.expect("an answer")
    }
}

impl Fixture {
    /// What `work` ends with, while time passes in steps.
    pub async fn while_time_passes<T>(&self, step: Duration, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(Duration::from_millis(5)) => self.service.clock.advance(step),
            }
        }
    }
}

/// The code of an answer of the gateway's own.
pub fn code(answer: &Answer) -> &str {
    answer.header("x-chat-gateway-error").unwrap_or("none")
}
