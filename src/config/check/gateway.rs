//! Checks `[gateway]` with its mounts, callers and grants, as far as that can be done without knowing operations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::Check;
use super::proof::Place;
use super::webhook::is_segment;
use crate::config::gateway::{Gateway, GatewayCaller, Grant, Mount, ValuePattern};
use crate::config::{ConfigError, Listen, raw};
use crate::definition::{Key, did_you_mean};

/// Callers at most: the keys of all are compared each time.
const MAX_CALLERS: usize = 1024;
/// Those that something beside a key proves: each has a bit of what a connection proves.
const MAX_PROOFS: usize = 64;
/// Keys of one caller: two during a change.
const MAX_KEYS: usize = 4;
/// Grants of one caller, and patterns of one parameter.
const MAX_GRANTS: usize = 64;
const MAX_PATTERNS: usize = 256;
/// What a network means that is wider than one's own.
const TOO_WIDE: &str = "all in it could be this caller; list the caller's own, or remove it and write key_files";

impl Check<'_> {
    /// The gateway, where there is one. `listeners` are the other listeners, with their keys.
    pub(super) fn gateway(
        &mut self,
        providers: &BTreeSet<String>,
        listeners: &[(&'static str, &Listen)],
    ) -> Option<Gateway> {
        let raw: raw::Gateway = self.layers.section("gateway", self.errors);
        let mounts: Vec<(String, Key, raw::Mount)> = self.layers.lists("gateway.mounts", self.errors);
        let tables: Vec<(String, Option<raw::GatewayCaller>)> = self.layers.tables("gateway.callers", self.errors);
        let listen = match raw.listen {
            Some(listen) => self.listen("gateway.listen", &listen.0),
            None if mounts.is_empty() && tables.is_empty() => return None,
            None => {
                let problem = "is missing, so nothing is served; write an address of this machine such as \
                               \"127.0.0.1:8070\", or \"unix:/run/sidemint/gateway.sock\"";
                self.refuse("gateway.listen", problem);
                Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
            }
        };
        self.differs("gateway.listen", &listen, listeners);
        let tls = raw.tls.map(|tls| self.tls("gateway", tls));
        let all: Vec<_> = listeners.iter().copied().chain([("gateway.listen", &listen)]).collect();
        let mounts = self.mounts(mounts, providers, &all);
        let mounted = mounts.iter().map(|mount| mount.provider.clone()).collect();
        let listens: Vec<&Listen> =
            [&listen].into_iter().chain(mounts.iter().filter_map(|mount| mount.listen.as_ref())).collect();
        let place = Place { section: "gateway", tls: tls.as_ref(), listens: &listens };
        let mut callers = BTreeMap::new();
        for (name, raw) in tables {
            let Some(raw) = raw else { continue };
            let caller = self.gateway_caller(&name, raw, &mounted, &place);
            callers.insert(name, caller);
        }
        self.number_of(&callers);
        if raw.max_in_flight_per_caller.0 > raw.max_in_flight.0 {
            let problem = "is more than gateway.max_in_flight, so one caller could take all places; write less";
            self.refuse("gateway.max_in_flight_per_caller", problem);
        }
        Some(Gateway {
            hosts: self.hosts("gateway.hosts", &raw.hosts),
            wait: raw.wait.0,
            max_in_flight: raw.max_in_flight.size(),
            max_in_flight_per_caller: raw.max_in_flight_per_caller.size(),
            origin: self.layers.origin("gateway"),
            listen,
            tls,
            mounts,
            callers,
        })
    }

    fn number_of(&mut self, callers: &BTreeMap<String, GatewayCaller>) {
        if callers.is_empty() {
            let problem = "is missing, so every call is refused; write [gateway.callers.NAME] with key_files, and what it may \
                           do in [[gateway.callers.NAME.grants]]";
            self.refuse("gateway.callers", problem);
        }
        if callers.len() > MAX_CALLERS {
            self.refuse("gateway.callers", format!("has more than {MAX_CALLERS} callers"));
        }
        if callers.values().filter(|caller| !caller.proof.is_empty()).count() > MAX_PROOFS {
            let problem = format!(
                "has more than {MAX_PROOFS} callers that more than a key proves; give the others key_files alone"
            );
            self.refuse("gateway.callers", problem);
        }
    }

    fn mounts(
        &mut self,
        listed: Vec<(String, Key, raw::Mount)>,
        providers: &BTreeSet<String>,
        listeners: &[(&'static str, &Listen)],
    ) -> Vec<Mount> {
        if listed.is_empty() {
            let problem = "is missing, so nothing is served; write [[gateway.mounts]] and provider = \"NAME\"";
            self.refuse("gateway.mounts", problem);
        }
        let mut mounts: Vec<Mount> = Vec::new();
        for (origin, key, raw) in listed {
            if let Some(problem) = unknown("provider", &raw.provider, providers, "configured") {
                self.errors.push(ConfigError::new(origin.clone(), key.below("provider"), problem));
            }
            if let Some(other) = mounts.iter().find(|other| other.provider == raw.provider) {
                let problem = format!("is what {} serves already; remove one", other.key);
                self.errors.push(ConfigError::new(origin.clone(), key.below("provider"), problem));
            }
            let listen = raw.listen.map(|text| {
                let own = key.below("listen");
                let listen = self.listen(&own, &text.0);
                let mut others: Vec<_> = listeners.iter().map(|(key, listen)| ((*key).to_owned(), *listen)).collect();
                let mounted = |mount: &'_ Mount| mount.key.below("listen").to_string();
                others.extend(mounts.iter().filter_map(|mount| Some((mounted(mount), mount.listen.as_ref()?))));
                self.differs(&own, &listen, &others);
                listen
            });
            mounts.push(Mount { provider: raw.provider, listen, origin, key });
        }
        mounts
    }

    fn gateway_caller(
        &mut self,
        name: &str,
        raw: raw::GatewayCaller,
        mounted: &BTreeSet<String>,
        place: &Place<'_>,
    ) -> GatewayCaller {
        let key = Key::from("gateway.callers").below(name);
        if !is_segment(name) {
            let problem =
                "is not a usable name: SDKs send it as the id of the key; use at most 64 letters, digits, - and _";
            self.refuse(&key, problem);
        }
        let (key_files, proof, as_user) = raw.into_parts();
        let proof = self.peers(&key, proof, TOO_WIDE);
        self.proof(&key, &proof, place);
        if key_files.len() > MAX_KEYS {
            let problem = format!(
                "holds {} files; two are enough during a change, and more than {MAX_KEYS} are refused",
                key_files.len()
            );
            self.refuse(key.below("key_files"), problem);
        }
        if key_files.is_empty() && proof.is_empty() {
            let problem = "has nothing that proves it, so every caller would be it; write key_files = [\"/path\"] (\"sidemint \
                           gateway key\" makes one), unix_uids or certificates";
            self.refuse(&key, problem);
        }
        let grants = self.grants(name, &key, mounted);
        let caller = GatewayCaller {
            key_files: key_files.into_iter().map(PathBuf::from).collect(),
            proof,
            as_user,
            grants,
            origin: self.layers.origin(&key.to_string()),
        };
        // G-14: network alone
        if caller.is_known_by_network_alone() && caller.proof.networks.iter().any(|net| !net.addr().is_loopback()) {
            let problem = "is all that proves this caller, and an address is no proof beyond this machine; write key_files \
                           beside it";
            self.refuse(key.below("networks"), problem);
        }
        caller
    }

    fn grants(&mut self, name: &str, key: &Key, mounted: &BTreeSet<String>) -> Vec<Grant> {
        let listed: Vec<(String, Key, raw::Grant)> = self.layers.lists(&key.below("grants").to_string(), self.errors);
        if listed.is_empty() || listed.len() > MAX_GRANTS {
            let problem = format!(
                "has {} grants; write 1 to {MAX_GRANTS}: [[gateway.callers.{name}.grants]] with provider and allow",
                listed.len()
            );
            self.refuse(key, problem);
        }
        let mut grants = Vec::new();
        for (origin, key, raw) in listed {
            let mut refuse = |part: Key, problem: String| {
                self.errors.push(ConfigError::new(origin.clone(), part, problem));
            };
            if let Some(problem) = unknown("mount", &raw.provider, mounted, "mounted") {
                refuse(key.below("provider"), problem);
            }
            if raw.allow.is_empty() {
                let problem = "is empty, so nothing is allowed; write \"default\", or names of operations";
                refuse(key.below("allow"), problem.to_owned());
            }
            let mut only = BTreeMap::new();
            for (parameter, values) in raw.only {
                let place = key.below("only").below(&parameter);
                if values.is_empty() || values.len() > MAX_PATTERNS {
                    refuse(place.clone(), format!("holds {} values; write 1 to {MAX_PATTERNS}", values.len()));
                }
                let mut patterns = Vec::new();
                for text in &values {
                    match ValuePattern::parse(text) {
                        Some(pattern) => patterns.push(pattern),
                        None => refuse(
                            place.clone(),
                            format!("\"{text}\" is no value; write it whole, or a beginning and a star: \"shop-*\""),
                        ),
                    }
                }
                only.insert(parameter, patterns);
            }
            let rate = raw.rate.as_deref().map(str::parse).transpose().unwrap_or_else(|problem| {
                refuse(key.below("rate"), problem);
                None
            });
            grants.push(Grant { provider: raw.provider, allow: raw.allow, only, rate, origin: origin.clone(), key });
        }
        grants
    }
}

/// What to say of a name that is none of `known`.
fn unknown(what: &str, name: &str, known: &BTreeSet<String>, how: &str) -> Option<String> {
    if known.contains(name) {
        return None;
    }
    let all = if known.is_empty() {
        "none".to_owned()
    } else {
        known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    Some(format!("no {what} \"{name}\"; {how}: {all}{}", did_you_mean(name, known)))
}
