//! Configuration: layers of text in, one checked [`Config`] out.
//!
//! [`raw`] mirrors the file, [`layers`] merges and reads it, and [`check`] turns it into addresses, networks,
//! durations and paths that need no further checking. Settings of providers and identity sources are handed on as they
//! are: their definitions say what is allowed, and those rooms check it.

mod check;
mod error;
mod gateway;
mod identity;
mod layers;
mod outbound;
mod raw;
mod route;
mod shared;
mod teams;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

pub use error::{ConfigError, ConfigErrors};
pub use gateway::{ActsAs, Gateway, GatewayCaller, Grant, Mount, ValuePattern};
pub use identity::{Caller, CallerToken, Identity, Peers, Users};
pub use layers::environment::Environment;
pub use outbound::{Bypass, Outbound, Proxy, ProxyAuth};
pub use raw::{ClientCertificates, LogFormat, Mode, RequestLines, Unfit, UserLines};
pub use route::{JWKS_PATH, Reach, Route, RouteKind};
pub use shared::{CutOff, RedisServer, Shared, SharedMode};
#[cfg(any(test, fuzzing))]
pub(crate) use teams::fuzzing;
pub use teams::{Fragment, TeamGrant, Teams};
pub use webhook::{
    EventPattern, Queue, QueuePlace, QueueRedis, SignKey, Webhook, WebhookMode, WebhookServer, Webhooks,
};

use check::Check;
#[cfg(any(test, fuzzing))]
pub(crate) use check::identity::network;
use layers::Layers;

pub use crate::definition::did_you_mean;
use crate::pacing::Rate;

/// Where configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files, later ones win.
    pub files: Vec<PathBuf>,
    /// A folder whose `.toml` files follow, in name order.
    pub folder: Option<PathBuf>,
    /// A folder with definitions of the operator's own.
    pub definitions: Option<PathBuf>,
    /// Values from flags, by dotted key; they win over everything.
    pub overrides: Vec<(String, String)>,
}

/// The whole configuration, checked and ready to use.
#[derive(Clone, Debug)]
pub struct Config {
    /// The front listener and its limits.
    pub server: Server,
    /// Where Envoy asks over gRPC, if it does.
    pub grpc: Option<Grpc>,
    /// Where liveness, readiness, metrics and the status page are served.
    pub ops: Ops,
    /// Logging.
    pub log: Log,
    /// Who tells the user, and who may.
    pub identity: Identity,
    /// Protection of session routes against other sites' pages.
    pub browser: Browser,
    /// How calls leave.
    pub outbound: Outbound,
    /// What one user may ask.
    pub limits: UserLimits,
    /// Limits of the session cache.
    pub cache: Cache,
    /// The tier that replicas share, if they do.
    pub shared: Option<Shared>,
    /// What is served, in the order of the files.
    pub routes: Vec<Route>,
    /// Configured providers by name.
    pub providers: BTreeMap<String, Provider>,
    /// What providers post, if they do.
    pub webhooks: Option<Webhooks>,
    /// Who calls providers through us, if anyone does.
    pub gateway: Option<Gateway>,
    /// Teams that share the process, if there are some.
    pub teams: Option<Teams>,
    /// A folder with definitions of the operator's own.
    pub definitions: Option<PathBuf>,
}

/// The listener of those who operate the service.
#[derive(Clone, Debug)]
pub struct Ops {
    /// Where it listens.
    pub listen: Listen,
    /// Whether it has the status page.
    pub status: bool,
    /// Hosts under which the page may be asked for, beside addresses and `localhost`: lower case, no port.
    pub allow_hosts: BTreeSet<String>,
}

/// The front listener.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it listens.
    pub listen: Listen,
    /// Mode of the unix socket file.
    pub unix_mode: u32,
    /// Open connections at most.
    pub max_connections: usize,
    /// From the first byte of a request head to its end.
    pub header_timeout: Duration,
    /// Keep-alive without a request.
    pub idle_timeout: Duration,
    /// Header lines of one request.
    pub max_headers: usize,
    /// Bytes of one request head.
    pub max_head_bytes: usize,
    /// Bytes of one request body.
    pub max_body_bytes: usize,
    /// Bytes of all heads and bodies that are not complete.
    pub max_unfinished_bytes: usize,
    /// Whether HTTP/2 with prior knowledge is spoken.
    pub http2: bool,
    /// From the loss of readiness to the closing of listeners.
    pub drain_delay: Duration,
    /// From the closing of listeners to the cut.
    pub drain_timeout: Duration,
    /// Worker threads; `None` means one for each available core.
    pub workers: Option<usize>,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
    /// File of the section, for messages.
    pub origin: String,
}

/// The listener for Envoy's external authorization over gRPC.
#[derive(Clone, Debug)]
pub struct Grpc {
    /// Where it listens.
    pub listen: Listen,
    /// Path of the subrequest route that answers where Envoy names none.
    pub route: String,
}

/// TLS on the listeners of one section. Files are read again when they change.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The section: its table is `tls` there.
    pub section: &'static str,
    /// File of the section, for messages.
    pub origin: String,
    /// Certificate chain, PEM, the server's own first.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// Authorities whose client certificates are good, PEM.
    pub client_ca_file: Option<PathBuf>,
    /// Whether clients must show one.
    pub client_certificates: ClientCertificates,
}

