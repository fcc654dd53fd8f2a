//! What is read again when its files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Blueprint;
use crate::identity;
use crate::lifecycle::Lifecycle;
use crate::secrets::watch::{self, Nudge};
use crate::secrets::{self, Reload};
use crate::session::Sessions;

/// Looks at the files of everything that has some, until the lifecycle drains.
pub(super) fn watch_files(blueprint: &Blueprint, sessions: &Arc<Sessions>, lifecycle: &Lifecycle) -> Nudge {
    let (reloads, metrics) = (blueprint.reloads(sessions), Arc::clone(&blueprint.metrics));
    let files = reloads.iter().flat_map(|reload| reload.files()).collect();
    watch::start(&files, Arc::clone(&blueprint.clock), lifecycle, move || {
        for reload in &reloads {
            reload.reload();
        }
        metrics.process.files_stuck().set(i64::try_from(secrets::stuck()).unwrap_or(i64::MAX));
    })
}

impl Blueprint {
    /// What is read again when its files change.
    fn reloads(&self, sessions: &Arc<Sessions>) -> Vec<Arc<dyn Reload>> {
        let mut all: Vec<Arc<dyn Reload>> = self.sources.reloads().collect();
        all.extend(self.providers.values().map(shared));
        // Both halves of a provider have the same secrets.
        all.extend(self.gateways_alone().map(|(_, gateway)| shared(gateway)));
        all.extend(self.webhooks.iter().map(shared));
        all.extend(self.gateway.iter().map(shared));
        all.extend(self.tls.values().map(shared));
        all.extend(self.tier.shared.iter().map(shared));
        all.push(Arc::new(Denied { sources: Arc::clone(&self.sources), sessions: Arc::clone(sessions) }));
        all
    }
}

fn shared<R: Reload + 'static>(own: &Arc<R>) -> Arc<dyn Reload> {
    Arc::<R>::clone(own)
}

/// The list of denied users, and the sessions that end with it.
#[derive(Debug)]
struct Denied {
    sources: Arc<identity::Sources>,
    sessions: Arc<Sessions>,
}

impl Reload for Denied {
    fn files(&self) -> Vec<PathBuf> {
        self.sources.deny_file().map(Path::to_owned).into_iter().collect()
    }

    /// The next request is refused anyway; what the cache holds would go on being renewed.
    fn reload(&self) {
        self.sources.reload_denied().iter().for_each(|user| self.sessions.forget(user));
    }
}
