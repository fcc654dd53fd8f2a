//! Callers: which service a request is of, and what that one may do.
//!
//! A caller is proven by a key of its own, which stands where the SDK puts the provider's, by what its connection or its request
//! shows beside that, or by both: whatever is configured must hold. A request that proves two callers is of none.

mod grants;
mod keys;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::as_user::{AS_USER, ASSERTION};
use super::operation::Operations;
use super::refusal::Refusal;
use crate::clock::Clock;
use crate::config::{self, ActsAs, ConfigError};
use crate::definition::{Key, Mistakes};
use crate::identity::{CallerGate, ConnectionProof, Evidence, Peers};
use crate::outbound::Services;
use crate::provider::{self, Presented};
use crate::secrets::Reload;
pub use grants::{Allowed, Grants, Limited};
use keys::{KeyRing, Served};
pub use keys::{key_text, new_key};

/// Everyone who may call.
#[derive(Debug)]
pub struct Callers {
    /// By name, which is the order of their numbers.
    all: Vec<Caller>,
    peers: Arc<Peers>,
    /// Which caller each proof of `peers` is of.
    proofs: Vec<usize>,
    /// What a signature over a whole request covers, for each mount.
    gates: BTreeMap<String, CallerGate>,
    keys: KeyRing,
    clock: Arc<dyn Clock>,
}

/// A service that calls.
#[derive(Debug)]
pub struct Caller {
    name: String,
    has_keys: bool,
    has_proof: bool,
    acts_as: ActsAs,
    /// What it may do, by mount.
    grants: BTreeMap<String, Grants>,
}

/// A mount, as far as callers are concerned.
#[derive(Clone, Copy, Debug)]
pub struct Mounted<'m> {
    /// Name of the provider.
    pub name: &'m str,
    /// The provider.
    pub provider: &'m Arc<provider::Gateway>,
    /// Its operations.
    pub operations: &'m Operations,
}

/// What of a request can say who its caller is.
#[derive(Clone, Copy)]
pub struct Seen<'r> {
    /// What the connection proves.
    pub connection: ConnectionProof,
    /// Its method.
    pub method: &'r Method,
    /// Path and query, as sent.
    pub target: &'r str,
    /// Its path below the mount, as sent.
    pub path: &'r str,
    /// Its query, as sent.
    pub query: Option<&'r str>,
    /// Every header line.
    pub headers: &'r HeaderMap,
    /// Its whole body, where it was read.
    pub body: Option<&'r Bytes>,
}

impl std::fmt::Debug for Seen<'_> {
    /// Headers and queries hold keys, and bodies personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl<'r> Seen<'r> {
    /// What an SDK's proof is held against.
    fn presented(&self) -> Presented<'r> {
        Presented {
            method: self.method,
            path: self.path,
            query: self.query,
            headers: self.headers,
            body: self.body.map(AsRef::as_ref),
        }
    }
}

/// Why no caller is known. The reason is for the log; outside, all look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unproven(pub &'static str);

impl From<Unproven> for Refusal {
    fn from(Unproven(_): Unproven) -> Self {
        Self::CallerUnauthorized
    }
}

impl Callers {
    /// Reads the keys and secrets of all callers, and compiles what they may do at `mounts`.
    pub fn configure(
        config: &config::Gateway,
        mounts: &[Mounted<'_>],
        services: &Services,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut note = |origin: &str, mistakes: Mistakes| errors.extend(ConfigError::all(origin, mistakes));
        let mut all = Vec::new();
        let mut proofs = Vec::new();
        for (name, own) in &config.callers {
            if !own.proof.is_empty() {
                proofs.push(all.len());
            }
            let mut grants: BTreeMap<String, Grants> = BTreeMap::new();
            for grant in &own.grants {
                // One whose provider has mistakes of its own is told of there.
                let Some(mount) = mounts.iter().find(|mount| mount.name == grant.provider) else { continue };
                match grants::compile(grant, mount.operations) {
                    Ok(granted) => grants.entry(grant.provider.clone()).or_default().push(granted),
                    Err(mistakes) => note(&grant.origin, mistakes.within(&grant.key)),
                }
            }
            all.push(Caller {
                name: name.clone(),
                has_keys: !own.key_files.is_empty(),
                has_proof: !own.proof.is_empty(),
                acts_as: own.as_user,
                grants,
            });
        }
        let table = |name: &String| Key::from("gateway.callers").below(name);
        let proven = config.callers.iter().filter(|(_, own)| !own.proof.is_empty());
        let proven = proven.map(|(name, own)| (table(name), own.proof.clone()));
        let takes_keys = config.callers.values().any(|own| own.proof.is_empty());
        let peers = Peers::of_callers(proven, takes_keys, &services.clock, &services.metrics);
        let peers = peers.map_err(|mistakes| note(&config.origin, mistakes)).unwrap_or_default();
        let peers = Arc::new(peers);
        let served = mounts.iter().map(|mount| Served::of(mount.name, mount.provider)).collect();
        let keys = KeyRing::open(config, served).map_err(|mistakes| note(&config.origin, mistakes));
        let gate = |mount: &Mounted<'_>| {
            let (ours, _) = mount.provider.ours();
            (mount.name.to_owned(), peers.callers([&AS_USER, &ASSERTION].into_iter().chain(&ours)))
        };
        match keys {
            Ok(keys) if errors.is_empty() => Ok(Self {
                all,
                proofs,
                gates: mounts.iter().map(gate).collect(),
                peers,
                keys,
                clock: Arc::clone(&services.clock),
            }),
            _ => Err(errors),
        }
    }

