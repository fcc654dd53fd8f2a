//! The section `[cache.shared]`, word for word.

use std::time::Duration;

use serde::Deserialize;

use crate::config::CutOff;
use crate::definition::{Count, MILLI, Span};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Shared {
    pub(in crate::config) mode: SharedMode,
    pub(in crate::config) service: Option<String>,
    pub(in crate::config) urls: Vec<String>,
    pub(in crate::config) fleet: Option<String>,
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) password_file: Option<String>,
    pub(in crate::config) sentinel_password_file: Option<String>,
    pub(in crate::config) ca_file: Option<String>,
    pub(in crate::config) client_cert_file: Option<String>,
    pub(in crate::config) client_key_file: Option<String>,
    pub(in crate::config) names_file: Option<String>,
    pub(in crate::config) key_dir: Option<String>,
    pub(in crate::config) timeout: Span<{ 50 * MILLI }, MILLI>,
    pub(in crate::config) expect_replicas: Option<Count<10_000, 1>>,
    pub(in crate::config) cut_off: CutOff,
    pub(in crate::config) insecure_plaintext: bool,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            mode: SharedMode::Single,
            service: None,
            urls: Vec::new(),
            fleet: None,
            username: None,
            password_file: None,
            sentinel_password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            names_file: None,
            key_dir: None,
            timeout: Span(Duration::from_millis(5)),
            expect_replicas: None,
            cut_off: CutOff::Serve,
            insecure_plaintext: false,
        }
    }
}

/// Redis or Valkey, and how it is reached: the same keys in each section that names one.
#[derive(Debug)]
pub(in crate::config) struct RedisServer {
    pub(in crate::config) mode: SharedMode,
    pub(in crate::config) service: Option<String>,
    pub(in crate::config) urls: Vec<String>,
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) password_file: Option<String>,
    pub(in crate::config) sentinel_password_file: Option<String>,
    pub(in crate::config) ca_file: Option<String>,
    pub(in crate::config) client_cert_file: Option<String>,
    pub(in crate::config) client_key_file: Option<String>,
    pub(in crate::config) insecure_plaintext: bool,
}

/// Both sections refuse unknown keys, which `serde(flatten)` does not go with.
macro_rules! server {
    ($section:ty) => {
        impl $section {
            /// What it says of the server.
            pub(in crate::config) fn server(&self) -> RedisServer {
                RedisServer {
                    mode: self.mode,
                    service: self.service.clone(),
                    urls: self.urls.clone(),
                    username: self.username.clone(),
                    password_file: self.password_file.clone(),
                    sentinel_password_file: self.sentinel_password_file.clone(),
                    ca_file: self.ca_file.clone(),
                    client_cert_file: self.client_cert_file.clone(),
                    client_key_file: self.client_key_file.clone(),
                    insecure_plaintext: self.insecure_plaintext,
                }
            }
        }
    };
}

server!(Shared);
server!(QueueRedis);

/// The section `[queue.redis]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct QueueRedis {
    #[serde(default)]
    pub(in crate::config) mode: SharedMode,
    pub(in crate::config) service: Option<String>,
    #[serde(default)]
    pub(in crate::config) urls: Vec<String>,
    pub(in crate::config) fleet: Option<String>,
    pub(in crate::config) replicas: Option<Count<5>>,
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) password_file: Option<String>,
    pub(in crate::config) sentinel_password_file: Option<String>,
    pub(in crate::config) ca_file: Option<String>,
    pub(in crate::config) client_cert_file: Option<String>,
    pub(in crate::config) client_key_file: Option<String>,
    #[serde(default)]
    pub(in crate::config) insecure_plaintext: bool,
}

/// What kind of deployment the tier is.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum SharedMode {
    #[default]
    Single,
    Sentinel,
    Cluster,
}
