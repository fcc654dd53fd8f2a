//! Composition: the only place that names every room.
//!
//! [`Blueprint::draw`] checks everything that can be checked without binding a port: it is what `sidemint check` does.
//! [`App::bind`] opens the listeners, and [`App::run`] serves until it is told to stop.

mod cautions;
mod descriptors;
mod gateway;
mod readiness;
mod reloads;
mod rooms;
mod stop;
mod summary;
mod teams;
mod tier;
mod webhooks;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, ConfigError, ConfigErrors, Environment, Listen, Sources};
use crate::definition::Mistake;
use crate::gateway::{Gateway, Parts};
use crate::identity;
use crate::inbound::{
    AppState, BodyLimits, Bound, Calls, Entrance, Limits, Listener, Protocol, Routes, Service, TeamRoutes, Tls,
};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::outbound::{Outbound, Poster, Services};
use crate::provider::{self, Definitions, Provider, Wanted};
use crate::secrets::watch::Nudge;
use crate::session::{Plan, Sessions};
use crate::shared::Tier;
use crate::telemetry::{self, LogQueue, RequestLog};
use crate::webhook::Webhook;
use crate::webhook::store::SealKey;

pub(crate) use descriptors::raise as raise_descriptor_limit;

use descriptors::DescriptorShares;
use reloads::watch_files;
use rooms::{Part, Rooms, With};
use stop::{close, drain, has_failed};
use webhooks::Opened;

/// The keys that say where each listener is.
const FRONT: &str = "server.listen";
const GRPC: &str = "grpc.listen";
const OPS: &str = "ops.listen";
const WEBHOOKS: &str = "webhook_server.listen";

/// Everything that was configured, checked and put together, before anything is opened.
#[derive(Debug)]
pub struct Blueprint {
    config: Config,
    /// Variables that look like ours and set nothing: one sentence each.
    stray_variables: Vec<String>,
    rooms: Rooms,
    webhooks: Vec<Arc<Webhook>>,
    gateway: Option<Arc<Gateway>>,
    poster: Poster,
    tier: tier::Drawn,
    teams: Option<teams::Teams>,
    /// By the section of the listeners.
    tls: BTreeMap<&'static str, Arc<Tls>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Blueprint {
    /// Reads the configuration and draws it. Mistakes of both come in one pass.
    pub fn load(sources: &Sources, environment: &Environment, clock: Arc<dyn Clock>) -> Result<Self, ConfigErrors> {
        let (config, mut errors) = Config::examine(sources, environment);
        match Self::draw(config, environment, clock) {
            Ok(blueprint) if errors.is_empty() => Ok(blueprint),
            Ok(_) => Err(ConfigErrors(errors)),
            Err(more) => {
                errors.extend(more.0);
                Err(ConfigErrors(errors))
            }
        }
    }

    /// Compiles definitions, reads secrets and keys, and checks routes against them. All mistakes that can be found in
    /// one pass are in the error.
    pub fn draw(config: Config, environment: &Environment, clock: Arc<dyn Clock>) -> Result<Self, ConfigErrors> {
        Self::draw_on(config, environment, clock, None)
    }

