//! The order of sources on a route, and what is asked of a user whom a source has told.

use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use super::definition;
use super::keys::{Found, Waiting};
use super::peer::Peers;
use super::source::Source;
use super::{Asking, Identity, Refusal};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, ConfigError};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::outbound::Outbound;

/// What sources need of the rest of the process.
#[derive(Clone, Debug)]
pub struct Around {
    /// The way out, for keys.
    pub outbound: Outbound,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

#[cfg(test)]
impl Around {
    pub(super) fn for_test() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock);
        let outbound = Outbound::new(Arc::clone(&clock)).expect("a client");
        Self { outbound, clock, metrics: Arc::new(Metrics::new().expect("metrics")) }
    }
}

/// Every configured source and peer, checked.
#[derive(Debug, Default)]
pub struct Sources {
    sources: Vec<Arc<Source>>,
    default: Vec<String>,
    peers: Arc<Peers>,
}

impl Sources {
    /// Checks the `[identity]` section and the routes' own orders against the presets and the operator's definitions.
    pub fn configure(
        identity: &config::Identity,
        routes: &[config::Route],
        around: &Around,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut refuse = |key: String, problem: String| {
            errors.push(ConfigError::new(identity.origin.clone(), key, problem));
        };
        let mut asked: Vec<(String, &str)> = Vec::new();
        asked.extend(identity.source.iter().map(|name| ("identity.source".to_owned(), name.as_str())));
        for route in routes {
            let own = route.sources.iter().flatten();
            asked.extend(own.map(|name| (format!("{}.source", route.key), name.as_str())));
        }
        // What nobody asks is checked as well: a mistake in it would show on the day it is put in use.
        let tables = identity.sources.keys().map(|name| (String::new(), name.as_str()));
        let mut sources: Vec<Arc<Source>> = Vec::new();
        let mut seen = Vec::new();
        for (key, name) in tables.chain(asked.iter().cloned()) {
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let own = identity.sources.get(name);
            if own.is_none() && !definition::is_preset(name) {
                let presets = definition::names();
                refuse(key, format!("no source \"{name}\"; presets: {presets}; or define identity.sources.{name}"));
                continue;
            }
            let used = asked.iter().any(|(_, asked)| *asked == name);
            match definition::compile(name, own) {
                Ok(definition) if used => match Source::new(name, definition, around) {
                    Ok(source) => sources.push(Arc::new(source)),
                    Err((below, problem)) => refuse(format!("identity.sources.{name}.{below}"), problem),
                },
                Ok(_) => {}
                Err(problems) => {
                    for (below, problem) in problems {
                        let dot = if below.is_empty() { "" } else { "." };
                        refuse(format!("identity.sources.{name}{dot}{below}"), problem);
                    }
                }
            }
        }
        let peers = Arc::new(Peers::new(&identity.peers));
        if errors.is_empty() { Ok(Self { sources, default: identity.source.clone(), peers }) } else { Err(errors) }
    }

    /// Fetches keys from now on. The service is not ready before every source in use has had some.
    pub fn start(&self, lifecycle: &Lifecycle) {
        let waiting = Arc::new(Waiting::new(lifecycle.clone()));
        for set in self.sources.iter().filter_map(|source| source.key_set()) {
            set.start(lifecycle, &waiting);
        }
    }

    /// The files of keys, to be watched.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(|source| source.key_set()?.file())
    }

    /// Reads the files of keys again.
    pub fn reload(&self, now: Timestamp) {
        for set in self.sources.iter().filter_map(|source| source.key_set()) {
            set.reload(now.as_seconds());
        }
    }

    /// Where the keys of each source come from, for people.
    pub fn key_places(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sources.iter().filter_map(|source| Some((source.name.as_str(), source.key_set()?.place())))
    }

    /// Who resolves the requests of `route`.
    pub fn resolver(&self, route: &config::Route) -> Resolver {
        let names = route.sources.as_ref().unwrap_or(&self.default);
        let find = |name: &String| self.sources.iter().find(|source| source.name == *name).map(Arc::clone);
        Resolver {
            path: route.path.clone(),
            sources: names.iter().filter_map(find).collect(),
            peers: Arc::clone(&self.peers),
        }
    }

    /// What proves a peer.
    pub fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// Names of the sources that routes without their own ask, in order.
    pub fn default_names(&self) -> &[String] {
        &self.default
    }

    /// Whether no route could tell anybody.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

/// Resolves the requests of one route.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    path: String,
    sources: Vec<Arc<Source>>,
    peers: Arc<Peers>,
}

impl Resolver {
    #[cfg(test)]
    pub(super) fn for_test(name: &str, definition: definition::Definition, network: &str) -> Self {
        let source = Source::new(name, definition, &Around::for_test()).expect("a source");
        let networks = vec![network.parse().expect("a network")];
        let peers = Peers::new(&config::Peers { networks, ..config::Peers::default() });
        Self { path: "/".to_owned(), sources: vec![Arc::new(source)], peers: Arc::new(peers) }
    }

    #[cfg(test)]
    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The headers that are read, for `Vary`.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.sources.iter().flat_map(|source| source.headers())
    }

    /// Whether a body may name the user, so that it must be read first.
    pub fn reads_body(&self) -> bool {
        false
    }

    /// The identity that a request carries: that of the first source that tells anything. A source that tells something
    /// wrong ends it; the next is not asked (threats, section 1, rule 4).
    pub async fn resolve<'r>(&'r self, asking: &Asking<'r>) -> Result<Identity<'r>, Refusal> {
        match self.judge(asking) {
            // Rare, so its future is not carried about by every request.
            Err(refusal @ (Refusal::KeyUnknown | Refusal::KeysUnavailable | Refusal::Signature)) => {
                Box::pin(self.judge_again(asking, refusal)).await
            }
            settled => settled,
        }
    }

    /// The same once the source of the missing key was asked, where that helps.
    async fn judge_again<'r>(&'r self, asking: &Asking<'r>, refusal: Refusal) -> Result<Identity<'r>, Refusal> {
        for source in &self.sources {
            // The first source with a token in the request is the one that refused it.
            match source.look_for_key(asking, refusal).await {
                None => {}
                Some(Found::Changed) => return self.judge(asking),
                // Nobody can say whether the token is good: that is no fault of who sent it (T-27).
                Some(Found::Unreachable) if refusal != Refusal::Signature => return Err(Refusal::KeysUnavailable),
                Some(Found::Nothing | Found::Unreachable) => return Err(refusal),
            }
        }
        Err(refusal)
    }

    /// The same with the keys that are here.
    pub(super) fn judge<'r>(&'r self, asking: &Asking<'r>) -> Result<Identity<'r>, Refusal> {
        let mut outcome = Refusal::NoSource;
        for source in &self.sources {
            match source.read(asking, || self.peers.prove(asking, &self.path)) {
                Ok(told) => return Ok(Identity { source: &source.name, namespace: &source.namespace, told }),
                Err(Refusal::Absent) => outcome = Refusal::Absent,
                Err(refusal) => return Err(refusal),
            }
        }
        Err(outcome)
    }
}
