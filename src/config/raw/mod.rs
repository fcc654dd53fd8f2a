//! The configuration file, word for word. Unknown keys are refused; nothing is computed here.

mod address;
mod gateway;
mod identity;
mod shared;
mod teams;
mod webhook;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::did_you_mean;
use address::Address;
pub use gateway::ActsAs;
pub(super) use gateway::{Gateway, Grant, Mount};
pub(super) use identity::{GatewayCaller, Identity, Peers};
pub(super) use shared::{QueueRedis, RedisServer, Shared, SharedMode};
pub(super) use teams::Team;
pub(super) use webhook::{Queue, Webhook, WebhookMode, WebhookServer};

use crate::definition::{Count, DAY, HOUR, MILLI, MINUTE, OneOrMany, Span};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub(super) listen: Address,
    pub(super) unix_mode: String,
    pub(super) max_connections: Count<1_000_000, 1>,
    pub(super) header_timeout: Span<{ 10 * MINUTE }, MILLI>,
    pub(super) idle_timeout: Span<DAY>,
    pub(super) max_headers: Count<4096, 1>,
    /// hyper refuses smaller read buffers.
    pub(super) max_head_bytes: Count<{ 1024 * 1024 }, 8192>,
    pub(super) max_body_bytes: Count<{ 16 * 1024 * 1024 }>,
    pub(super) max_unfinished_bytes: Count<{ 1024 * 1024 * 1024 }>,
    pub(super) http2: bool,
    pub(super) drain_delay: Span<HOUR>,
    pub(super) drain_timeout: Span<HOUR>,
    pub(super) workers: Count<1024>,
    pub(super) tls: Option<Tls>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: Address("127.0.0.1:8080".to_owned()),
            unix_mode: "0660".to_owned(),
            max_connections: Count(4096),
            header_timeout: Span::seconds(5),
            idle_timeout: Span::seconds(90),
            max_headers: Count(100),
            max_head_bytes: Count(32 * 1024),
            max_body_bytes: Count(8 * 1024),
            max_unfinished_bytes: Count(16 * 1024 * 1024),
            http2: false,
            drain_delay: Span::seconds(0),
            drain_timeout: Span::seconds(20),
            workers: Count(0),
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
    pub(super) listen: Option<Address>,
    pub(super) route: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ops {
    pub(super) listen: Address,
    pub(super) status: bool,
    pub(super) allow_hosts: Vec<String>,
}

impl Default for Ops {
    fn default() -> Self {
        Self { listen: Address("127.0.0.1:9090".to_owned()), status: true, allow_hosts: Vec::new() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: LogFormat,
    pub(super) level: String,
    pub(super) requests: RequestLines,
    pub(super) users: UserLines,
    pub(super) gateway_params: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            level: "info".to_owned(),
            requests: RequestLines::Changes,
            users: UserLines::Hashed,
            gateway_params: false,
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
pub(super) struct Outbound {
    pub(super) proxy: String,
    pub(super) proxy_auth_file: Option<String>,
    pub(super) no_proxy: Vec<String>,
    pub(super) ca_file: Option<String>,
    pub(super) from_env: bool,
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
    pub(super) max_entries: Count<100_000_000>,
    pub(super) max_bytes: Count<{ 1 << 40 }>,
    pub(super) shared: Option<Shared>,
}

impl Default for Cache {
    fn default() -> Self {
        Self { max_entries: Count(100_000), max_bytes: Count(128 * 1024 * 1024), shared: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) path: Option<String>,
    pub(super) answer: Answer,
    pub(super) provider: String,
    pub(super) ttl: Option<Span<{ 366 * DAY }>>,
    pub(super) deadline: Option<Span<{ 10 * MINUTE }, MILLI>>,
    pub(super) host: Option<String>,
    pub(super) mode: Option<Mode>,
    pub(super) source: Option<OneOrMany<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) user_rate: String,
}

impl Default for Limits {
    fn default() -> Self {
        // A page that opens a dozen rooms, and again after a reload, does not meet it; a loop does.
        Self { user_rate: "30/min".to_owned() } // T-66: default user rate
    }
}

/// The kind of answer a route gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Answer {
    /// JSON for browsers and apps.
    Session,
    /// What the provider's own client library expects.
    Client,
    /// Headers for a reverse proxy's auth subrequest.
    Subrequest,
}

impl TryFrom<String> for Answer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "session" => Ok(Self::Session),
            "client" => Ok(Self::Client),
            "subrequest" => Ok(Self::Subrequest),
            _ => {
                let meant = did_you_mean(&text, ["session", "client", "subrequest"]);
                // Operators write the name of the provider whose client library asks.
                let hint = "; write answer = \"client\" and a path where a provider's own client library asks";
                let hint = if meant.is_empty() { hint } else { &meant };
                Err(format!("\"{text}\" is not one of session, client, subrequest{hint}"))
            }
        }
    }
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
    pub(super) timeout: Option<Span<{ 10 * MINUTE }, MILLI>>,
    pub(super) retries: Option<Count<10>>,
    /// More is a mistake: each call has a connection of its own.
    pub(super) calls_at_once: Option<Count<4096, 1>>,
    pub(super) client_margin: Option<Span<DAY>>,
    pub(super) upsert_memory: Option<Span<{ 366 * DAY }>>,
    pub(super) rate: Option<String>,
    #[serde(default)]
    pub(super) user_prefix: String,
    #[serde(default)]
    pub(super) user_unfit: Unfit,
    /// What is added to the definition's calls; read with the definition.
    #[serde(default)]
    pub(super) gateway: Map<String, Value>,
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
