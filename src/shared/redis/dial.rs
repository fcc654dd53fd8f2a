//! How the tier is reached: which server it is, who signs in, and what it must be able to do.
//!
//! Certificates are checked by name for every server that another one named as well, before any password is sent.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo,
    TlsCertificates,
};

use super::look::Use;
use super::wire::{DialError, Wire};
use crate::config::{RedisServer, SharedMode};
use crate::secrets::{Secret, read_secret};

/// The connection itself; what is asked on it has timeouts of its own.
const CONNECT: Duration = Duration::from_secs(1);

/// Secrets as they stand in their files now.
#[derive(Default)]
struct Secrets {
    password: Option<Secret>,
    sentinel_password: Option<Secret>,
    certificates: Option<TlsCertificates>,
}

/// Makes connections.
pub(super) struct Dialer {
    config: RedisServer,
    /// What is loaded into it, so that the first request finds it.
    scripts: Vec<Arc<str>>,
    what_for: Use,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("urls", &self.config.urls).finish_non_exhaustive()
    }
}

impl Dialer {
    pub(super) const fn new(config: RedisServer, scripts: Vec<Arc<str>>, what_for: Use) -> Self {
        Self { config, scripts, what_for }
    }

    /// What it is called in messages.
    pub(super) const fn name(&self) -> &'static str {
        self.what_for.name()
    }

    /// One connection, or one to each node, ready for use.
    pub(super) async fn dial(&self) -> Result<Wire, DialError> {
        let secrets = self.secrets().await?;
        let mut wire = match &self.config.mode {
            SharedMode::Single => Wire::One(self.first(&secrets).await?),
            SharedMode::Sentinel { service } => Wire::One(self.by_sentinel(service, &secrets).await?),
            SharedMode::Cluster => Wire::Many(self.cluster(&secrets).await?),
        };
        super::look::check(&mut wire, self.what_for).await?;
        self.load(&mut wire).await?;
        Ok(wire)
    }

    /// Files may be slow: no worker reads them.
    async fn secrets(&self) -> Result<Secrets, DialError> {
        let config = self.config.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let read = |path: &Path| read_secret(path).map_err(|error| DialError::new(error.to_string()));
            let optional = |path: Option<&Path>| path.map(read).transpose();
            let client = config
                .client_cert
                .as_ref()
                .map(|(cert, key)| Ok::<_, DialError>((read(cert)?, read(key)?)))
                .transpose()?;
            let certificates = TlsCertificates {
                client_tls: client.map(|(cert, key)| ClientTlsConfig {
                    client_cert: cert.expose().to_vec(),
                    client_key: key.expose().to_vec(),
                }),
                // F-13: authorities of servers
                root_cert: optional(config.ca_file.as_deref())?.map(|ca| ca.expose().to_vec()),
            };
            Ok(Secrets {
                password: optional(config.password_file.as_deref())?,
                sentinel_password: optional(config.sentinel_password_file.as_deref())?,
                certificates: config.is_tls().then_some(certificates),
            })
        });
        reading.await.unwrap_or_else(|_| Err(DialError::new("secrets could not be read".to_owned())))
    }

    fn client(address: &str, user: RedisConnectionInfo, secrets: &Secrets) -> Result<Client, DialError> {
        let info = address.into_connection_info()?.set_redis_settings(user);
        // No setting asks for this; it must stay so.
        if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
            return Err(DialError::new("its certificate would not be checked".to_owned()));
        }
        Ok(match &secrets.certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone())?,
            None => Client::open(info)?,
        })
    }

    /// Who signs in.
    fn user(&self, password: Option<&Secret>, named: bool) -> RedisConnectionInfo {
        let mut user = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(name) = self.config.username.as_ref().filter(|_| named) {
            user = user.set_username(name);
        }
        if let Some(password) = password.and_then(Secret::expose_text) {
            user = user.set_password(password);
        }
        user
    }

    async fn connect(client: &Client) -> Result<MultiplexedConnection, DialError> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    async fn first(&self, secrets: &Secrets) -> Result<MultiplexedConnection, DialError> {
        let url = self.config.urls.first().ok_or_else(|| DialError::new("no server is configured".to_owned()))?;
        let user = self.user(secrets.password.as_ref(), true);
        Self::connect(&Self::client(url.as_str(), user, secrets)?).await
    }

    /// The server that the sentinels name, where it agrees.
    async fn by_sentinel(&self, service: &str, secrets: &Secrets) -> Result<MultiplexedConnection, DialError> {
        let mut last = DialError::new("no sentinel is configured".to_owned());
        for url in &self.config.urls {
            match self.ask_sentinel(url.as_str(), service, secrets).await {
                Ok(wire) => return Ok(wire),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_sentinel(
        &self,
        sentinel: &str,
        service: &str,
        secrets: &Secrets,
    ) -> Result<MultiplexedConnection, DialError> {
        let user = self.user(secrets.sentinel_password.as_ref(), false);
        let mut asked = Self::connect(&Self::client(sentinel, user, secrets)?).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
        let named: Option<(String, u16)> = question.query_async(&mut asked).await?;
        let (host, port) =
            named.ok_or_else(|| DialError::new(format!("the sentinels know no service \"{service}\"")))?;
        let scheme = if secrets.certificates.is_some() { "rediss" } else { "redis" }; // F-14: named servers by TLS too
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let address = format!("{scheme}://{host}:{port}");
        let user = self.user(secrets.password.as_ref(), true);
        Self::connect(&Self::client(&address, user, secrets)?).await
    }

    async fn cluster(&self, secrets: &Secrets) -> Result<redis::cluster_async::ClusterConnection, DialError> {
        let mut builder = ClusterClient::builder(self.config.urls.iter().map(url::Url::as_str))
            .retries(1)
            .connection_timeout(CONNECT)
            .response_timeout(self.what_for.given_up());
        if let Some(name) = &self.config.username {
            builder = builder.username(name);
        }
        if let Some(password) = secrets.password.as_ref().and_then(Secret::expose_text) {
            builder = builder.password(password);
        }
        if let Some(certificates) = &secrets.certificates {
            builder = builder.certs(certificates.clone()).tls(redis::cluster::TlsMode::Secure);
        }
        Ok(builder.build()?.get_async_connection().await?)
    }

    /// Loads the scripts, so that the first request finds them.
    async fn load(&self, wire: &mut Wire) -> Result<(), DialError> {
        for script in &self.scripts {
            let _hash: String = redis::cmd("SCRIPT").arg("LOAD").arg(&**script).query_async(wire).await?;
        }
        Ok(())
    }
}
