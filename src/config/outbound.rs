//! How calls leave: through which proxy, and which authorities are trusted beside the system's.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use url::{Host, Url};

use super::Listen;
use crate::secrets::Secret;

/// The way out.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    /// Proxy for addresses that begin with `https`.
    pub https_proxy: Option<Proxy>,
    /// Proxy for addresses that begin with `http`.
    pub http_proxy: Option<Proxy>,
    /// What is called without a proxy.
    pub no_proxy: Vec<Bypass>,
    /// Authorities that are trusted beside the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Where the variable `SSL_CERT_FILE` says that the system's authorities are. The library of TLS reads it by itself.
    pub system_ca: Option<PathBuf>,
    /// What the operator should be told at start: one sentence each.
    pub cautions: Vec<String>,
    /// File of the section, for messages.
    pub origin: String,
}

/// A forward proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Scheme, host and port.
    pub url: Url,
    /// Who asks it.
    pub auth: Option<ProxyAuth>,
}

/// User and password for a proxy: `user:password`.
#[derive(Clone, Debug)]
pub enum ProxyAuth {
    /// In this file.
    File(PathBuf),
    /// In a variable.
    Given(Secret),
}

impl PartialEq for ProxyAuth {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Given(one), Self::Given(other)) => one.same_as(other),
            _ => false,
        }
    }
}

impl Eq for ProxyAuth {}

/// What is called without a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// Everything.
    All,
    /// Addresses of this network.
    Network(IpNet),
    /// The host of this name and all below it, on this port where there is one.
    Host(String, Option<u16>),
}

impl Bypass {
    /// Reads one entry of a list: `*`, an address, a network, a name.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Some(Self::All);
        }
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if let Ok(network) = bare.parse::<IpNet>() {
            return Some(Self::Network(network.trunc()));
        }
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Network(address.into()));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text.as_str(), None),
        };
        let name = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')).unwrap_or(name).trim_end_matches('.');
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        name.split('.').all(label).then(|| Self::Host(name.to_owned(), port))
    }

    fn covers(&self, url: &Url) -> bool {
        match (self, url.host()) {
            (Self::All, _) => true,
            (Self::Network(network), Some(Host::Ipv4(address))) => network.contains(&IpAddr::from(address)),
            (Self::Network(network), Some(Host::Ipv6(address))) => {
                network.contains(&IpAddr::from(address)) || network.contains(&address.to_canonical())
            }
            (Self::Host(own, port), Some(host)) => {
                let host = host.to_string();
                let host = host.trim_end_matches('.');
                let below = host.strip_suffix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                below && port.is_none_or(|port| url.port_or_known_default() == Some(port))
            }
            (Self::Network(_), _) | (Self::Host(..), None) => false,
        }
    }
}

impl Outbound {
    /// The proxy that a call of `url` goes through. This machine is always called directly.
    pub fn proxy_for(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            "https" => self.https_proxy.as_ref(),
            "http" => self.http_proxy.as_ref(),
            _ => None,
        };
        proxy.filter(|_| !is_this_machine(url) && !self.no_proxy.iter().any(|bypass| bypass.covers(url)))
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => is_localhost(name),
        None => false,
    }
}

/// `url` gives hosts in lower case.
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

impl Listen {
    /// Whether a call of `url` arrives here, as far as the address says.
    pub fn is_reached_by(&self, url: &Url) -> bool {
        let Self::Tcp(own) = self else { return false };
        if own.port() == 0 || url.port_or_known_default() != Some(own.port()) {
            return false;
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => address.to_canonical(),
            // It is this machine, by whichever of its addresses.
            Some(Host::Domain(name)) => {
                return is_localhost(name) && (own.ip().is_loopback() || own.ip().is_unspecified());
            }
            None => return false,
        };
        let is_here = address.is_loopback() || address.is_unspecified();
        address == own.ip().to_canonical()
            || is_here && own.ip().is_unspecified()
            || address.is_unspecified() && own.ip().is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_direct(no_proxy: &str, url: &str) -> bool {
        let proxy = Proxy { url: "http://proxy.example:3128".parse().expect("a URL"), auth: None };
        let no_proxy = no_proxy.split(',').filter(|entry| !entry.is_empty());
        let outbound = Outbound {
            https_proxy: Some(proxy.clone()),
            http_proxy: Some(proxy),
            no_proxy: no_proxy.map(|entry| Bypass::parse(entry).expect(entry)).collect(),
            ..Outbound::default()
        };
        outbound.proxy_for(&url.parse().expect(url)).is_none()
    }

    #[test]
    fn this_machine_and_what_is_listed_is_called_directly() {
        for (no_proxy, url, direct) in [
            ("", "https://api.example.com/", false),
            ("", "https://10.0.0.1/", false),
            ("", "http://localhost:8080/", true),
            ("", "http://a.localhost/", true),
            ("", "http://127.8.9.1/", true),
            ("", "http://0x7f.1/", true),
            ("", "https://[::1]/", true),
            ("", "https://[::ffff:127.0.0.1]/", true),
            ("*", "https://api.example.com/", true),
            ("example.com", "https://example.com/", true),
            ("example.com", "https://api.EXAMPLE.com./", true),
            ("example.com", "https://badexample.com/", false),
            ("example.com", "https://example.com.evil.example/", false),
            (".example.com", "https://api.example.com/", true),
            ("*.Example.com", "https://api.example.com/", true),
            ("example.com:8443", "https://example.com/", false),
            ("example.com:443", "https://example.com/", true),
            ("other.example, example.com", "https://example.com/", true),
            ("10.0.0.0/8", "https://10.1.2.3/", true),
            ("10.0.0.0/8", "https://[::ffff:10.1.2.3]/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("10.1.2.3", "https://10.1.2.3/", true),
            ("fd00::/8", "https://[fd12::1]/", true),
            ("[fd12::1]", "https://[fd12::1]/", true),
        ] {
            assert_eq!(is_direct(no_proxy, url), direct, "{no_proxy} {url}");
        }
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for text in ["", " ", "10.*", "<local>", "http://example.com", "a b", "example.com:port", "10.0.0.0/40", "*x"] {
            assert_eq!(Bypass::parse(text), None, "{text}");
        }
    }
}
