//! The order of sources on a route, and what is asked of a user whom a source has told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderName;

use super::definition;
use super::namespace::Namespaces;
use super::peer::{Gate, Peers};
use super::source::{Source, body};
use super::users::Users;
use super::{Asking, Identity, Refusal};
use crate::clock::Clock;
use crate::config::{self, Answer, ConfigError};
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
    all: Vec<Arc<Source>>,
    default: Vec<String>,
    peers: Arc<Peers>,
    users: Option<Arc<Users>>,
    metrics: Option<Arc<Metrics>>,
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
        let mut sources: Vec<Source> = Vec::new();
        let mut declared: Vec<(&str, Option<String>)> = Vec::new();
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
                Ok(definition) if used => {
                    declared.push((name, definition.namespace.clone()));
                    sources.push(Source::new(name, definition, around));
                }
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
        for (key, problem) in misplaced_bodies(identity, routes, &sources) {
            refuse(key, problem);
        }
        // A source that no route asks tells nobody, so its subjects meet no others.
        declared.retain(|(name, _)| match routes {
            [] => identity.source.iter().any(|own| own == name),
            routes => routes.iter().any(|route| asks(identity, route, name)),
        });
        let told: Vec<_> = declared.iter().map(|(name, namespace)| (*name, namespace.as_deref())).collect();
        let namespaces = Namespaces::of(&told).unwrap_or_else(|mistakes| {
            for (source, problem) in mistakes {
                refuse(format!("identity.sources.{source}.namespace"), problem);
            }
            Namespaces::default()
        });
        for source in &mut sources {
            source.reserved = namespaces.reserved_for(&source.namespace);
        }
        let users = Users::configure(&identity.users, &namespaces).unwrap_or_else(|mistakes| {
            for (key, problem) in mistakes {
                refuse(format!("identity.users.{key}"), problem);
            }
            None
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let all = sources.into_iter().map(Arc::new).collect();
        let peers = Arc::new(peers);
        let (users, metrics) = (users.map(Arc::new), Some(Arc::clone(&around.metrics)));
        let configured = Self { all, default: identity.source.clone(), peers, users, metrics };
        configured.show_users();
        Ok(configured)
    }

    /// Who resolves the requests of `route`.
    pub fn resolver(&self, route: &config::Route) -> Resolver {
        let names = route.sources.as_ref().unwrap_or(&self.default);
        let find = |name: &str| self.all.iter().find(|source| source.name == name).map(Arc::clone);
        let sources: Vec<_> = names.iter().filter_map(|name| find(name)).collect();
        Resolver {
            gate: self.peers.gate(&route.path, sources.iter().flat_map(|source| source.headers())),
            callers: self.peers.token_sources().filter_map(|(_, name)| find(name)).collect(),
            names_in_body: sources.iter().any(|source| source.reads_body()),
            sources,
            users: self.users.clone(),
        }
    }

    /// Files that are read again when they change.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.users.iter().filter_map(|users| users.file()).map(Path::to_owned)
    }

    /// Reads the list of denied users again. Tells who is denied now and was not before, as [`Identity::chat_subject`]
    /// names them. An unusable list is logged and counted, and the last good one stays.
    pub fn reload(&self) -> Vec<Box<str>> {
        let Some(users) = &self.users else { return Vec::new() };
        match users.reload() {
            Ok(newly) => {
                if !newly.is_empty() {
                    tracing::info!(denied = newly.len(), "more users are denied from now on");
                }
                self.show_users();
                newly
            }
            Err(problem) => {
                if let Some(metrics) = &self.metrics {
                    metrics.deny_list_rejected.inc();
                }
                tracing::error!(problem, "the list of denied users is unusable; the last good one stays");
                Vec::new()
            }
        }
    }

    fn show_users(&self) {
        if let (Some(metrics), Some(users)) = (&self.metrics, &self.users) {
            metrics.denied_users.set(i64::try_from(users.denied()).unwrap_or(i64::MAX));
        }
    }

    /// Whether users are named in bodies, by peers that nothing but their network proves.
    pub fn has_body_by_position(&self) -> bool {
        self.peers.is_position_only() && self.all.iter().any(|source| source.reads_body())
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
        self.all.is_empty()
    }
}

