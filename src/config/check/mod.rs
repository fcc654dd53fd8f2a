//! Checks each section of the configuration once, makes of it what can be used, and keeps every mistake.

mod gateway;
mod grpc;
pub(super) mod identity;
mod outbound;
mod proof;
mod shared;
mod teams;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::layers::Layers;
use super::{
    Browser, Cache, ClientCertificates, Config, ConfigError, Environment, Gateway, JWKS_PATH, Listen, Log, Mode, Ops,
    Provider, Route, RouteKind, Server, Tls, UserLimits, raw,
};
use crate::decode::origin;
use crate::definition::{Count, Key, Mistake, did_you_mean};

/// Mints and sign-outs at one provider at once, where nothing is said: some hundred connections fit beside those of clients
/// under the usual limit of 1,024 descriptors, and at 100 ms a call they are 1,280 mints a second.
const CALLS_AT_ONCE: usize = 128;

/// One pass over the raw sections, collecting mistakes.
pub(super) struct Check<'a> {
    pub(super) layers: &'a Layers,
    pub(super) errors: &'a mut Vec<ConfigError>,
}

impl Check<'_> {
    /// Notes a mistake. Where one below `key` is told already, this one may come of it, and is not told.
    fn refuse(&mut self, key: impl Into<Key>, problem: impl Into<String>) {
        let key = key.into();
        if self.errors.iter().any(|error| error.mistake.key.is_below(&key)) {
            return;
        }
        let origin = self.layers.origin(&key.to_string());
        self.errors.push(ConfigError::new(origin, key, problem));
    }

    pub(super) fn config(&mut self, environment: &Environment) -> Config {
        let server = self.server();
        let ops = self.ops();
        let log: raw::Log = self.layers.section("log", self.errors);
        let identity = self.identity();
        let browser = self.browser();
        let outbound = self.outbound(environment);
        let limits = self.limits();
        let cache: raw::Cache = self.layers.section("cache", self.errors);
        let shared = cache.shared.and_then(|raw| self.shared(raw));
        let tables: Vec<(String, Option<raw::Provider>)> = self.layers.tables("providers", self.errors);
        let names: BTreeSet<String> = tables.iter().map(|(name, _)| name.clone()).collect();
        let providers = self.providers(tables);
        let routes = self.routes(&names);
        let grpc = self.grpc(&routes, [("server.listen", &server.listen), ("ops.listen", &ops.listen)]);
        self.proofs(&identity, &server, grpc.as_ref(), &routes);
        let mut listeners = vec![("server.listen", &server.listen), ("ops.listen", &ops.listen)];
        listeners.extend(grpc.as_ref().map(|grpc| ("grpc.listen", &grpc.listen)));
        let gateway = self.gateway(&names, &listeners);
        let mut listeners: Vec<_> = listeners.into_iter().map(|(key, listen)| (key.to_owned(), listen)).collect();
        listeners.extend(gateway.iter().flat_map(Gateway::listeners));
        let webhooks = self.webhooks(&names, &listeners);
        let teams = self.teams(&routes, grpc.is_some(), shared.is_some());
        Config {
            server,
            grpc,
            ops,
            log: Log {
                format: log.format,
                level: log.level,
                requests: log.requests,
                users: log.users,
                gateway_params: log.gateway_params,
                origin: self.layers.origin("log.level"),
            },
            identity,
            browser,
            outbound,
            limits,
            cache: Cache { max_entries: cache.max_entries.0, max_bytes: cache.max_bytes.0 },
            shared,
            routes,
            providers,
            webhooks,
            gateway,
            teams,
            definitions: None,
        }
    }

    fn ops(&mut self) -> Ops {
        let raw: raw::Ops = self.layers.section("ops", self.errors);
        let listen = self.listen("ops.listen", &raw.listen.0);
        Ops { listen, status: raw.status, allow_hosts: self.hosts("ops.allow_hosts", &raw.allow_hosts) }
    }

    /// Hosts that requests may name: lower case, no port.
    fn hosts<T: FromIterator<String>>(&mut self, key: &str, written: &[String]) -> T {
        for host in written {
            let problem = if has_port(host) {
                "has a port, which is not looked at; write the host alone"
            } else if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b)) {
                "is no name of a host; write it whole, such as \"sidemint.shop.svc\""
            } else {
                continue;
            };
            self.refuse(key, format!("\"{host}\" {problem}"));
        }
        written.iter().map(|host| host.to_ascii_lowercase()).collect()
    }

    fn server(&mut self) -> Server {
        let raw: raw::Server = self.layers.section("server", self.errors);
        let (head, body) = (raw.max_head_bytes.size(), raw.max_body_bytes.size());
        // Strangers have half of it, and each of them must find room for one request.
        if raw.max_unfinished_bytes.size() / 2 < head.saturating_add(body) {
            self.refuse(
                "server.max_unfinished_bytes",
                "is too small; write at least twice what server.max_head_bytes and server.max_body_bytes are together",
            );
        }
        let unix_mode = u32::from_str_radix(&raw.unix_mode, 8).unwrap_or(u32::MAX);
        if unix_mode > 0o777 {
            self.refuse("server.unix_mode", "is not a file mode; write octal text such as \"0660\"");
        }
        Server {
            listen: self.listen("server.listen", &raw.listen.0),
            unix_mode,
            max_connections: raw.max_connections.size(),
            header_timeout: raw.header_timeout.0,
            idle_timeout: raw.idle_timeout.0,
            max_headers: raw.max_headers.size(),
            max_head_bytes: raw.max_head_bytes.size(),
            max_body_bytes: raw.max_body_bytes.size(),
            max_unfinished_bytes: raw.max_unfinished_bytes.size(),
            http2: raw.http2,
            drain_delay: raw.drain_delay.0,
            drain_timeout: raw.drain_timeout.0,
            workers: Some(raw.workers.size()).filter(|workers| *workers > 0),
            tls: raw.tls.map(|tls| self.tls("server", tls)),
            origin: self.layers.origin("server"),
        }
    }

    /// The table `tls` of a listener.
    fn tls(&mut self, section: &'static str, raw: raw::Tls) -> Tls {
        let key = Key::of(section).below("tls");
        if raw.client_certificates.is_some() && raw.client_ca_file.is_none() {
            let problem = format!("needs {}: whose certificates are good", key.below("client_ca_file"));
            self.refuse(key.below("client_certificates"), problem);
        }
        Tls {
            section,
            origin: self.layers.origin(section),
            cert_file: raw.cert_file.into(),
            key_file: raw.key_file.into(),
            client_ca_file: raw.client_ca_file.map(PathBuf::from),
            client_certificates: raw.client_certificates.unwrap_or(ClientCertificates::Required),
        }
    }

    fn listen(&mut self, key: impl Into<Key>, text: &str) -> Listen {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                self.refuse(
                    key,
                    format!("\"{text}\" is not an absolute path; write \"unix:/run/sidemint/front.sock\""),
                );
            }
            return Listen::Unix(PathBuf::from(path));
        }
        match text.parse() {
            Ok(address) => Listen::Tcp(address),
            Err(_) => {
                self.refuse(
                    key,
                    format!(
                        "\"{text}\" is not an address; write IP and port such as \"127.0.0.1:8080\", or \"unix:/path\""
                    ),
                );
                Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
            }
        }
    }

    /// Refuses a listener at the address of another.
    fn differs<K: std::fmt::Display>(&mut self, key: impl Into<Key>, listen: &Listen, others: &[(K, &Listen)]) {
        let key = key.into();
        for (other_key, other) in others {
            // Port 0 is another port each time.
            let is_chosen = matches!(other, Listen::Tcp(address) if address.port() == 0);
            if listen == *other && !is_chosen {
                self.refuse(&key, format!("is {listen}, and so is {other_key}; write another address"));
            }
        }
    }

    fn browser(&mut self) -> Browser {
        let raw: raw::Browser = self.layers.section("browser", self.errors);
        let mut allow_origins = BTreeSet::new();
        for text in raw.allow_origins {
            if let Some(origin) = origin::parse(&text) {
                allow_origins.insert(origin.to_owned());
            } else {
                self.refuse(
                    "browser.allow_origins",
                    format!(
                        "\"{text}\" is not an origin as browsers send it; write scheme, host and port only, such as \
                         \"https://app.example.com\" or \"capacitor://localhost\""
                    ),
                );
            }
        }
        let require_header = match raw.require_header.as_str() {
            "" => None,
            name => http::HeaderName::from_bytes(name.as_bytes()).map_or_else(
                |_| {
                    self.refuse("browser.require_header", format!("\"{name}\" is not a header name"));
                    None
                },
                Some,
            ),
        };
        let allow_hosts = self.hosts("browser.allow_hosts", &raw.allow_hosts);
        Browser { allow_origins, allow_hosts, require_header }
    }

    fn limits(&mut self) -> UserLimits {
        let raw: raw::Limits = self.layers.section("limits", self.errors);
        let text = raw.user_rate.as_str();
        let rate = (text != "none").then(|| text.parse()).transpose();
        let user_rate = rate.unwrap_or_else(|problem: String| {
            self.refuse("limits.user_rate", format!("{problem}; or \"none\""));
            None
        });
        UserLimits { user_rate }
    }

    fn providers(&mut self, tables: Vec<(String, Option<raw::Provider>)>) -> BTreeMap<String, Provider> {
        let mut providers = BTreeMap::new();
        for (name, raw) in tables {
            let Some(raw) = raw else { continue };
            if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                self.refuse(Key::of("providers").below(&name), "is not a usable name; use letters, digits, - and _");
            }
            let origin = self.layers.origin(&format!("providers.{name}"));
            let origin_of =
                |setting: &String| (setting.clone(), self.layers.origin(&format!("providers.{name}.{setting}")));
            let origins = raw.settings.keys().map(origin_of).filter(|(_, own)| *own != origin).collect();
            providers.insert(
                name,
                Provider {
                    preset: raw.preset,
                    timeout: raw.timeout.map_or(Duration::from_secs(5), |span| span.0),
                    retries: raw.retries.map_or(2, |retries| u32::try_from(retries.0).unwrap_or(u32::MAX)),
                    calls_at_once: raw.calls_at_once.map_or(CALLS_AT_ONCE, Count::size),
                    client_margin: raw.client_margin.map(|span| span.0),
                    upsert_memory: raw.upsert_memory.map(|span| span.0),
                    rate: raw.rate,
                    user_prefix: raw.user_prefix,
                    user_unfit: raw.user_unfit,
                    gateway: raw.gateway,
                    settings: raw.settings,
                    origin,
                    origins,
                },
            );
        }
        providers
    }

    fn routes(&mut self, providers: &BTreeSet<String>) -> Vec<Route> {
        let listed: Vec<(String, Key, raw::Route)> = self.layers.lists("routes", self.errors);
        let mut routes: Vec<Route> = Vec::new();
        for (origin, key, raw) in listed {
            let mut refuse = |part: &str, problem: String| {
                self.errors.push(ConfigError::new(origin.clone(), key.below(part), problem));
            };
            let Some(path) = raw.path else {
                refuse("path", "is missing".to_owned());
                continue;
            };
            if let Err(mistake) = check_path(&path) {
                refuse("path", mistake.problem);
            }
            if !providers.contains(&raw.provider) {
                let known: Vec<_> = providers.iter().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let meant = did_you_mean(&raw.provider, providers);
                refuse("provider", format!("no provider \"{}\"; configured: {known}{meant}", raw.provider));
            }
            let kind = match raw.answer {
                raw::Answer::Session => RouteKind::Session,
                raw::Answer::Client => RouteKind::Client,
                raw::Answer::Subrequest => RouteKind::Subrequest(raw.mode.unwrap_or(Mode::Optional)),
            };
            if raw.mode.is_some() && !kind.is_subrequest() {
                refuse("mode", "only a subrequest route has a mode; remove it".to_owned());
            }
            let deadline = raw.deadline.map_or_else(
                || match kind {
                    RouteKind::Session | RouteKind::Client => Duration::from_secs(5),
                    // Envoy and Istio give up after 200 ms and deny.
                    RouteKind::Subrequest(_) => Duration::from_millis(150), // T-57: patience of a proxy
                },
                |span| span.0,
            );
            let route = Route {
                path,
                host: raw.host.map(|host| host.to_ascii_lowercase()),
                kind,
                provider: raw.provider,
                ttl: raw.ttl.map(|span| span.0),
                deadline,
                sources: raw.source.map(|source| source.0),
                origin: origin.clone(),
                key: key.clone(),
            };
            if kind.is_subrequest() && route.covers(JWKS_PATH) {
                refuse("path", format!("covers {JWKS_PATH}, which always serves the public keys; choose another path"));
            }
            if let Some(other) = routes.iter().find(|other| other.clashes_with(&route)) {
                refuse("path", format!("\"{}\" is already served by the route \"{}\"", route.path, other.path));
            }
            routes.push(route);
        }
        routes
    }
}

/// Whether a host is written with a port: `[::1]` has none.
fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(name, _)| !name.starts_with('[') || name.ends_with(']'))
}

fn check_path(text: &str) -> Result<(), Mistake> {
    let segments_ok = text.strip_prefix('/').is_some_and(|rest| {
        !rest.is_empty()
            && rest.split('/').all(|segment| {
                !segment.is_empty()
                    && segment != "."
                    && segment != ".."
                    && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
            })
    });
    if !segments_ok {
        return Err(format!(
            "\"{text}\" is not a path we can serve; write \"/\" and plain segments (letters, digits, - . _ ~), such as \
             \"/api/chat/session\""
        )
        .into());
    }
    if text == JWKS_PATH {
        return Err(format!("{JWKS_PATH} always serves the public keys; choose another path").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_plain() {
        for good in ["/auth", "/api/chat/session", "/v1.2/a_b~c-d"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for bad in ["", "/", "auth", "/auth/", "//auth", "/a//b", "/a/../b", "/a b", "/ä", "/a?b", "/a%20b", JWKS_PATH]
        {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
