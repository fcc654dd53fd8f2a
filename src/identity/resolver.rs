//! The order of sources on a route, and what is asked of a user whom a source has told.

use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use super::definition;
use super::keys::{Found, Waiting};
use super::peer::{Gate, Peers};
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
        let peers = Peers::configure(identity, &around.clock, &around.metrics).unwrap_or_else(|problems| {
            problems.into_iter().for_each(|(key, problem)| refuse(key, problem));
            Peers::default()
        });
        asked.extend(peers.token_sources());
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
        for (key, problem) in clashes(&peers, &sources) {
            refuse(key, problem);
        }
        let peers = Arc::new(peers);
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
        let find = |name: &str| self.sources.iter().find(|source| source.name == name).map(Arc::clone);
        let sources: Vec<_> = names.iter().filter_map(|name| find(name)).collect();
        Resolver {
            gate: self.peers.gate(&route.path, sources.iter().flat_map(|source| source.headers())),
            callers: self.peers.token_sources().filter_map(|(_, name)| find(name)).collect(),
            sources,
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
    sources: Vec<Arc<Source>>,
    gate: Gate,
    /// Sources that verify the tokens of callers.
    callers: Vec<Arc<Source>>,
}

impl Resolver {
    #[cfg(test)]
    pub(super) fn for_test(name: &str, definition: definition::Definition, network: &str) -> Self {
        let source = Source::new(name, definition, &Around::for_test()).expect("a source");
        let networks = vec![network.parse().expect("a network")];
        let peers = Arc::new(Peers::for_test(&config::Peers { networks, ..config::Peers::default() }));
        Self { gate: peers.gate("/", source.headers()), sources: vec![Arc::new(source)], callers: Vec::new() }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn peers(&self) -> &Peers {
        self.gate.peers()
    }

    /// The same, for a route that reads these headers as well: a signature over a request covers them.
    #[must_use]
    pub fn covering<'h, I: Iterator<Item = &'h HeaderName>>(self, headers: I) -> Self {
        Self { gate: self.gate.covering(headers), ..self }
    }

    /// The headers that are read, for `Vary`.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.sources.iter().flat_map(|source| source.headers())
    }

    /// Whether a body may name the user or is signed, so that it must be read first.
    pub fn reads_body(&self) -> bool {
        self.gate.peers().reads_body()
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
        for source in self.sources.iter().chain(&self.callers) {
            // The first source with a token in the request is the one that refused it.
            match source.look_for_key(asking, refusal).await {
                None => {}
                Some(Found::Changed) => return self.judge(asking),
                Some(Found::Nothing) => return Err(refusal),
                // Nobody can say whether the token is good: that is no fault of who sent it (T-27).
                Some(Found::Unreachable) if refusal != Refusal::Signature => return Err(Refusal::KeysUnavailable),
                Some(Found::Unreachable) => return Err(refusal),
            }
        }
        Err(refusal)
    }

    /// The same with the keys that are here.
    pub(super) fn judge<'r>(&'r self, asking: &Asking<'r>) -> Result<Identity<'r>, Refusal> {
        let mut outcome = Refusal::NoSource;
        for source in &self.sources {
            match source.read(asking, || self.gate.prove(asking, |name| self.caller(name, asking))) {
                Ok(told) => return Ok(Identity { source: &source.name, namespace: &source.namespace, told }),
                Err(Refusal::Absent) => outcome = Refusal::Absent,
                Err(refusal) => return Err(refusal),
            }
        }
        Err(outcome)
    }

    /// Subject of a caller's own token, which the source called `name` verifies.
    fn caller(&self, name: &str, asking: &Asking<'_>) -> Result<String, Refusal> {
        let source = self.callers.iter().find(|source| source.name == name).ok_or(Refusal::NoSource)?;
        // A token that would need another proof of the peer proves nobody.
        let told = source.read(asking, || Err(Refusal::PeerUntrusted))?;
        Ok(Identity { source: name, namespace: "", told }.subject().to_owned())
    }
}

/// Headers that would have to say two things: who the peer is, and who the user is.
fn clashes(peers: &Peers, sources: &[Arc<Source>]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for source in sources {
        for header in source.headers().filter(|header| peers.headers().contains(header)) {
            let problem =
                format!("{header} names the user in source \"{}\" and cannot prove a peer as well", source.name);
            found.push(("identity.peers".to_owned(), problem));
        }
    }
    for (key, name) in peers.token_sources() {
        let Some(own) = sources.iter().find(|source| source.name == name) else { continue };
        if !own.proves_itself() {
            let problem =
                format!("\"{name}\" tells what a peer says, and proves nobody; name a source of kind \"jwt\"");
            found.push((key, problem));
            continue;
        }
        let others = sources.iter().filter(|source| source.name != name);
        for header in
            others.flat_map(|source| source.headers()).filter(|header| own.headers().any(|mine| mine == *header))
        {
            found.push((key.clone(), format!("reads {header}, where another source looks for the user")));
        }
    }
    found
}