/// Resolves the requests of one route.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    sources: Vec<Arc<Source>>,
    gate: Gate,
    /// Sources that verify the tokens of callers.
    callers: Vec<Arc<Source>>,
    /// Whether a body names the user.
    names_in_body: bool,
    users: Option<Arc<Users>>,
}

/// Whether requests on `route` ask the source called `name`.
fn asks(identity: &config::Identity, route: &config::Route, name: &str) -> bool {
    route.sources.as_ref().unwrap_or(&identity.source).iter().any(|own| own == name)
}

/// Routes on which a body must not name the user: key, and the rest of a sentence.
fn misplaced_bodies(
    identity: &config::Identity,
    routes: &[config::Route],
    sources: &[Source],
) -> Vec<(String, String)> {
    let mut mistakes = Vec::new();
    for route in routes {
        let own: Vec<_> = sources.iter().filter(|source| asks(identity, route, &source.name)).collect();
        let Some(body) = own.iter().find(|source| source.reads_body()) else { continue };
        let key = format!("{}.source", route.key);
        if route.answer == Answer::Subrequest {
            mistakes.push((
                key,
                format!(
                    "names \"{}\", which reads bodies, and the body of a subrequest is not for us; name a source that \
                     reads headers or a token",
                    body.name
                ),
            ));
        } else if own.len() > 1 {
            // The visitors of a proxy could send a body past it, and be whom they like wherever it names nobody.
            mistakes.push((
                key,
                format!(
                    "names \"{}\", which reads bodies, beside others; whoever reaches this route through a trusted \
                     proxy could then name any user in a body. Give it a route of its own",
                    body.name
                ),
            ));
        }
    }
    mistakes
}

impl Resolver {
    #[cfg(test)]
    pub(super) fn for_test(name: &str, definition: definition::Definition, network: &str) -> Self {
        let source = Source::new(name, definition, &Around::for_test());
        let networks = vec![network.parse().expect("a network")];
        let peers = Arc::new(Peers::for_test(&config::Peers { networks, ..config::Peers::default() }));
        Self { gate: peers.gate("/", source.headers()), sources: vec![Arc::new(source)], ..Self::default() }
    }

    #[cfg(test)]
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
        self.names_in_body || self.gate.peers().reads_body()
    }

    /// The member of a body that names the user, where one does: it is no input then.
    pub fn user_member(&self) -> Option<&'static str> {
        self.names_in_body.then_some(body::MEMBER)
    }

    /// The identity that a request carries: that of the first source that tells anything. A source that tells something
    /// wrong ends it; the next is not asked (threats, section 1, rule 4).
    pub async fn resolve<'r>(&'r self, asking: &Asking<'r>) -> Result<Identity<'r>, Refusal> {
        match self.judge(asking) {
            // Rare, so its future is not carried about by every request.
            Err(Refusal::KeyUnknown | Refusal::KeysUnavailable) => Box::pin(self.look_again(asking)).await,
            outcome => outcome,
        }
    }

    /// The same once sources have looked for the keys that they lack.
    async fn look_again<'r>(&'r self, asking: &Asking<'r>) -> Result<Identity<'r>, Refusal> {
        for source in self.sources.iter().chain(&self.callers) {
            source.look_for_key(asking).await;
        }
        self.judge(asking)
    }

    /// The same with the keys that are here.
    pub(super) fn judge<'r>(&'r self, asking: &Asking<'r>) -> Result<Identity<'r>, Refusal> {
        let mut outcome = Refusal::NoSource;
        for source in &self.sources {
            match source.read(asking, || self.gate.prove(asking, |name| self.caller(name, asking))) {
                Ok(told) => {
                    let identity = Identity { source: &source.name, namespace: &source.namespace, told };
                    if source.is_reserved(identity.subject()) {
                        return Err(Refusal::Namespace);
                    }
                    if let Some(users) = &self.users {
                        users.admit(&identity)?;
                    }
                    return Ok(identity);
                }
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
fn clashes(peers: &Peers, sources: &[Source]) -> Vec<(String, String)> {
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
