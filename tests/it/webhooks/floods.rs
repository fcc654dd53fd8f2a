//! W-11: strangers who hold connections open, and strangers who forge, take nothing from the provider and from sessions.

use std::collections::BTreeMap;
use std::time::SystemTime;

use rusqlite::Connection as Database;
use tempfile::TempDir;

use super::fixture::{Fixture, HOOK, PATH, SECRET, SIGN_KEY, Setup, signature};
use crate::client::{Connection, request};
use crate::eventually::eventually;
use crate::fakes::http::Script;
use crate::harness::{LOCAL, SESSION};

const EVENT: &str = r#"{"event":"message.created","room":"r1","text":"hello"}"#;

/// A service with a session route beside its webhook.
async fn beside_sessions(lines: &str) -> Fixture {
    Setup { lines: lines.to_owned(), rest: LOCAL.to_owned(), ..Setup::default() }.start().await
}

/// Sends a head that is good as far as a head can be, and the beginning of a body.
async fn begin(fixture: &Fixture, length: usize) -> Connection {
    begin_at(fixture, PATH, length).await
}

async fn begin_at(fixture: &Fixture, path: &str, length: usize) -> Connection {
    let mut connection = fixture.connect().await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-Signature: {}\r\nContent-Length: {length}\r\n\r\n{{",
        signature(b"forged")
    );
    connection.send(head).await;
    connection
}

async fn session_works(fixture: &Fixture) {
    let session = fixture.service.ask("GET", SESSION, &[("X-Forwarded-User", "alice")]).await;
    assert_eq!(session.status, 200);
}

/// W-11: a body that comes slowly gives its place to one that does not.
#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_make_room_for_the_provider() {
    let fixture = beside_sessions("max_in_flight = 8").await;
    let mut slow = Vec::new();
    for _ in 0..9 {
        slow.push(begin(&fixture, 100).await);
    }
    // The last one finds no place, whichever that is.
    eventually("all places are taken", async || fixture.ended("busy").await == 1).await;
    let busy = fixture.post(EVENT).await;
    assert_eq!((busy.code().as_str(), busy.header("retry-after")), ("webhook_unavailable", Some("5")));
    session_works(&fixture).await;
    fixture.service.advance(1);
    assert_eq!(fixture.post(EVENT).await.status, 200, "the oldest slow body makes room");
    eventually("one was displaced", async || fixture.ended("busy").await == 3).await;
    assert_eq!(fixture.application.has(1).await.len(), 1);
    session_works(&fixture).await;
}

/// W-11: memory is counted before a body is read.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_counted_before_they_come() {
    let server = ("webhook_server.max_buffered_bytes", "1048576".to_owned());
    let fixture = Setup { overrides: vec![server], ..Setup::default() }.start().await;
    let _large = (begin(&fixture, 600_000).await, begin(&fixture, 600_000).await);
    eventually("one has the memory", async || fixture.ended("busy").await == 1).await;
    assert_eq!(fixture.post(EVENT).await.status, 200, "a small one has room");
    assert_eq!(fixture.post(&" ".repeat(500_000)).await.status, 503);
}

/// Posts a whole event, whose answer is not waited for.
async fn post_only(fixture: &Fixture, body: &[u8]) -> Connection {
    let headers = [("Content-Type", "application/json"), ("X-Signature", &*signature(body))];
    let mut connection = fixture.connect().await;
    // Where there is no memory for it, it is not read to its end.
    connection.try_send(request("POST", PATH, &headers, body)).await;
    connection
}

/// W-11: a provider that hangs up takes its body out of no count while the disk stalls.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_counted_until_it_is_on_disk() {
    let server = ("webhook_server.max_buffered_bytes", "1048576".to_owned());
    let fixture = Setup { overrides: vec![server], ..Setup::default() }.start().await;
    let body = [b" ".repeat(600_000), EVENT.as_bytes().to_vec()].concat();
    // The writer waits for another one: the disk stalls, as far as it can tell.
    let stall = Database::open(fixture.folder.path().join("queue/queue.db")).unwrap();
    stall.execute_batch("BEGIN IMMEDIATE").unwrap();
    eventually("no memory is left", async || {
        post_only(&fixture, &body).await.leave().await;
        fixture.ended("busy").await > 0
    })
    .await;
    stall.execute_batch("COMMIT").unwrap();
    fixture.application.has(1).await;
    assert_eq!(fixture.post(&String::from_utf8(body).unwrap()).await.status, 200, "the memory has come back");
}