/// What one user may ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserLimits {
    /// Mints and sign-outs in a span of time; `None` means no limit.
    pub user_rate: Option<Rate>,
}

/// A listening address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// IP address and port.
    Tcp(SocketAddr),
    /// Path of a unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Logging.
#[derive(Clone, Debug)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Level or filter.
    pub level: String,
    /// Which requests get a line.
    pub requests: RequestLines,
    /// How users appear.
    pub users: UserLines,
    /// Whether lines of the gateway show parameters: ids of rooms, users and messages.
    pub gateway_params: bool,
    /// File or variable of the level, for messages.
    pub origin: String,
}

/// Protection of session routes against other sites' pages.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// Origins that may call from other sites, as browsers send them: without a default port.
    pub allow_origins: BTreeSet<String>,
    /// Hosts that are served, lower case without port; empty means any.
    pub allow_hosts: BTreeSet<String>,
    /// Header that must be present.
    pub require_header: Option<http::HeaderName>,
}

/// Limits of the session cache.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// Sessions at most; 0 caches nothing.
    pub max_entries: u64,
    /// Bytes at most.
    pub max_bytes: u64,
}

/// One account at a provider, as written; its definition checks the settings.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Name of the definition.
    pub preset: String,
    /// One mint, upsert and retries included, takes this long at most.
    pub timeout: Duration,
    /// Repeats of a failed call where that is safe.
    pub retries: u32,
    /// The client's refresh margin, where the operator's pages use another than the definition says.
    pub client_margin: Option<Duration>,
    /// How long an upsert is remembered, if not as the definition says.
    pub upsert_memory: Option<Duration>,
    /// Mints and sign-outs that may have the provider at work at once.
    pub calls_at_once: usize,
    /// Calls in a span of time, if not as the definition says: `"90/min"`.
    pub rate: Option<String>,
    /// Text before every chat user id.
    pub user_prefix: String,
    /// What happens to subjects that the provider cannot take as user ids.
    pub user_unfit: Unfit,
    /// What is added to the calls of the definition's `[gateway]`, as it was written.
    pub gateway: Map<String, Value>,
    /// What the definition declares.
    pub settings: BTreeMap<String, Value>,
    /// File of the table, for messages.
    pub origin: String,
    /// Files and variables of settings that stand elsewhere, by setting.
    pub origins: BTreeMap<String, String>,
}

impl Provider {
    /// Where `setting` comes from, for messages.
    pub fn origin_of(&self, setting: &str) -> &str {
        self.origins.get(setting).unwrap_or(&self.origin)
    }
}

impl Config {
    /// Whether sessions are made at this provider. One that webhooks or the gateway name, and no route, needs nothing but
    /// what they need.
    pub fn has_sessions(&self, provider: &str) -> bool {
        let mut webhooks = self.webhooks.iter().flat_map(|webhooks| &webhooks.served);
        let is_elsewhere = webhooks.any(|own| own.provider == provider) || self.is_mounted(provider);
        !is_elsewhere || self.routes.iter().any(|route| route.provider == provider)
    }

    /// Whether this provider is called through the gateway.
    pub fn is_mounted(&self, provider: &str) -> bool {
        self.gateway.iter().flat_map(|gateway| &gateway.mounts).any(|mount| mount.provider == provider)
    }

    /// Our own listeners, each with its key.
    pub fn listeners(&self) -> Vec<(String, &Listen)> {
        let mut all =
            vec![("server.listen".to_owned(), &self.server.listen), ("ops.listen".to_owned(), &self.ops.listen)];
        all.extend(self.grpc.iter().map(|grpc| ("grpc.listen".to_owned(), &grpc.listen)));
        all.extend(self.webhooks.iter().map(|own| ("webhook_server.listen".to_owned(), &own.server.listen)));
        all.extend(self.gateway.iter().flat_map(Gateway::listeners));
        all
    }

    /// TLS of every section that has it.
    pub fn tls(&self) -> impl Iterator<Item = &Tls> {
        let webhooks = self.webhooks.iter().filter_map(|webhooks| webhooks.server.tls.as_ref());
        let gateway = self.gateway.iter().filter_map(|gateway| gateway.tls.as_ref());
        self.server.tls.iter().chain(webhooks).chain(gateway)
    }

    /// Reads and checks everything. All mistakes that can be found in one pass are in the error.
    pub fn load(sources: &Sources, environment: &Environment) -> Result<Self, ConfigErrors> {
        let (config, errors) = Self::examine(sources, environment);
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
    }

    /// What is good of the configuration, and every mistake in the rest: to be looked at further, never to be served.
    pub fn examine(sources: &Sources, environment: &Environment) -> (Self, Vec<ConfigError>) {
        let mut errors = Vec::new();
        let layers = Layers::read(sources, environment, &mut errors);
        layers.check_sections(&mut errors);
        let config = Check { layers: &layers, errors: &mut errors }.config(environment);
        (Self { definitions: sources.definitions.clone(), ..config }, errors)
    }
}
