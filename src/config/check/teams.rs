//! Checks what the platform grants its teams, and what a team makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use super::Check;
use crate::config::{Cache, Fragment, Route, TeamGrant, Teams, raw};
use crate::definition::Key;

/// Teams at most.
const MAX_TEAMS: usize = 500;

impl Check<'_> {
    /// The tables `[teams.NAME]`, held against each other and against the `routes` of the platform.
    pub(super) fn teams(&mut self, routes: &[Route], has_grpc: bool, has_tier: bool) -> Option<Teams> {
        let dir: String = self.layers.section("teams_dir", self.errors);
        let tables: Vec<(String, Option<raw::Team>)> = self.layers.tables("teams", self.errors);
        if tables.is_empty() {
            if !dir.is_empty() {
                self.refuse("teams_dir", "is set, and there is no [teams.NAME] that grants a team its hosts");
            }
            return None;
        }
        if dir.is_empty() {
            self.refuse("teams_dir", "is missing; name the folder of the teams' files, which holds NAME.toml for each");
        }
        if tables.len() > MAX_TEAMS {
            self.refuse("teams", format!("has more than {MAX_TEAMS} teams"));
        }
        for (is_set, section) in [(has_grpc, "grpc"), (has_tier, "cache.shared")] {
            if is_set {
                self.refuse(
                    "teams",
                    format!("cannot stand beside [{section}], which serves the platform's routes alone"),
                );
            }
        }
        let mut taken: BTreeMap<String, String> = BTreeMap::new();
        for route in routes {
            let host = route.host.iter().map(|host| (host.clone(), format!("the route \"{}\"", route.path)));
            taken.extend(host);
        }
        let mut grants = BTreeMap::new();
        for (name, raw) in tables {
            let key = Key::of("teams").below(&name);
            if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                self.refuse(&key, "is not a usable name; use letters, digits, - and _");
            }
            let Some(raw) = raw else { continue };
            let grant = self.grant(&name, &key, raw, &mut taken);
            grants.insert(name, grant);
        }
        self.folders(&grants);
        Some(Teams { dir: PathBuf::from(dir), grants })
    }

    /// Refuses folders of secrets that are in one another.
    fn folders(&mut self, grants: &BTreeMap<String, TeamGrant>) {
        // In this order a folder comes right before what is below it.
        let folder = |(name, grant): (&'_ String, &'_ TeamGrant)| Some((grant.secrets.clone()?, name.clone()));
        let mut folders: Vec<(PathBuf, String)> = grants.iter().filter_map(folder).collect();
        folders.sort();
        for (outer, inner) in folders.iter().zip(folders.iter().skip(1)) {
            // F-15: folders of two teams
            if inner.0.starts_with(&outer.0) {
                let problem = format!(
                    "is in the folder of the team \"{}\", which could read it; give each team its own",
                    outer.1
                );
                self.refuse(Key::of("teams").below(&inner.1).below("secrets"), problem);
            }
        }
    }

    fn grant(&mut self, name: &str, key: &Key, raw: raw::Team, taken: &mut BTreeMap<String, String>) -> TeamGrant {
        let hosts_key = key.below("hosts");
        if raw.hosts.is_empty() {
            self.refuse(&hosts_key, "is missing; write the hosts that are this team's alone");
        }
        let mut hosts = BTreeSet::new();
        for host in raw.hosts.iter().map(|host| host.to_ascii_lowercase()) {
            if !is_host(&host) {
                self.refuse(
                    &hosts_key,
                    format!("\"{host}\" is not a host; write a name such as \"chat.shop.example\", without port"),
                );
            }
            // F-16: hosts of others
            if let Some(other) = taken.insert(host.clone(), format!("the team \"{name}\"")) {
                self.refuse(&hosts_key, format!("\"{host}\" belongs to {other} already; each host has one owner"));
            }
            hosts.insert(host);
        }
        let secrets = raw.secrets.map(PathBuf::from);
        let is_plain =
            |path: &Path| path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if secrets.as_ref().is_some_and(|path| !path.is_absolute() || !is_plain(path)) {
            self.refuse(
                key.below("secrets"),
                "is not an absolute path without \"..\"; write such as \"/run/secrets/teams/shop\"",
            );
        }
        let (mut provider_names, mut provider_addresses) = (BTreeSet::new(), BTreeSet::new());
        for host in raw.provider_hosts.iter().map(|host| host.to_ascii_lowercase()) {
            match host.parse::<IpAddr>() {
                Ok(address) => {
                    provider_addresses.insert(address);
                }
                Err(_) if is_host(&host) => {
                    provider_names.insert(host);
                }
                Err(_) => self.refuse(
                    key.below("provider_hosts"),
                    format!(
                        "\"{host}\" is neither a host nor an address; write such as \"api.sendsar.com\", without port"
                    ),
                ),
            }
        }
        let requests = raw.requests.and_then(|text| {
            let rate = text.parse().map_err(|problem: String| self.refuse(key.below("requests"), problem));
            rate.ok()
        });
        TeamGrant {
            hosts,
            secrets,
            provider_names,
            provider_addresses,
            requests,
            in_flight: raw.in_flight.size(),
            max_bytes: raw.max_bytes.0,
            max_providers: raw.max_providers.size(),
            max_routes: raw.max_routes.size(),
        }
    }

    /// A fragment, whose layers these are.
    pub(in crate::config) fn fragment(&mut self, grant: &TeamGrant) -> Fragment {
        let identity = self.identity();
        let limits = self.limits();
        let tables: Vec<(String, Option<raw::Provider>)> = self.layers.tables("providers", self.errors);
        let names: BTreeSet<String> = tables.iter().map(|(name, _)| name.clone()).collect();
        let mut providers = self.providers(tables);
        let calls = grant.in_flight.checked_div(providers.len()).unwrap_or(grant.in_flight).max(1);
        for provider in providers.values_mut() {
            // F-18: calls of a team
            provider.calls_at_once = provider.calls_at_once.min(calls);
        }
        let routes = self.routes(&names);
        // A file that is cut off before it says anything must not take the place of a good one.
        if routes.is_empty() {
            self.refuse("routes", "is missing; without [[routes]] the team's hosts answer nothing");
        }
        let server = self.server();
        self.proofs(&identity, &server, None, &routes);
        for route in &routes {
            // F-16: routes on own hosts
            if let Some(host) = route.host.as_ref().filter(|host| !grant.hosts.contains(*host)) {
                let granted = grant.hosts.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                self.refuse(
                    route.key.below("host"),
                    format!("\"{host}\" is not granted to this team; its hosts are {granted}"),
                );
            }
        }
        let cache = Cache { max_entries: raw::Cache::default().max_entries.0, max_bytes: grant.max_bytes };
        Fragment { identity, routes, providers, limits, cache }
    }
}

/// A name in lower case, without port.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(plain)
    };
    host.len() <= 253 && host.split('.').all(label)
}
