//! Every source in use, and what they share: peers, lists of users, keys that are fetched and files that are read again.

mod assertions;
mod configure;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::config;
use crate::identity::keys::{KeyReadiness, KeySet, KeySetStatus};
use crate::identity::peer::Peers;
use crate::identity::resolver::Resolver;
use crate::identity::source::Source;
use crate::identity::user::users::Users;
use crate::lifecycle::Lifecycle;
use crate::secrets::Reload;

pub use assertions::Assertions;

/// Every configured source and peer, checked.
#[derive(Debug, Default)]
pub struct Sources {
    all: Vec<Arc<Source>>,
    default: Vec<String>,
    peers: Arc<Peers>,
    users: Option<Arc<Users>>,
}

/// What identity goes by now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityStatus {
    /// The key set of each source that has one.
    pub key_sets: Vec<KeySetStatus>,
    /// Entries of the lists of denied users.
    pub denied_users: usize,
}

impl Sources {
    /// What identity goes by now. It holds nothing secret and nothing of a user.
    pub fn status(&self) -> IdentityStatus {
        let key_sets = self.all.iter().filter_map(|source| Some(source.key_set()?.status(&source.name)));
        IdentityStatus {
            key_sets: key_sets.collect(),
            denied_users: self.users.as_ref().map_or(0, |users| users.denied()),
        }
    }

    /// Fetches keys from now on. The service is not ready before every source in use has had some.
    pub fn start(&self, lifecycle: &Lifecycle) {
        let readiness = Arc::new(KeyReadiness::new(lifecycle.clone()));
        for set in self.all.iter().filter_map(|source| source.key_set()) {
            set.start(lifecycle, &readiness);
        }
    }

    /// Where the keys of each source come from, for people.
    pub fn key_places(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().filter_map(|source| Some((source.name.as_str(), source.key_set()?.place())))
    }

    /// Who resolves the requests of `route`.
    pub fn resolver(&self, route: &config::Route) -> Resolver {
        let names = route.sources.as_ref().unwrap_or(&self.default);
        let find = |name: &str| self.all.iter().find(|source| source.name == name).map(Arc::clone);
        let sources: Vec<_> = names.iter().filter_map(|name| find(name)).collect();
        Resolver {
            gate: self.peers.gate(&route.name(), sources.iter().flat_map(|source| source.headers())),
            callers: self.peers.token_sources().filter_map(|(_, name)| find(name)).collect(),
            names_in_body: sources.iter().any(|source| source.reads_body()),
            sources,
            users: self.users.clone(),
        }
    }

    /// What is read again when its files change: keys, and what proves peers.
    pub fn reloads(&self) -> impl Iterator<Item = Arc<dyn Reload>> {
        let keys = self.all.iter().filter_map(|source| source.key_set());
        let peers: Arc<dyn Reload> = Arc::<Peers>::clone(&self.peers);
        keys.map(|set| -> Arc<dyn Reload> { Arc::<KeySet>::clone(set) }).chain([peers])
    }

    /// The list of denied users, where it is a file.
    pub fn deny_file(&self) -> Option<&Path> {
        self.users.as_ref()?.file()
    }

    /// Reads it again. Returns who is denied now and was not before, as
    /// [`Identity::chat_subject`](crate::identity::Identity::chat_subject) names them.
    pub fn reload_denied(&self) -> Vec<Box<str>> {
        self.users.as_ref().map(|users| users.reload()).unwrap_or_default()
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

    /// Whether no route could identify a user.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
