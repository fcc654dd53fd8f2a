//! How the process with a queue ends and goes on: exit codes, SIGTERM, and a disk that is full (W-19).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::sync::{Arc, Mutex};

use super::process::Home;
use super::{disk, id};
use crate::cli::{Process, bad};
use crate::client::Connection;
use crate::eventually::eventually;
use crate::fakes::http::Script;
use crate::fakes::provider::Fake;
use crate::harness::SESSION;
use crate::parts::proxies::own_address;

/// An application that takes everything, and the ids that it has.
async fn application() -> (Fake, Arc<Mutex<BTreeSet<String>>>) {
    let ids: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let own = Arc::clone(&ids);
    let fake = Fake::start(move |call| {
        own.lock().unwrap().insert(call.header("webhook-id").to_owned());
        Script::text(204, "text/plain", "")
    });
    (fake.await, ids)
}

fn body(number: usize) -> String {
    format!(r#"{{"event":"message.new","room":"r{}","number":{number}}}"#, number % 3)
}

fn ids(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    numbers.into_iter().map(|number| id(&body(number))).collect()
}

/// Ports that the system chooses.
const PORTS: [(&str, &str); 2] = [("SIDEMINT_SERVER__LISTEN", "127.0.0.1:0"), ("SIDEMINT_OPS__LISTEN", "127.0.0.1:0")];

async fn session(process: &Process) -> u16 {
    Connection::open(process.front).await.ask("GET", SESSION, &[("X-Forwarded-User", "alice")]).await.status
}

async fn metric(process: &Process, line: &str) -> Option<String> {
    let page = Connection::open(process.ops).await.ask("GET", "/metrics", &[]).await;
    page.text().lines().find_map(|own| own.strip_prefix(line)?.strip_prefix(' ').map(str::to_owned))
}

#[test]
fn a_folder_that_cannot_be_written_ends_with_2() {
    let home = Home::new("http://127.0.0.1:9", "", "");
    fs::write(home.queue(), "a file").unwrap();
    let told = bad(2, &home.arguments(), &PORTS);
    assert!(told.contains("config.toml: queue.dir: ") && told.contains("cannot be written"), "{told}");
}

/// A file that cannot be used is not touched, unless the operator says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_queue_ends_with_2_or_is_moved_aside() {
    let home = Home::new("http://127.0.0.1:9", "", "start_empty = false");
    fs::create_dir(home.queue()).unwrap();
    let file = home.queue().join("queue.db");
    fs::write(&file, "no database, and long enough to be looked at for one".repeat(99)).unwrap();
    let told = bad(2, &home.arguments(), &PORTS);
    assert!(told.contains("config.toml: queue.dir: ") && told.contains("start_empty = true"), "{told}");
    let config = home.folder.path().join("config.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("start_empty = false", "start_empty = true"))
        .unwrap();
    let _process = home.serve(&[]);
    assert_eq!(home.post(&body(0)).await, Some(200));
    let names = fs::read_dir(home.queue()).unwrap().map(|entry| entry.unwrap().file_name().display().to_string());
    let names: Vec<String> = names.filter(|name| name.starts_with("queue.db.unusable-")).collect();
    assert_eq!(names.len(), 1, "it is kept: {names:?}");
}

/// W-19: a flush that fails ends the process, and the next one delivers what was answered 200.
#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_fails_ends_with_1_and_nothing_answered_is_lost() {
    let (application, taken) = application().await;
    let home = Home::new(&application.base_url(), "", "");
    let mut process = home.serve(&[("LD_PRELOAD", disk().to_str().unwrap()), ("DISK_FAULT", "sync:30:eio")]);
    let mut number = 0;
    let status = loop {
        match home.post(&body(number)).await {
            Some(200) => number += 1,
            status => break status,
        }
    };
    assert_eq!(status, Some(503), "after {number} events");
    let (code, rest) = process.end();
    assert_eq!(code, Some(1), "{rest}");
    assert!(rest.contains("the queue cannot go on"), "{rest}");
    let _next = home.serve(&[]);
    assert!(number > 5);
    eventually("all that was answered 200 arrives", async || taken.lock().unwrap().is_superset(&ids(0..number))).await;
    assert_eq!(home.post(&body(number)).await, Some(200), "what was refused comes again");
}

