//! Without the tier every replica works on alone: no wrong answer, no wait.

use std::time::Duration;

use serde_json::json;
use sidemint::clock::Clock as _;
use sidemint::shared::Away;

use super::world::{Plan, World, token};
use crate::client::Connection;
use crate::harness::SESSION;

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_cut_off_works_on_and_waits_for_nothing() {
    let world = World::new(2, Plan::default()).await;
    assert_eq!(world.token(0, "ada").await, "tok1");
    world.cut(0, true).await;
    // Time stands still from here: nothing is waited for.
    assert_eq!(token(&world.now(0, "ada").await), "tok1");
    assert_eq!(token(&world.now(0, "bob").await), "tok2");
    assert_eq!(token(&world.now(0, "bob").await), "tok2");
    world
        .until("long enough for a gap", async || {
            world.replicas[0].service.metric("sidemint_shared_gaps_total").await > 0.5
        })
        .await;
    assert_eq!(token(&world.now(0, "ada").await), "tok1", "in doubt, and there is no one to ask");
    world.cut(0, false).await;
    world.hear().await;
    assert_eq!((world.token(0, "ada").await, world.token(0, "bob").await), ("tok1".to_owned(), "tok2".to_owned()));
    assert_eq!(world.mints(), 2);
}

/// Three questions wait, each for one timeout, and then none.
#[tokio::test(flavor = "multi_thread")]
async fn a_tier_that_hangs_is_waited_for_three_times() {
    let world = World::new(1, Plan::default()).await;
    world.hang(0);
    for (n, user) in ["ada", "bob", "cid", "dan", "eve"].into_iter().enumerate() {
        assert_eq!(world.token(0, user).await, format!("tok{}", n + 1));
    }
    let service = &world.replicas[0].service;
    assert!(service.metric("sidemint_shared_up").await < 0.5);
    let page = Connection::open(service.ops).await.ask("GET", "/status.json", &[("Host", "localhost")]).await.json();
    assert_eq!(
        (&page["tier"]["up"], &page["tier"]["replicas"], &page["tier"]["wholeSeconds"]),
        (&json!(false), &json!(1), &json!(null))
    );
    assert_eq!(token(&world.now(0, "fay").await), "tok6", "time stands still");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_that_is_full_or_empty_is_a_miss() {
    let world = World::new(2, Plan::default()).await;
    world.model.set_full(true);
    assert_eq!(world.token(0, "ada").await, "tok1");
    assert_eq!(world.token(1, "ada").await, "tok2");
    world.model.set_full(false);
    assert_eq!(world.token(0, "bob").await, "tok3");
    world.lands(0, 1.0).await;
    world.model.flush();
    assert_eq!(world.token(1, "bob").await, "tok4");
    assert_eq!(world.token(0, "bob").await, "tok3", "what it has is good");
}

/// `cut_off = "strict"`: no session is older than a minute in a replica that may have missed a sign-out.
#[tokio::test(flavor = "multi_thread")]
async fn a_strict_replica_serves_young_sessions_alone_while_it_is_cut_off() {
    let world = World::new(1, Plan { shared: "cut_off = \"strict\"", ..Plan::default() }).await;
    assert_eq!(world.token(0, "ada").await, "tok1");
    world.clock.advance(Duration::from_secs(70));
    assert_eq!(world.token(0, "ada").await, "tok1", "it hears of everything");
    world.cut(0, true).await;
    world
        .until("long enough for a gap", async || {
            world.replicas[0].service.metric("sidemint_shared_gaps_total").await > 0.5
        })
        .await;
    assert_eq!(world.token(0, "ada").await, "tok2");
    world.clock.advance(Duration::from_secs(50));
    assert_eq!(world.token(0, "ada").await, "tok2");
    world.clock.advance(Duration::from_secs(15));
    assert_eq!(world.token(0, "ada").await, "tok3");
}

/// The clocks of replica and tier disagree by an hour: no session lives longer for it.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_disagree_make_no_life_longer() {
    for ahead in [-3_600_000, 3_600_000] {
        let world = World::new(2, Plan::default()).await;
        world.model.set_ahead(ahead);
        world.hear().await;
        assert_eq!(world.token(0, "ada").await, "tok1");
        world.lands(0, 1.0).await;
        world.clock.advance(Duration::from_mins(30));
        assert_eq!(world.token(1, "ada").await, "tok1");
        world.model.set_away(Some(Away::Refused));
        world.clock.advance(Duration::from_mins(30));
        assert_ne!(world.token(1, "ada").await, "tok1", "{ahead}");
        assert_eq!(world.ask(1, "DELETE", SESSION, "ada").await.status, 202);
    }
}

/// F-11: What is left of a life is counted in time that passes here, and the wall clock may be set back.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_replica_ends_although_the_clock_is_set_back() {
    let world = World::new(2, Plan::default()).await;
    assert_eq!(world.token(0, "ada").await, "tok1");
    world.lands(0, 1.0).await;
    world.clock.advance(Duration::from_mins(30));
    assert_eq!(world.token(1, "ada").await, "tok1");
    world.model.set_away(Some(Away::Refused));
    world.clock.set_wall(world.clock.now().minus(Duration::from_hours(2)));
    world.clock.advance(Duration::from_mins(30));
    assert_ne!(world.token(1, "ada").await, "tok1");
}
