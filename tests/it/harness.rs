//! Starts the real service on free ports with a clock in hand, and shows its log when a test fails.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sidemint::app::{App, Blueprint, Ended};
use sidemint::clock::{Clock, ManualClock, Timestamp};
use sidemint::config::{Config, ConfigErrors, Environment, Listen, Sources};
use sidemint::lifecycle::Lifecycle;
use sidemint::secrets::watch::Nudge;
use sidemint::shared::Tier;
use sidemint::telemetry::{Format, LogQueue};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, Connection};
use crate::eventually::eventually;
use crate::fakes::sendsar::{API_KEY, Sendsar};

/// 2026-05-04T18:40:00Z, the time of the vectors.
pub const NOW: Timestamp = Timestamp::from_seconds(1_777_920_000);

/// The session route of most tests.
pub const SESSION: &str = "/api/chat/session";

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOW))
}

/// A running service.
pub struct Service {
    pub clock: Arc<ManualClock>,
    pub front: Listen,
    pub grpc: Option<Listen>,
    pub ops: SocketAddr,
    /// Where providers post, if they do.
    pub webhooks: Option<SocketAddr>,
    /// Where all mounts of the gateway are, and where that of the provider `own` is at `/`, if they are.
    pub gateway: Option<Listen>,
    pub mount: Option<Listen>,
    pub lifecycle: Lifecycle,
    pub nudge: Nudge,
    stop: CancellationToken,
    run: Option<JoinHandle<Ended>>,
    log: LogQueue,
    lines: Lines,
    folder: tempfile::TempDir,
}

