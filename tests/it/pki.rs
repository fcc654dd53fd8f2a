//! Certificates of our own making, a folder that they are mounted in, and a TLS client that shows them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::client::{Answer, Connection, request};
use crate::harness::SESSION;

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// A server that shows it, to every client.
    pub fn acceptor(&self) -> TlsAcceptor {
        let chain = vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()))
    }
}

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "an authority");
        (parameters.not_before, parameters.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2040, 1, 1));
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    /// A certificate until the beginning of `year`. Names with `://` are URIs, others are hosts.
    pub fn issue(&self, names: &[&str], common_name: &str, year: i32) -> Pair {
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = names
            .iter()
            .map(|name| {
                if let Ok(address) = name.parse() {
                    return SanType::IpAddress(address);
                }
                let text = (*name).try_into().unwrap();
                if name.contains("://") { SanType::URI(text) } else { SanType::DnsName(text) }
            })
            .collect();
        parameters.distinguished_name.push(DnType::CommonName, common_name);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (parameters.not_before, parameters.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    pub fn server(&self) -> Pair {
        self.issue(&["sidemint.test"], "sidemint", 2040)
    }

    pub fn client(&self, name: &str) -> Pair {
        self.issue(&[name], "a client", 2040)
    }
}

/// A folder as Kubernetes mounts secrets: a new version replaces `..data` in one step.
pub struct Mount {
    folder: tempfile::TempDir,
    version: Cell<u32>,
}

impl Mount {
    pub fn of(files: &[(&str, &str)]) -> Self {
        let mount = Self { folder: tempfile::tempdir().unwrap(), version: Cell::new(0) };
        mount.swap(files);
        for (file, _) in files {
            std::os::unix::fs::symlink(format!("..data/{file}"), mount.folder.path().join(file)).unwrap();
        }
        mount
    }

    pub fn of_pair(pair: &Pair, client_ca: &str) -> Self {
        Self::of(&[("tls.crt", &pair.certificate), ("tls.key", &pair.key), ("ca.crt", client_ca)])
    }

    pub fn swap(&self, files: &[(&str, &str)]) {
        self.version.set(self.version.get() + 1);
        let new = format!("..{}", self.version.get());
        let at = |name: &str| self.folder.path().join(name);
        std::fs::create_dir(at(&new)).unwrap();
        for (file, content) in files {
            std::fs::write(at(&new).join(file), content).unwrap();
        }
        std::os::unix::fs::symlink(&new, at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    }

    pub fn swap_pair(&self, pair: &Pair, client_ca: &str) {
        self.swap(&[("tls.crt", &pair.certificate), ("tls.key", &pair.key), ("ca.crt", client_ca)]);
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// The path as a TOML value.
    pub fn toml(&self, file: &str) -> String {
        format!("\"{}\"", self.path(file).display())
    }
}

/// A client and what it remembers of sessions.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    pub fn new(authority: &str, own: Option<&Pair>) -> Self {
        Self::speaking(&[&version::TLS13, &version::TLS12], &[], authority, own)
    }

    pub fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
        authority: &str,
        own: Option<&Pair>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap())
                    .unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    pub async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("sidemint.test").unwrap();
        TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await
    }

    /// The answer to one request; `None` when TLS does not come that far. With TLS 1.3 a client learns of a refused
    /// certificate only when it reads.
    pub async fn ask(&self, address: SocketAddr, headers: &[(&str, &str)]) -> Option<Answer> {
        let mut connection = Connection::over(self.connect(address).await.ok()?);
        connection.try_send(request("GET", SESSION, headers, b"")).await;
        connection.answer().await
    }
}
