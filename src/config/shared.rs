//! The tier that replicas share: where it is, how it is reached, and the secrets that names and values are made with.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// Redis or Valkey, and how it is reached.
#[derive(Clone, Debug)]
pub struct RedisServer {
    /// What kind of deployment it is.
    pub mode: SharedMode,
    /// Its servers: at least one. Of scheme `redis` or `rediss`, without a user, all alike.
    pub urls: Vec<Url>,
    /// Who signs in, where the server knows more than one.
    pub username: Option<String>,
    /// With which password.
    pub password_file: Option<PathBuf>,
    /// The password of the sentinels.
    pub sentinel_password_file: Option<PathBuf>,
    /// Authorities that the servers' certificates are from, PEM; those of the system where there is none.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and its key, PEM.
    pub client_cert: Option<(PathBuf, PathBuf)>,
}

/// The section `[cache.shared]`.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where it is.
    pub server: RedisServer,
    /// Who shares with whom: a part of every key.
    pub fleet: String,
    /// The key that names are made with.
    pub names_file: PathBuf,
    /// The keys that values are sealed with.
    pub key_dir: PathBuf,
    /// How long a request waits for one answer.
    pub timeout: Duration,
    /// Replicas, before the tier has told how many there are.
    pub expect_replicas: Option<u64>,
    /// What is served while the tier is away.
    pub cut_off: CutOff,
    /// File of the section, for messages.
    pub origin: String,
}

/// What kind of deployment the tier is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedMode {
    /// One server.
    Single,
    /// The sentinels say which server it is.
    Sentinel {
        /// What they call it.
        service: String,
    },
    /// A cluster.
    Cluster,
}

/// What a replica serves that the tier does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CutOff {
    /// What it has: a sign-out elsewhere reaches it when it is back.
    #[default]
    Serve,
    /// Sessions that are younger than a minute alone.
    Strict,
}

impl RedisServer {
    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        self.urls.iter().all(|url| url.scheme() == "rediss")
    }
}
