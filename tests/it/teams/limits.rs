//! What one team cannot take from another: users, rates, sessions, places.

use std::sync::Arc;

use sidemint::config::Environment;

use super::world::{Folders, World, calling, local, secret_of};
use crate::client::{Connection, request};
use crate::eventually::eventually;
use crate::fakes::sendsar::Sendsar;
use crate::harness::{SESSION, Service, clock};
use crate::places::{stranger, strangers};

/// F-18: a user of one team and the user of the same name of another are two.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_subject_in_two_teams_is_two_users() {
    let (world, fake) = World::sendsar(&[]).await;
    let (shop, bank) = (world.session("shop", "alice").await.json(), world.session("bank", "alice").await.json());
    assert_eq!(fake.mints(), 2, "each team has a session of its own");
    let signed_out = world.ask(("DELETE", SESSION), super::SHOP, "shop", "alice").await;
    assert_eq!(signed_out.status, 204, "{signed_out:?}");
    assert_eq!(world.session("bank", "alice").await.json(), bank, "the other team's user goes on");
    assert_eq!(fake.mints(), 2);
    assert_ne!(world.session("shop", "alice").await.json(), shop, "the team's own user begins anew");
    assert_eq!(fake.mints(), 3);
}

/// F-18: the rate of a user counts in one team.
#[tokio::test(flavor = "multi_thread")]
async fn the_rate_of_a_user_is_that_of_one_team() {
    let slow = local("shop").replace("user_rate = \"none\"", "user_rate = \"2/min\"");
    let bank = slow.replace("issuer = \"shop\"", "issuer = \"bank\"");
    let world = World::start(&slow, &bank, &[]).await;
    let out = |team: &'static str, host| world.ask(("DELETE", SESSION), host, team, "alice");
    while out("shop", super::SHOP).await.status == 204 {}
    let refused = out("shop", super::SHOP).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    assert_eq!(out("bank", super::BANK).await.status, 204, "the other team's user has a rate of its own");
}

/// F-18: the requests of a team are bounded by its grant. Those of strangers take nothing from it, and other teams see nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_requests_of_a_team_are_bounded() {
    let world = World::start(&local("shop"), &local("bank"), &[("teams.shop.requests", "\"4/min\"")]).await;
    let keys = world.service.ask("GET", "/.well-known/jwks.json", &[("Host", super::SHOP)]).await.json();
    for _ in 0..20 {
        assert_eq!(world.ask(("GET", SESSION), super::SHOP, "bank", "alice").await.status, 403);
    }
    assert_eq!(world.session("shop", "alice").await.status, 200);
    assert_eq!(world.session("shop", "bob").await.status, 200);
    let refused = world.session("shop", "alice").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"), "also what is in the cache");
    assert_eq!(refused.header("retry-after"), Some("20"));
    for method in ["POST", "DELETE"] {
        assert_eq!(world.ask((method, SESSION), super::SHOP, "shop", "carol").await.status, 429, "{method}");
    }
    let passed = world.ask(("GET", "/guard"), super::SHOP, "shop", "alice").await;
    assert_eq!((passed.status, passed.header("x-chat-status")), (200, Some("limited")), "chat is optional there");
    assert_eq!(world.session("bank", "alice").await.status, 200);
    assert_eq!(world.service.session("alice").await.status, 200);
    let reasons: Vec<_> =
        world.service.log_lines(28).await.iter().filter_map(|l| l["reason"].as_str().map(str::to_owned)).collect();
    assert_eq!(reasons.iter().filter(|reason| *reason == "team_rate").count(), 4, "{reasons:?}");
    // A file that changes brings no new rate with it.
    world.folders.write("shop", &local("again"));
    let changed = async || {
        let set = world.service.ask("GET", "/.well-known/jwks.json", &[("Host", super::SHOP)]).await;
        set.json() != keys
    };
    eventually("the change is served", changed).await;
    assert_eq!(world.session("shop", "alice").await.status, 429);
    world.service.advance(60);
    assert_eq!(world.session("shop", "alice").await.status, 200);
}

/// F-18: mints of a team that are under way are bounded. Its users with a session do not notice, and no other team does.
#[tokio::test(flavor = "multi_thread")]
async fn the_mints_of_a_team_are_bounded() {
    let (world, fake) = World::sendsar(&[("teams.shop.in_flight", "1")]).await;
    assert_eq!(world.session("shop", "alice").await.status, 200);
    let gate = fake.hold().await;
    let mut waiting = world.service.connect().await;
    let secret = secret_of("shop");
    let headers = [("Host", super::SHOP), ("X-Chat-Peer-Secret", secret.as_str()), ("X-Forwarded-User", "bob")];
    waiting.send(request("GET", SESSION, &headers, b"")).await;
    fake.until(|fake| fake.mints() == 2).await;
    let refused = world.session("shop", "carol").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    let out = world.ask(("DELETE", SESSION), super::SHOP, "shop", "carol").await;
    assert_eq!(out.status, 429, "a sign-out is work as well");
    assert_eq!(world.session("shop", "alice").await.status, 200);
    let mut other = world.service.connect().await;
    let secret = secret_of("bank");
    let headers = [("Host", super::BANK), ("X-Chat-Peer-Secret", secret.as_str()), ("X-Forwarded-User", "bob")];
    other.send(request("GET", SESSION, &headers, b"")).await;
    fake.until(|fake| fake.mints() == 3).await;
    drop(gate);
    assert_eq!(waiting.answer().await.expect("an answer").status, 200);
    assert_eq!(other.answer().await.expect("an answer").status, 200);
    assert_eq!(world.session("shop", "carol").await.status, 200, "the place is free again");
}

