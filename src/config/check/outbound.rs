//! Checks `[outbound]`, and the variables of the environment that say the same, such as `HTTPS_PROXY`.

use percent_encoding::percent_decode_str;
use url::Url;

use super::Check;
use crate::config::{Bypass, ConfigError, Environment, Outbound, Proxy, ProxyAuth, raw};
use crate::secrets::Secret;

/// Variables that name a proxy; the first that is set counts.
const HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
/// Variables that name what is called without one.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Variable that names the file of the system's authorities.
const SYSTEM_CA: &str = "SSL_CERT_FILE";

impl Check<'_> {
    pub(super) fn outbound(&mut self, environment: &Environment) -> Outbound {
        let raw: raw::Outbound = self.layers.section("outbound", self.errors);
        let mut used = Vec::new();
        let mut cautions = Vec::new();
        let auth_file = raw.proxy_auth_file.filter(|file| !file.is_empty());
        if auth_file.is_some() && raw.proxy.is_empty() {
            self.refuse("outbound.proxy_auth_file", "needs outbound.proxy: who is to be told user and password");
        }
        let (https_proxy, http_proxy) = if raw.proxy.is_empty() {
            let mut of = |names| {
                let found = if raw.from_env { set(environment, names) } else { None };
                found.and_then(|(name, text)| {
                    used.push(name);
                    self.proxy_of_variable(name, text)
                })
            };
            (of(&HTTPS[..]), of(&HTTP[..]))
        } else {
            let proxy = self.proxy_of_file(&raw.proxy, auth_file);
            (proxy.clone(), proxy)
        };
        let mut no_proxy = Vec::new();
        for entry in &raw.no_proxy {
            match Bypass::parse(entry) {
                Some(bypass) => no_proxy.push(bypass),
                None => self.refuse("outbound.no_proxy", format!("\"{entry}\" is not an entry; {ENTRIES}")),
            }
        }
        if let Some((name, text)) = set(environment, &NO_PROXY).filter(|_| raw.from_env && raw.no_proxy.is_empty()) {
            used.push(name);
            for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
                match Bypass::parse(entry) {
                    Some(bypass) => no_proxy.push(bypass),
                    None => cautions.push(format!("{name} holds \"{entry}\", which is ignored; {ENTRIES}")),
                }
            }
        }
        cautions.extend(ignored(environment, &used, raw.from_env));
        Outbound {
            https_proxy,
            http_proxy,
            no_proxy,
            ca_file: raw.ca_file.filter(|file| !file.is_empty()).map(Into::into),
            system_ca: environment.get(SYSTEM_CA).map(Into::into),
            cautions,
            origin: self.layers.origin("outbound"),
        }
    }

    fn proxy_of_file(&mut self, text: &str, auth_file: Option<String>) -> Option<Proxy> {
        match address(text) {
            Ok(url) if has_user(&url) => {
                self.refuse(
                    "outbound.proxy",
                    "holds a user or a password; write user:password into a file, and its path as outbound.proxy_auth_file",
                );
                None
            }
            Ok(url) => Some(Proxy { url, auth: auth_file.map(|file| ProxyAuth::File(file.into())) }),
            Err(problem) => {
                self.refuse("outbound.proxy", problem);
                None
            }
        }
    }

    fn proxy_of_variable(&mut self, name: &str, text: &str) -> Option<Proxy> {
        // As everywhere, a host alone is one that speaks http.
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        match address(&whole) {
            Ok(mut url) => {
                let auth = has_user(&url).then(|| {
                    let part = |part: &str| percent_decode_str(part).collect::<Vec<u8>>();
                    let user = part(url.username());
                    ProxyAuth::Given(Secret::new([&user[..], b":", &part(url.password().unwrap_or_default())].concat()))
                });
                // Neither can fail where there is a host.
                let bare = url.set_username("").and_then(|()| url.set_password(None));
                bare.ok().map(|()| Proxy { url, auth })
            }
            Err(problem) => {
                self.errors.push(ConfigError::at(name, problem));
                None
            }
        }
    }
}

/// What an entry may be.
const ENTRIES: &str = "write a name such as \"example.com\" (with all below it), an address, a network, or \"*\"";

/// The first variable that is set.
fn set<'e>(environment: &'e Environment, names: &[&'static str]) -> Option<(&'static str, &'e str)> {
    names.iter().find_map(|name| Some((*name, environment.get(name)?)))
}

/// An address of a proxy. The text is not repeated: a password may be in it.
fn address(text: &str) -> Result<Url, &'static str> {
    let url: Url =
        text.trim().parse().map_err(|_error| "is not an address; write \"http://proxy.example.com:3128\"")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is not the address of an HTTP proxy; write http:// or https://");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("holds more than scheme, host and port; write \"http://proxy.example.com:3128\"");
    }
    Ok(url)
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Which variables are set and mean nothing.
fn ignored(environment: &Environment, used: &[&str], from_env: bool) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in HTTPS.iter().chain(&HTTP).chain(&NO_PROXY) {
        if environment.get(name).is_some() && !used.contains(name) && !names.contains(name) {
            names.push(name);
        }
    }
    let last = names.pop()?;
    let all = if names.is_empty() { last.to_owned() } else { format!("{} and {last}", names.join(", ")) };
    let verb = if names.is_empty() { "is" } else { "are" };
    let remedy = if from_env {
        "another variable or [outbound] says the same"
    } else {
        "set outbound.from_env = true to use what variables say, or remove them"
    };
    Some(format!("{all} {verb} set and ignored; {remedy}"))
}
