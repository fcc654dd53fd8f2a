//! TLS on the listeners of identity: one generation of certificate, key and client authorities in service, replaced as a whole
//! when the files change.

mod dates;
mod files;
mod handshake;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls_pki_types::CertificateDer;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Sleep, Timestamp};
use crate::config::{self, ConfigError};
use crate::metrics::Metrics;
use crate::secrets::{Refusals, Refused, SecretSet, SecretSource};

pub(super) use handshake::Handshakes;

/// The certificates in service, and how they are replaced.
#[derive(Debug)]
pub struct Tls {
    configured: config::Tls,
    http2: bool,
    sources: BTreeMap<String, SecretSource>,
    current: ArcSwap<Generation>,
    refusals: Refusals,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// Certificates from one moment.
struct Generation {
    files: SecretSet,
    rustls: Arc<ServerConfig>,
    /// The same where nothing but HTTP/2 is spoken.
    http2_only: Arc<ServerConfig>,
    /// Cancelled when clients of this generation must prove themselves anew, because the authorities are others.
    retired: CancellationToken,
    /// When the server's own certificate expires.
    expires: Timestamp,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads and checks the files of `[server.tls]`; `None` where there is no such table.
    pub fn open(
        server: &config::Server,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Arc<Self>>, Vec<ConfigError>> {
        let Some(configured) = server.tls.clone() else { return Ok(None) };
        let sources = files::sources(&configured);
        let wrong = |(name, problem): (String, String)| {
            ConfigError::new(server.origin.clone(), format!("server.tls.{name}"), problem)
        };
        let unreadable = |(name, error): (String, crate::secrets::SecretError)| wrong((name, error.to_string()));
        let set = SecretSet::read(&sources)
            .map_err(|errors| errors.into_iter().map(unreadable).collect::<Vec<ConfigError>>())?;
        let first = Generation::of(set, &configured, server.http2, clock).map_err(|problem| vec![wrong(problem)])?;
        let tls = Self {
            configured,
            http2: server.http2,
            sources,
            current: ArcSwap::from_pointee(first),
            refusals: Refusals::default(),
            clock: Arc::clone(clock),
            metrics: Arc::clone(metrics),
        };
        tls.metrics.tls_generation.set(1);
        tls.show();
        Ok(Some(Arc::new(tls)))
    }

    /// Files to watch.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        files::paths(&self.configured)
    }

    /// What is worth a warning: a certificate that clients will refuse.
    pub fn caution(&self) -> Option<String> {
        let expires = self.current.load().expires;
        (expires <= self.clock.now()).then(|| {
            let file = self.configured.cert_file.display();
            format!("the certificate in {file} expired at {}; clients will refuse it", expires.to_rfc3339())
        })
    }

    /// Reads the files again. What is new and whole replaces what was; anything else is refused, and the last good
    /// generation stays.
    pub fn reload(&self) {
        match self.read_again() {
            Ok(false) => {}
            Ok(true) => {
                self.metrics.tls_generation.inc();
                self.show();
                tracing::info!("new certificates are in use");
                if let Some(caution) = self.caution() {
                    tracing::warn!("{caution}");
                }
            }
            Err(refused) if !refused.is_news => {}
            Err(Refused { problem: (name, problem), .. }) => {
                self.metrics.tls_rejected.inc(); // T-58: rejected files counted
                let key = format!("server.tls.{name}");
                tracing::error!(key, problem, "new certificates are unusable; the last good ones stay");
            }
        }
    }

    fn read_again(&self) -> Result<bool, Refused<files::Problem>> {
        let old = self.current.load_full();
        let read = SecretSet::read_again(&self.sources, &old.files);
        let look = self.refusals.look(&read);
        let read = read.map_err(|errors| {
            let first = errors.into_iter().next();
            first.map_or_else(Default::default, |(name, error)| (name, error.to_string()))
        });
        self.refusals.note(look, read.and_then(|set| self.take(set, &old)))
    }

    /// Puts new files in service, if they are good, and says whether they are others.
    fn take(&self, set: SecretSet, old: &Generation) -> Result<bool, files::Problem> {
        if set.same_as(&old.files) {
            return Ok(false);
        }
        let same_authorities = match (set.get(files::CLIENT_CA), old.files.get(files::CLIENT_CA)) {
            (Some(new), Some(old)) => new.same_as(old),
            (new, old) => new.is_none() && old.is_none(),
        };
        let mut new = Generation::of(set, &self.configured, self.http2, &self.clock)?;
        if same_authorities {
            // Connections of the old one end with those of the new one, should the authorities change later.
            new.retired = old.retired.clone();
        }
        self.current.store(Arc::new(new));
        if !same_authorities {
            old.retired.cancel(); // T-58: old authority retired
        }
        Ok(true)
    }

    fn show(&self) {
        let generation = self.current.load();
        self.metrics.tls_expiry("certificate").set(generation.expires.as_seconds());
        if let Some(authorities) = generation.files.get(files::CLIENT_CA)
            && let Ok(expires) = files::first_expiry(authorities)
        {
            self.metrics.tls_expiry("client_ca").set(expires.as_seconds());
        }
    }

    /// Completes when a verified certificate expires: a connection is worth no more than a handshake would be now.
    fn end_of(&self, certificate: &CertificateDer<'_>) -> Sleep {
        let expires = dates::expiry(certificate).unwrap_or(Timestamp::from_seconds(0));
        self.clock.sleep_until_time(expires)
    }

    fn current(&self, http2_only: bool) -> (Arc<ServerConfig>, CancellationToken) {
        let generation = self.current.load();
        let rustls = if http2_only { &generation.http2_only } else { &generation.rustls };
        (Arc::clone(rustls), generation.retired.clone())
    }
}

impl Generation {
    fn of(
        files: SecretSet,
        configured: &config::Tls,
        http2: bool,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, files::Problem> {
        let expires = files::expiry(&files)?;
        let rustls = files::server_config(&files, configured, http2, clock)?;
        let http2_only = Arc::new(files::with_http2_only(&rustls));
        Ok(Self { files, rustls: Arc::new(rustls), http2_only, retired: CancellationToken::new(), expires })
    }
}
