//! The promises of the session service (design, section 8), each on a clock in hand.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;

use crate::client::Connection;
use crate::eventually::{as_time_passes, eventually};
use crate::fakes::http::Script;
use crate::fakes::sendsar::subject_of;
use crate::harness::{SESSION, Service};

/// Margin of the Sendsar preset, seconds.
const MARGIN: u64 = 305;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_the_five_members_in_order() {
    let (service, fake) = Service::sendsar().await;
    let answer =
        service.ask("GET", SESSION, &[("X-Forwarded-User", "user_abc123"), ("X-Forwarded-Name", "Alice")]).await;
    assert_eq!(answer.status, 200);
    let members: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["token", "expiresAt", "apiUrl", "chatUserId", "displayName"]);
    assert_eq!(answer.json()["expiresAt"], "2026-05-04T19:40:00.000Z");
    assert_eq!(answer.json()["apiUrl"], "https://api.sendsar.com/v1");
    assert_eq!(answer.json()["chatUserId"], "user_abc123");
    assert_eq!(answer.json()["displayName"], "Alice");
    let calls = fake.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].json, json!({"id": "user_abc123", "username": "Alice"}));
    assert_eq!(calls[1].json, json!({"userId": "user_abc123", "expiresIn": 3600}));
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_1_what_is_handed_out_outlives_the_margin() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    assert_eq!(service.session("alice").await.status, 200);
    fake.breaks(Some(Script::Reset));
    // One second at a time around the edge: handed out while more than the margin is left, never after.
    service.advance(3600 - MARGIN - 2);
    let first = service.session("alice").await;
    assert_eq!(first.status, 200);
    service.advance(1);
    assert_eq!(service.session("alice").await.json()["token"], first.json()["token"]);
    service.advance(1);
    assert_eq!(service.session("alice").await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_a_thousand_first_requests_are_one_upsert_and_one_mint() {
    let (service, fake) = Service::sendsar().await;
    let gate = fake.hold().await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let address = service.address();
        requests.spawn(async move {
            let mut connection = Connection::open(address).await;
            connection.ask("GET", SESSION, &[("X-Forwarded-User", "alice")]).await
        });
    }
    fake.until(|fake| fake.mints() == 1).await;
    drop(gate);
    let answers = requests.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let tokens: HashSet<String> =
        answers.iter().map(|answer| answer.json()["token"].as_str().unwrap().to_owned()).collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!((fake.upserts(), fake.mints()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_local_signatures_are_made_once_as_well() {
    let service = Service::local().await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let address = service.address();
        requests.spawn(async move {
            let mut connection = Connection::open(address).await;
            connection.ask("GET", SESSION, &[("X-Forwarded-User", "alice")]).await.text().to_owned()
        });
    }
    let bodies: HashSet<String> = requests.join_all().await.into_iter().collect();
    assert_eq!(bodies.len(), 1);
    assert!(
        (service.metric("sidemint_sessions_total{how=\"minted\",route=\"/api/chat/session\"}").await - 1.0).abs() < 0.1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_3_sessions_in_use_are_renewed_by_the_clock() {
    let (service, fake) = Service::sendsar().await;
    let first = service.session("alice").await;
    // Past 84 % of the usable life: renewal has come for sure, unasked.
    service.advance((3600 - MARGIN) * 85 / 100);
    fake.until(|fake| fake.mints() == 2).await;
    eventually("the new session is in service", async || service.lifecycle.running() > 0 && fake.mints() == 2).await;
    let renewed = wait_for_another_token(&service, first.json()["token"].as_str().unwrap()).await;
    assert_ne!(renewed, first.json()["token"]);
    assert_eq!(fake.upserts(), 1, "the profile is known");
    // That request used the renewed session, so it is renewed once more; after that it is not used, and it is let go.
    service.advance((3600 - MARGIN) * 85 / 100);
    // Landed, not only asked for: time that runs on would be past the deadline of a call under way.
    service.metric_reaches("sidemint_sessions_total{how=\"renewed\",route=\"/api/chat/session\"}", 2.0).await;
    assert_eq!(fake.mints(), 3);
    for _ in 0..10 {
        service.advance(3600);
    }
    assert_eq!(service.session("alice").await.status, 200);
    assert_eq!(fake.mints(), 4, "an unused session was left to expire, and this request minted anew");
}

async fn wait_for_another_token(service: &Service, old: &str) -> serde_json::Value {
    let another = async || Some(service.session("alice").await.json()["token"].clone()).filter(|token| token != old);
    eventually("the session is renewed", another).await
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_4_a_failed_refresh_leaves_the_old_session_in_service() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let first = service.session("alice").await;
    fake.breaks(Some(Script::text(503, "text/plain", "maintenance")));
    service.advance((3600 - MARGIN) * 85 / 100);
    fake.until(|fake| fake.mints() > 1).await;
    for _ in 0..5 {
        let answer = service.session("alice").await;
        assert_eq!((answer.status, &answer.json()["token"]), (200, &first.json()["token"]));
        service.advance(60);
    }
    service.advance(3600);
    let refused = service.session("alice").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "provider_unavailable"));
    assert!(refused.header("retry-after").is_some());
    fake.breaks(None);
    service.advance(120);
    assert_eq!(service.session("alice").await.status, 200, "it heals");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_5_a_dead_provider_is_left_alone() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    fake.breaks(Some(Script::Reset));
    for n in 0..50 {
        let answer = service.session(&format!("user{n}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "provider_unavailable"));
    }
    assert_eq!(fake.calls().len(), 5, "five failures open the breaker");
    service.advance(1);
    assert_eq!(service.session("probe").await.status, 503);
    assert_eq!(fake.calls().len(), 6, "one probe");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_5_a_limiting_provider_is_given_the_time_it_asks_for() {
    let (service, fake) = Service::sendsar().await;
    let limited =
        Script::Answer { status: 429, headers: vec![("Retry-After".to_owned(), "7".to_owned())], body: b"{}".to_vec() };
    fake.always("/v1/auth/token", Some(limited));
    for user in ["alice", "bob", "carol", "dave", "erin"] {
        let answer = service.session(user).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "provider_rate_limited"));
        assert_eq!(answer.header("retry-after"), Some("7"));
    }
    fake.always("/v1/auth/token", None);
    let calls = fake.calls().len();
    for wait in ["7", "1"] {
        let answer = service.session("frank").await;
        assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("provider_rate_limited", Some(wait)));
        assert_eq!(fake.calls().len(), calls, "no call in the meantime");
        service.advance(if wait == "7" { 6 } else { 1 });
    }
    assert_eq!(service.session("frank").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_5_retries_are_few_and_heal_a_hiccup() {
    let (service, fake) = Service::sendsar().await;
    fake.next("/v1/auth/token", Script::text(502, "text/plain", "bad gateway"));
    let (answer, ()) = tokio::join!(service.session("alice"), async {
        fake.until(|fake| fake.mints() == 1).await;
        // The repeat waits on the clock, for 50 ms at most; the deadline is far beyond these steps.
        let repeated = fake.until(|fake| fake.mints() == 2);
        as_time_passes(&service.clock, std::time::Duration::from_millis(1), repeated).await;
    });
    assert_eq!(answer.status, 200);
    assert_eq!(fake.mints(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_5_a_subrequest_degrades_and_the_flight_goes_on() {
    let (service, fake) = Service::sendsar().await;
    let gate = fake.hold().await;
    let (answer, ()) = tokio::join!(service.ask("GET", "/auth", &[("X-Forwarded-User", "alice")]), async {
        fake.until(|fake| fake.mints() == 1).await;
        service.clock.advance(std::time::Duration::from_millis(151));
    });
    assert_eq!((answer.status, answer.header("x-chat-status")), (200, Some("unavailable")));
    assert_eq!(answer.header("x-chat-token"), Some(""));
    drop(gate);
    let token = eventually("the token is there", async || {
        let answer = service.ask("GET", "/auth", &[("X-Forwarded-User", "alice")]).await;
        Some(answer.header("x-chat-token").unwrap().to_owned()).filter(|token| !token.is_empty())
    })
    .await;
    assert_eq!(subject_of(&token), "alice");
    assert_eq!(fake.mints(), 1, "the first flight landed");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_6_a_changed_key_drops_what_was_signed_with_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    let write = || {
        let key = sidemint::provider::generate(sidemint::provider::Alg::EdDsa).unwrap();
        std::fs::write(&file, key.expose()).unwrap();
    };
    write();
    let extra = format!("{}\nkey_file = \"{}\"\n", crate::harness::LOCAL, file.display());
    let text = crate::harness::config(&extra, &[]);
    let service = Service::start(&text, &sidemint::config::Environment::default(), crate::harness::clock()).await;
    let first = service.session("alice").await.json()["token"].clone();
    assert_eq!(service.session("alice").await.json()["token"], first);
    write();
    service.nudge.now();
    let second = wait_for_another_token(&service, first.as_str().unwrap()).await;
    assert_ne!(first, second);
    let keys = service.ask("GET", "/.well-known/jwks.json", &[]).await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2, "the old public key is published until its tokens are gone");
    service.advance(25 * 3600);
    let keys = service.ask("GET", "/.well-known/jwks.json", &[]).await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_6_a_sign_out_drops_the_users_sessions_and_no_others() {
    let (service, fake) = Service::sendsar().await;
    let alice = service.session("alice").await.json()["token"].clone();
    let bob = service.session("bob").await.json()["token"].clone();
    let headers = [("X-Forwarded-User", "alice"), ("X-Forwarded-Name", "alice")];
    let answer = service.ask("DELETE", SESSION, &headers).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_ne!(service.session("alice").await.json()["token"], alice);
    assert_eq!(service.session("bob").await.json()["token"], bob);
    assert_eq!((fake.upserts(), fake.mints()), (2, 3), "the provider still knows who signed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_6_a_sign_out_keeps_a_mint_under_way_out_of_the_cache() {
    let (service, fake) = Service::sendsar().await;
    let gate = fake.hold().await;
    let headers = [("X-Forwarded-User", "alice"), ("X-Forwarded-Name", "alice")];
    let (first, ()) = tokio::join!(service.session("alice"), async {
        fake.until(|fake| fake.mints() == 1).await;
        assert_eq!(service.ask("DELETE", SESSION, &headers).await.status, 204);
        drop(gate);
    });
    assert_eq!((first.status, first.code().as_str()), (401, "unauthorized"), "who was waiting is signed out as well");
    assert_eq!(service.session("alice").await.status, 200);
    assert_eq!(fake.mints(), 2, "what came late is not in the cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_7_memory_is_bounded_in_entries_and_bytes() {
    for (limits, most) in [
        ([("cache.max_entries", "50"), ("cache.max_bytes", "100000000")], 50.0),
        ([("cache.max_entries", "100000"), ("cache.max_bytes", "50000")], 60.0),
    ] {
        let text = crate::harness::config(crate::harness::LOCAL, &limits);
        let service = Service::start(&text, &sidemint::config::Environment::default(), crate::harness::clock()).await;
        let mut connection = service.connect().await;
        for n in 0..500 {
            let user = format!("user{n}");
            assert_eq!(connection.ask("GET", SESSION, &[("X-Forwarded-User", &user)]).await.status, 200);
        }
        let entries = service.metric("sidemint_cache_entries").await;
        assert!(entries > 10.0 && entries <= most, "{entries} entries");
        assert!(service.metric("sidemint_cache_evictions_total{cache=\"sessions\"}").await >= 400.0);
        assert!(service.metric("sidemint_cache_bytes").await <= 100_000_000.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_sessions_leave_the_cache_by_the_clock() {
    let service = Service::local().await;
    for n in 0..20 {
        assert_eq!(service.session(&format!("user{n}")).await.status, 200);
    }
    assert!((service.metric("sidemint_cache_entries").await - 20.0).abs() < 0.1);
    // Renewed once, because the first request counts as use; then unused, and gone.
    for _ in 0..4 {
        service.advance(3600);
        eventually("due appointments are kept", async || service.clock.sleepers() >= 1).await;
    }
    eventually("all are gone", async || service.metric("sidemint_cache_entries").await < 0.5).await;
}

/// T-32: many users at once, in a random order, on shared connections, while sessions are renewed, signed out and
/// dropped. Every answer is the asker's own.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_ever_reaches_another_user() {
    let (service, fake) = Service::sendsar_with("", &[("cache.max_entries", "40")]).await;
    let (service, fake) = (Arc::new(service), Arc::new(fake));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..32_u64 {
        let (service, fake) = (Arc::clone(&service), Arc::clone(&fake));
        clients.spawn(async move {
            let mut connection = service.connect().await;
            let mut random = client.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            // Where the machine is slow, time jumps past many a deadline: then it takes longer.
            for round in 0..2000 {
                if round >= 60 && fake.mints() > 80 {
                    break;
                }
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let user = format!("user{}", random % 80);
                let name = format!("Name of {user}");
                let headers = [("X-Forwarded-User", user.as_str()), ("X-Forwarded-Name", name.as_str())];
                match random % 23 {
                    0 => {
                        connection.ask("DELETE", SESSION, &headers).await;
                    }
                    1 => service.clock.advance(std::time::Duration::from_secs(700)),
                    2..=6 => {
                        let answer = connection.ask("GET", "/auth", &headers).await;
                        let token = answer.header("x-chat-token").unwrap();
                        // Time may have jumped past the subrequest's deadline: then there is none, and never another's.
                        if !token.is_empty() {
                            assert_eq!(subject_of(token), user);
                            assert_eq!(answer.header("x-chat-user-id"), Some(user.as_str()));
                        }
                    }
                    _ => {
                        let answer = connection.ask("GET", SESSION, &headers).await;
                        if answer.status == 200 {
                            let session = answer.json();
                            assert_eq!(subject_of(session["token"].as_str().unwrap()), user);
                            assert_eq!(session["chatUserId"], user.as_str());
                            assert_eq!(session["displayName"], name.as_str());
                        } else {
                            // 401: this user was signed out meanwhile.
                            assert!(matches!(answer.status, 401 | 503), "{answer:?}");
                        }
                    }
                }
            }
        });
    }
    clients.join_all().await;
    assert!(fake.mints() > 80, "renewals, sign-outs and evictions took place");
}

/// T-13: ids that differ are different users, however alike they look, and none is made another one.
#[tokio::test(flavor = "multi_thread")]
async fn subjects_are_compared_byte_for_byte() {
    let (service, fake) = Service::sendsar().await;
    let alike =
        ["alice", "Alice", "ALICE", "alice@example.org", "alice@Example.org", "alice.", "al\u{ef}ce", "%61lice"];
    for subject in alike {
        let session = service.session(subject).await.json();
        assert_eq!(session["chatUserId"], subject);
        assert_eq!(subject_of(session["token"].as_str().unwrap()), subject);
    }
    assert_eq!(fake.mints(), alike.len(), "no two share a session");
    // Blanks around a value are no part of it (RFC 9110, 5.5); others are no blanks, and refused.
    assert_eq!(service.session(" alice\t").await.json()["chatUserId"], "alice");
    for subject in ["alice\u{a0}", "\u{a0}alice", "alice\u{2003}", "ali\tce", "ali\u{ad}ce", "ai\u{308}lice"] {
        assert_eq!(service.session(subject).await.status, 401, "{subject:?}");
    }
    assert_eq!(fake.mints(), alike.len());
}