    /// What connections are held against.
    pub fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// Each caller, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Caller> {
        self.all.iter()
    }

    /// Whether the body must be there before it is known of whom a request with these headers to this mount is.
    pub fn reads_body(&self, headers: &HeaderMap, mount: &str) -> bool {
        self.peers.reads_body_of(headers) || self.keys.reads_body(mount)
    }

    /// Whether a request that `caller` was proven by has the body that its proof is about.
    pub fn check_body(&self, caller: &Caller, seen: &Seen<'_>, mount: &str) -> Result<(), Unproven> {
        if !caller.has_keys {
            return Ok(());
        }
        let checked = self.keys.check_body(mount, &seen.presented(), self.clock.now());
        checked.map_err(|reason| Unproven(reason.into()))
    }

    /// The one caller that a request to `mount` proves.
    pub fn identify(&self, seen: &Seen<'_>, mount: &str) -> Result<&Caller, Unproven> {
        let evidence = Evidence {
            connection: seen.connection,
            method: seen.method,
            target: seen.target,
            headers: seen.headers,
            body: seen.body.map(AsRef::as_ref),
            relayed: None,
        };
        let gate = self.gates.get(mount).ok_or(Unproven("mount_unknown"))?;
        let met = gate.met(&evidence).map_err(|refusal| Unproven(refusal.into()))?;
        let by_proof: Vec<usize> = met.iter().filter_map(|n| self.proofs.get(*n)).copied().collect();
        let shown = self.keys.owner(mount, &seen.presented(), self.clock.now());
        let by_key = *shown.as_ref().unwrap_or(&None);
        let mut found = None;
        for (n, caller) in self.all.iter().enumerate() {
            let (proof, key) = (by_proof.contains(&n), by_key == Some(n));
            // G-14: every kind that is set
            let holds = (!caller.has_proof || proof) && (!caller.has_keys || key);
            // G-14: proofs of two callers
            if holds && found.replace(caller).is_some() {
                return Err(Unproven("two_callers"));
            }
        }
        // Someone else's key beside a proof of one's own is a proof of two.
        let is_of_another =
            |caller: &Caller| by_key.is_some_and(|n| self.all.get(n).map(Caller::name) != Some(caller.name()));
        match found {
            Some(caller) if is_of_another(caller) => Err(Unproven("two_callers")), // G-14: another's key
            Some(caller) => Ok(caller),
            None => Err(Unproven(match shown {
                Err(reason) => reason.into(),
                Ok(None) => "key_unknown",
                Ok(Some(_)) => "proof_missing",
            })),
        }
    }
}

impl Reload for Callers {
    fn files(&self) -> Vec<PathBuf> {
        self.peers.files().into_iter().chain(self.keys.files()).collect()
    }

    fn reload(&self) {
        self.peers.reload();
        self.keys.reload();
    }
}

impl Caller {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What proves it, for the log.
    pub fn proof(&self) -> &'static str {
        match (self.has_keys, self.has_proof) {
            (true, false) => "key",
            (false, _) => "peer",
            (true, true) => "key_and_peer",
        }
    }

    /// As whom it may call.
    pub fn acts_as(&self) -> ActsAs {
        self.acts_as
    }

    /// What it may do at a mount.
    pub fn grants(&self, mount: &str) -> &Grants {
        static NONE: std::sync::LazyLock<Grants> = std::sync::LazyLock::new(Grants::default);
        self.grants.get(mount).unwrap_or(&NONE)
    }

    /// What it may do, by mount.
    pub fn all_grants(&self) -> impl Iterator<Item = (&str, &Grants)> {
        self.grants.iter().map(|(mount, grants)| (mount.as_str(), grants))
    }
}
