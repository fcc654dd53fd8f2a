//! From the `[identity]` section to sources: each definition compiled, and all of them held against each other.

use std::sync::Arc;

use super::Sources;
use crate::config::{self, ConfigError};
use crate::definition::{Key, Mistake, Mistakes, did_you_mean};
use crate::identity::definition;
use crate::identity::peer::Peers;
use crate::identity::source::Source;
use crate::identity::user::namespace::Namespaces;
use crate::identity::user::text;
use crate::identity::user::users::Users;
use crate::outbound::Services;

impl Sources {
    /// Checks the `[identity]` section and the routes' own orders against the presets and the operator's definitions.
    pub fn configure(
        identity: &config::Identity,
        routes: &[config::Route],
        services: &Services,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut draft = Draft { identity, routes, errors: Vec::new(), broken: Vec::new() };
        let peers = Peers::configure(identity, &services.clock, &services.metrics);
        let peers = draft.note(peers).unwrap_or_default();
        let mut sources = draft.sources(&peers, services);
        let takes_tokens = takes_tokens(&peers, &sources);
        draft.note(clashes(&peers, &sources).or(()));
        draft.note(misplaced_bodies(identity, routes, &sources).or(()));
        draft.groups();
        let namespaces = draft.namespaces(&mut sources);
        let users = Users::configure(&identity.users, &namespaces, &services.metrics);
        let users = draft.note(users.map_err(|mistakes| mistakes.within("identity.users"))).flatten();
        if !draft.errors.is_empty() {
            return Err(draft.errors);
        }
        Ok(Self {
            all: sources.into_iter().map(Arc::new).collect(),
            default: identity.source.clone(),
            peers: Arc::new(peers.taking_tokens(takes_tokens)),
            users: users.map(Arc::new),
        })
    }
}

/// One pass over the section, collecting mistakes.
struct Draft<'c> {
    identity: &'c config::Identity,
    routes: &'c [config::Route],
    errors: Vec<ConfigError>,
    /// Sources with mistakes, and the namespaces that they say: those of all are told in one run.
    broken: Vec<(&'c str, Option<&'c str>)>,
}

impl<'c> Draft<'c> {
    fn refuse(&mut self, key: impl Into<Key>, problem: String) {
        self.errors.push(ConfigError::new(self.identity.origin.clone(), key, problem));
    }

    /// Takes the value out of `outcome`, and notes what is wrong with it.
    fn note<T>(&mut self, outcome: Result<T, Mistakes>) -> Option<T> {
        outcome.map_err(|mistakes| self.errors.extend(ConfigError::all(&self.identity.origin, mistakes))).ok()
    }

    /// Refuses entries that no group is called: they would never count.
    fn groups(&mut self) {
        let identity = self.identity;
        let roles = identity.roles.iter().map(|(role, groups)| (Key::from("identity.roles").below(role), groups));
        let allowed = (Key::from("identity.users.allow_groups"), &identity.users.allow_groups);
        for (key, groups) in roles.chain([allowed]) {
            if let Some(at) = groups.iter().position(|group| group.trim() != group || !text::is_group(group)) {
                let problem = format!(
                    "holds an entry, number {}, that no group is called: empty, above 255 bytes, or with a blank at an end",
                    at + 1
                );
                self.refuse(key, problem);
            }
        }
    }

    /// Names of sources that tell users, each with the key that names it.
    fn asked(&self) -> Vec<(String, &'c str)> {
        let default = self.identity.source.iter().map(|name| ("identity.source".to_owned(), name.as_str()));
        let own = self.routes.iter().flat_map(|route| {
            let names = route.sources.iter().flatten();
            names.map(|name| (format!("{}.source", route.key), name.as_str()))
        });
        default.chain(own).collect()
    }

    /// The sources that are asked. One that no route asks is compiled as well: a mistake in it would show on the day it is put
    /// in use.
    fn sources(&mut self, peers: &'c Peers, services: &Services) -> Vec<Source> {
        let identity = self.identity;
        let mut asked = self.asked();
        for (key, name) in peers.token_sources() {
            if asked.iter().any(|(_, asked)| *asked == name) {
                self.refuse(
                    key.as_str(),
                    format!("\"{name}\" names users as well, and would take the caller for one; define another"),
                );
            }
        }
        asked.extend(peers.token_sources());
        let tables = identity.sources.keys().map(|name| (String::new(), name.as_str()));
        let mut seen = Vec::new();
        let mut sources = Vec::new();
        for (key, name) in tables.chain(asked.iter().cloned()) {
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let own = identity.sources.get(name);
            if own.is_none() && !definition::is_preset(name) {
                let presets = definition::names();
                let own = identity.sources.keys().map(String::as_str);
                let meant = did_you_mean(name, own.chain(presets.split(", ")));
                self.refuse(
                    key.as_str(),
                    format!("no source \"{name}\"; presets: {presets}; or define identity.sources.{name}{meant}"),
                );
                continue;
            }
            let is_asked = asked.iter().any(|(_, asked)| *asked == name);
            let compiled = definition::compile(name, own).and_then(|definition| {
                is_asked.then(|| Source::new(name, definition, identity.leeway, services)).transpose()
            });
            match compiled {
                Ok(source) => sources.extend(source),
                Err(mistakes) => {
                    let namespace = own.and_then(|own| own.get("namespace")?.as_str());
                    self.broken.push((name, namespace));
                    let source = Key::from("identity.sources").below(name);
                    for Mistake { key, problem } in mistakes.within(&source) {
                        // The whole key, because beside the name of a preset nothing else is in sight.
                        let problem = problem.replace("keys.network =", &format!("{source}.keys.network ="));
                        self.refuse(key, problem);
                    }
                }
            }
        }
        sources
    }

