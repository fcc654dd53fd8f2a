//! One budget for all replicas: together they call a provider as often as one may.

use std::time::Duration;

use super::world::{Plan, World};
use crate::harness::SESSION;

/// Each mint is two calls: the user, and the token.
const LIMITS: &str = "[limits]\nrate = \"8/min\"\nburst = 8\nqueue = 0\n";
/// All of the burst is there again: a slot comes free in each period.
const A_REST: Duration = Duration::from_mins(9);

async fn status(world: &World, replica: usize, user: &str) -> u16 {
    world.ask(replica, "GET", SESSION, user).await.status
}

async fn all_rest(world: &World) {
    world.clock.advance(A_REST);
    world.hear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_keep_one_rate() {
    let world = World::new(4, Plan { more: LIMITS, ..Plan::default() }).await;
    world.hear().await;
    // They have just reached the tier, so each keeps to its share as well: two calls of eight.
    for (replica, users) in [["ada", "bob"], ["cid", "dan"], ["eve", "fay"], ["gus", "hal"]].into_iter().enumerate() {
        assert_eq!(status(&world, replica, users[0]).await, 200, "{replica}");
        assert_eq!(status(&world, replica, users[1]).await, 503, "{replica}");
    }
    assert_eq!(world.mints(), 4);
    // What the others leave is for whoever asks.
    all_rest(&world).await;
    for user in ["ida", "jon", "kim", "leo"] {
        assert_eq!(status(&world, 0, user).await, 200, "{user}");
    }
    for replica in 0..4 {
        assert_eq!(status(&world, replica, "max").await, 503, "{replica}");
    }
    assert_eq!(world.mints(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_tier_each_replica_has_its_share() {
    let world = World::new(4, Plan { more: LIMITS, ..Plan::default() }).await;
    world.hear().await;
    all_rest(&world).await;
    for replica in 0..4 {
        world.cut(replica, true).await;
    }
    for (replica, users) in [["ada", "bob"], ["cid", "dan"], ["eve", "fay"], ["gus", "hal"]].into_iter().enumerate() {
        assert_eq!(status(&world, replica, users[0]).await, 200, "{replica}");
        assert_eq!(status(&world, replica, users[1]).await, 503, "{replica}");
    }
    assert_eq!(world.mints(), 4);
}
