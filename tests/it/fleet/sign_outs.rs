//! A sign-out on one replica holds on all; so does a denial. Whatever was missed is asked for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sidemint::shared::{Event, Landed, Tier as _, TierTime};

use super::world::{Plan, World, token};
use crate::eventually::{as_time_passes, eventually};
use crate::harness::SESSION;

const REVOKE: &str = "[[revoke.steps]]\nid = \"revoke\"\ndelete = \"{{ config.api_url }}/users/{{ user.id }}\"\n";

/// T-37: Within a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_reaches_every_replica_within_a_second() {
    let world = World::new(3, Plan::default()).await;
    for n in 0..3 {
        assert_eq!(world.token(n, "ada").await, "tok1");
        world.lands(0, 1.0).await;
        assert_eq!(token(&world.now(n, "bob").await), "tok2");
        world.lands(0, 2.0).await;
    }
    let beats = "sidemint_shared_operations_total{op=\"beat\",outcome=\"ok\"}";
    let [one, two] = [1, 2].map(|n| &world.replicas[n].service);
    assert_eq!(world.ask(0, "DELETE", SESSION, "ada").await.status, 204);
    let before = [one.metric(beats).await, two.metric(beats).await];
    for _ in 0..3 {
        world.clock.advance(Duration::from_millis(300));
    }
    one.metric_reaches(beats, before[0] + 1.0).await;
    two.metric_reaches(beats, before[1] + 1.0).await;
    assert_eq!(world.token(1, "ada").await, "tok3");
    world.lands(1, 1.0).await;
    assert_eq!(world.token(2, "ada").await, "tok3");
    assert_eq!(world.token(0, "ada").await, "tok3");
    for n in 0..3 {
        assert_eq!(token(&world.now(n, "bob").await), "tok2", "no other user is touched");
    }
}

/// F-10: What was minted for a user who signed out elsewhere meanwhile is not handed out, where that was heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_mint_under_way_ends_with_a_sign_out_elsewhere() {
    let world = World::new(2, Plan { held: true, more: REVOKE, ..Plan::default() }).await;
    let waits = world.asks(1, SESSION, "ada");
    world.asked_for(1).await;
    assert_eq!(world.ask(0, "DELETE", SESSION, "ada").await.status, 204);
    let revoked = world.revocations();
    world.hear().await;
    assert_eq!(world.answer(waits).await.status, 401);
    world.release(1);
    world.until("the token is taken back", async || world.revocations() > revoked).await;
    world.release(1);
    assert_eq!(world.token(1, "ada").await, "tok2");
}

/// F-10: Where it was not heard yet, it is not kept: the tier refuses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_mint_under_way_is_not_kept_after_a_sign_out_elsewhere() {
    let world = World::new(2, Plan { held: true, more: REVOKE, ..Plan::default() }).await;
    let waits = world.asks(1, SESSION, "ada");
    world.asked_for(1).await;
    // Time stands still, so there is no beat.
    let out = world.replicas[0].service.ask("DELETE", SESSION, &[("X-Forwarded-User", "ada")]).await;
    assert_eq!(out.status, 204);
    let revoked = world.revocations();
    world.release(1);
    assert_eq!(waits.await.unwrap().status, 200, "before any beat");
    world.until("the token is taken back", async || world.revocations() > revoked).await;
    world.release(1);
    assert_eq!(world.token(1, "ada").await, "tok2");
}

/// F-09: Cut off, it serves what it has; back again, it hears what it missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_cut_off_hears_of_the_sign_out_when_it_is_back() {
    let world = World::with_ada_on_two().await;
    world.cut(1, true).await;
    assert_eq!(world.ask(0, "DELETE", SESSION, "ada").await.status, 204);
    assert_eq!(world.token(1, "ada").await, "tok1", "it cannot know");
    world.cut(1, false).await;
    world.hear().await;
    assert_eq!(world.token(1, "ada").await, "tok2");
}

