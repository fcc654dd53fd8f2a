//! What is read again when its files change.

use std::sync::Arc;

use super::rooms::shared;
use super::{Blueprint, teams};
use crate::lifecycle::Lifecycle;
use crate::secrets::watch::{self, Nudge};
use crate::secrets::{self, Reload};
use crate::session::Sessions;

/// Looks at the files of everything that has some, until the lifecycle drains.
pub(super) fn watch_files(
    blueprint: &Blueprint,
    teams: Option<teams::Running>,
    sessions: &Arc<Sessions>,
    lifecycle: &Lifecycle,
) -> Nudge {
    let (mut reloads, metrics) = (blueprint.reloads(sessions), Arc::clone(&blueprint.metrics));
    reloads.extend(teams.map(|teams| -> Arc<dyn Reload> { Arc::new(teams) }));
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
        let mut all = self.rooms.reloads(sessions);
        all.extend(self.webhooks.iter().map(shared));
        all.extend(self.gateway.iter().map(shared));
        all.extend(self.tls.values().map(shared));
        all.extend(self.tier.shared.iter().map(shared));
        all
    }
}
