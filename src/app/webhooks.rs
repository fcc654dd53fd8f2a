//! Puts the parts of webhooks together: the queue, the receivers, and the deliveries.

use std::sync::Arc;

use super::{Blueprint, StartError};
use crate::clock::Clock;
use crate::config::{self, ConfigError, QueuePlace, WebhookMode};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::webhook::Webhook;
use crate::webhook::delivery::{Deliveries, Parts, Role, Target};
use crate::webhook::receive::{Keeper, Receiver, Room, Through};
use crate::webhook::store::sqlite::{Durability, Options, SqliteStore};
use crate::webhook::store::streams::{self, StreamsStore};
use crate::webhook::store::{OpenError, Store};

/// Everything about webhooks that runs.
#[derive(Debug)]
pub(super) struct Opened {
    /// Where providers post, if they do.
    pub(super) receivers: Vec<Arc<Receiver>>,
    /// Where events stand, if they do.
    pub(super) store: Option<Arc<dyn Store>>,
    /// What brings them to the application.
    pub(super) deliveries: Vec<Arc<Deliveries>>,
}

impl Opened {
    /// Opens the queue, and makes what receives and what delivers. Blocks until the queue is read.
    pub(super) fn open(blueprint: &Blueprint, lifecycle: &Lifecycle) -> Result<Self, StartError> {
        let mut opened = Self { receivers: Vec::new(), store: None, deliveries: Vec::new() };
        let Some(webhooks) = &blueprint.config.webhooks else { return Ok(opened) };
        let Blueprint { clock, metrics, .. } = blueprint;
        opened.store = webhooks.queue.as_ref().map(|queue| open_queue(queue, webhooks, clock, metrics)).transpose()?;
        let room = Room::new(webhooks.server.max_buffered_bytes, blueprint.webhooks.len(), Arc::clone(clock));
        for webhook in &blueprint.webhooks {
            let parts = Parts {
                poster: blueprint.poster.clone(),
                signer: Arc::clone(webhook.signer()),
                clock: Arc::clone(clock),
                metrics: Arc::clone(metrics),
                requests: room.requests().clone(),
                at_once: webhook.config().deliveries_at_once,
                timeout: webhook.config().attempt_timeout,
            };
            let keeper = opened.keeper(webhook, &parts, lifecycle);
            let receiver = Receiver::new(webhook, &room, keeper, (clock, metrics), lifecycle);
            opened.receivers.push(Arc::new(receiver));
        }
        Ok(opened)
    }

    fn keeper(&mut self, webhook: &Arc<Webhook>, parts: &Parts, lifecycle: &Lifecycle) -> Keeper {
        let config = webhook.config();
        let to = Target::new(&config.name, Role::To, config.to.clone(), parts);
        match (config.mode, &self.store) {
            (WebhookMode::Store, Some(store)) => {
                let fallback = config.fallback.clone();
                let fallback = fallback.map(|url| Target::new(&config.name, Role::Fallback, url, parts));
                let deliveries = Deliveries::new(&config.name, Arc::clone(store), to, fallback, parts, lifecycle);
                self.deliveries.push(Arc::new(deliveries));
                Keeper::Store(Arc::clone(store))
            }
            (mode, _) => {
                let relay = mode == WebhookMode::Through { relay: true };
                Keeper::Through(Through::new(to, relay, &parts.clock, lifecycle))
            }
        }
    }

    /// Begins to deliver.
    pub(super) fn start(&self) {
        self.deliveries.iter().for_each(Deliveries::start);
    }
}

fn open_queue(
    queue: &config::Queue,
    webhooks: &config::Webhooks,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn Store>, StartError> {
    let stored = webhooks.served.iter().filter(|webhook| webhook.mode == WebhookMode::Store);
    let stored: Vec<&str> = stored.map(|webhook| &*webhook.name).collect();
    let refused = |error| match error {
        OpenError::Mistake(mistake) => StartError::Mistake(ConfigError::at(queue.origin.clone(), mistake)),
        OpenError::Failed(problem) | OpenError::Full(problem) => StartError::Failed(std::io::Error::other(problem)),
    };
    let (dir, start_empty) = match &queue.place {
        QueuePlace::Folder { dir, start_empty } => (dir, *start_empty),
        QueuePlace::Redis(place) => {
            let mut options = streams::Options::configured(queue, place).map_err(StartError::Mistake)?;
            options.limits.webhooks = stored.len();
            let store = StreamsStore::open(options, Arc::clone(clock), metrics).map_err(refused)?;
            metrics.webhook.queue_durable().set(1);
            return Ok(Arc::new(store));
        }
    };
    let mut options = Options::configured(queue, dir, start_empty).map_err(StartError::Mistake)?;
    options.limits.webhooks = stored.len();
    let store = SqliteStore::open(options, Arc::clone(clock), metrics).map_err(refused)?;
    let durability = store.durability();
    metrics.webhook.queue_durable().set(i64::from(durability == Durability::Durable));
    if let Durability::Doubtful(why) = durability {
        tracing::warn!("what is answered 200 may be lost: queue.dir ({}): {why}", dir.display());
    }
    for (name, events) in store.waiting().iter().filter(|(name, _)| !stored.contains(&&**name)) {
        tracing::warn!(
            name = &**name,
            events,
            "events wait for a webhook that is not configured with mode \"store\": name it so again, or see \
             \"sidemint webhooks list --name NAME\" and \"sidemint webhooks drop\""
        );
    }
    Ok(Arc::new(store))
}
