//! One mint for all: whichever replica is asked, and however many are asked at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::world::{Plan, ROUTES, World, token};
use crate::eventually::{as_time_passes, eventually};
use crate::harness::SESSION;

#[tokio::test(flavor = "multi_thread")]
async fn four_replicas_mint_once() {
    let world = World::new(4, Plan { held: true, ..Plan::default() }).await;
    let asks: Vec<_> = (0..4).flat_map(|n| [world.asks(n, SESSION, "ada"), world.asks(n, SESSION, "ada")]).collect();
    let waited = "sidemint_shared_waited_total";
    world
        .until("three wait", async || {
            let mut all = 0.0;
            for replica in &world.replicas {
                all += replica.service.metric(waited).await;
            }
            all > 2.5
        })
        .await;
    world.release(1);
    for asks in asks {
        assert_eq!(token(&world.answer(asks).await), "tok1");
    }
    assert_eq!((world.mints(), world.upserts()), (1, 1));
    let mut shared = 0.0;
    for n in 0..4 {
        shared += world.sessions(n, "shared").await;
    }
    assert!((shared - 6.0).abs() < 0.1, "{shared}");
    // Warm, and nothing is asked of the tier.
    let before = world.model.asked();
    for n in 0..4 {
        assert_eq!(token(&world.now(n, "ada").await), "tok1");
    }
    assert_eq!(world.model.asked(), before);
}

/// F-02: Another order of routes, other paths and a rotated key that sessions outlive nothing of: what means the same is found,
/// and what was minted with other credentials is not.
#[tokio::test(flavor = "multi_thread")]
async fn routes_in_another_order_find_the_same_session_and_other_credentials_do_not() {
    let mut world = World::new(1, Plan::default()).await;
    world.add(&[("/four", "30m"), ("/three", "40m"), ("/other", "1h"), (SESSION, "1h")], "secret").await;
    world.add(&ROUTES, "another secret").await;
    assert_eq!(world.token(0, "ada").await, "tok1");
    world.lands(0, 1.0).await;
    assert_eq!(world.token(1, "ada").await, "tok1");
    assert_eq!(token(&world.ask(1, "GET", "/other", "ada").await), "tok1");
    assert_eq!(token(&world.ask(1, "GET", "/four", "ada").await), "tok2", "another lifetime is another question");
    assert_eq!(world.token(2, "ada").await, "tok3");
    assert_eq!(world.token(1, "bob").await, "tok4");
}

/// F-01: What stands under the name of another user does not open, and is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_user_does_not_open() {
    let world = World::new(1, Plan::default()).await;
    assert_eq!(world.token(0, "ada").await, "tok1");
    world.lands(0, 1.0).await;
    world.replicas[0].way.swaps.store(true, Ordering::SeqCst);
    assert_eq!(world.token(0, "mallory").await, "tok2");
    let unopened = "sidemint_shared_unopened_total{reason=\"forged\"}";
    assert!(world.replicas[0].service.metric(unopened).await > 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upsert_is_made_once_for_all_questions() {
    let world = World::new(2, Plan::default()).await;
    token(&world.ask(0, "GET", SESSION, "ada").await);
    world.lands(0, 1.0).await;
    token(&world.ask(1, "GET", "/two", "ada").await);
    assert_eq!((world.mints(), world.upserts()), (2, 1));
    token(&world.ask(1, "GET", "/two", "bob").await);
    assert_eq!((world.mints(), world.upserts()), (3, 2));
}

/// F-07: A replica that does not get its token does not keep the others waiting for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_although_its_holder_goes_on() {
    let world = World::new(2, Plan { held: true, ..Plan::default() }).await;
    let _stuck = world.asks(0, SESSION, "ada");
    world.asked_for(1).await;
    let begun = world.moment();
    let waits = world.asks(1, SESSION, "ada");
    world.until("the other mints as well", async || world.mints() == 2).await;
    let passed = world.moment().since(begun);
    assert!((Duration::from_secs(10)..Duration::from_secs(17)).contains(&passed), "{passed:?}");
    world.release(2);
    token(&world.answer(waits).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_replicas_renew_once() {
    let world = World::new(4, Plan::default()).await;
    for n in 0..4 {
        assert_eq!(world.token(n, "ada").await, "tok1");
        world.lands(0, 1.0).await;
    }
    world.clock.advance(Duration::from_mins(44));
    let all_new = async || {
        let mut new = 0;
        for n in 0..4 {
            new += usize::from(token(&world.now(n, "ada").await) == "tok2");
        }
        new == 4
    };
    as_time_passes(&world.clock, Duration::from_secs(1), eventually("all have the new one", all_new)).await;
    for n in 0..4 {
        assert_eq!(token(&world.now(n, "ada").await), "tok2", "{n}");
    }
    assert_eq!(world.mints(), 2);
}

/// T-54: The rate of a user is one for all replicas, and sessions of others cost nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_one_rate_in_all_replicas() {
    let world = World::new(2, Plan { rate: Some("4/min"), ..Plan::default() }).await;
    let statuses = [(0, SESSION), (1, SESSION), (0, "/two"), (1, "/three"), (0, "/four")];
    let mut got = Vec::new();
    for (replica, path) in statuses {
        let asks = world.asks(replica, path, "ada");
        got.push(asks.await.unwrap().status);
        let landed = world.mints();
        eventually("what was minted has landed", async || {
            let line = "sidemint_shared_operations_total{op=\"land\",outcome=\"ok\"}";
            let mut all = 0.0;
            for replica in &world.replicas {
                all += replica.service.metric(line).await;
            }
            all > f64::from(u32::try_from(landed).unwrap()) - 0.5
        })
        .await;
    }
    assert_eq!(got, [200, 200, 200, 429, 429]);
}

/// Where a new token ends the others, they are handed out no more: in this replica and in the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_the_others_is_told_to_all() {
    let world = World::new(2, Plan { token: "exclusive = true", ..Plan::default() }).await;
    assert_eq!(world.token(0, "ada").await, "tok1");
    world.lands(0, 1.0).await;
    assert_eq!(world.token(1, "ada").await, "tok1");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(token(&world.ask(1, "GET", "/two", "ada").await), "tok2");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.token(1, "ada").await, "tok3", "the other one of this replica");
    world.lands(1, 2.0).await;
    world.hear().await;
    assert_eq!(world.token(0, "ada").await, "tok3");
}

/// F-07: Nor does one whose lease is renewed for ever, by whoever it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_another_holds_for_ever_is_not_waited_for() {
    let world = World::new(1, Plan::default()).await;
    world.replicas[0].way.hogs.store(true, Ordering::SeqCst);
    let begun = world.moment();
    assert_eq!(world.token(0, "ada").await, "tok1");
    let passed = world.moment().since(begun);
    assert!((Duration::from_secs(18)..Duration::from_secs(20)).contains(&passed), "{passed:?}");
}
