//! The queue as the service opens, checks and closes it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection as Database;
use sidemint::app::Ended;
use sidemint::clock::ManualClock;
use sidemint::config::Environment;
use sidemint::metrics::Metrics;
use sidemint::webhook::event::{Event, EventKey, ProofKey};
use sidemint::webhook::store::Limits;
use sidemint::webhook::store::sqlite::{Options, SqliteStore};
use sidemint::webhook::store::{Memory, Store as _};

use super::fixture::{Application, Fixture, Setup};
use crate::canary::Traces;
use crate::harness::{NOW, clock, draw};

/// Leaves an event of the webhook `old` in the queue in `folder`.
async fn leave_behind(folder: &Path) {
    let options = Options { folder: folder.to_owned(), limits: Limits::default(), start_empty: false, key: None };
    let store =
        SqliteStore::open(options, Arc::new(ManualClock::new(NOW)), &Arc::new(Metrics::new().unwrap())).unwrap();
    let event = Event {
        webhook: "old".into(),
        key: EventKey::of_body(b"{}"),
        proof: ProofKey::of(b"{}"),
        order: None,
        event: None,
        id: None,
        received: NOW,
        headers: Vec::new(),
        body: Bytes::from_static(b"{}"),
    };
    let memory = Memory { key: Duration::from_secs(60), proof: Duration::from_secs(60) };
    store.keep(event, memory, Box::new(())).await.unwrap();
    store.close().await;
}

/// Events of a webhook that the configuration does not name any more wait for ever: that is told.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_webhook_that_is_gone_are_told_at_start() {
    let (traces, folder) = (Traces::capture(), tempfile::tempdir().unwrap());
    let queue = folder.path().join("queue");
    leave_behind(&queue).await;
    let _fixture = Setup { queue: Some(queue), ..Setup::default() }.start().await;
    let told = traces.text();
    let line = told.lines().find(|line| line.contains("events wait for a webhook that is not configured"));
    assert!(line.is_some_and(|line| line.contains("name=\"old\" events=1")), "{told}");
}

/// A disk that hangs does not hold up the end of the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_does_not_close_ends_with_its_deadline() {
    let (traces, fixture) = (Traces::capture(), Fixture::start().await);
    let stall = Database::open(fixture.folder.path().join("queue/queue.db")).unwrap();
    stall.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(fixture.service.stop().await, Ended::Drained);
    assert!(traces.text().contains("the queue did not close in time"));
}

/// The key of the queue is read by `sidemint check`, before anything is opened.
#[tokio::test]
async fn the_key_of_the_queue_is_checked() {
    let (folder, application) = (tempfile::tempdir().unwrap(), Application::start(clock()).await);
    let file = folder.path().join("queue-key");
    let setup = Setup {
        preset: "sendsar",
        overrides: vec![("queue.key_file", format!("\"{}\"", file.display()))],
        ..Setup::default()
    };
    let checked = || {
        let drawn = draw(&setup.text(folder.path(), &application.fake.base_url()), &Environment::default(), clock());
        drawn.map(drop).map_err(|errors| errors.to_string())
    };
    let told = checked().unwrap_err();
    assert!(told.contains("queue.key_file: ") && told.contains("queue-key"), "{told}");
    std::fs::write(&file, "c2hvcnQ=").unwrap();
    let told = checked().unwrap_err();
    assert!(told.contains("queue-key needs 32 bytes as base64 or hex") && !told.contains("c2hvcnQ="), "{told}");
    std::fs::write(&file, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=").unwrap();
    assert_eq!(checked(), Ok(()));
    assert!(!folder.path().join("queue").exists());
}
