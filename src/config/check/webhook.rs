//! Checks `[webhook_server]`, `[webhooks.NAME]` and `[queue]`, against each other and against the listeners.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TRANSFER_ENCODING};
use url::Url;

use super::Check;
use crate::config::webhook::{
    EventPattern, Queue, QueuePlace, QueueRedis, SignKey, Webhook, WebhookMode, WebhookServer, Webhooks,
};
use crate::config::{Listen, raw};
use crate::definition::{Count, Key, did_you_mean};

/// Requests of one webhook at once, where nothing is said.
const IN_FLIGHT: usize = 64;
/// Deliveries of one webhook at once, and the time of each.
const AT_ONCE: usize = 16;
const ATTEMPT: Duration = Duration::from_secs(15);
/// Letters of a name: it is a label, and a segment of a path.
const MAX_NAME: usize = 64;
/// Patterns of names of events.
const MAX_EVENTS: usize = 256;
/// Headers that are never passed on: credentials, and what our own request says of itself.
const NEVER: [HeaderName; 7] =
    [AUTHORIZATION, COOKIE, HOST, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING];

impl Check<'_> {
    /// The webhooks, where there are any. `listeners` are the other listeners, with their keys.
    pub(super) fn webhooks(
        &mut self,
        providers: &BTreeSet<String>,
        listeners: &[(String, &Listen)],
    ) -> Option<Webhooks> {
        let tables: Vec<(String, Option<raw::Webhook>)> = self.layers.tables("webhooks", self.errors);
        let server: raw::WebhookServer = self.layers.section("webhook_server", self.errors);
        let queue: raw::Queue = self.layers.section("queue", self.errors);
        if tables.is_empty() {
            return None;
        }
        let server = WebhookServer {
            listen: self.listen("webhook_server.listen", &server.listen.0),
            body_timeout: server.body_timeout.0,
            max_buffered_bytes: server.max_buffered_bytes.size(),
            tls: server.tls.map(|tls| self.tls("webhook_server", tls)),
        };
        self.differs("webhook_server.listen", &server.listen, listeners);
        let all: Vec<_> =
            listeners.iter().cloned().chain([("webhook_server.listen".to_owned(), &server.listen)]).collect();
        let mut served = Vec::new();
        for (name, raw) in tables {
            let Some(raw) = raw else { continue };
            served.extend(self.webhook(&name, raw, providers, &all));
        }
        let queue = self.queue(queue);
        let keeps = served.iter().any(|own| own.mode == WebhookMode::Store);
        Some(Webhooks { server, queue: queue.filter(|_| keeps), served })
    }

    fn webhook(
        &mut self,
        name: &str,
        raw: raw::Webhook,
        providers: &BTreeSet<String>,
        listeners: &[(String, &Listen)],
    ) -> Option<Webhook> {
        let key = Key::of("webhooks").below(name);
        if !is_segment(name) {
            self.refuse(
                key.clone(),
                format!("is not a usable name: it is a part of the path /webhooks/NAME; use at most {MAX_NAME} letters, digits, - and _"),
            );
        }
        let provider = self.provider_of(&key, raw.provider, providers);
        let to = match raw.to {
            Some(text) => self.target(&key.below("to"), &text, listeners),
            None => {
                let problem = "is missing; write where the application takes events, such as \
                               \"http://127.0.0.1:3000/hooks/chat\"";
                self.refuse(key.below("to"), problem);
                None
            }
        };
        let fallback = raw.fallback.and_then(|text| self.target(&key.below("fallback"), &text, listeners));
        if fallback.is_some() && fallback == to {
            self.refuse(key.below("fallback"), "is the same address as to; write another, or remove it");
        }
        let mode = match (raw.mode, raw.relay) {
            (raw::WebhookMode::Through, relay) => WebhookMode::Through { relay },
            (raw::WebhookMode::Store, false) => WebhookMode::Store,
            (raw::WebhookMode::Store, true) => {
                let problem = "gives the application's answer to the provider, which an event that is stored does not wait \
                               for; write mode = \"through\" beside it";
                self.refuse(key.below("relay"), problem);
                WebhookMode::Store
            }
        };
        if mode != WebhookMode::Store && fallback.is_some() {
            let problem =
                "is for events that are stored; with mode = \"through\" the provider sends the event again: remove it";
            self.refuse(key.below("fallback"), problem);
        }
        let sign_key = self.sign_key(&key, raw.sign_key_file, raw.sign_key_dir);
        let public_url = raw.public_url.filter(|text| self.is_public_url(&key.below("public_url"), text, name));
        Some(Webhook {
            name: Arc::from(name),
            provider: provider?,
            to: to?,
            fallback,
            mode,
            sign_key: sign_key?,
            public_url,
            events: self.events(&key.below("events"), raw.events),
            handshake: raw.handshake,
            forward: self.forward(&key.below("forward"), &raw.forward),
            overlap: raw.overlap.map(|span| span.0),
            max_body_bytes: raw.max_body_bytes.map(Count::size),
            max_in_flight: raw.max_in_flight.map_or(IN_FLIGHT, Count::size),
            deliveries_at_once: raw.deliveries_at_once.map_or(AT_ONCE, Count::size),
            attempt_timeout: raw.attempt_timeout.map_or(ATTEMPT, |span| span.0),
            origin: self.layers.origin(&format!("webhooks.{name}")),
        })
    }

    fn provider_of(&mut self, key: &Key, written: Option<String>, providers: &BTreeSet<String>) -> Option<String> {
        let known = || {
            let known: Vec<_> = providers.iter().map(String::as_str).collect();
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        };
        match written {
            Some(own) if providers.contains(&own) => return Some(own),
            Some(own) => {
                let meant = did_you_mean(&own, providers);
                self.refuse(key.below("provider"), format!("no provider \"{own}\"; configured: {}{meant}", known()));
            }
            None => {
                let problem = format!(
                    "is missing; write the name of a table [providers.NAME], whose preset says how events are proven; \
                             configured: {}",
                    known()
                );
                self.refuse(key.below("provider"), problem);
            }
        }
        None
    }

    /// Where events are posted to.
    fn target(&mut self, key: &Key, text: &str, listeners: &[(String, &Listen)]) -> Option<Url> {
        let Ok(url) = text.parse::<Url>() else {
            // The text is not repeated: a password may be in it.
            self.refuse(key.clone(), "is not an address; write \"http://127.0.0.1:3000/hooks/chat\"");
            return None;
        };
        let problem = if !matches!(url.scheme(), "http" | "https") {
            Some("is not an address that can be posted to; write http:// or https://".to_owned())
        } else if !url.username().is_empty() || url.password().is_some() {
            Some("holds a user or a password; remove them: the signature of the event proves who posts it".to_owned())
        } else if url.fragment().is_some() {
            Some("holds a fragment (#), which is not sent; remove it".to_owned())
        } else {
            // W-25: own listener
            listeners.iter().find(|(_, listen)| listen.is_reached_by(&url)).map(|(own, listen)| {
                format!("leads to {own} ({listen}), which is sidemint itself; write where the application listens")
            })
        };
        if let Some(problem) = problem {
            self.refuse(key.clone(), problem);
            return None;
        }
        Some(url)
    }

    /// Whether `text` is an address. It stays as it is written: the provider signs it letter by letter.
    fn is_public_url(&mut self, key: &Key, text: &str, name: &str) -> bool {
        let url = text.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let fits = url.is_some_and(|url| url.fragment().is_none());
        if !fits {
            let problem = format!(
                "is not an address; write the one that the provider's console holds, letter by letter, such as \
                 \"https://hooks.example.com/webhooks/{name}\""
            );
            self.refuse(key.clone(), problem);
        }
        fits
    }

    fn sign_key(&mut self, key: &Key, file: Option<String>, folder: Option<String>) -> Option<SignKey> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty()).map(PathBuf::from);
        match (given(file), given(folder)) {
            (Some(file), None) => Some(SignKey::File(file)),
            (None, Some(folder)) => Some(SignKey::Folder(folder)),
            (Some(_), Some(_)) => {
                self.refuse(key.below("sign_key_dir"), "stands beside sign_key_file; write one of them");
                None
            }
            (None, None) => {
                let problem = "is missing: the application knows by its signature that an event comes from here; write \
                               sign_key_file = \"/path\" (\"sidemint keygen --alg webhook\" makes one)";
                self.refuse(key.below("sign_key_file"), problem);
                None
            }
        }
    }

    fn events(&mut self, key: &Key, written: Option<Vec<String>>) -> Vec<EventPattern> {
        let Some(written) = written else { return Vec::new() };
        if written.is_empty() || written.len() > MAX_EVENTS {
            let problem = format!(
                "holds {} names; write 1 to {MAX_EVENTS}, or remove it: without it all events are delivered",
                written.len()
            );
            self.refuse(key.clone(), problem);
        }
        let mut patterns = Vec::new();
        for text in &written {
            match EventPattern::parse(text) {
                Some(pattern) => patterns.push(pattern),
                None => self.refuse(
                    key.clone(),
                    format!("\"{text}\" is no name of an event; write \"message.new\", or \"message.*\" for all that begin so"),
                ),
            }
        }
        patterns
    }

    fn forward(&mut self, key: &Key, written: &[String]) -> Vec<HeaderName> {
        let mut names = Vec::new();
        for text in written {
            match HeaderName::from_bytes(text.as_bytes()) {
                Ok(name) if NEVER.contains(&name) => {
                    self.refuse(key.clone(), format!("\"{text}\" is never passed on; remove it"));
                }
                Ok(name) => names.push(name),
                Err(_) => self.refuse(key.clone(), format!("\"{text}\" is not a header name")),
            }
        }
        names
    }

    fn queue(&mut self, raw: raw::Queue) -> Option<Queue> {
        let place = match &raw.redis {
            Some(redis) => self.queue_redis(redis, &raw).map(QueuePlace::Redis),
            None => {
                let dir = raw.dir.unwrap_or_else(|| "/var/lib/sidemint".to_owned());
                if !Path::new(&dir).is_absolute() {
                    self.refuse(
                        "queue.dir",
                        "is not an absolute path; write a folder of its own, such as \"/var/lib/sidemint\"",
                    );
                }
                Some(QueuePlace::Folder { dir: dir.into(), start_empty: raw.start_empty })
            }
        };
        Some(Queue {
            place: place?,
            max_events: raw.max_events.0,
            max_bytes: raw.max_bytes.0,
            key_file: raw.key_file.filter(|file| !file.is_empty()).map(PathBuf::from),
            origin: self.layers.origin("queue"),
        })
    }

    fn queue_redis(&mut self, redis: &raw::QueueRedis, queue: &raw::Queue) -> Option<QueueRedis> {
        let key = Key::of("queue").below("redis");
        for (name, is_there) in [("dir", queue.dir.is_some()), ("start_empty", queue.start_empty)] {
            if is_there {
                let problem = "is for the file of one process, and stands beside [queue.redis]; remove one of them";
                self.refuse(Key::of("queue").below(name), problem);
            }
        }
        // W-28: no body in the clear
        if queue.key_file.as_ref().is_none_or(String::is_empty) {
            let problem = "is missing: who reads the server of [queue.redis] must not read messages; write a file with 32 \
                           bytes as base64, the same for all replicas (openssl rand -base64 32)";
            self.refuse(Key::of("queue").below("key_file"), problem);
        }
        let fleet = redis.fleet.clone().unwrap_or_default();
        self.is_part_of_keys(&key.below("fleet"), &fleet);
        let server = self.redis_server(&key, &redis.server())?;
        Some(QueueRedis { server, fleet, replicas: redis.replicas.map_or(0, |count| count.0) })
    }
}

pub(super) fn is_segment(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(fits)
}
