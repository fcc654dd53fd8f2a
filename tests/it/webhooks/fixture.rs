//! A service with a webhook, a provider that signs what it posts, and an application that believes nothing it cannot verify.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use sidemint::clock::{Clock as _, ManualClock, Timestamp};
use sidemint::config::Environment;
use tempfile::TempDir;

use crate::client::{Answer, Connection, request};
use crate::eventually::eventually;
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{Service, clock, config};

/// What the provider signs with.
pub const SECRET: &str = "whsec_CANARYsecret0123456789abcdef0123456789abcdef";
/// What we sign with toward the application: 32 bytes.
pub const SIGN_KEY: &str = "whsec_CANARYsignkey0123456789ABCDEFGHIJKLMNOPQRS0=";
/// Where the provider posts to.
pub const PATH: &str = "/webhooks/chat";
/// Where the application takes events.
pub const HOOK: &str = "/hooks/chat";
/// Seconds by which a signature may be off.
const TOLERANCE: i64 = 300;

/// A definition that has a secret and takes events with a name and a room.
macro_rules! definition {
    ($name:literal, $signed:literal, $more:literal) => {
        concat!(
            "name = \"",
            $name,
            "\"
summary = \"Signs what it posts.\"
[settings.webhook_secret]
about = \"Secret of the webhook.\"
secret = true
optional = true
[webhook]
secret = \"webhook_secret\"
hmac = \"sha256\"
text = \"",
            $signed,
            "\"
signature = { header = \"X-Signature\", prefix = \"sha256=\", encode = \"hex\" }
event = { json = \"/event\" }
order = { json = \"/room\" }
",
            $more
        )
    };
}

/// The body alone is signed, and events have no id of the provider.
pub const PLAIN: &str = definition!("plain-hooks", "{{ request.body }}", "");

/// Time and body are signed, and the id is not.
pub const TIMED: &str = definition!(
    "timed-hooks",
    "{{ time }}.{{ request.body }}",
    "time = { header = \"X-Timestamp\", kind = \"seconds\", window = \"300s\" }
id = { header = \"X-Event-Id\" }
"
);

/// How a fixture is set up. `..Setup::default()` is a webhook `chat` of the definition `plain-hooks`.
#[derive(Clone)]
pub struct Setup {
    /// Name of the definition.
    pub preset: &'static str,
    /// More lines of `[webhooks.chat]`.
    pub lines: String,
    /// More lines of the file, behind everything else.
    pub rest: String,
    /// Whether the queue is on a server, of which `rest` tells, and not in a folder.
    pub is_shared: bool,
    /// Keys with other values.
    pub overrides: Vec<(&'static str, String)>,
    /// More definitions: name and text.
    pub definitions: Vec<(&'static str, String)>,
    /// Where the queue stands, where that is to outlive the service.
    pub queue: Option<PathBuf>,
    /// The time.
    pub clock: Arc<ManualClock>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            preset: "plain-hooks",
            lines: String::new(),
            rest: String::new(),
            is_shared: false,
            overrides: Vec::new(),
            definitions: Vec::new(),
            queue: None,
            clock: clock(),
        }
    }
}

/// All of it, running.
pub struct Fixture {
    pub service: Service,
    pub application: Application,
    pub folder: TempDir,
}

impl Setup {
    /// The service before an application of its own.
    pub async fn start(self) -> Fixture {
        let application = Application::start(Arc::clone(&self.clock)).await;
        self.start_before(application).await
    }

    /// The same before an application that is there already.
    pub async fn start_before(self, application: Application) -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let text = self.text(folder.path(), &application.fake.base_url());
        let own: Vec<(&str, &str)> = [("plain-hooks", PLAIN), ("timed-hooks", TIMED)]
            .into_iter()
            .chain(self.definitions.iter().map(|(name, text)| (*name, text.as_str())))
            .collect();
        let service = Service::start_with(&text, &Environment::default(), self.clock, &own).await;
        Fixture { service, application, folder }
    }

    /// The configuration, with the files that it names in `folder`, before an application at `base_url`.
    pub fn text(&self, folder: &Path, base_url: &str) -> String {
        std::fs::write(folder.join("secret"), SECRET).expect("written");
        std::fs::write(folder.join("sign-key"), SIGN_KEY).expect("written");
        let queue = self.queue.clone().unwrap_or_else(|| folder.join("queue"));
        let folder = folder.display();
        let rest = format!(
            "
[webhook_server]
listen = \"127.0.0.1:0\"
[providers.events]
preset = \"{}\"
webhook_secret_file = \"{folder}/secret\"
[webhooks.chat]
provider = \"events\"
to = \"{base_url}{HOOK}\"
sign_key_file = \"{folder}/sign-key\"
{}
[queue]
{}
{}",
            self.preset,
            self.lines,
            if self.is_shared { String::new() } else { format!("dir = \"{}\"", queue.display()) },
            self.rest
        );
        let overrides: Vec<(&str, &str)> = self.overrides.iter().map(|(key, value)| (*key, value.as_str())).collect();
        config(&rest, &overrides)
    }
}

impl Fixture {
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    /// Where providers post.
    pub fn address(&self) -> SocketAddr {
        self.service.webhooks.expect("a listener for webhooks")
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.address()).await
    }

    /// Posts `body`, signed as the definition `plain-hooks` wants it.
    pub async fn post(&self, body: &str) -> Answer {
        self.send(&[("X-Signature", &signature(body.as_bytes()))], body.as_bytes()).await
    }

    /// Posts `body` under an id, signed at the time of the clock as the definition `timed-hooks` wants it.
    pub async fn post_timed(&self, id: &str, body: &str) -> Answer {
        self.post_at(self.service.clock.now(), id, body).await
    }

    /// The same, signed at another time.
    pub async fn post_at(&self, time: Timestamp, id: &str, body: &str) -> Answer {
        let time = time.as_seconds().to_string();
        let signature = signature(format!("{time}.{body}").as_bytes());
        self.send(&[("X-Signature", &signature), ("X-Timestamp", &time), ("X-Event-Id", id)], body.as_bytes()).await
    }

    /// Posts JSON with these header lines.
    pub async fn send(&self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send_to(PATH, headers, body).await
    }

    /// The same to another path.
    pub async fn send_to(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        let mut connection = self.connect().await;
        connection.send(request("POST", path, &headers, body)).await;
        connection.answer().await.expect("an answer")
    }

    /// How many requests to the webhook ended so.
    pub async fn ended(&self, outcome: &str) -> i64 {
        self.number(&format!("sidemint_webhook_requests_total{{name=\"chat\",outcome=\"{outcome}\"}}")).await
    }

    /// The value of a metric line that is a whole number.
    pub async fn number(&self, line: &str) -> i64 {
        format!("{:.0}", self.service.metric(line).await).parse().expect("a whole number")
    }
}

/// The signature of the fixture's definitions.
pub fn signature(signed: &[u8]) -> String {
    let digits = HEXLOWER.encode(&hmac(SECRET.as_bytes(), signed));
    format!("sha256={digits}")
}

/// HMAC-SHA256 by the letter of RFC 2104, so that no code of the service judges itself.
pub fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let hash = |parts: &[&[u8]]| -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        context.finish().as_ref().try_into().unwrap()
    };
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&hash(&[key]));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = hash(&[&block.map(|byte| byte ^ 0x36), message]);
    hash(&[&block.map(|byte| byte ^ 0x5c), &inner])
}