    /// The same, on a tier that the caller brings.
    pub fn draw_on(
        config: Config,
        environment: &Environment,
        clock: Arc<dyn Clock>,
        tier: Option<Arc<dyn Tier>>,
    ) -> Result<Self, ConfigErrors> {
        let fault = |mistake: Mistake| ConfigErrors(vec![ConfigError::at("sidemint", mistake)]);
        let metrics = Arc::new(Metrics::new().map_err(|error| fault(error.to_string().into()))?);
        let mut errors = Vec::new();
        let outbound = Outbound::configured(&config.outbound, Arc::clone(&clock)).or_else(|mistake| {
            errors.push(mistake);
            Outbound::new(Arc::clone(&clock)).map_err(fault)
        })?;
        let tier = tier::Drawn::draw(&config, tier, &clock, &metrics, &mut errors);
        let (definitions, mistakes) = Definitions::read(config.definitions.as_deref());
        errors.extend(mistakes);
        let is_read = |name: &str| definitions.texts().any(|(_, text)| text.contains(&format!("\"{name}\"")));
        let stray_variables = environment.cautions(is_read);
        let services = Services { outbound, clock: Arc::clone(&clock), metrics: Arc::clone(&metrics) };
        let sources = identity::Sources::configure(&config.identity, &config.routes, &services).map(Arc::new);
        let sources = sources.map_err(|mistakes| errors.extend(mistakes)).ok();
        let level = telemetry::filter(&config.log.level).err().map(|mistake| mistake.within("log.level"));
        errors.extend(level.map(|mistake| ConfigError::at(config.log.origin.clone(), mistake)));
        let part = Part {
            roles: &config.identity.roles,
            routes: &config.routes,
            providers: &config.providers,
            wanted: &|name| Wanted { sessions: config.has_sessions(name), gateway: config.is_mounted(name) },
            limits: (config.cache, config.limits),
        };
        let with = With { environment, definitions: &definitions, services: &services };
        let rooms = Rooms::draw(&part, sources.clone().unwrap_or_default(), &with, &mut errors);
        let listeners = config.listeners();
        errors.extend(rooms.gateways.values().filter_map(|own| own.check_circle(&listeners).err()));
        errors.extend(tier.shared.as_ref().and_then(|own| tier::budgets::share(&config, own, &rooms)));
        let mut webhooks = Vec::new();
        let room = config.webhooks.as_ref().map_or(0, |webhooks| webhooks.server.max_buffered_bytes);
        for own in config.webhooks.iter().flat_map(|webhooks| &webhooks.served) {
            let Some(table) = config.providers.get(&own.provider) else { continue };
            match Webhook::configure(own, table, environment, &definitions, &services) {
                Ok(webhook) => {
                    errors.extend(webhook.check_room(room).err());
                    webhooks.push(Arc::new(webhook));
                }
                Err(mistakes) => errors.extend(mistakes),
            }
        }
        let queue = config.webhooks.as_ref().and_then(|webhooks| webhooks.queue.as_ref());
        errors.extend(queue.and_then(|queue| SealKey::configured(queue).err()));
        let gateway = config.gateway.as_ref().map(|gateway| {
            let parts = Parts { providers: &rooms.gateways, sources: sources.as_deref(), services: &services };
            Gateway::configure(gateway, &parts)
        });
        let gateway = gateway.transpose().unwrap_or_else(|mistakes| {
            errors.extend(mistakes);
            None
        });
        let mut tls = BTreeMap::new();
        for own in config.tls() {
            // The gateway speaks HTTP/1.1 alone.
            let http2 = config.server.http2 && own.section != "gateway";
            match Tls::open(own, http2, &clock, &metrics) {
                Ok(opened) => drop(tls.insert(own.section, opened)),
                Err(mistakes) => errors.extend(mistakes),
            }
        }
        let teams = config.teams.as_ref().map(|own| teams::Teams::draw(own, definitions, &services, &mut errors));
        if errors.is_empty() {
            let poster = services.outbound.poster().map_err(fault)?;
            Ok(Self {
                config,
                stray_variables,
                rooms,
                webhooks,
                gateway: gateway.map(Arc::new),
                poster,
                tier,
                teams,
                tls,
                clock,
                metrics,
            })
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The routes, planned.
    pub fn plans(&self) -> &[Arc<Plan>] {
        &self.rooms.plans
    }

    /// The gateway, if there is one.
    pub fn gateway(&self) -> Option<&Arc<Gateway>> {
        self.gateway.as_ref()
    }

    /// The webhooks.
    pub fn webhooks(&self) -> &[Arc<Webhook>] {
        &self.webhooks
    }

    /// What is wrong with the files of teams. It stops their teams alone.
    pub fn mistakes_of_teams(&self) -> Vec<ConfigError> {
        self.teams.iter().flat_map(teams::Teams::mistakes).collect()
    }

    /// The provider of this name.
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.rooms.providers.get(name)
    }

    /// Providers as they are called for applications, by name.
    pub fn gateways(&self) -> &BTreeMap<String, Arc<provider::Gateway>> {
        &self.rooms.gateways
    }

    /// Names of the providers.
    pub fn provider_names(&self) -> Vec<&str> {
        self.rooms.providers.keys().map(String::as_str).collect()
    }

    /// Sessions without listeners, for the command line.
    pub fn sessions(&self, lifecycle: &Lifecycle) -> Arc<Sessions> {
        self.rooms.sessions(self.tier.shared.as_ref(), lifecycle)
    }

    /// How many connections there may be.
    fn shares(&self) -> DescriptorShares {
        let of_teams: usize = self.teams.iter().map(teams::Teams::calls_at_once).sum();
        let calls = self.rooms.calls_at_once.saturating_add(of_teams);
        let webhooks = self.config.webhooks.iter();
        let deliveries: usize = webhooks.clone().flat_map(|own| &own.served).map(|own| own.deliveries_at_once).sum();
        let gateway = self.config.gateway.iter();
        let gateway_calls: usize = gateway.clone().map(|own| own.max_in_flight).sum();
        let gateway_listeners: usize = gateway.map(|own| own.listeners().count()).sum();
        let listeners = 1 + self.config.grpc.iter().count() + webhooks.count() + gateway_listeners;
        DescriptorShares::share(
            self.config.server.max_connections,
            listeners,
            calls.saturating_add(deliveries).saturating_add(gateway_calls),
        )
    }
}

/// A service whose ports are open.
#[derive(Debug)]
pub struct App {
    blueprint: Blueprint,
    listeners: Vec<Listener>,
    webhooks: Opened,
    lifecycle: Lifecycle,
    /// Probes are answered until the last request is done, so the ops listener outlives the others.
    ops_lifecycle: Lifecycle,
    nudge: Nudge,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything in flight was finished.
    Drained,
    /// The deadline passed; this many connections and tasks were cut.
    Cut(usize),
    /// The queue could not go on: what was answered is on disk, and the next process begins there.
    Failed,
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operator must change something.
    #[error("{0}")]
    Mistake(ConfigError),
    /// A port or a file cannot be opened.
    #[error("{0}")]
    Failed(#[from] io::Error),
}

impl App {
    /// Opens the listeners and starts what runs in the background. `log` takes request lines.
    pub fn bind(mut blueprint: Blueprint, log: LogQueue) -> Result<Self, StartError> {
        let shares = blueprint.shares();
        let teams = blueprint.teams.take();
        let config = &blueprint.config;
        let server = &config.server;
        let bind = |key: &str, listen: &Listen| {
            let named = |error: io::Error| {
                io::Error::new(
                    error.kind(),
                    format!("{key}: cannot listen on {listen}: {error}; write another address"),
                )
            };
            Bound::bind(listen, server.unix_mode).map_err(named)
        };
        let (lifecycle, ops_lifecycle) = (Lifecycle::new(), Lifecycle::new());
        let clock = Arc::clone(&blueprint.clock);
        let log = RequestLog::new(config.log.requests, config.log.users, clock, log);
        let webhooks = Opened::open(&blueprint, &lifecycle)?;
        let state = AppState {
            sources: Arc::clone(&blueprint.rooms.sources),
            sessions: blueprint.sessions(&lifecycle),
            providers: blueprint.rooms.providers.values().cloned().collect(),
            gateways: blueprint.rooms.gateways_alone().map(|(_, gateway)| Arc::clone(gateway)).collect(),
            tls: blueprint.tls.values().cloned().collect(),
            metrics: Arc::clone(&blueprint.metrics),
            log: log.clone(),
            browser: config.browser.clone(),
            queue: webhooks.store.clone(),
            deliveries: webhooks.deliveries.clone(),
            teams: teams.as_ref().map(|_| Arc::default()),
            intake: None,
            body: BodyLimits { bytes: server.max_body_bytes, patience: server.header_timeout },
        };
        let limits = Limits { connections: shares.connections, ..Limits::from(server) };
        let peers = Arc::clone(blueprint.rooms.sources.peers());
        let entrance = Entrance { peers, tls: blueprint.tls.get("server").cloned(), log: log.clone() };
        // Where no peer is known, and no connection proves anything.
        let strangers = Entrance { peers: Arc::default(), tls: None, log };
        let routes = Routes::front(&state);
        let front = state.teams.clone().map_or_else(
            || Service::Routes(routes.clone()),
            |teams| Service::Teams(TeamRoutes { platform: routes.clone(), teams }),
        );
        let page = summary::page(&blueprint, &lifecycle);
        let mut listeners = vec![
            Listener {
                key: FRONT.into(),
                bound: bind(FRONT, &server.listen)?,
                service: front,
                limits,
                entrance: entrance.clone(),
                lifecycle: lifecycle.clone(),
            },
            Listener {
                key: OPS.into(),
                bound: bind(OPS, &config.ops.listen)?,
                service: Service::Routes(Routes::ops(&lifecycle, &state, page.as_ref())),
                limits: limits.of_ops(shares.ops),
                entrance: strangers.clone(),
                lifecycle: ops_lifecycle.clone(),
            },
        ];
        if let Some(grpc) = &config.grpc {
            listeners.push(Listener {
                key: GRPC.into(),
                bound: bind(GRPC, &grpc.listen)?,
                service: Service::Calls(Calls::new(grpc, &routes, server.header_timeout, &lifecycle)),
                limits: Limits { protocol: Protocol::Http2, ..limits },
                entrance,
                lifecycle: lifecycle.clone(),
            });
        }
        if let Some(own) = &config.webhooks {
            listeners.push(Listener {
                key: WEBHOOKS.into(),
                bound: bind(WEBHOOKS, &own.server.listen)?,
                // W-25: paths of webhooks alone
                service: Service::Routes(Routes::webhooks(&webhooks.receivers, own.server.body_timeout, &state)),
                limits: limits.of_webhooks(own.server.max_buffered_bytes),
                entrance: Entrance { tls: blueprint.tls.get("webhook_server").cloned(), ..strangers },
                lifecycle: lifecycle.clone(),
            });
        }
        let parts = gateway::Parts { blueprint: &blueprint, log: &state.log, limits, lifecycle: &lifecycle };
        listeners.extend(gateway::listeners(&parts, bind)?);
        lifecycle.spawn(Arc::clone(&state.sessions).run_renewals());
        state.sessions.start_fleet();
        blueprint.tier.start(&blueprint.clock, &lifecycle);
        blueprint.rooms.sources.start(&lifecycle);
        let teams = teams.zip(state.teams.as_ref()).map(|(teams, fronts)| teams.start(fronts, &state, &lifecycle));
        let nudge = watch_files(&blueprint, teams, &state.sessions, &lifecycle);
        Ok(Self { blueprint, listeners, webhooks, lifecycle, ops_lifecycle, nudge })
    }

