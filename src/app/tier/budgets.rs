//! The limit of a provider, where replicas share a tier: one for all of them.

use std::sync::Arc;

use crate::app::rooms::Rooms;
use crate::config::{Config, ConfigError};
use crate::definition::Mistake;
use crate::shared::Shared;

/// Lets each provider take its calls from the budget of all replicas. Whoever has a limit must know its share of it.
pub(in crate::app) fn share(config: &Config, shared: &Arc<Shared>, rooms: &Rooms) -> Option<ConfigError> {
    let own = rooms.providers.iter().filter(|(_, provider)| provider.share_budget(shared)).map(|(name, _)| name);
    let of_gateways = rooms.gateways.iter().filter(|(_, gateway)| gateway.share_budget(shared)).map(|(name, _)| name);
    let limited: Vec<&String> = own.chain(of_gateways).collect();
    let (name, section) = limited.first().zip(config.shared.as_ref())?;
    let problem = format!(
        "is missing, and the provider \"{name}\" has a limit, of which each replica has its share while the tier is away; write how \
         many replicas there are"
    );
    let mistake = Mistake::new("cache.shared.expect_replicas", problem);
    section.expect_replicas.is_none().then(|| ConfigError::at(section.origin.clone(), mistake))
}
