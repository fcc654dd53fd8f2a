//! When a call may be made, and what its end says of further ones.

use super::super::*;
use super::load::SECTION;
use super::{LIVE, Setup};
use crate::outbound::ConnectError;

#[tokio::test]
async fn a_provider_that_asks_for_fewer_calls_pauses_the_gateway_alone() {
    let setup = Setup::new(LIVE);
    let gateway = setup.gateway();
    let admit = || gateway.admit(Duration::ZERO);
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", "7".parse().expect("a value"));
    for (headers, seconds) in [(&HeaderMap::new(), 1), (&HeaderMap::new(), 2), (&headers, 7)] {
        let admitted = admit().await.expect("no pause");
        admitted.report(Ended::Answered { status: 429, headers }, None);
        assert_eq!(admit().await.err(), Some(Refused::RateLimited(Duration::from_secs(seconds))));
        assert_eq!(gateway.access().gate.status().breaker, crate::pacing::BreakerState::Closed);
        setup.clock.advance(Duration::from_secs(seconds));
    }
    admit().await.expect("no pause").report(Ended::Answered { status: 200, headers: &headers }, None);
    admit().await.expect("no pause").report(Ended::Answered { status: 429, headers: &HeaderMap::new() }, None);
    assert_eq!(admit().await.err(), Some(Refused::RateLimited(Duration::from_secs(1))), "a pause of its own again");
}

#[tokio::test]
async fn calls_under_way_when_a_pause_begins_neither_end_it_nor_add_to_it() {
    let setup = Setup::new(LIVE);
    let gateway = setup.gateway();
    let mut under_way = Vec::new();
    for _ in 0..6 {
        under_way.push(gateway.admit(Duration::ZERO).await.expect("no pause"));
    }
    let none = HeaderMap::new();
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", "3".parse().expect("a value"));
    for (status, headers, seconds) in
        [(429, &none, 1), (429, &none, 1), (200, &none, 1), (429, &headers, 3), (429, &none, 3), (200, &none, 3)]
    {
        under_way.pop().expect("one more").report(Ended::Answered { status, headers }, None);
        let refused = gateway.admit(Duration::ZERO).await.err();
        assert_eq!(refused, Some(Refused::RateLimited(Duration::from_secs(seconds))), "{status}");
    }
    setup.clock.advance(Duration::from_secs(3));
    gateway
        .admit(Duration::ZERO)
        .await
        .expect("no pause")
        .report(Ended::Answered { status: 429, headers: &none }, None);
    assert_eq!(gateway.admit(Duration::ZERO).await.err(), Some(Refused::RateLimited(Duration::from_secs(2))));
}

/// G-23: what a caller can bring about says nothing about the provider.
#[tokio::test]
async fn the_breaker_hears_of_connections_and_of_the_providers_front_alone() {
    let headers = HeaderMap::new();
    let answered = |status| Ended::Answered { status, headers: &headers };
    for (ended, opens) in [
        (answered(500), false),
        (answered(404), false),
        (answered(401), false),
        (Ended::Failed(SendError::Timeout), false),
        (Ended::Failed(SendError::Broken), false),
        (answered(502), true),
        (answered(504), true),
        (Ended::Failed(SendError::Connect(ConnectError::Refused)), true),
    ] {
        let setup = Setup::new(LIVE);
        let gateway = setup.gateway();
        for _ in 0..5 {
            gateway.admit(Duration::ZERO).await.expect("let through").report(ended, None);
        }
        let refused = gateway.admit(Duration::ZERO).await.err();
        assert_eq!(refused, opens.then_some(Refused::Unavailable(Duration::from_secs(1))), "{ended:?}");
    }
}

#[tokio::test]
async fn calls_that_the_provider_counts_apart_have_a_pace_of_their_own() {
    let setup = Setup::new(&SECTION.replace("as_user =", "limits = { rate = \"4/min\", burst = 2 }\nas_user ="));
    let gateway = setup.gateway();
    for _ in 0..2 {
        gateway.admit(Duration::ZERO).await.expect("within the burst");
    }
    assert_eq!(gateway.admit(Duration::ZERO).await.err(), Some(Refused::RateLimited(Duration::from_secs(20))));
}
