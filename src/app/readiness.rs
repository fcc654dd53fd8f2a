//! What speaks against readiness at start.

use std::sync::Arc;
use std::time::Duration;

use super::Blueprint;
use crate::clock::Clock;
use crate::config::Listen;
use crate::lifecycle::Lifecycle;
use crate::provider::warm_up_randomness;
use crate::shared::Shared;

/// How long a start waits for the shared tier: a rollout has cold caches.
const PATIENCE: Duration = Duration::from_millis(500);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(10);

/// The first random number of a process takes tens of milliseconds; readiness waits for it, liveness does not.
pub(super) fn when_random(lifecycle: &Lifecycle) {
    let lifecycle = lifecycle.clone();
    lifecycle.clone().spawn(async move {
        let drawn = tokio::task::spawn_blocking(warm_up_randomness).await;
        if drawn.is_ok() {
            lifecycle.withdraw("starting");
        }
    });
}

/// At start alone, readiness waits for the shared tier, and not for long: a replica can work on alone.
pub(super) fn when_shared(shared: &Arc<Shared>, clock: &Arc<dyn Clock>, lifecycle: &Lifecycle) {
    lifecycle.object("shared_tier", "the shared tier has not answered yet; readiness waits half a second at most");
    let (shared, clock, own) = (Arc::clone(shared), Arc::clone(clock), lifecycle.clone());
    lifecycle.spawn(async move {
        let until = clock.moment().plus(PATIENCE);
        while !shared.is_up() && clock.moment() < until {
            clock.sleep_until(clock.moment().plus(LOOK)).await;
        }
        own.withdraw("shared_tier");
    });
}

/// Objects to readiness while users could not be served.
pub(super) fn object(blueprint: &Blueprint, lifecycle: &Lifecycle) {
    // One that takes webhooks or calls or serves teams alone needs no users of its own.
    let has_others = !blueprint.webhooks.is_empty() || blueprint.gateway.is_some() || blueprint.config.teams.is_some();
    if blueprint.rooms.plans.is_empty() && has_others {
        return;
    }
    if blueprint.rooms.sources.is_empty() {
        lifecycle.object("no_identity_source", "set identity.source to a preset such as \"plain\"");
    }
    let listen = &blueprint.config.server.listen;
    let over_grpc = blueprint.config.grpc.iter().any(|grpc| blueprint.rooms.sources.peers().can_hold(&grpc.listen));
    if !over_grpc && !blueprint.rooms.sources.peers().can_hold(listen) {
        let key = match listen {
            Listen::Tcp(_) => "identity.peers.networks",
            Listen::Unix(_) => "identity.peers.unix_uids",
        };
        lifecycle.object("no_peer_proof", format!("set {key} to those who may tell identity"));
    }
    if blueprint.rooms.plans.is_empty() {
        lifecycle.object("no_routes", "add [[routes]] to the configuration");
    }
}