/// W-11: the same while the application is asked at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_counted_until_the_application_has_answered() {
    let server = ("webhook_server.max_buffered_bytes", "1048576".to_owned());
    let lines = "mode = \"through\"".to_owned();
    let fixture = Setup { lines, overrides: vec![server], ..Setup::default() }.start().await;
    fixture.application.next(Script::Silence);
    let body = [b" ".repeat(600_000), EVENT.as_bytes().to_vec()].concat();
    let other = [b" ".repeat(600_000), b"{}".to_vec()].concat();
    let provider = post_only(&fixture, &body).await;
    eventually("the application is asked", async || fixture.application.fake.calls().len() == 1).await;
    provider.leave().await;
    post_only(&fixture, &other).await.leave().await;
    assert_eq!((fixture.ended("busy").await, fixture.application.fake.calls().len()), (1, 1));
}

/// Webhooks beside `chat`, in a room of 1 MiB.
async fn beside_others(names: &[&str]) -> (Fixture, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sign-key"), SIGN_KEY).unwrap();
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    let own = folder.path().display();
    let tables = names.iter().map(|name| {
        format!(
            "[webhooks.{name}]\nprovider = \"events\"\nto = \"http://127.0.0.1:9{HOOK}\"\nsign_key_file = \"{own}/sign-key\"\n"
        )
    });
    let server = ("webhook_server.max_buffered_bytes", "1048576".to_owned());
    let fixture = Setup { rest: tables.collect(), overrides: vec![server], ..Setup::default() }.start().await;
    (fixture, folder)
}

/// How an event of 250 000 bytes is answered at `path`.
async fn large_event(fixture: &Fixture, path: &str) -> u16 {
    let large = " ".repeat(250_000);
    let headers = [("X-Signature", &*signature(large.as_bytes()))];
    fixture.send_to(path, &headers, large.as_bytes()).await.status
}

/// W-11: who takes the memory of several webhooks takes it from none that has less than its part.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_at_two_webhooks_leaves_room_for_a_third() {
    let (fixture, _folder) = beside_others(&["second", "third"]).await;
    let mut flood = Vec::new();
    for path in [PATH, "/webhooks/second"].repeat(4) {
        flood.push(begin_at(&fixture, path, 262_144).await);
    }
    let busy = async |name| {
        fixture.number(&format!("sidemint_webhook_requests_total{{name=\"{name}\",outcome=\"busy\"}}")).await
    };
    eventually("the memory is taken", async || busy("chat").await + busy("second").await >= 4).await;
    assert_eq!(large_event(&fixture, "/webhooks/third").await, 200);
}

/// W-11: a body that does not come to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_its_time() {
    let server = ("webhook_server.body_timeout", "\"100ms\"".to_owned());
    let fixture = Setup { overrides: vec![server], ..Setup::default() }.start().await;
    let answer = begin(&fixture, 100).await.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.code().as_str(), answer.header("connection")), (408, "timeout", Some("close")));
    assert_eq!(fixture.ended("slow").await, 1);
}

/// Every file below the queue: its bytes and its time.
fn files(fixture: &Fixture) -> BTreeMap<String, (u64, SystemTime)> {
    let entries = std::fs::read_dir(fixture.folder.path().join("queue")).unwrap().map(|entry| entry.unwrap());
    let about = |entry: &std::fs::DirEntry| {
        let about = entry.metadata().unwrap();
        (about.len(), about.modified().unwrap())
    };
    entries.map(|entry| (entry.file_name().display().to_string(), about(&entry))).collect()
}

/// W-11: what is forged is written nowhere, and its lines are few.
#[tokio::test(flavor = "multi_thread")]
async fn forged_events_reach_no_disk_and_fill_no_log() {
    let fixture = beside_sessions("").await;
    // What is delivered is noted on disk, a little later; this delivery never ends.
    fixture.application.next(Script::Silence);
    assert_eq!(fixture.post(EVENT).await.status, 200);
    eventually("it is being delivered", async || fixture.application.fake.calls().len() == 1).await;
    let forged = request(
        "POST",
        "/webhooks/chat",
        &[("Content-Type", "application/json"), ("X-Signature", &signature(b"other"))],
        EVENT.as_bytes(),
    );
    let mut connection = fixture.connect().await;
    connection.send(&forged).await;
    assert_eq!(connection.answer().await.unwrap().status, 401);
    let before = files(&fixture);
    for _ in 0..300 {
        connection.send(&forged).await;
        assert_eq!(connection.answer().await.unwrap().status, 401);
    }
    session_works(&fixture).await;
    assert_eq!(files(&fixture), before, "no byte was written");
    assert_eq!(fixture.ended("mismatch").await, 301);
    let about = || fixture.service.log().lines().filter(|line| line.contains("mismatch")).count();
    let told = eventually("lines are written", async || Some(about()).filter(|told| *told > 0)).await;
    assert!((1..=100).contains(&told), "{told} lines");
}
