//! From PEM files to a configuration of rustls: TLS 1.2 and 1.3 with the suites that rustls takes for good today, on
//! aws-lc-rs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig, version};

use super::dates;
use crate::clock::{Clock, Timestamp};
use crate::config::{self, ClientCertificates};
use crate::definition::{Key, Mistake};
use crate::secrets::{Secret, SecretSet, SecretSource};

/// Keys of the table `tls`, which are also the names of the files in their set.
const CERTIFICATE: &str = "cert_file";
const KEY: &str = "key_file";
pub(super) const CLIENT_CA: &str = "client_ca_file";

/// Sessions that may be resumed at once.
const SESSIONS: usize = 1024;

/// Where the files are.
pub(super) fn sources(configured: &config::Tls) -> BTreeMap<String, SecretSource> {
    let file = |path: &PathBuf| SecretSource::File(path.clone());
    let mut sources = BTreeMap::from([
        (CERTIFICATE.to_owned(), file(&configured.cert_file)),
        (KEY.to_owned(), file(&configured.key_file)),
    ]);
    sources.extend(configured.client_ca_file.as_ref().map(|path| (CLIENT_CA.to_owned(), file(path))));
    sources
}

fn wrong(name: &str, problem: impl Into<String>) -> Mistake {
    Mistake::new(Key::of(name), problem)
}

/// When the first certificate of the chain expires.
pub(super) fn expiry(files: &SecretSet) -> Result<Timestamp, Mistake> {
    let Some(file) = files.get(CERTIFICATE) else { return Err(wrong(CERTIFICATE, "is missing")) };
    first_expiry(file).map_err(|problem| wrong(CERTIFICATE, problem))
}

/// When the first of the certificates in `file` expires.
pub(super) fn first_expiry(file: &Secret) -> Result<Timestamp, &'static str> {
    let all = certificates(file)?;
    let expiries: Option<Vec<Timestamp>> = all.iter().map(|certificate| dates::expiry(certificate)).collect();
    expiries.and_then(|all| all.into_iter().min()).ok_or("holds a certificate that is malformed")
}

fn certificates(file: &Secret) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file.expose()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err("holds no certificate; write PEM, the server's own certificate first"),
        Err(_) => Err("is not PEM"),
    }
}

/// What rustls is told.
pub(super) fn server_config(
    files: &SecretSet,
    configured: &config::Tls,
    http2: bool,
    clock: &Arc<dyn Clock>,
) -> Result<ServerConfig, Mistake> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let own = certified_key(files, configured, &provider)?;
    let time: Arc<dyn TimeProvider> = Arc::new(Time(Arc::clone(clock)));
    let builder = ServerConfig::builder_with_details(Arc::clone(&provider), time)
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| wrong(CERTIFICATE, error.to_string()))?;
    let authorities = files.get(CLIENT_CA);
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file).map_err(|problem| wrong(CLIENT_CA, problem))? {
                roots.add(certificate).map_err(|_| wrong(CLIENT_CA, "holds a certificate that is malformed"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match configured.client_certificates {
                ClientCertificates::Required => verifier, // T-01: required certificate
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(CLIENT_CA, error.to_string()))?)
        }
    };
    let mut rustls = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    // T-50: HTTP/2 only where configured
    rustls.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    if authorities.is_some() {
        // A resumed session keeps the client's certificate and does not look at it again: it would outlive the
        // certificate. Proxies keep their connections, so little is lost.
        rustls.session_storage = Arc::new(NoServerSessionStorage {});
        rustls.send_tls13_tickets = 0;
    } else {
        // Made anew with each generation, so nothing is resumed that began with another certificate.
        rustls.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    }
    Ok(rustls)
}

/// The same for a listener of HTTP/2 alone.
pub(super) fn with_http2_only(rustls: &ServerConfig) -> ServerConfig {
    let mut own = rustls.clone();
    own.alpn_protocols = vec![b"h2".to_vec()];
    own
}

fn certified_key(
    files: &SecretSet,
    configured: &config::Tls,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Mistake> {
    let (Some(chain), Some(key)) = (files.get(CERTIFICATE), files.get(KEY)) else {
        return Err(wrong(KEY, "is missing"));
    };
    let chain = certificates(chain).map_err(|problem| wrong(CERTIFICATE, problem))?;
    let key = PrivateKeyDer::from_pem_slice(key.expose())
        .map_err(|_| wrong(KEY, "holds no private key; write PEM: PKCS #8, PKCS #1 or SEC 1, without a password"))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            wrong(KEY, format!("is not the key of the certificate in {}.tls.{CERTIFICATE}", configured.section))
        }
        Error::InvalidCertificate(_) => wrong(CERTIFICATE, "holds a certificate that is malformed"),
        _ => wrong(KEY, "holds a private key that cannot be used; write RSA, ECDSA or Ed25519"),
    })
}

/// The time, for rustls.
#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
