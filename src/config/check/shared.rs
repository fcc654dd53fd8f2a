//! Checks `[cache.shared]`.

use std::path::PathBuf;

use url::{Host, Url};

use super::Check;
use crate::config::raw::{self, SharedMode as Raw};
use crate::config::shared::{RedisServer, Shared, SharedMode};
use crate::definition::Key;

/// Letters of a fleet's name: it is a part of every key.
const MAX_FLEET: usize = 64;
/// Servers at most: some of them are enough to find the others.
const MAX_URLS: usize = 32;

impl Check<'_> {
    /// The tier that replicas share.
    pub(super) fn shared(&mut self, raw: raw::Shared) -> Option<Shared> {
        let key = Key::of("cache").below("shared");
        let server = self.redis_server(&key, &raw.server());
        let fleet = raw.fleet.unwrap_or_default();
        self.is_part_of_keys(&key.below("fleet"), &fleet);
        let names_file = self.secret_of_tier(&key.below("names_file"), raw.names_file);
        let key_dir = self.secret_of_tier(&key.below("key_dir"), raw.key_dir);
        Some(Shared {
            server: server?,
            fleet,
            names_file: names_file?,
            key_dir: key_dir?,
            timeout: raw.timeout.0,
            expect_replicas: raw.expect_replicas.map(|count| count.0),
            cut_off: raw.cut_off,
            origin: self.layers.origin(&key.to_string()),
        })
    }

    /// The name of those who share, as a part of every key.
    pub(super) fn is_part_of_keys(&mut self, key: &Key, name: &str) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > MAX_FLEET || !name.chars().all(is_plain) {
            let problem = format!(
                "names who shares with whom, as a part of every key; write at most {MAX_FLEET} letters, digits, - . and _, \
                 such as \"prod-eu\""
            );
            self.refuse(key.clone(), problem);
        }
    }

    /// Redis or Valkey, and how it is reached.
    pub(super) fn redis_server(&mut self, key: &Key, raw: &raw::RedisServer) -> Option<RedisServer> {
        let urls = self.tier_urls(&key.below("urls"), raw);
        let mode = match (raw.mode, &raw.service) {
            (Raw::Sentinel, Some(service)) if !service.is_empty() => SharedMode::Sentinel { service: service.clone() },
            (Raw::Sentinel, _) => {
                let problem = "is missing; write what the sentinels call the service, such as \"tier\"";
                self.refuse(key.below("service"), problem);
                return None;
            }
            (_, Some(_)) => {
                self.refuse(key.below("service"), "is for mode = \"sentinel\" alone; remove it");
                return None;
            }
            (Raw::Single, None) => SharedMode::Single,
            (Raw::Cluster, None) => SharedMode::Cluster,
        };
        if mode == SharedMode::Single && urls.len() > 1 {
            let problem = "names several servers; write one, or mode = \"sentinel\" or \"cluster\"";
            self.refuse(key.below("urls"), problem);
        }
        if raw.username.is_some() && raw.password_file.is_none() {
            self.refuse(key.below("password_file"), "is missing: a user has a password; write the file that holds it");
        }
        if raw.sentinel_password_file.is_some() && !matches!(mode, SharedMode::Sentinel { .. }) {
            self.refuse(key.below("sentinel_password_file"), "is for mode = \"sentinel\" alone; remove it");
        }
        let is_tls = urls.iter().any(|url| url.scheme() == "rediss");
        let files = [("ca_file", &raw.ca_file), ("client_cert_file", &raw.client_cert_file)];
        for (name, file) in files.into_iter().chain([("client_key_file", &raw.client_key_file)]) {
            if file.is_some() && !is_tls && !urls.is_empty() {
                self.refuse(key.below(name), "is for TLS; write urls that begin with rediss://, or remove it");
            }
        }
        let client_cert = match (&raw.client_cert_file, &raw.client_key_file) {
            (Some(cert), Some(own)) => Some((PathBuf::from(cert), PathBuf::from(own))),
            (None, None) => None,
            (Some(_), None) => {
                self.refuse(key.below("client_key_file"), "is missing beside client_cert_file");
                None
            }
            (None, Some(_)) => {
                self.refuse(key.below("client_cert_file"), "is missing beside client_key_file");
                None
            }
        };
        let path = |written: &Option<String>| written.as_ref().map(PathBuf::from);
        Some(RedisServer {
            mode,
            urls,
            username: raw.username.clone(),
            password_file: path(&raw.password_file),
            sentinel_password_file: path(&raw.sentinel_password_file),
            ca_file: path(&raw.ca_file),
            client_cert,
        })
    }

    /// There is no tier without keys.
    fn secret_of_tier(&mut self, key: &Key, written: Option<String>) -> Option<PathBuf> {
        if written.is_none() {
            let problem = "is missing: what replicas share is named and sealed with secrets of their own; make both with \
                           sidemint keygen --shared FOLDER";
            self.refuse(key, problem);
        }
        written.map(PathBuf::from)
    }

    fn tier_urls(&mut self, key: &Key, raw: &raw::RedisServer) -> Vec<Url> {
        if raw.urls.is_empty() || raw.urls.len() > MAX_URLS {
            let problem =
                format!("needs one to {MAX_URLS} addresses; write where the tier is: [\"rediss://tier.example:6379\"]");
            self.refuse(key, problem);
        }
        let mut urls = Vec::new();
        for text in &raw.urls {
            match tier_url(text) {
                Ok(url) if url.scheme() == "redis" && !is_here(&url) && !raw.insecure_plaintext => {
                    let problem = format!(
                        "\"{url}\" is reached without TLS, and not on this machine: write rediss://, or \
                         insecure_plaintext = true where the network is trusted"
                    );
                    self.refuse(key, problem);
                }
                Ok(url) => urls.push(url),
                Err(problem) => self.refuse(key, problem),
            }
        }
        if urls.iter().any(|url| Some(url.scheme()) != urls.first().map(Url::scheme)) {
            self.refuse(key, "mixes redis:// and rediss://; write one of them for all");
        }
        urls
    }
}

/// An address of a server. The text is not repeated where a password may be in it.
fn tier_url(text: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "write \"rediss://tier.example:6379\"";
    let url: Url = text.parse().map_err(|_error| format!("holds what is not an address; {EXAMPLE}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or a password; write them as username and password_file".to_owned());
    }
    if !matches!(url.scheme(), "redis" | "rediss") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("holds what is not the address of a server; {EXAMPLE}"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("holds more than scheme, host and port; {EXAMPLE}"));
    }
    Ok(url)
}

/// Whether it is this machine. Schemes that the standard does not know have hosts that are text.
fn is_here(url: &Url) -> bool {
    let host = url.host().map(|host| host.to_string()).unwrap_or_default();
    match Host::parse(&host) {
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Ok(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known() {
        for (text, here) in [
            ("redis://127.0.0.1:6379", true),
            ("redis://[::1]:6379", true),
            ("redis://localhost", true),
            ("redis://10.0.0.1", false),
            ("redis://tier.example:6379", false),
            ("redis://localhost.example", false),
        ] {
            assert_eq!(is_here(&tier_url(text).unwrap()), here, "{text}");
        }
        for bad in ["", "tier", "http://a", "redis://", "redis://u:p@a", "redis://a/1", "redis://a?x=1"] {
            assert!(tier_url(bad).is_err(), "{bad}");
        }
    }
}