/// Listeners on free ports, loopback believed, and no limit on what a user may ask: time stands still here.
const BASE: &str = "
[server]
listen = \"127.0.0.1:0\"
[ops]
listen = \"127.0.0.1:0\"
[log]
requests = \"all\"
format = \"json\"
[identity]
source = \"plain\"
[identity.peers]
networks = [\"127.0.0.0/8\"]
[limits]
user_rate = \"none\"
";

/// A session and a subrequest route on preset `local`, below [`BASE`].
pub const LOCAL: &str = "
[[routes]]
path = \"/api/chat/session\"
answer = \"session\"
provider = \"chat\"
[[routes]]
path = \"/auth\"
answer = \"subrequest\"
provider = \"chat\"
[providers.chat]
preset = \"local\"
public_api_url = \"https://chat.example/v1\"
issuer = \"sidemint\"
audience = \"chat\"
";

/// A session and a subrequest route on preset `sendsar` at the fake; `extra` lines go into the provider's table.
pub fn sendsar(fake: &Sendsar, extra: &str) -> String {
    format!(
        "
[[routes]]
path = \"/api/chat/session\"
answer = \"session\"
provider = \"chat\"
ttl = \"1h\"
[[routes]]
path = \"/auth\"
answer = \"subrequest\"
provider = \"chat\"
[[routes]]
path = \"/guard\"
answer = \"subrequest\"
mode = \"required\"
provider = \"chat\"
[providers.chat]
preset = \"sendsar\"
api_url = \"{}\"
public_api_url = \"https://api.sendsar.com/v1\"
{extra}
",
        fake.base_url()
    )
}

/// The API key that the fake accepts, in the environment.
pub fn sendsar_key() -> Environment {
    Environment::of([("SENDSAR_API_KEY", API_KEY)])
}

/// Puts `overrides` (dotted key, TOML value) over the base configuration.
pub fn config(rest: &str, overrides: &[(&str, &str)]) -> String {
    let mut table: toml::Table = format!("{BASE}{rest}").parse().expect("TOML");
    for (key, value) in overrides {
        let value: toml::Table = format!("value = {value}").parse().expect("a TOML value");
        let mut parts: Vec<&str> = key.split('.').collect();
        let last = parts.pop().expect("a key");
        let mut at = &mut table;
        for part in parts {
            let below = at.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            at = below.as_table_mut().expect("a table");
        }
        at.insert(last.to_owned(), value["value"].clone());
    }
    table.to_string()
}

/// A definition of one's own called `own`: what every definition must say, then `rest`, which goes on below `[response]`.
/// Browsers are told `api_url`, a template. Where `rest` says nothing of users, their ids are compared as they are.
pub fn own_definition(api_url: &str, rest: &str) -> String {
    let user = if rest.contains("[user]") { "" } else { "[user]\ncase = \"counts\"" };
    format!(
        "name = \"own\"
summary = \"a system of ours\"
{user}
[settings.secret]
about = \"its secret\"
secret = true
env = \"OWN_SECRET\"
[lifetime]
default = \"1h\"
margin = \"60s\"
on_credential_change = \"drop\"
[response]
api_url = \"{api_url}\"
{rest}
"
    )
}

/// Loads and checks a configuration as `sidemint check` does.
pub fn draw(text: &str, environment: &Environment, clock: Arc<ManualClock>) -> Result<Blueprint, ConfigErrors> {
    draw_with(text, environment, clock, &[])
}

/// The same with definitions of one's own: name and text.
pub fn draw_with(
    text: &str,
    environment: &Environment,
    clock: Arc<ManualClock>,
    definitions: &[(&str, &str)],
) -> Result<Blueprint, ConfigErrors> {
    let folder = tempfile::tempdir().expect("a folder");
    draw_in(folder.path(), text, environment, clock, definitions, None)
}

fn draw_in(
    folder: &Path,
    text: &str,
    environment: &Environment,
    clock: Arc<ManualClock>,
    definitions: &[(&str, &str)],
    tier: Option<Arc<dyn Tier>>,
) -> Result<Blueprint, ConfigErrors> {
    let file: PathBuf = folder.join("config.toml");
    std::fs::write(&file, text).expect("written");
    let own = folder.join("definitions");
    std::fs::create_dir(&own).expect("a folder");
    for (name, text) in definitions {
        std::fs::write(own.join(format!("{name}.toml")), text).expect("written");
    }
    let sources = Sources { files: vec![file], definitions: Some(own), ..Sources::default() };
    Blueprint::draw_on(Config::load(&sources, environment)?, environment, clock, tier)
}

impl Service {
    /// The service on preset `local`.
    pub async fn local() -> Self {
        Self::start(&config(LOCAL, &[]), &Environment::default(), clock()).await
    }

    /// The service on preset `sendsar`, and its fake.
    pub async fn sendsar() -> (Self, Sendsar) {
        Self::sendsar_with("", &[]).await
    }

    /// The same with more lines in the provider's table and other keys.
    pub async fn sendsar_with(extra: &str, overrides: &[(&str, &str)]) -> (Self, Sendsar) {
        let clock = clock();
        let fake = Sendsar::start(Arc::clone(&clock)).await;
        let text = config(&sendsar(&fake, extra), overrides);
        (Self::start(&text, &sendsar_key(), clock).await, fake)
    }

    /// The service with this configuration.
    pub async fn start(text: &str, environment: &Environment, clock: Arc<ManualClock>) -> Self {
        Self::start_with(text, environment, clock, &[]).await
    }

    /// The same with definitions of one's own: name and text.
    pub async fn start_with(
        text: &str,
        environment: &Environment,
        clock: Arc<ManualClock>,
        definitions: &[(&str, &str)],
    ) -> Self {
        Self::start_on(text, environment, clock, definitions, None).await
    }

    /// The same on a tier that replicas share.
    pub async fn start_on(
        text: &str,
        environment: &Environment,
        clock: Arc<ManualClock>,
        definitions: &[(&str, &str)],
        tier: Option<Arc<dyn Tier>>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let blueprint = draw_in(folder.path(), text, environment, Arc::clone(&clock), definitions, tier)
            .unwrap_or_else(|errors| panic!("configuration refused:\n{errors}"));
        Self::of(blueprint, clock, folder).await
    }

    /// The service of a blueprint; the folder lives as long.
    pub async fn of(blueprint: Blueprint, clock: Arc<ManualClock>, folder: tempfile::TempDir) -> Self {
        let lines = Lines::default();
        let format = Format::of(&blueprint.config().log, false, &Environment::default());
        let dropped = blueprint.metrics().process.log_lines_dropped();
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let log = LogQueue::start(Box::new(lines.clone()), format, time, dropped);
        let log = log.expect("a thread");
        let app = App::bind(blueprint, log.clone()).expect("ports");
        let (front, ops) = app.addresses().expect("addresses");
        let Listen::Tcp(ops) = ops else { panic!("ops on TCP") };
        let grpc = app.grpc_address().expect("an address");
        let webhooks = app.webhook_address().expect("an address").map(|listen| match listen {
            Listen::Tcp(address) => address,
            Listen::Unix(_) => panic!("webhooks on TCP"),
        });
        let gateway = app.gateway_address().expect("an address");
        let mount = app.mount_address("own").expect("an address");
        let (lifecycle, nudge, stop) = (app.lifecycle().clone(), app.nudge(), CancellationToken::new());
        let run = tokio::spawn(app.run(stop.clone().cancelled_owned()));
        let service = Self {
            clock,
            front,
            grpc,
            ops,
            webhooks,
            gateway,
            mount,
            lifecycle,
            nudge,
            stop,
            run: Some(run),
            log,
            lines,
            folder,
        };
        let starts = || service.lifecycle.objections().iter().any(|objection| objection.code == "starting");
        eventually("the service has started", async || !starts()).await;
        service
    }

    /// Address of a TCP front listener.
    pub fn address(&self) -> SocketAddr {
        match &self.front {
            Listen::Tcp(address) => *address,
            Listen::Unix(_) => panic!("front on a unix socket"),
        }
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.address()).await
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.connect().await.ask(method, path, headers).await
    }

    /// GET of the session route by `user`.
    pub async fn session(&self, user: &str) -> Answer {
        self.ask("GET", SESSION, &[("X-Forwarded-User", user), ("X-Forwarded-Name", user)]).await
    }

    /// GET on the ops listener.
    pub async fn ops(&self, path: &str) -> Answer {
        Connection::open(self.ops).await.ask("GET", path, &[]).await
    }

    /// The value of a metric line, `name{labels}`; 0 when it is not there.
    pub async fn metric(&self, line: &str) -> f64 {
        let text = self.ops("/metrics").await;
        let found = text.text().lines().find_map(|own| own.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or(0.0)
    }

    /// Waits until a metric has at least this value.
    pub async fn metric_reaches(&self, line: &str, least: f64) {
        eventually(&format!("{line} reaches {least}"), async || self.metric(line).await >= least).await;
    }

    /// Waits until this many request lines are written, and gives them as JSON.
    pub async fn log_lines(&self, least: usize) -> Vec<serde_json::Value> {
        eventually("the request lines are written", async || self.log().lines().count() >= least).await;
        self.log().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// A file in the folder of the service.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Moves time.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The request lines so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.lines.0.lock().unwrap()).into_owned()
    }

    /// Stops as SIGTERM does, without waiting for the end.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Stops as SIGTERM does, and waits for the end.
    pub async fn stop(mut self) -> Ended {
        self.stop.cancel();
        let run = self.run.take().expect("still running");
        tokio::time::timeout(Duration::from_secs(60), run).await.expect("stops").expect("no panic")
    }
}

impl Service {
    /// Stops, and gives all the request lines of the run as JSON.
    pub async fn stop_and_log(self) -> (Ended, Vec<serde_json::Value>) {
        let (lines, log) = (self.lines.clone(), self.log.clone());
        let ended = self.stop().await;
        log.flush(Duration::MAX);
        let text = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
        (ended, text.lines().map(|line| serde_json::from_str(line).expect(line)).collect())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
        if std::thread::panicking() {
            eprintln!("--- request lines ---\n{}", self.log());
        }
    }
}

/// Collects request lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
