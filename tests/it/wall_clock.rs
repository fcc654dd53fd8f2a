//! The wall clock is set back or forward: nothing stands still, nothing happens all at once, and no user is handed a
//! session for longer than it was asked for.

use std::sync::Arc;
use std::time::Duration;

use sidemint::clock::{Clock as _, ManualClock, Timestamp};
use sidemint::config::Environment;

use crate::fakes::http::Script;
use crate::fakes::issuer::{Issuer, Signer};
use crate::fakes::sendsar::Sendsar;
use crate::harness::{LOCAL, NOW, SESSION, Service, clock, config, sendsar, sendsar_key};

const HOUR: Duration = Duration::from_secs(3600);

/// Where the wall clock is set to.
const OTHER_TIMES: [Timestamp; 2] = [Timestamp::from_seconds(1_777_916_400), Timestamp::from_seconds(1_777_923_600)];

/// T-65
#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_closes_after_its_pause() {
    for time in OTHER_TIMES {
        let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
        fake.breaks(Some(Script::text(500, "text/plain", "ill")));
        for n in 0..8 {
            assert_eq!(service.session(&format!("ill-{n}")).await.status, 503);
        }
        fake.breaks(None);
        service.clock.set_wall(time);
        assert_eq!(service.session("early").await.status, 503, "no time has passed");
        service.advance(1);
        assert_eq!(service.session("late").await.status, 200);
    }
}

/// T-65
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_comes_when_it_was_to_come() {
    for time in OTHER_TIMES {
        let (service, fake) = Service::sendsar().await;
        let _gate = fake.hold().await;
        let (answer, ()) = tokio::join!(service.ask("GET", "/auth", &[("X-Forwarded-User", "alice")]), async {
            fake.until(|fake| fake.mints() == 1).await;
            service.clock.set_wall(time);
            service.clock.advance(Duration::from_millis(151));
        });
        assert_eq!((answer.status, answer.header("x-chat-status")), (200, Some("unavailable")));
    }
}

/// T-65
#[tokio::test(flavor = "multi_thread")]
async fn a_mint_under_way_is_not_cut_short() {
    let (service, fake) = Service::sendsar().await;
    let gate = fake.hold().await;
    let (answer, ()) = tokio::join!(service.session("alice"), async {
        fake.until(|fake| fake.mints() == 1).await;
        service.clock.set_wall(NOW.plus(HOUR / 2));
        drop(gate);
    });
    assert_eq!(answer.status, 200);
}

/// T-65
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_looked_for_as_before() {
    let looks = "sidemint_key_set_fetches_total{outcome=\"ok\",source=\"corp\"}";
    for time in OTHER_TIMES {
        let (signer, other) = (Signer::new("one"), Signer::new("two"));
        let issuer = Issuer::start(&[&signer]).await;
        let rest = format!("{LOCAL}{}", Issuer::source(&issuer.keys()));
        let text = config(&rest, &[("identity.source", "\"corp\"")]);
        let service = Service::start(&text, &Environment::default(), clock()).await;
        service.metric_reaches(looks, 1.0).await;
        let session = async |token: &str| {
            service.ask("GET", SESSION, &[("Authorization", &format!("Bearer {token}"))]).await.status
        };
        assert_eq!(session(&other.token_naming("two", "alice")).await, 401);
        assert_eq!(issuer.looks(), 2, "one for the unknown key");
        service.clock.set_wall(time);
        issuer.publish(&[&signer, &other]);
        assert_eq!(session(&other.token_naming("three", "alice")).await, 401);
        assert_eq!(issuer.looks(), 2, "the cool-down goes on");
        service.advance(10);
        assert_eq!(session(&signer.token_naming("four", "alice")).await, 401);
        assert_eq!(issuer.looks(), 3, "and ends");
        issuer.publish(&[&other]);
        service.advance(20 * 60);
        service.metric_reaches(looks, 4.0).await;
        assert_eq!(issuer.looks(), 4, "the next look by schedule, and one");
    }
}

/// T-65
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_renewed_as_before() {
    for time in [NOW.minus(HOUR), NOW.plus(Duration::from_secs(100))] {
        let (service, fake) = Service::sendsar().await;
        assert_eq!(service.session("alice").await.status, 200);
        service.clock.set_wall(time);
        assert_eq!(service.session("bob").await.status, 200);
        assert_eq!(fake.mints(), 2, "nothing is renewed because a clock was set");
        // Past 84 % of the usable life.
        service.advance((3600 - 60) * 85 / 100);
        fake.until(|fake| fake.mints() == 4).await;
    }
}

/// T-65
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_although_the_wall_clock_was_set_back() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let first = service.session("alice").await.json()["token"].clone();
    service.clock.set_wall(NOW.minus(HOUR));
    assert_eq!(service.session("alice").await.json()["token"], first);
    fake.breaks(Some(Script::text(503, "text/plain", "maintenance")));
    service.advance(3600);
    assert_eq!(service.session("alice").await.status, 503, "the token has ended");
}

/// T-65
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_the_wall_clock_says_so() {
    let (service, _fake) = Service::sendsar().await;
    let first = service.session("alice").await.json()["token"].clone();
    // As after a pause of a virtual machine in which none of its clocks went on.
    service.clock.set_wall(NOW.plus(HOUR));
    let second = service.session("alice").await.json();
    assert_ne!(second["token"], first);
}

/// T-65
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_was_limited_comes_back_after_the_time_that_was_told() {
    for time in OTHER_TIMES {
        let text = config(LOCAL, &[("limits.user_rate", "\"2/min\"")]);
        let service = Service::start(&text, &Environment::default(), clock()).await;
        assert_eq!(service.ask("DELETE", SESSION, &[("X-Forwarded-User", "alice")]).await.status, 204);
        service.clock.set_wall(time);
        let limited = service.session("alice").await;
        let wait: u64 = limited.header("retry-after").unwrap().parse().unwrap();
        assert!(limited.status == 429 && wait <= 60, "{wait}");
        service.advance(wait);
        assert_eq!(service.session("alice").await.status, 200);
    }
}

/// T-65: a provider whose clock is ahead tells ends that are too late.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_lives_longer_than_was_asked_for() {
    let clock = clock();
    let fake = Sendsar::start(Arc::new(ManualClock::new(NOW.plus(HOUR)))).await;
    let text = config(&sendsar(&fake, "retries = 0"), &[]);
    let service = Service::start(&text, &sendsar_key(), Arc::clone(&clock)).await;
    let session = service.session("alice").await.json();
    assert_eq!(session["expiresAt"], clock.now().plus(HOUR).to_rfc3339());
    fake.breaks(Some(Script::text(503, "text/plain", "maintenance")));
    service.advance(3600);
    assert_eq!(service.session("alice").await.status, 503);
}