/// W-19: a disk that is full, while the process runs and when it starts, costs events alone, and only while it is full.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_events_and_sessions_go_on() {
    let (application, taken) = application().await;
    let home = Home::new(&application.base_url(), "", "");
    let full = home.folder.path().join("full");
    let disk = [("LD_PRELOAD", disk().to_str().unwrap()), ("DISK_FULL", full.to_str().unwrap())];
    let mut process = home.serve(&disk);
    assert_eq!(home.post(&body(0)).await, Some(200));
    File::create(&full).unwrap();
    for number in 1..5 {
        assert_eq!(home.post(&body(number)).await, Some(503));
    }
    assert_eq!(session(&process).await, 200);
    let refused = "sidemint_webhook_requests_total{name=\"chat\",outcome=\"store_error\"}";
    assert_eq!(metric(&process, refused).await.as_deref(), Some("4"));
    process.wait_for("the disk of the queue is full");
    fs::remove_file(&full).unwrap();
    for number in 1..5 {
        assert_eq!(home.post(&body(number)).await, Some(200));
    }
    process.wait_for("the disk of the queue has room again");
    eventually("each arrives", async || *taken.lock().unwrap() == ids(0..5)).await;
    process.child.kill().unwrap();
    process.child.wait().unwrap();

    File::create(&full).unwrap();
    let process = home.serve(&disk);
    assert_eq!((home.post(&body(5)).await, session(&process).await), (Some(503), 200));
    fs::remove_file(&full).unwrap();
    eventually("there is room", async || home.post(&body(5)).await == Some(200)).await;
    eventually("it arrives", async || *taken.lock().unwrap() == ids(0..6)).await;
}

/// What was answered 200 while the application was down goes to the fallback before the process ends.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_brings_the_backlog_to_the_fallback() {
    let (fallback, taken) = application().await;
    let lines = format!("fallback = \"{}/hooks/chat\"", fallback.base_url());
    let home = Home::new(&format!("http://{}", own_address()), &lines, "");
    let mut process = home.serve(&[]);
    for number in 0..40 {
        assert_eq!(home.post(&body(number)).await, Some(200));
    }
    assert_eq!(*taken.lock().unwrap(), BTreeSet::new(), "not before a minute has passed");
    process.signal("TERM");
    let (code, rest) = process.end();
    assert_eq!(code, Some(0), "{rest}");
    assert_eq!(*taken.lock().unwrap(), ids(0..40));
    assert!(!rest.contains("events are left"), "{rest}");
}

/// What no address takes stays on disk and is told, and the next process delivers it.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_without_a_fallback_leaves_the_backlog_on_disk() {
    let (application, taken) = application().await;
    let home = Home::new(&format!("http://{}", own_address()), "", "");
    let mut process = home.serve(&[]);
    for number in 0..40 {
        assert_eq!(home.post(&body(number)).await, Some(200));
    }
    let pending = "sidemint_webhook_pending{name=\"chat\"}";
    assert_eq!(metric(&process, pending).await.as_deref(), Some("40"));
    process.signal("TERM");
    let left = process.wait_for("stopping: events are left that were not delivered");
    assert_eq!((&left["webhook"], &left["left"]), (&"chat".into(), &40.into()));
    let (code, rest) = process.end();
    assert_eq!(code, Some(0), "{rest}");
    let config = home.folder.path().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let to = text.lines().find(|line| line.starts_with("to = ")).unwrap();
    fs::write(&config, text.replace(to, &format!("to = \"{}/hooks/chat\"", application.base_url()))).unwrap();
    let _next = home.serve(&[]);
    eventually("each arrives", async || *taken.lock().unwrap() == ids(0..40)).await;
}
