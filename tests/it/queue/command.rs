//! `sidemint webhooks list`, `show`, `replay` and `drop`, beside a store that is at work.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use sidemint::clock::{SystemClock, Timestamp};
use sidemint::metrics::Metrics;
use sidemint::webhook::event::Event;
use sidemint::webhook::store::Limits;
use sidemint::webhook::store::sqlite::{Options, SqliteStore};
use sidemint::webhook::store::{Settled, Store as _};

use super::{MEMORY, event, id};
use crate::cli::{Ran, bad, file, run};
use crate::eventually::eventually;
use crate::harness::config;

const BODY: &str = r#"{"text":"CANARYbody","mail":"CANARYmail@example.com"}"#;

/// The configuration of a service whose queue is in `folder`.
fn configured(folder: &Path) -> String {
    let text = format!(
        "
[webhook_server]
listen = \"127.0.0.1:0\"
[providers.events]
preset = \"sendsar\"
webhook_secret_file = \"/run/secrets/events\"
[webhooks.chat]
provider = \"events\"
to = \"http://127.0.0.1:9/hooks/chat\"
sign_key_file = \"/run/secrets/forward.key\"
[queue]
dir = \"{}\"
",
        folder.join("queue").display()
    );
    file(folder, "config.toml", &config(&text, &[]))
}

/// A verb of the family, on the queue of `config`.
fn webhooks(config: &str, arguments: &[&str]) -> Ran {
    run(&[&["webhooks"], arguments, &["--config", config]].concat(), &[])
}

fn good(config: &str, arguments: &[&str]) -> String {
    let ran = webhooks(config, arguments);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{arguments:?}");
    ran.out
}

fn none(config: &str, arguments: &[&str]) {
    let ran = webhooks(config, arguments);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{arguments:?}");
    assert!(ran.err.contains("no event matches"), "{}", ran.err);
}

fn listed(config: &str, arguments: &[&str]) -> Vec<Value> {
    let out = good(config, &[&["list", "--json"], arguments].concat());
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse_rfc3339(value.as_str().unwrap()).unwrap()
}

/// A store with three events of which the first was put aside, and its configuration.
async fn store(folder: &Path) -> (SqliteStore, String) {
    let options = Options { folder: folder.join("queue"), limits: Limits::default(), start_empty: false, key: None };
    let store = SqliteStore::open(options, Arc::new(SystemClock), &Arc::new(Metrics::new().unwrap())).unwrap();
    for text in ["one", "two", "three"] {
        store
            .keep(Event { body: Bytes::from_static(BODY.as_bytes()), ..event(text, text) }, MEMORY, Box::new(()))
            .await
            .unwrap();
    }
    for taken in store.take("chat", 9).await {
        let dead = taken.webhook_id == id("one");
        store
            .settle(taken.seq, if dead { Settled::Dead("refused") } else { Settled::Again(Duration::from_secs(7200)) });
    }
    let config = configured(folder);
    // What became of them is written a moment later.
    eventually("one is put aside", async || webhooks(&config, &["list", "--state", "dead"]).code == Some(0)).await;
    (store, config)
}

#[tokio::test]
async fn an_operator_sees_what_waits_and_what_was_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, config) = store(folder.path()).await;
    let all = listed(&config, &[]);
    assert_eq!(all.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(), ["one", "two", "three"].map(id));
    assert_eq!(
        (&all[0]["state"], &all[0]["reason"], &all[0]["name"]),
        (&"dead".into(), &"refused".into(), &"chat".into())
    );
    assert_eq!((&all[1]["state"], &all[1]["attempts"]), (&"pending".into(), &1.into()));
    assert!(time(&all[1]["due"]).since(time(&all[1]["received"])) > Duration::from_secs(7000));
    assert_eq!(listed(&config, &["--state", "pending", "--name", "chat", "--since", "1h"]).len(), 2);
    none(&config, &["list", "--name", "shop"]);

    let (list, shown) = (good(&config, &["list"]), good(&config, &["show", &id("one")]));
    assert_eq!(list.lines().count(), 3);
    assert!(shown.contains("refused") && shown.contains("body") && shown.contains(&id("one")), "{shown}");
    for text in [&list, &shown] {
        assert!(!text.contains("CANARY"), "{text}");
    }
    assert_eq!(good(&config, &["show", &id("one"), "--body"]), BODY);
    none(&config, &["show", "evt_nothing"]);
}

#[tokio::test]
async fn an_operator_delivers_events_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, config) = store(folder.path()).await;
    let dry = good(&config, &["replay", "--state", "dead", "--dry-run"]);
    assert!(dry.contains(&id("one")) && dry.lines().count() == 1, "{dry}");
    assert_eq!(listed(&config, &["--state", "dead"]).len(), 1);
    assert_eq!(good(&config, &["replay", "--name", "chat", "--state", "dead"]), "1 event goes out again\n");
    let again = tokio::time::timeout(Duration::from_secs(40), store.take("chat", 9)).await;
    let taken = again.expect("the event is due again");
    assert_eq!((&taken[0].webhook_id, taken[0].attempts), (&id("one"), 0));

    // At a rate, one after the other.
    good(&config, &["replay", &id("two"), &id("three"), "--rate", "2/h"]);
    let rows = listed(&config, &["--state", "pending"]);
    assert_eq!(time(&rows[2]["due"]).since(time(&rows[1]["due"])), Duration::from_secs(1800));
    none(&config, &["replay", "--state", "dead"]);
    // Everything at once would be a slip.
    assert_eq!(webhooks(&config, &["replay"]).code, Some(2));
    assert_eq!(webhooks(&config, &["replay", &id("one"), "--state", "dead"]).code, Some(2));
}

#[tokio::test]
async fn an_operator_deletes_events() {
    let folder = tempfile::tempdir().unwrap();
    let (store, config) = store(folder.path()).await;
    assert_eq!(webhooks(&config, &["drop", &id("one")]).code, Some(2));
    let ran = webhooks(&config, &["drop", &id("one"), "evt_nothing", &id("two"), "--reason", "asked for"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "2 events are deleted\n"));
    assert!(ran.err.contains("no event has the id evt_nothing"), "{}", ran.err);
    assert_eq!(listed(&config, &[]).len(), 1);
    eventually("the store has seen it", async || store.figures().events == 1).await;
    assert_eq!((store.standing("chat").pending, store.standing("chat").dead), (1, 0));
    none(&config, &["drop", &id("one"), "--reason", "asked for"]);
}

#[test]
fn without_a_queue_there_is_nothing_to_see() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let told = bad(2, &["webhooks", "list", "--config", &config], &[]);
    assert!(told.contains("holds no queue"), "{told}");
    assert!(!folder.path().join("queue").exists());
    let plain = file(folder.path(), "plain.toml", &crate::harness::config("", &[]));
    let told = bad(2, &["webhooks", "list", "--config", &plain], &[]);
    assert!(told.contains("no webhook keeps events"), "{told}");
}
