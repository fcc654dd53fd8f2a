//! Teams that share a process: who answers where, whom each believes, and what one cannot take from another.

mod bounds;
mod changes;
mod files;
mod limits;
pub mod world;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::client::{Answer, request};
use crate::harness::SESSION;
use world::{BANK, SHOP, World, secret_of};

/// A part of a token: 0 is the header, 1 what it claims.
fn part(answer: &Answer, number: usize) -> Value {
    let session = answer.json();
    let part = session["token"].as_str().expect("a token").split('.').nth(number).unwrap().to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// F-16: each host has one owner, whose routes and no others answer there.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_the_routes_of_its_owner() {
    let world = World::local().await;
    for (host, team, issuer) in [
        (SHOP, "shop", "shop"),
        ("CHAT.shop.EXAMPLE", "shop", "shop"),
        ("chat.shop.example:8443", "shop", "shop"),
        (BANK, "bank", "bank"),
        ("bank.example", "bank", "bank"),
        ("elsewhere.example", "shop", "sidemint"),
    ] {
        let answer = world.ask(("GET", SESSION), host, team, "alice").await;
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
        assert_eq!(part(&answer, 1)["iss"], issuer, "{host}");
    }
    for (host, path, status) in [
        (SHOP, "/auth", 404),
        ("elsewhere.example", "/auth", 200),
        (SHOP, "/guard", 200),
        ("elsewhere.example", "/guard", 404),
    ] {
        assert_eq!(world.ask(("GET", path), host, "shop", "alice").await.status, status, "{host}{path}");
    }
    let series = format!("sidemint_requests_total{{outcome=\"ok\",route=\"{SESSION}\",team=\"bank\"}}");
    assert!((world.service.metric(&series).await - 2.0).abs() < 0.1);
    let lines = world.service.log_lines(10).await;
    let teams: Vec<&str> = lines.iter().filter_map(|line| line["team"].as_str()).collect();
    assert_eq!(teams, ["shop", "shop", "shop", "bank", "bank", "shop", "shop"]);
}

/// T-69: a target that names the host of one owner, and `Host` that of another.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_may_not_name_another_owner_than_host() {
    let world = World::local().await;
    let secret = secret_of("shop");
    for (target, host, status) in [
        (SHOP, SHOP, 200),
        (SHOP, BANK, 400),
        (SHOP, "elsewhere.example", 400),
        ("elsewhere.example", SHOP, 400),
        (BANK, "bank.example", 403),
    ] {
        let mut connection = world.service.connect().await;
        let headers = [("Host", host), ("X-Chat-Peer-Secret", secret.as_str()), ("X-Forwarded-User", "alice")];
        connection.send(request("GET", &format!("http://{target}{SESSION}"), &headers, b"")).await;
        assert_eq!(connection.answer().await.expect("an answer").status, status, "{target} and {host}");
    }
}

/// F-16: on the hosts of a team its own callers are believed; those of another team and those of the platform are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_team_believes_its_own_callers_alone() {
    let world = World::local().await;
    for (host, team, status) in [(SHOP, "shop", 200), (SHOP, "bank", 403), (BANK, "bank", 200), (BANK, "shop", 403)] {
        for (method, path) in [("GET", SESSION), ("POST", SESSION), ("DELETE", SESSION), ("GET", "/guard")] {
            let answer = world.ask((method, path), host, team, "alice").await;
            let expected = if status == 200 && method == "DELETE" { 204 } else { status };
            assert_eq!(answer.status, expected, "{method} {host}{path} by {team}: {answer:?}");
        }
    }
    // The platform believes all of loopback, where this comes from. The first proof of the platform is met, that of the team is not.
    let far = format!("{}[identity.callers.far]\nnetworks = [\"192.0.2.0/24\"]\n", world::local("shop"));
    let world = World::start(&far, &world::local("bank"), &[]).await;
    for headers in [&[("Host", SHOP), ("X-Forwarded-User", "alice")][..], &[("X-Forwarded-User", "alice")]] {
        let answer = world.service.ask("GET", SESSION, headers).await;
        assert_eq!(answer.status, if headers.len() == 2 { 403 } else { 200 }, "{answer:?}");
        if headers.len() == 2 {
            assert_eq!(answer.code(), "peer_untrusted");
        }
    }
}

/// F-16: what one team signs, no verifier of another's takes: each has a key set of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_team_has_a_key_set_of_its_own() {
    let world = World::local().await;
    let mut all = BTreeSet::new();
    for (host, team) in [(SHOP, "shop"), (BANK, "bank"), ("elsewhere.example", "")] {
        let set = world.service.ask("GET", "/.well-known/jwks.json", &[("Host", host)]).await;
        assert_eq!(set.status, 200);
        let set = set.json();
        let kids: Vec<&str> = set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
        let session = world.ask(("GET", SESSION), host, team, "alice").await;
        assert_eq!(kids, [part(&session, 0)["kid"].as_str().unwrap()], "{host}");
        all.extend(kids.into_iter().map(str::to_owned));
    }
    assert_eq!(all.len(), 3, "no key is in two sets");
}
