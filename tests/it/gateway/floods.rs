//! A caller that floods the gateway: sessions that are there do not notice, a new one waits a slot of the provider's pace longer,
//! and a log that cannot take all the lines holds up no call.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::fixture::{Fixture, PLAIN, SHOP, Setup};
use super::recorder::{Recorder, Rules};
use crate::cli::{Process, file};
use crate::client::Connection;
use crate::eventually::{as_time_passes, eventually};
use crate::fakes::http::Script;
use crate::parts::proxies::own_address;

/// A provider that mints and is called by the gateway, once a second in all.
const MINTED: &str = r#"
[limits]
rate = "1/s"
burst = 1
[user]
case = "counts"
[lifetime]
default = "1h"
margin = "60s"
on_credential_change = "keep"
[response]
api_url = "{{ config.api_url }}"
[[token.steps]]
id = "mint"
post = "{{ config.api_url }}/token"
json = { user = "{{ user.id }}" }
token = "/token"
expires = { kind = "requested" }
"#;

const SESSION: &str = "/own/session";

/// Seconds between two calls of that provider.
const SLOT: u64 = 1;

async fn session(fixture: &Fixture, user: &str) -> u16 {
    fixture.service.ask("GET", SESSION, &[("X-Forwarded-User", user)]).await.status
}

/// G-23: whatever one caller brings.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_costs_a_new_session_one_slot_and_the_others_nothing() {
    let setup = Setup {
        definition: ("plain-calls", format!("{PLAIN}{MINTED}")),
        rest: format!("[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"own\"\n"),
        overrides: vec![("gateway.wait", "\"1m\"".to_owned())],
        ..Setup::default()
    };
    let fixture = Arc::new(setup.start_before(|_| Script::json(200, &json!({"token": "tok"}))).await);
    let clock = Arc::clone(&fixture.service.clock);
    let passed = || fixture.provider.requests().iter().filter(|request| request.path() == "/v1/rooms").count();
    for user in ["alice", "bob"] {
        clock.advance(Duration::from_secs(SLOT));
        assert_eq!(session(&fixture, user).await, 200);
    }
    let mut flood = JoinSet::new();
    for _ in 0..40 {
        let fixture = Arc::clone(&fixture);
        flood.spawn(async move {
            loop {
                fixture.ask("GET", "/rooms").await;
            }
        });
    }
    fixture.service.metric_reaches("sidemint_gateway_in_flight{caller=\"shop\"}", 40.0).await;
    for round in 0..5 {
        // The worst moment: a call of the flood has just taken the slot.
        let before = passed();
        let passes = eventually("a call passes", async || passed() > before);
        as_time_passes(&clock, Duration::from_millis(20), passes).await;
        for user in ["alice", "bob"] {
            assert_eq!(session(&fixture, user).await, 200);
        }
        let own = Arc::clone(&fixture);
        let minted = tokio::spawn(async move { session(&own, &format!("user{round}")).await });
        fixture.service.metric_reaches("sidemint_limiter_waiting{provider=\"own\"}", 1.0).await;
        clock.advance(Duration::from_secs(SLOT));
        assert_eq!(minted.await.unwrap(), 200);
    }
}

/// No call waits for its line.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_a_reader_stops_no_call() {
    let provider = Recorder::empty(Rules::default()).await;
    let (folder, mounts) = (tempfile::tempdir().unwrap(), own_address());
    let definitions = folder.path().join("definitions");
    std::fs::create_dir(&definitions).unwrap();
    file(&definitions, "plain-calls.toml", PLAIN);
    let setup = Setup { overrides: vec![("gateway.listen", format!("\"{mounts}\""))], ..Setup::default() };
    let config = file(folder.path(), "config.toml", &setup.text(folder.path(), &provider.base_url()));
    let arguments = ["serve", "--config", &config, "--definitions", definitions.to_str().unwrap()];
    let _process = Process::serve(&arguments, &[("SIDEMINT_SERVER__WORKERS", "2")]);
    let mut connection = Connection::open(mounts).await;
    let proof = format!("Bearer {SHOP}");
    // More than any pipe holds: each has a line.
    for _ in 0..1500 {
        assert_eq!(connection.ask("GET", "/gateway/own/rooms", &[("Authorization", &proof)]).await.status, 200);
        assert_eq!(connection.ask("GET", "/gateway/own/rooms", &[]).await.status, 401);
    }
}
