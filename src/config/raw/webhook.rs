//! The sections `[webhook_server]`, `[webhooks.NAME]` and `[queue]`, word for word.

use serde::Deserialize;

use super::address::Address;
use super::{QueueRedis, Tls};
use crate::definition::{Count, DAY, MILLI, MINUTE, Span};

/// Bytes.
const MIB: u64 = 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct WebhookServer {
    pub(in crate::config) listen: Address,
    pub(in crate::config) body_timeout: Span<{ 10 * MINUTE }, MILLI>,
    pub(in crate::config) max_buffered_bytes: Count<{ 16 * 1024 * MIB }, MIB>,
    pub(in crate::config) tls: Option<Tls>,
}

impl Default for WebhookServer {
    fn default() -> Self {
        Self {
            listen: Address("127.0.0.1:8081".to_owned()),
            body_timeout: Span::seconds(10),
            max_buffered_bytes: Count(64 * MIB),
            tls: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Webhook {
    pub(in crate::config) provider: Option<String>,
    pub(in crate::config) to: Option<String>,
    pub(in crate::config) fallback: Option<String>,
    #[serde(default)]
    pub(in crate::config) mode: WebhookMode,
    #[serde(default)]
    pub(in crate::config) relay: bool,
    pub(in crate::config) sign_key_file: Option<String>,
    pub(in crate::config) sign_key_dir: Option<String>,
    pub(in crate::config) public_url: Option<String>,
    pub(in crate::config) events: Option<Vec<String>>,
    #[serde(default)]
    pub(in crate::config) handshake: bool,
    #[serde(default)]
    pub(in crate::config) forward: Vec<String>,
    pub(in crate::config) overlap: Option<Span<{ 28 * DAY }>>,
    pub(in crate::config) max_body_bytes: Option<Count<{ 64 * MIB }, 1>>,
    pub(in crate::config) max_in_flight: Option<Count<4096, 1>>,
    pub(in crate::config) deliveries_at_once: Option<Count<256, 1>>,
    pub(in crate::config) attempt_timeout: Option<Span<{ 10 * MINUTE }, MILLI>>,
}

/// When a provider has its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum WebhookMode {
    /// Once the event is on disk.
    #[default]
    Store,
    /// Once the application has answered.
    Through,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Queue {
    pub(in crate::config) dir: Option<String>,
    pub(in crate::config) max_events: Count<100_000_000, 1>,
    pub(in crate::config) max_bytes: Count<{ 1 << 40 }, MIB>,
    pub(in crate::config) start_empty: bool,
    pub(in crate::config) key_file: Option<String>,
    pub(in crate::config) redis: Option<QueueRedis>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            dir: None,
            max_events: Count(100_000),
            max_bytes: Count(256 * MIB),
            start_empty: false,
            key_file: None,
            redis: None,
        }
    }
}