/// F-09: The tier lost mark and event as well. Who heard of the sign-out tells it again, and the others ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_that_the_tier_lost_is_told_again() {
    let world = World::with_ada_on_two().await;
    assert_eq!(world.token(1, "bob").await, "tok2");
    world.cut(1, true).await;
    let gaps = "sidemint_shared_gaps_total";
    world.until("a gap", async || world.replicas[1].service.metric(gaps).await > 0.5).await;
    assert_eq!(world.ask(0, "DELETE", SESSION, "ada").await.status, 204);
    world.hear().await;
    world.model.flush();
    world.hear().await;
    let ended = "sidemint_shared_operations_total{op=\"end\",outcome=\"ok\"}";
    world.until("the mark is told again", async || world.replicas[0].service.metric(ended).await > 1.5).await;
    let mints = world.mints();
    world.cut(1, false).await;
    world.hear().await;
    assert_ne!(world.token(1, "ada").await, "tok1");
    assert_eq!(
        (world.token(1, "bob").await, world.mints()),
        ("tok2".to_owned(), mints + 1),
        "confirmed, and not minted again"
    );
    let doubted = "sidemint_shared_unconfirmed";
    world.until("none is in doubt", async || world.replicas[1].service.metric(doubted).await < 0.5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_without_the_tier_says_so_and_is_told_later() {
    let world = World::with_ada_on_two().await;
    world.cut(0, true).await;
    let out = world.ask(0, "DELETE", SESSION, "ada").await;
    assert_eq!((out.status, out.code()), (202, "signed_out_here".to_owned()));
    let pending = "sidemint_shared_signouts_pending";
    assert!((world.replicas[0].service.metric(pending).await - 1.0).abs() < 0.1);
    assert_eq!(world.token(1, "ada").await, "tok1");
    world.cut(0, false).await;
    world.until("it is told", async || world.replicas[0].service.metric(pending).await < 0.5).await;
    world.hear().await;
    assert_ne!(world.token(1, "ada").await, "tok1");
}

/// T-37: A user whom an operator denied through the tier is served by no replica, until the time is over.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_denied_through_the_tier_is_denied_by_all() {
    let mut world = World::new(1, Plan::default()).await;
    token(&world.ask(0, "GET", SESSION, "ada").await);
    let second = 1_000_000;
    let now = u64::try_from(sidemint::clock::Clock::now(&*world.clock).as_millis()).unwrap() * 1000;
    let until = TierTime::from_micros(now + 600 * second);
    world.model.tell(&Event::Denied(World::names().user("", "ada"), until)).await.unwrap();
    world.hear().await;
    let denied = world.ask(0, "GET", SESSION, "ada").await;
    assert_eq!((denied.status, denied.code()), (403, "user_denied".to_owned()));
    token(&world.ask(0, "GET", SESSION, "bob").await);
    // One that begins later reads the list.
    world.add(&super::world::ROUTES, "secret").await;
    world.hear().await;
    assert_eq!(world.ask(1, "GET", SESSION, "ada").await.status, 403);
    world.clock.advance(Duration::from_mins(11));
    token(&world.ask(1, "GET", SESSION, "ada").await);
}

/// F-05: What stood in the tier before a sign-out is put back, and the mark is removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_put_back_after_a_sign_out_is_not_taken() {
    let world = World::new(2, Plan::default()).await;
    assert_eq!(world.token(0, "ada").await, "tok1");
    world.lands(0, 1.0).await;
    assert_eq!(world.ask(0, "DELETE", SESSION, "ada").await.status, 204);
    world.hear().await;
    let old = world.replicas[0].way.landed().unwrap();
    // The mark is there: the tier itself does not take it, nor hand it out.
    assert_eq!(world.model.land(&old).await, Ok(Landed::SignedOut));
    world.model.lose_marks();
    assert_eq!(world.model.land(&old).await, Ok(Landed::Kept));
    assert_eq!(world.token(1, "ada").await, "tok2");
}

/// F-09: What is renewed without the tier is as old as what it renews: a sign-out meanwhile ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_without_the_tier_is_no_sign_of_the_user() {
    let world = World::with_ada_on_two().await;
    world.cut(1, true).await;
    assert_eq!(world.ask(0, "DELETE", SESSION, "ada").await.status, 204);
    world.clock.advance(Duration::from_mins(44));
    let renewed = async || world.sessions(1, "renewed").await > 0.5;
    as_time_passes(&world.clock, Duration::from_secs(1), eventually("it is renewed", renewed)).await;
    assert_eq!(world.token(1, "ada").await, "tok2");
    world.cut(1, false).await;
    world.hear().await;
    assert_eq!(world.token(1, "ada").await, "tok3");
}

/// F-09: A replica that heard nothing of a sign-out learns of it at the next renewal.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_renewed_after_a_sign_out_elsewhere() {
    let world = World::with_ada_on_two().await;
    world.replicas[1].way.deaf.store(true, Ordering::SeqCst);
    assert_eq!(world.ask(0, "DELETE", SESSION, "ada").await.status, 204);
    world.clock.advance(Duration::from_mins(44));
    let dropped = async || world.replicas[1].service.metric("sidemint_cache_entries").await < 0.5;
    as_time_passes(&world.clock, Duration::from_secs(1), eventually("it is dropped", dropped)).await;
    assert_eq!(world.mints(), 1, "nothing was minted for it");
}
