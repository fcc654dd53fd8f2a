//! TLS on the listeners of one section: one generation of certificate, key and client authorities in service, replaced as a whole
//! when the files change.

mod dates;
mod files;
mod handshake;

use std::path::PathBuf;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use serde::Serialize;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Sleep, Timestamp};
use crate::config::{self, ConfigError};
use crate::definition::{Key, Mistakes};
use crate::metrics::Metrics;
use crate::secrets::{News, Reload, Reloaded, Reports, Secret, SecretSet};

pub(super) use handshake::Handshakes;

/// The certificates in service, and how they are replaced.
#[derive(Debug)]
pub struct Tls {
    configured: config::Tls,
    http2: bool,
    current: Reloaded<Generation>,
    clock: Arc<dyn Clock>,
}

/// When the certificates of one file expire.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::inbound) struct CertificateStatus {
    /// The section of the listeners.
    pub(in crate::inbound) listener: &'static str,
    /// Which file it is: `certificate` or `client_ca`.
    pub(in crate::inbound) file: &'static str,
    /// When the first of its certificates expires.
    pub(in crate::inbound) expires: Timestamp,
}

/// Certificates from one moment.
struct Generation {
    /// The file of the authorities that clients are signed by.
    authorities: Option<Secret>,
    rustls: Arc<ServerConfig>,
    /// The same where nothing but HTTP/2 is spoken.
    http2_only: Arc<ServerConfig>,
    /// Cancelled when clients of this generation must prove themselves anew, because the authorities are others.
    retired: CancellationToken,
    /// When the server's own certificate expires.
    expires: Timestamp,
    /// When the first of the authorities' certificates expires.
    authorities_expire: Option<Timestamp>,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads and checks the files of `configured`. HTTP/2 is offered where it is spoken.
    pub fn open(
        configured: &config::Tls,
        http2: bool,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, Vec<ConfigError>> {
        let key = Key::of(configured.section).below("tls");
        let reports = Reports {
            generation: Some(metrics.inbound.tls_generation(configured.section)),
            rejected: Some(metrics.inbound.tls_rejected(configured.section)),
            ..Reports::new("certificates", &key)
        };
        let make = |set: &Arc<SecretSet>| Generation::of(set, configured, http2, clock);
        let current = Reloaded::open(files::sources(configured), reports, make);
        let all = |mistakes: Mistakes| ConfigError::all(&configured.origin, mistakes.within(key)).collect::<Vec<_>>();
        let current = current.map_err(all)?;
        Ok(Arc::new(Self { configured: configured.clone(), http2, current, clock: Arc::clone(clock) }))
    }

    /// The section whose listeners speak it.
    pub(super) fn section(&self) -> &'static str {
        self.configured.section
    }

    /// What is worth a warning: a certificate that clients will refuse.
    pub fn caution(&self) -> Option<String> {
        let expires = self.current.current().expires;
        (expires <= self.clock.now()).then(|| {
            let file = self.configured.cert_file.display();
            format!("the certificate in {file} expired at {}; clients will refuse it", expires.to_rfc3339())
        })
    }

    /// When the certificates in service expire.
    pub(in crate::inbound) fn status(&self) -> Vec<CertificateStatus> {
        let generation = self.current.current();
        let listener = self.section();
        let own = CertificateStatus { listener, file: "certificate", expires: generation.expires };
        let authorities = generation.authorities_expire;
        let authorities = authorities.map(|expires| CertificateStatus { listener, file: "client_ca", expires });
        [own].into_iter().chain(authorities).collect()
    }

    /// Completes when a verified certificate expires: a connection is worth no more than a handshake would be now.
    fn end_of(&self, certificate: &CertificateDer<'_>) -> Sleep {
        let expires = dates::expiry(certificate).unwrap_or(Timestamp::from_seconds(0));
        self.clock.sleep_until_time(expires)
    }

    fn current(&self, http2_only: bool) -> (Arc<ServerConfig>, CancellationToken) {
        let generation = self.current.current();
        let rustls = if http2_only { &generation.http2_only } else { &generation.rustls };
        (Arc::clone(rustls), generation.retired.clone())
    }
}

impl Reload for Tls {
    fn files(&self) -> Vec<PathBuf> {
        self.current.files().collect()
    }

    fn reload(&self) {
        let mut ended = None;
        let news = self.current.reload(|set, old| {
            let mut new = Generation::of(set, &self.configured, self.http2, &self.clock)?;
            if new.authorities == old.authorities {
                // Connections of the old one end with those of the new one, should the authorities change later.
                new.retired = old.retired.clone();
            } else {
                ended = Some(old.retired.clone());
            }
            Ok(new)
        });
        if news != News::New {
            return;
        }
        ended.iter().for_each(CancellationToken::cancel); // T-58: old authority retired
        if let Some(caution) = self.caution() {
            tracing::warn!("{caution}");
        }
    }
}

impl Generation {
    fn of(files: &SecretSet, configured: &config::Tls, http2: bool, clock: &Arc<dyn Clock>) -> Result<Self, Mistakes> {
        let expires = files::expiry(files)?;
        let rustls = files::server_config(files, configured, http2, clock)?;
        let http2_only = Arc::new(files::with_http2_only(&rustls));
        let authorities = files.get(files::CLIENT_CA).cloned();
        let authorities_expire = authorities.as_ref().and_then(|file| files::first_expiry(file).ok());
        let (rustls, retired) = (Arc::new(rustls), CancellationToken::new());
        Ok(Self { authorities, rustls, http2_only, retired, expires, authorities_expire })
    }
}
