//! The tier that replicas share, where the configuration names one, or where a caller brings its own.

pub(super) mod budgets;

use std::sync::Arc;

use super::readiness;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::definition::Mistake;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::shared::{Redis, Shared, Tier};

/// What is asked, and what answers there.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub(super) shared: Option<Arc<Shared>>,
    redis: Option<Arc<Redis>>,
}

impl Drawn {
    /// The tier of the configuration; `brought` answers in its place.
    pub(super) fn draw(
        config: &Config,
        brought: Option<Arc<dyn Tier>>,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let Some(own) = &config.shared else { return Self::default() };
        let redis = brought.is_none().then(|| Arc::new(Redis::new(own)));
        let Some(tier) = brought.or_else(|| redis.clone().map(|redis| -> Arc<dyn Tier> { redis })) else {
            return Self::default();
        };
        let fault = |mistake: Mistake| ConfigError::at(own.origin.clone(), mistake.within("cache.shared"));
        let shared = Shared::new(own, tier, Arc::clone(clock), metrics);
        let shared = shared.map_err(|mistakes| errors.extend(mistakes.into_iter().map(fault))).ok();
        Self { shared, redis }
    }

    /// Connects in the background.
    pub(super) fn start(&self, clock: &Arc<dyn Clock>, lifecycle: &Lifecycle) {
        self.redis.iter().for_each(|redis| redis.start(clock, lifecycle));
    }

    /// Objects to readiness until the tier answers, and not for long.
    pub(super) fn object(&self, clock: &Arc<dyn Clock>, lifecycle: &Lifecycle) {
        if let Some(shared) = self.shared.as_ref().filter(|_| self.redis.is_some()) {
            readiness::when_shared(shared, clock, lifecycle);
        }
    }
}