    /// Where the listener of this key is, with the port that the system chose.
    fn address(&self, key: &str) -> io::Result<Option<Listen>> {
        self.listeners.iter().find(|own| own.key == key).map(|own| own.bound.address()).transpose()
    }

    /// Where the front and the ops listener are.
    pub fn addresses(&self) -> io::Result<(Listen, Listen)> {
        let known = |key| self.address(key)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        Ok((known(FRONT)?, known(OPS)?))
    }

    /// Where gRPC is served, if it is.
    pub fn grpc_address(&self) -> io::Result<Option<Listen>> {
        self.address(GRPC)
    }

    /// Where providers post their events, if they do.
    pub fn webhook_address(&self) -> io::Result<Option<Listen>> {
        self.address(WEBHOOKS)
    }

    /// The life of the process, to look at from outside.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Asks for a look at the secret files.
    pub fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }

    /// Serves until `shutdown` completes, then drains: readiness drops, listeners close after the configured delay,
    /// requests in flight finish under the deadline, the rest is cut.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Ended {
        if let Ok(Some(address)) = self.address(FRONT) {
            summary::log_routes(&self.blueprint, &address);
        }
        let Self { blueprint, listeners, webhooks, lifecycle, ops_lifecycle, nudge: _nudge } = self;
        let server = &blueprint.config.server;
        readiness::object(&blueprint, &lifecycle);
        blueprint.warn();
        // What accepts connections ends before what is served on them.
        let (accepting, ops_accepting) = (Lifecycle::default(), Lifecycle::default());
        for listener in listeners {
            let own = if listener.key == OPS { &ops_accepting } else { &accepting };
            own.spawn(listener.serve(Arc::clone(&blueprint.metrics)));
        }
        webhooks.start();
        readiness::when_random(&lifecycle);
        blueprint.tier.object(&blueprint.clock, &lifecycle);
        let store = webhooks.store;
        let failed = tokio::select! {
            () = shutdown => false,
            () = has_failed(store.as_deref()) => true,
        };
        tracing::info!("stopping: not ready any more, finishing what is in flight");
        lifecycle.leave();
        tokio::time::sleep(server.drain_delay).await;
        lifecycle.draining().cancel();
        accepting.finished().await;
        let ended = drain(&lifecycle, server.drain_timeout).await;
        if let Some(store) = store {
            close(store.close()).await;
        }
        ops_lifecycle.draining().cancel();
        ops_accepting.finished().await;
        if failed { Ended::Failed } else { ended }
    }
}
