//! The way out: which authorities are trusted, and which addresses are called through a proxy.

use std::path::Path;

use http::HeaderValue;
use url::Url;

use super::base;
use crate::config::{self, ConfigError, Proxy, ProxyAuth};
use crate::definition::{Key, Mistake};
use crate::secrets::{read_secret, read_text};

/// Bytes of a file with authorities at most; those of a whole system are some hundred thousand.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// How connections are made.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    rules: config::Outbound,
    authorities: Vec<reqwest::Certificate>,
    proxies: Vec<reqwest::Proxy>,
}

impl Way {
    /// Reads the files that the configuration names.
    pub(super) fn open(rules: &config::Outbound) -> Result<Self, ConfigError> {
        let wrong = |key: &str, mistake: Mistake| {
            ConfigError::at(rules.origin.clone(), mistake.within(Key::of("outbound").below(key)))
        };
        if let Some(path) = &rules.system_ca {
            let read = bundle(path).and_then(|pem| authorities(&pem));
            read.map_err(|mistake| ConfigError::at("SSL_CERT_FILE", mistake))?;
        }
        let authorities = match &rules.ca_file {
            Some(path) => {
                bundle(path).and_then(|pem| authorities(&pem)).map_err(|mistake| wrong("ca_file", mistake))?
            }
            None => Vec::new(),
        };
        let mut proxies = Vec::new();
        for (proxy, is_https) in [(&rules.https_proxy, true), (&rules.http_proxy, false)] {
            let Some(proxy) = proxy else { continue };
            let url = proxy.url.clone();
            let own = if is_https { reqwest::Proxy::https(url) } else { reqwest::Proxy::http(url) };
            let own = own.map_err(|error| wrong("proxy", plain(error)))?;
            let auth = credentials(proxy).map_err(|mistake| wrong("proxy_auth_file", mistake))?;
            proxies.push(auth.into_iter().fold(own, reqwest::Proxy::custom_http_auth));
        }
        Ok(Self { rules: rules.clone(), authorities, proxies })
    }

    /// A client that connects by itself.
    pub(super) fn direct(&self) -> reqwest::ClientBuilder {
        base().tls_certs_merge(self.authorities.iter().cloned())
    }

    /// A client that connects through the proxies, where there are any.
    pub(super) fn proxied(&self) -> Option<reqwest::ClientBuilder> {
        (!self.proxies.is_empty())
            .then(|| self.proxies.iter().cloned().fold(self.direct(), reqwest::ClientBuilder::proxy))
    }

    /// Whether a call of `url` goes through a proxy.
    pub(super) fn is_proxied(&self, url: &Url) -> bool {
        self.rules.proxy_for(url).is_some()
    }
}

/// Certificates in PEM.
pub(super) fn authorities(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, Mistake> {
    let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(plain)?;
    if certificates.is_empty() { Err("holds no certificate".into()) } else { Ok(certificates) }
}

/// What the library says of a client that cannot be made, without the address.
pub(super) fn plain(error: reqwest::Error) -> Mistake {
    error.without_url().to_string().into()
}

/// What tells the proxy who asks, where it wants to know.
fn credentials(proxy: &Proxy) -> Result<Option<HeaderValue>, Mistake> {
    use base64::Engine as _;
    let secret = match &proxy.auth {
        None => return Ok(None),
        Some(ProxyAuth::Given(secret)) => secret.clone(),
        Some(ProxyAuth::File(path)) => read_secret(path).map_err(|error| error.to_string())?,
    };
    let text = secret.expose_text().map(str::trim_end).unwrap_or_default();
    if !text.contains(':') || text.contains(char::is_control) {
        return Err("must hold one line, user:password".into());
    }
    let header = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    let mut header = HeaderValue::try_from(header).map_err(|_error| "cannot be sent")?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// The content of a file with authorities. Those of a system are larger than any secret.
fn bundle(path: &Path) -> Result<Vec<u8>, Mistake> {
    let text = read_text(path, MOST_BYTES).map_err(|error| format!("{} {error}", path.display()))?;
    Ok(text.into_bytes())
}