    /// Keeps the subjects of different sources apart. A source that no route asks tells no user, so its subjects meet no
    /// others.
    fn namespaces(&mut self, sources: &mut [Source]) -> Namespaces {
        let (identity, routes) = (self.identity, self.routes);
        let tells = |name: &str| match routes {
            [] => identity.source.iter().any(|own| own == name),
            routes => routes.iter().any(|route| asks(identity, route, name)),
        };
        let telling = sources.iter().filter(|source| tells(&source.name));
        let telling: Vec<_> = telling.collect();
        let broken = self.broken.iter().copied().filter(|(name, _)| tells(name));
        let declared: Vec<_> =
            telling.iter().map(|source| (source.name.as_str(), source.declared_namespace())).chain(broken).collect();
        let subjects = telling.iter().map(|source| (source.namespace().to_owned(), source.subject_rules())).collect();
        let namespaces = Namespaces::of(&declared).map_err(|mistakes| mistakes.within("identity.sources"));
        let namespaces = self.note(namespaces).unwrap_or_default().with_subjects(subjects);
        for source in sources {
            let reserved = namespaces.reserved_for(source.namespace());
            source.reserved = reserved;
        }
        namespaces
    }
}

/// Whether a source that tells users needs no proven peer. The token of a caller proves a peer, and no user.
fn takes_tokens(peers: &Peers, sources: &[Source]) -> bool {
    let of_callers: Vec<&str> = peers.token_sources().map(|(_, name)| name).collect();
    sources.iter().any(|source| source.stands_alone() && !of_callers.contains(&source.name.as_str()))
}

/// Whether requests on `route` ask the source called `name`.
fn asks(identity: &config::Identity, route: &config::Route, name: &str) -> bool {
    route.sources.as_ref().unwrap_or(&identity.source).iter().any(|own| own == name)
}

/// Routes on which a body must not name the user.
fn misplaced_bodies(identity: &config::Identity, routes: &[config::Route], sources: &[Source]) -> Mistakes {
    let mut mistakes = Mistakes::default();
    for route in routes {
        let own: Vec<_> = sources.iter().filter(|source| asks(identity, route, &source.name)).collect();
        let Some(body) = own.iter().find(|source| source.reads_body()) else { continue };
        let key = route.key.below("source");
        if route.kind.is_subrequest() {
            mistakes.refuse(
                key,
                format!(
                    "names \"{}\", which reads bodies, and the body of a subrequest is not for us; name a source that \
                     reads headers or a token",
                    body.name
                ),
            );
        } else if own.len() > 1 {
            // The visitors of a proxy could send a body past it, and choose their user wherever the proxy names none.
            mistakes.refuse(
                key,
                format!(
                    "names \"{}\", which reads bodies, beside others; a visitor who reaches this route through a trusted \
                     proxy could then name any user in a body. Give it a route of its own",
                    body.name
                ),
            );
        }
    }
    mistakes
}

/// Headers that would have to say two things: who the peer is, and who the user is.
fn clashes(peers: &Peers, sources: &[Source]) -> Mistakes {
    let mut found = Mistakes::default();
    for source in sources {
        for header in source.headers().filter(|header| peers.headers().contains(header)) {
            let problem =
                format!("{header} names the user in source \"{}\" and cannot prove a peer as well", source.name);
            found.refuse("identity.peers", problem);
        }
    }
    for (key, name) in peers.token_sources() {
        let Some(own) = sources.iter().find(|source| source.name == name) else { continue };
        if !own.proves_itself() {
            let problem =
                format!("\"{name}\" tells what a peer says, which is no proof; name a source of kind \"jwt\"");
            found.refuse(key.as_str(), problem);
            continue;
        }
        let others = sources.iter().filter(|source| source.name != name);
        for header in others.flat_map(Source::headers).filter(|header| own.headers().any(|mine| mine == *header)) {
            found.refuse(key.as_str(), format!("reads {header}, where another source looks for the user"));
        }
    }
    found
}