/// F-18: so are the calls to all of its providers together, whatever its file says.
#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_a_team_are_bounded() {
    let (world, fake) = World::sendsar(&[("teams.shop.in_flight", "2")]).await;
    let spare = "[providers.spare]\npreset = \"local\"\npublic_api_url = \"https://spare.example\"\nissuer = \"a\"\naudience = \"b\"\n";
    world.folders.write("shop", &format!("{}calls_at_once = 100\n{spare}", calling(&fake.base_url())));
    let spare_is_there = async || {
        let set = world.service.ask("GET", "/.well-known/jwks.json", &[("Host", super::SHOP)]).await;
        set.json()["keys"].as_array().is_some_and(|keys| !keys.is_empty())
    };
    eventually("the file is served", spare_is_there).await;
    let gate = fake.hold().await;
    let secret = secret_of("shop");
    let mut all = Vec::new();
    for user in ["alice", "bob"] {
        let headers = [("Host", super::SHOP), ("X-Chat-Peer-Secret", secret.as_str()), ("X-Forwarded-User", user)];
        let mut connection = world.service.connect().await;
        connection.send(request("GET", SESSION, &headers, b"")).await;
        all.push(connection);
    }
    world.service.metric_reaches("sidemint_calls_waiting{provider=\"chat\",team=\"shop\"}", 1.0).await;
    fake.until(|fake| fake.mints() == 1).await;
    let waiting = world.service.metric("sidemint_calls_waiting{provider=\"chat\",team=\"shop\"}").await;
    assert!((waiting - 1.0).abs() < 0.1, "half of two for each provider: {waiting}");
    assert_eq!(fake.mints(), 1);
    drop(gate);
    for connection in &mut all {
        assert_eq!(connection.answer().await.expect("an answer").status, 200);
    }
}

/// F-17: a team's provider is where its grant says, by name and by address, and elsewhere no call is made.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_called_where_the_grant_says() {
    for (granted, url, status) in [
        ("[\"127.0.0.1\"]", "127.0.0.1", 200),
        ("[\"127.0.0.2\"]", "127.0.0.1", 503),
        ("[]", "127.0.0.1", 503),
        ("[\"api.sendsar.com\"]", "127.0.0.1", 503),
        // A name that is granted, and leads inside.
        ("[\"localhost\"]", "localhost", 503),
    ] {
        let clock = clock();
        let fake = Sendsar::start(Arc::clone(&clock)).await;
        let folders = Folders::new();
        folders.write("shop", &local("shop"));
        folders.write("bank", &calling(&fake.base_url().replace("127.0.0.1", url)));
        let text = folders.platform(&[("teams.bank.provider_hosts", granted)]);
        let world = World { service: Service::start(&text, &Environment::default(), clock).await, folders };
        let answer = world.session("bank", "alice").await;
        assert_eq!(answer.status, status, "{granted} {url}: {answer:?}");
        assert_eq!(fake.calls().is_empty(), status == 503, "{granted} {url}");
    }
}

/// Peers that the platform knows: one address. Places are few.
const FEW: [(&str, &str); 4] = [
    ("identity.peers.networks", "[\"127.0.0.1/32\"]"),
    ("server.max_connections", "8"),
    ("server.header_timeout", "\"10m\""),
    ("server.idle_timeout", "\"20m\""),
];

/// T-70: the proxy of a team is no stranger, so it has more than a stranger's part of the places.
#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_of_a_team_is_no_stranger() {
    let world = World::start(&local("shop"), &local("bank"), &FEW).await;
    let secret = secret_of("shop");
    let headers = [("Host", super::SHOP), ("X-Chat-Peer-Secret", secret.as_str()), ("X-Forwarded-User", "alice")];
    let mut all = Vec::new();
    for _ in 0..6 {
        let mut connection = Connection::over(stranger(world.service.address(), 9).await);
        assert_eq!(connection.ask("GET", SESSION, &headers).await.status, 200);
        all.push(connection);
    }
    for connection in &mut all {
        assert_eq!(connection.ask("GET", SESSION, &headers).await.status, 200, "each of them is kept");
    }
}

/// F-16: a fragment that believes every peer makes none of them one that keeps its place: those whom the platform knows
/// have theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_fragment_lets_no_peer_keep_a_place() {
    let open = format!("{}[identity.callers.all]\nnetworks = [\"127.0.0.0/8\"]\n", local("bank"));
    let world = World::start(&local("shop"), &open, &FEW).await;
    let held = strangers(world.service.address(), 8, b"").await;
    for _ in 0..3 {
        assert_eq!(world.service.session("alice").await.status, 200);
    }
    drop(held);
}
