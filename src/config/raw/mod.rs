//! The configuration file, word for word. Unknown keys are refused; nothing is computed here.

mod identity;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

pub(super) use identity::{Identity, OneOrMore, Peers};

/// A duration written as text: `"90s"`, `"5m"`, `"1h 30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Span;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration as text, such as \"90s\", \"5m\" or \"1h\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
                let span = humantime::parse_duration(text)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))?;
                Ok(Span(span))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

const fn seconds(n: u64) -> Span {
    Span(Duration::from_secs(n))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub(super) listen: String,
    pub(super) unix_mode: String,
    pub(super) max_connections: usize,
    pub(super) header_timeout: Span,
    pub(super) idle_timeout: Span,
    pub(super) max_headers: usize,
    pub(super) max_head_bytes: usize,
    pub(super) max_body_bytes: usize,
    pub(super) http2: bool,
    pub(super) drain_delay: Span,
    pub(super) drain_timeout: Span,
    pub(super) workers: usize,
    pub(super) tls: Option<Tls>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            unix_mode: "0660".to_owned(),
            max_connections: 4096,
            header_timeout: seconds(5),
            idle_timeout: seconds(90),
            max_headers: 64,
            max_head_bytes: 32 * 1024,
            max_body_bytes: 8 * 1024,
            http2: false,
            drain_delay: seconds(0),
            drain_timeout: seconds(20),
            workers: 0,
            tls: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert_file: String,
    pub(super) key_file: String,
    pub(super) client_ca_file: Option<String>,
    pub(super) client_certificates: Option<ClientCertificates>,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Without one there is no connection.
    Required,
    /// One that is shown must be good.
    Optional,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Grpc {
    pub(super) listen: Option<String>,
    pub(super) route: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ops {
    pub(super) listen: String,
}

impl Default for Ops {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9090".to_owned() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: LogFormat,
    pub(super) level: String,
    pub(super) requests: RequestLines,
    pub(super) users: UserLines,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            level: "info".to_owned(),
            requests: RequestLines::Changes,
            users: UserLines::Hashed,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text,
}

/// Which requests get a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestLines {
    /// None at all.
    None,
    /// Everything but plain cache hits.
    Changes,
    /// Every request.
    All,
}

/// How a user appears in a request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserLines {
    /// Not at all.
    None,
    /// A keyed hash, equal for equal users until the process ends.
    Hashed,
    /// The subject as it is: personal data.
    Plain,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Browser {
    pub(super) allow_origins: Vec<String>,
    pub(super) allow_hosts: Vec<String>,
    pub(super) require_header: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cache {
    pub(super) max_entries: u64,
    pub(super) max_bytes: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self { max_entries: 100_000, max_bytes: 128 * 1024 * 1024 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) path: Option<String>,
    pub(super) answer: Answer,
    pub(super) provider: String,
    pub(super) ttl: Option<Span>,
    pub(super) deadline: Option<Span>,
    pub(super) host: Option<String>,
    pub(super) mode: Option<Mode>,
    pub(super) source: Option<OneOrMore>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) user_rate: String,
}

impl Default for Limits {
    fn default() -> Self {
        // A page that opens a dozen rooms, and again after a reload, does not meet it; a loop does.
        Self { user_rate: "30/min".to_owned() }
    }
}

/// The kind of answer a route gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// JSON for browsers and apps.
    Session,
    /// LiveKit's standard token endpoint.
    LiveKit,
    /// Headers for a reverse proxy's auth subrequest.
    Subrequest,
}

/// What a subrequest route says when there is no token to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Let the request pass without a token: chat never locks the host application.
    Optional,
    /// No token, no entry.
    Required,
}

#[derive(Debug, Deserialize)]
pub(super) struct Provider {
    pub(super) preset: String,
    pub(super) timeout: Option<Span>,
    pub(super) retries: Option<u32>,
    pub(super) calls_at_once: Option<usize>,
    pub(super) client_margin: Option<Span>,
    pub(super) upsert_memory: Option<Span>,
    pub(super) rate: Option<String>,
    #[serde(default)]
    pub(super) user_prefix: String,
    #[serde(default)]
    pub(super) user_unfit: Unfit,
    /// What the definition declares; checked against it when it is compiled.
    #[serde(flatten)]
    pub(super) settings: BTreeMap<String, Value>,
}

/// What happens to subjects that a provider cannot take as user ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unfit {
    /// They are refused.
    #[default]
    Refuse,
    /// They are folded to what fits, with a hash of the subject behind it.
    Hash,
}
