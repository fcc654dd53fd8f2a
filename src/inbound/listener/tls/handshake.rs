//! The handshake of one connection: under a deadline, counted when it fails, and never worth more than a debug line,
//! because scanners fail it all day.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use strum::{IntoStaticStr, VariantArray};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{CertificateError, Error};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::Tls;
use crate::clock::Sleep;
use crate::metrics::{ByVariant, Label as _, Metrics};

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum Failure {
    /// It took too long.
    Timeout,
    /// The client went away.
    Closed,
    /// What came is not TLS: plain HTTP for one.
    NotTls,
    /// No version, suite or protocol that both speak.
    Incompatible,
    /// The client does not like our certificate, or something else of ours.
    RefusedByClient,
    /// No client certificate where one is required.
    CertificateMissing,
    /// The client's certificate is out of its time.
    CertificateExpired,
    /// The client's certificate is not of one of our authorities.
    CertificateIssuer,
    /// The client's certificate is wrong in another way.
    Certificate,
    /// Anything else.
    Other,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return Self::Closed;
        };
        match tls {
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::PeerSentOversizedRecord => {
                Self::NotTls
            }
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible,
            Error::AlertReceived(_) => Self::RefusedByClient,
            Error::NoCertificatesPresented => Self::CertificateMissing,
            Error::InvalidCertificate(fault) => match fault {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::CertificateExpired,
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::CertificateIssuer,
                _ => Self::Certificate,
            },
            _ => Self::Other,
        }
    }
}

/// Does the TLS handshakes with the clients of one listener.
#[derive(Debug)]
pub(in crate::inbound) struct Handshakes {
    tls: Arc<Tls>,
    http2_only: bool,
    deadline: Duration,
    failures: ByVariant<Failure>,
}

/// A connection whose handshake is done.
pub(in crate::inbound) struct Secured<S> {
    stream: TlsStream<S>,
    /// Names in the verified certificate of the client.
    names: Vec<String>,
    /// Cancelled when the client must prove itself anew.
    retired: CancellationToken,
    /// Completes when the client's certificate expires; nothing without one.
    expired: Option<Sleep>,
}

impl<S> std::fmt::Debug for Secured<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured").field("names", &self.names).finish_non_exhaustive()
    }
}

impl<S> Secured<S> {
    /// The stream, what the client is called, and what completes when it must prove itself anew.
    pub(in crate::inbound) fn into_parts(self) -> (TlsStream<S>, Vec<String>, impl Future<Output = ()>) {
        let Self { stream, names, retired, expired } = self;
        let over = async move {
            let expired = async {
                match expired {
                    Some(expired) => expired.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = retired.cancelled() => {}
                () = expired => {} // T-58: end of a certificate
            }
        };
        (stream, names, over)
    }
}

impl Handshakes {
    pub(in crate::inbound) fn new(tls: Arc<Tls>, http2_only: bool, deadline: Duration, metrics: &Metrics) -> Self {
        let failed = |failure: Failure| metrics.inbound.tls_handshake_failures(tls.section(), failure.label());
        let failures = ByVariant::new(failed);
        Self { tls, http2_only, deadline, failures }
    }

    /// One handshake; `None` when it failed, which is counted.
    pub(in crate::inbound) async fn accept<S>(&self, stream: S) -> Option<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (rustls, retired) = self.tls.current(self.http2_only);
        // T-49, T-51: handshake deadline
        let failure = match tokio::time::timeout(self.deadline, TlsAcceptor::from(rustls).accept(stream)).await {
            Ok(Ok(stream)) => {
                let own = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let (names, expired) = (own.map(names), own.map(|own| self.tls.end_of(own)));
                return Some(Secured { stream, names: names.unwrap_or_default(), retired, expired });
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                Failure::of(&error)
            }
            Err(_) => Failure::Timeout,
        };
        self.failures.inc(failure);
        None
    }
}

/// Subject alternative names of a verified certificate: URIs as they are, hosts as `dns:NAME` in lower case. The common
/// name is not a name.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    let hosts = parsed.valid_dns_names().map(|name| format!("dns:{}", name.to_ascii_lowercase()));
    // A URI that could be mistaken for a host's entry is none of ours.
    let uris = parsed.valid_uri_names().filter(|uri| uri.contains("://")).map(str::to_owned);
    uris.chain(hosts).collect()
}
