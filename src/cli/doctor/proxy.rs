//! Recognises reverse proxies that have remedies of their own, by how they name themselves in answers.

use clap::ValueEnum;

/// A reverse proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Proxy {
    /// nginx
    Nginx,
    /// Caddy
    Caddy,
    /// Traefik
    Traefik,
    /// Envoy, and what is built on it
    Envoy,
    /// HAProxy
    Haproxy,
    /// Apache httpd
    Apache,
    /// Any other
    Other,
}

impl Proxy {
    /// The proxy that the value of a `Server` or `Via` header names.
    pub(super) fn named_in(value: &str) -> Option<Self> {
        const NAMES: [(&str, Proxy); 8] = [
            ("nginx", Proxy::Nginx),
            ("openresty", Proxy::Nginx),
            ("caddy", Proxy::Caddy),
            ("traefik", Proxy::Traefik),
            ("envoy", Proxy::Envoy),
            ("istio", Proxy::Envoy),
            ("haproxy", Proxy::Haproxy),
            ("apache", Proxy::Apache),
        ];
        let value = value.to_ascii_lowercase();
        NAMES.into_iter().find(|(name, _)| value.contains(name)).map(|(_, proxy)| proxy)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "Caddy",
            Self::Traefik => "Traefik",
            Self::Envoy => "Envoy",
            Self::Haproxy => "HAProxy",
            Self::Apache => "Apache httpd",
            Self::Other => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_known_by_what_they_call_themselves() {
        for (value, proxy) in [
            ("nginx/1.22.1", Some(Proxy::Nginx)),
            ("Caddy", Some(Proxy::Caddy)),
            ("1.1 Caddy", Some(Proxy::Caddy)),
            ("envoy", Some(Proxy::Envoy)),
            ("istio-envoy", Some(Proxy::Envoy)),
            ("Apache/2.4.71 (Debian)", Some(Proxy::Apache)),
            ("gunicorn", None),
        ] {
            assert_eq!(Proxy::named_in(value), proxy, "{value}");
        }
    }
}
