//! Which webhooks are served, where their events stand, and where they go.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use url::Url;

use super::{Listen, RedisServer, Tls};
use crate::definition::Key;

/// Everything about webhooks.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// Where providers post.
    pub server: WebhookServer,
    /// Where events stand until they are delivered. `None` where every webhook is of mode `through`.
    pub queue: Option<Queue>,
    /// The webhooks, by name. At least one.
    pub served: Vec<Webhook>,
}

/// The listener for providers. What is not said here is as in `[server]`.
#[derive(Clone, Debug)]
pub struct WebhookServer {
    /// Where it listens.
    pub listen: Listen,
    /// From the first byte of a body to its end.
    pub body_timeout: Duration,
    /// Bytes of all bodies that are in memory, those to come included.
    pub max_buffered_bytes: usize,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
}

/// One webhook: served at `/webhooks/NAME`.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name: a segment of a path, a label, and part of what events are known by.
    pub name: Arc<str>,
    /// Whose definition says how events are proven, and whose settings hold the secret.
    pub provider: String,
    /// Where events are posted to.
    pub to: Url,
    /// Where they are posted to when that is down, or when we are stopping.
    pub fallback: Option<Url>,
    /// When the provider has its answer.
    pub mode: WebhookMode,
    /// What events are signed with on their way to the application.
    pub sign_key: SignKey,
    /// The address that the provider was told, where it is a part of what is signed.
    pub public_url: Option<String>,
    /// Names of events that are kept; others are answered and forgotten. Empty means all.
    pub events: Vec<EventPattern>,
    /// Whether challenges are answered that nothing proves.
    pub handshake: bool,
    /// Headers that the application gets beside those of the definition.
    pub forward: Vec<HeaderName>,
    /// How long the previous secret is accepted after a change, if not as the definition says.
    pub overlap: Option<Duration>,
    /// Bytes of a body, also when it is unpacked, if not as the definition says.
    pub max_body_bytes: Option<usize>,
    /// Requests at work at once.
    pub max_in_flight: usize,
    /// Deliveries at work at once.
    pub deliveries_at_once: usize,
    /// Time of one delivery.
    pub attempt_timeout: Duration,
    /// File of the table, for messages.
    pub origin: String,
}

impl Webhook {
    /// Its key in the configuration.
    pub fn key(&self) -> Key {
        Key::of("webhooks").below(&*self.name)
    }

    /// Its path on the listener.
    pub fn path(&self) -> String {
        format!("/webhooks/{}", self.name)
    }
}

/// When a provider has its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookMode {
    /// Once the event is on disk.
    Store,
    /// Once the application has answered, without a disk.
    Through {
        /// Whether the provider gets the application's answer.
        relay: bool,
    },
}

/// What events are signed with. The text in a file begins with `whsec_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignKey {
    /// One key.
    File(PathBuf),
    /// Several, each of which signs.
    Folder(PathBuf),
}

/// Names of events: the whole of one, or the beginning and a star.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPattern {
    text: String,
    is_prefix: bool,
}

impl EventPattern {
    /// From `message.new`, `message.*` or `*`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (own, is_prefix) = text.strip_suffix('*').map_or((text, false), |own| (own, true));
        let is_name = |c: char| c.is_ascii_graphic() && c != '*';
        let fits = own.chars().all(is_name) && (is_prefix || !own.is_empty());
        fits.then(|| Self { text: own.to_owned(), is_prefix })
    }

    /// Whether `event` is one of these.
    pub fn covers(&self, event: &str) -> bool {
        if self.is_prefix { event.starts_with(&self.text) } else { event == self.text }
    }
}

/// Where events stand until they are delivered.
#[derive(Clone, Debug)]
pub struct Queue {
    /// What keeps them.
    pub place: QueuePlace,
    /// Events that wait, at most.
    pub max_events: u64,
    /// Bytes of them, at most.
    pub max_bytes: u64,
    /// The key that bodies are encrypted with.
    pub key_file: Option<PathBuf>,
    /// File of the section, for messages.
    pub origin: String,
}

/// What keeps events.
#[derive(Clone, Debug)]
pub enum QueuePlace {
    /// A file, for one process.
    Folder {
        /// A folder of one's own.
        dir: PathBuf,
        /// Whether a damaged file is moved aside.
        start_empty: bool,
    },
    /// Redis or Valkey, for replicas that share their webhooks.
    Redis(QueueRedis),
}

/// The section `[queue.redis]`.
#[derive(Clone, Debug)]
pub struct QueueRedis {
    /// Where it is.
    pub server: RedisServer,
    /// Who shares with whom: a part of every key.
    pub fleet: String,
    /// Replicas of the server whose disk an event must be on as well before it is answered.
    pub replicas: u64,
}
