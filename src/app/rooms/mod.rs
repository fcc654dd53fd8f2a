//! One set of rooms: the providers, plans and sources of one part of the configuration, and what is made of them.

mod plans;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{self, ConfigError, Environment};
use crate::identity;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::outbound::Services;
use crate::provider::{self, Definitions, Gateway, Provider, Wanted};
use crate::secrets::Reload;
use crate::session::{Plan, Sessions};
use crate::shared::Shared;

/// What users are served with.
#[derive(Debug)]
pub(super) struct Rooms {
    pub(super) sources: Arc<identity::Sources>,
    pub(super) providers: BTreeMap<String, Arc<Provider>>,
    /// Providers as they are called for applications, by name.
    pub(super) gateways: BTreeMap<String, Arc<Gateway>>,
    pub(super) plans: Vec<Arc<Plan>>,
    /// Mints and sign-outs that may have the providers at work at once.
    pub(super) calls_at_once: usize,
    limits: (config::Cache, config::UserLimits),
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// The part of a configuration that rooms are drawn from.
pub(super) struct Part<'c> {
    pub(super) roles: &'c BTreeMap<String, Vec<String>>,
    pub(super) routes: &'c [config::Route],
    pub(super) providers: &'c BTreeMap<String, config::Provider>,
    /// What each provider is for, by name. One that is for nothing is not looked at.
    pub(super) wanted: &'c dyn Fn(&str) -> Wanted,
    pub(super) limits: (config::Cache, config::UserLimits),
}

/// What rooms are drawn with.
pub(super) struct With<'w> {
    pub(super) environment: &'w Environment,
    pub(super) definitions: &'w Definitions,
    pub(super) services: &'w Services,
}

impl Rooms {
    /// Compiles the definitions of the providers, reads their secrets and keys, and checks the routes against them. Where
    /// there are `errors`, the rooms are to be looked at further, never to be served.
    pub(super) fn draw(
        part: &Part<'_>,
        sources: Arc<identity::Sources>,
        with: &With<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let With { environment, definitions, services } = *with;
        let (mut providers, mut gateways) = (BTreeMap::new(), BTreeMap::new());
        for (name, table) in part.providers {
            let wanted = (part.wanted)(name);
            if wanted == Wanted::default() {
                continue;
            }
            match provider::configure(name, table, environment, definitions, services, wanted) {
                Ok(configured) => {
                    providers.extend(configured.provider.map(|own| (name.clone(), own)));
                    gateways.extend(configured.gateway.map(|own| (name.clone(), own)));
                }
                Err(mistakes) => errors.extend(mistakes),
            }
        }
        errors.extend(Provider::mixed_up(&providers, part.providers));
        let plans = plans::draw(part, &sources, &providers, &services.metrics, errors);
        let calls_at_once = part.providers.values().map(|provider| provider.calls_at_once).sum();
        let (clock, metrics) = (Arc::clone(&services.clock), Arc::clone(&services.metrics));
        Self { sources, providers, gateways, plans, calls_at_once, limits: part.limits, clock, metrics }
    }

    /// Providers that the gateway alone calls, by name.
    pub(super) fn gateways_alone(&self) -> impl Iterator<Item = (&String, &Arc<Gateway>)> {
        self.gateways.iter().filter(|(name, _)| !self.providers.contains_key(*name))
    }

    /// Sessions of these plans, which replicas may share.
    pub(super) fn sessions(&self, shared: Option<&Arc<Shared>>, lifecycle: &Lifecycle) -> Arc<Sessions> {
        let clock = Arc::clone(&self.clock);
        Sessions::new((self.plans.clone(), shared), self.limits, clock, lifecycle.clone(), &self.metrics)
    }

    /// Every file that they are made of.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let of_sources = self.sources.reloads().flat_map(|own| own.files());
        let of_providers = self.providers.values().flat_map(|own| own.files());
        of_sources.chain(of_providers).chain(self.sources.deny_file().map(Path::to_owned)).collect()
    }

    /// What is read again when its files change.
    pub(super) fn reloads(&self, sessions: &Arc<Sessions>) -> Vec<Arc<dyn Reload>> {
        let mut all: Vec<Arc<dyn Reload>> = self.sources.reloads().collect();
        all.extend(self.providers.values().map(shared));
        // Both halves of a provider have the same secrets.
        all.extend(self.gateways_alone().map(|(_, gateway)| shared(gateway)));
        all.push(Arc::new(Denied { sources: Arc::clone(&self.sources), sessions: Arc::clone(sessions) }));
        all
    }
}

pub(super) fn shared<R: Reload + 'static>(own: &Arc<R>) -> Arc<dyn Reload> {
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
