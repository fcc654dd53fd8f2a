//! Why there is no answer, as far as the client tells: what an operator needs to know to mend it.

use std::error::Error;
use std::io;

use tokio_rustls::rustls;
use tokio_rustls::rustls::CertificateError;

use super::hosts::NotGranted;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub enum SendError {
    /// No connection: the request was not sent, so a repeat is always safe.
    Connect(ConnectError),
    /// The deadline passed.
    Timeout,
    /// The connection broke or the answer was cut short.
    Broken,
    /// The answer is larger than any honest one.
    TooLarge,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The name of the host leads nowhere.
    Dns,
    /// No process listens there.
    Refused,
    /// It took too long.
    Timeout,
    /// The certificate is signed by an unknown authority.
    TlsAuthority,
    /// The certificate is not valid now.
    TlsExpired,
    /// The certificate is for another host.
    TlsName,
    /// Something else about encryption.
    Tls,
    /// The proxy cannot be reached.
    Proxy,
    /// The proxy wants to know who asks.
    ProxyAuth,
    /// The proxy does not connect to the host.
    ProxyRefused,
    /// It is not among the hosts that the team may call.
    NotGranted,
    /// Something else.
    Unreachable,
}

impl SendError {
    /// The same for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Connect(error) => match error {
                ConnectError::Dns => "no connection: DNS lookup of the host failed",
                ConnectError::Refused => "no connection: connection refused",
                ConnectError::Timeout => "no connection: timed out",
                ConnectError::TlsAuthority => "no connection: TLS failed, the certificate is from an unknown authority",
                ConnectError::TlsExpired => {
                    "no connection: TLS failed, the certificate has expired or is not yet valid"
                }
                ConnectError::TlsName => "no connection: TLS failed, the certificate is for another host",
                ConnectError::Tls => "no connection: TLS failed",
                ConnectError::Proxy => "no connection: the proxy cannot be reached",
                ConnectError::ProxyAuth => "no connection: the proxy asks for a user and a password",
                ConnectError::ProxyRefused => "no connection: the proxy makes no connection to the host",
                ConnectError::NotGranted => {
                    "no connection: the grant of the team lists no such host or address in provider_hosts"
                }
                ConnectError::Unreachable => "no connection: the host cannot be reached",
            },
            Self::Timeout => "timed out: no answer within the deadline",
            Self::Broken => "connection broke",
            Self::TooLarge => "answer too large",
        }
    }
}

/// Why there is no answer, with what the client says of it.
#[derive(Debug)]
pub(super) enum Failure {
    Timeout,
    TooLarge,
    /// What the client says, and whether it went through a proxy.
    Transport(reqwest::Error, bool),
}

impl Failure {
    pub(super) fn kind(&self) -> SendError {
        match self {
            Self::Timeout => SendError::Timeout,
            Self::TooLarge => SendError::TooLarge,
            Self::Transport(error, proxied) if error.is_connect() => SendError::Connect(connecting(error, *proxied)),
            Self::Transport(error, _) if error.is_timeout() => SendError::Timeout,
            Self::Transport(..) => SendError::Broken,
        }
    }

    /// Whether an error of this type is behind it.
    pub(super) fn is<E: Error + 'static>(&self) -> bool {
        let Self::Transport(error, _) = self else { return false };
        chain(error).any(<dyn Error>::is::<E>)
    }
}

fn connecting(error: &reqwest::Error, proxied: bool) -> ConnectError {
    if let Some(error) = chain(error).find_map(|error| error.downcast_ref::<rustls::Error>()) {
        return tls(error);
    }
    if proxied {
        return through_proxy(error);
    }
    if chain(error).any(<dyn Error>::is::<NotGranted>) {
        return ConnectError::NotGranted;
    }
    if error.is_timeout() {
        return ConnectError::Timeout;
    }
    if error.is_dns() {
        return ConnectError::Dns;
    }
    let mut kinds = chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
    if kinds.any(|kind| kind == io::ErrorKind::ConnectionRefused) {
        return ConnectError::Refused;
    }
    ConnectError::Unreachable
}

/// The client has no type for what a proxy says.
fn through_proxy(error: &reqwest::Error) -> ConnectError {
    let told = chain(error).map(ToString::to_string).find_map(|text| match text.as_str() {
        "tunnel error: proxy authorization required" => Some(ConnectError::ProxyAuth),
        "tunnel error: unsuccessful" | "tunnel error: unexpected end of file" => Some(ConnectError::ProxyRefused),
        _ => None,
    });
    told.unwrap_or(ConnectError::Proxy)
}

fn tls(error: &rustls::Error) -> ConnectError {
    let rustls::Error::InvalidCertificate(error) = error else { return ConnectError::Tls };
    match error {
        CertificateError::UnknownIssuer => ConnectError::TlsAuthority,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => ConnectError::TlsExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => ConnectError::TlsName,
        _ => ConnectError::Tls,
    }
}

/// An error and all behind it.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| behind(*error))
}

/// What an error comes from. An I/O error hides the one that it stands for, so that one is looked for in it.
fn behind<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