/// An event as the application took it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its `webhook-id`.
    pub id: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// The whole request.
    pub call: Call,
}

impl Received {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.call.body).expect("UTF-8")
    }
}

/// The application: it takes what is signed as Standard Webhooks says, and refuses anything else.
#[derive(Clone)]
pub struct Application {
    pub fake: Fake,
    received: Arc<Mutex<Vec<Received>>>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Application {
    pub async fn start(clock: Arc<ManualClock>) -> Self {
        let (received, refused) = (Arc::<Mutex<Vec<Received>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let own = (Arc::clone(&received), Arc::clone(&refused));
        let fake = Fake::start(move |call| {
            let verified = verify(call, clock.now());
            let status = if verified.is_ok() { 204 } else { 401 };
            match verified {
                Ok(event) => own.0.lock().unwrap().push(event),
                Err(problem) => own.1.lock().unwrap().push(problem),
            }
            Script::text(status, "text/plain", "")
        });
        Self { fake: fake.await, received, refused }
    }

    /// What the next delivery gets.
    pub fn next(&self, script: Script) {
        self.fake.next(HOOK, script);
    }

    /// What it has taken, in order.
    pub fn received(&self) -> Vec<Received> {
        assert_eq!(*self.refused.lock().unwrap(), Vec::<String>::new(), "every delivery is signed as it must be");
        self.received.lock().unwrap().clone()
    }

    /// Waits until it has taken so many, and gives them.
    pub async fn has(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} events arrive"), async || self.received().len() >= count).await;
        self.received()
    }
}

/// Judges a delivery by the text of the specification (standardwebhooks.com), and by nothing of ours.
pub fn verify(call: &Call, now: Timestamp) -> Result<Received, String> {
    if call.method != "POST" {
        return Err(format!("{} {}", call.method, call.path));
    }
    let (id, time) = (call.header("webhook-id"), call.header("webhook-timestamp"));
    if id.is_empty() || id.contains('.') {
        return Err(format!("webhook-id {id:?}"));
    }
    let seconds: i64 = time.parse().map_err(|_| format!("webhook-timestamp {time:?}"))?;
    if (seconds - now.as_seconds()).abs() > TOLERANCE {
        return Err(format!("webhook-timestamp {time} at {}", now.as_seconds()));
    }
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", &call.body].concat();
    let key = STANDARD.decode(SIGN_KEY.trim_start_matches("whsec_")).expect("base64");
    let good = format!("v1,{}", STANDARD.encode(hmac(&key, &signed)));
    if !call.header("webhook-signature").split(' ').any(|own| own == good) {
        return Err(format!("webhook-signature of {id}"));
    }
    if std::str::from_utf8(&call.body).is_err() {
        return Err(format!("{id} is not UTF-8"));
    }
    let attempt = call.header("sidemint-attempt").parse().map_err(|_| format!("attempt of {id}"))?;
    Ok(Received { id: id.to_owned(), attempt, call: call.clone() })
}
