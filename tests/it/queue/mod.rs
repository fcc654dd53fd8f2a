//! The queue on a disk that fails, fills up, forgets what was not flushed, or whose process is killed at any moment (W-18,
//! W-19). The disk is a small library in C that is loaded into a process of its own, and stands between it and its files.

mod command;
mod exits;
mod kills;
mod power;
mod process;
mod replicas;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use sidemint::clock::{Clock, ManualClock, SystemClock};
use sidemint::metrics::Metrics;
use sidemint::webhook::event::{Event, EventKey, OrderKey, ProofKey};
use sidemint::webhook::store::sqlite::{Operator, Options, SqliteStore};
use sidemint::webhook::store::{Filter, Limits, Memory, Settled, Store, Taken};

use crate::eventually::eventually_now;

const MEMORY: Memory = Memory { key: Duration::from_secs(86_400), proof: Duration::from_secs(600) };
/// Callers that have events kept at the same time, and how many each.
const CALLERS: usize = 4;
const EVENTS: usize = 6;
/// Runs that are killed at any time, one after the other on one queue; `KILLS=10000` in the environment for many.
const KILLS: usize = 15;

/// Numbers that are the same in every run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn event(text: &str, order: &str) -> Event {
    Event {
        webhook: "chat".into(),
        key: EventKey::of_body(text.as_bytes()),
        proof: ProofKey::of(text.as_bytes()),
        order: Some(OrderKey::of("chat", order)),
        event: None,
        id: None,
        received: SystemClock.now(),
        headers: Vec::new(),
        // Several pages, so that one event takes several writes.
        body: Bytes::from(format!("{text} {}", "x".repeat(3000))),
    }
}

fn id(text: &str) -> String {
    EventKey::of_body(text.as_bytes()).webhook_id("chat")
}

/// The work of the process under test: events come in, are tried, and are delivered or put aside. What is promised stands in
/// the file `acknowledged`: `kept TEXT` when a provider would have had its 200, and `delivered ID` before that is noted.
#[test]
#[ignore = "a process of its own, which other tests start"]
fn worker() {
    let folder = PathBuf::from(std::env::var_os("QUEUE").expect("a folder"));
    // Which run it is: each has events of its own.
    let round = std::env::var("ROUND").unwrap_or_default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _context = runtime.enter();
    let options = Options { folder: folder.join("queue"), limits: Limits::default(), start_empty: false, key: None };
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let store = Arc::new(SqliteStore::open(options, time, &Arc::new(Metrics::new().unwrap())).unwrap());
    let list = OpenOptions::new().append(true).create(true).open(folder.join("acknowledged")).unwrap();
    let list = Arc::new(Mutex::new(list));
    let note = move |line: String| list.lock().unwrap().write_all(line.as_bytes()).unwrap();
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let (store, clock, note, round) = (Arc::clone(&store), Arc::clone(&clock), note.clone(), round.clone());
        callers.push(runtime.spawn(async move {
            for number in 0..EVENTS {
                let text = format!("{round}{caller}-{number}");
                // What is refused comes again a second later, unless the process ends.
                while store.keep(event(&text, &caller.to_string()), MEMORY, Box::new(())).await.is_err() {
                    note(format!("refused {text}\n"));
                    clock.advance(Duration::from_secs(1));
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                note(format!("kept {text}\n"));
            }
        }));
    }
    let works = async {
        for caller in callers {
            caller.await.unwrap();
        }
        deliver(&store, note).await;
        store.close().await;
    };
    runtime.block_on(async {
        tokio::select! {
            () = works => {}
            problem = store.failed() => panic!("{problem}"),
        }
    });
}

async fn deliver(store: &SqliteStore, note: impl Fn(String)) {
    while store.standing("chat").pending > 0 {
        for Taken { seq, attempts, webhook_id, .. } in store.take("chat", 3).await {
            // Each id has its own fate, the same in every run.
            match (webhook_id.as_bytes()[5] % 4, attempts) {
                (0, _) => store.settle(seq, Settled::Dead("refused")),
                (1, 0) => store.settle(seq, Settled::Again(Duration::ZERO)),
                _ => {
                    note(format!("delivered {webhook_id}\n"));
                    store.settle(seq, Settled::Delivered);
                }
            }
        }
    }
}

/// The disk, compiled once.
fn disk() -> &'static Path {
    static DISK: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = DISK.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/queue/disk.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&path).arg(source).arg("-ldl");
        let built = compiler.status().expect("the C compiler that builds SQLite");
        assert!(built.success());
        (folder, path)
    });
    path
}

/// A worker that is at work; it ends with this.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Starts the worker on `folder`.
fn start(folder: &Path, settings: &[(&str, &str)]) -> Worker {
    let mut worker = Command::new(std::env::current_exe().unwrap());
    worker.args(["--exact", "queue::worker", "--ignored", "--nocapture", "--test-threads=1"]);
    worker.env("QUEUE", folder).envs(settings.iter().copied());
    Worker(worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Runs the worker on `folder` with a disk that does `settings`.
fn work(folder: &Path, settings: &[(&str, &str)]) -> ExitStatus {
    let disk = disk().to_str().unwrap();
    let mut worker = start(folder, &[&[("LD_PRELOAD", disk)], settings].concat());
    eventually_now(&format!("the worker ends: {settings:?}"), || worker.0.try_wait().unwrap())
}

/// What is in the queue of `folder`, by id.
fn queued(folder: &Path) -> BTreeMap<String, usize> {
    let operator = Operator::open(&folder.join("queue"), None).unwrap();
    let mut found = BTreeMap::new();
    for row in operator.list(&Filter::default()).unwrap() {
        assert!(operator.show(row.seq).unwrap().is_some(), "every event has its content");
        *found.entry(row.webhook_id).or_default() += 1;
    }
    found
}

/// Of the lines of `acknowledged`, everything that was kept is in the queue or was delivered, and nothing is there twice.
fn nothing_is_lost(lines: &str, queued: &BTreeMap<String, usize>) {
    // A line that was torn off promises nothing.
    let lines = lines.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.split_once(' '));
    let (mut kept, mut delivered) = (BTreeSet::new(), BTreeSet::new());
    for (what, which) in lines {
        match what {
            "kept" => kept.insert(id(which)),
            "delivered" => delivered.insert(which.to_owned()),
            _ => false,
        };
    }
    let lost: Vec<_> = kept.iter().filter(|id| !queued.contains_key(*id) && !delivered.contains(*id)).collect();
    assert_eq!(lost, Vec::<&String>::new(), "lost of {} kept", kept.len());
    assert!(queued.values().all(|times| *times == 1), "{queued:?}");
}

fn acknowledged(folder: &Path) -> String {
    fs::read_to_string(folder.join("acknowledged")).unwrap_or_default()
}

/// Whether the fault came to pass, and how the process ended by it.
fn after(fault: &str) -> Option<ExitStatus> {
    let folder = tempfile::tempdir().unwrap();
    let status = work(folder.path(), &[("DISK_FAULT", fault)]);
    if !folder.path().join("queue/queue.db").exists() {
        return Some(status);
    }
    // The next process finds everything and brings it to its end, beside events of its own: those of the first do not come
    // again, so that none is replaced.
    if status.code() != Some(0) {
        assert!(work(folder.path(), &[("ROUND", "next ")]).success(), "{fault}");
    }
    let found = queued(folder.path());
    nothing_is_lost(&acknowledged(folder.path()), &found);
    let each = (0..CALLERS).flat_map(|caller| (0..EVENTS).map(move |number| format!("{caller}-{number}")));
    let expected: BTreeSet<String> = each.flat_map(|text| [id(&text), id(&format!("next {text}"))]).collect();
    assert!(found.keys().all(|id| expected.contains(id)));
    (status.code() != Some(0)).then_some(status)
}

/// A fault at every call that the process makes to its disk, one run for each: `ended` judges how the process ended.
fn at_every(call: &str, what: &str, ended: impl Fn(ExitStatus) -> bool) {
    let (mut count, mut unharmed) = (0, 0);
    for number in (1..20).chain((20..400).step_by(13)) {
        match after(&format!("{call}:{number}:{what}")) {
            Some(status) => assert!(ended(status), "{call}:{number}:{what}: {status}"),
            // While the file is made, SQLite does without some steps. Later the run has fewer steps than that.
            None => unharmed += 1,
        }
        count += 1;
        if unharmed > 3 {
            break;
        }
    }
    assert!(count > 8, "{call} {what}: {count}");
}

fn killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

fn failed(status: ExitStatus) -> bool {
    // A test that fails.
    status.code() == Some(101)
}

/// W-19: nothing of a transaction whose writing fails is acknowledged, and the process ends.
#[test]
fn nothing_is_lost_when_a_write_fails() {
    at_every("write", "eio", failed);
}

/// W-19: a disk that is full, at any write, refuses events and ends nothing.
#[test]
fn nothing_is_lost_when_the_disk_is_full() {
    let mut refused = 0;
    for number in (1..20).chain((20..200).step_by(13)) {
        let folder = tempfile::tempdir().unwrap();
        let status = work(folder.path(), &[("DISK_FAULT", &format!("write:{number}:enospc"))]);
        assert!(status.success(), "{number}: {status}");
        let lines = acknowledged(folder.path());
        nothing_is_lost(&lines, &queued(folder.path()));
        assert_eq!(lines.matches("kept ").count(), CALLERS * EVENTS);
        refused += usize::from(lines.contains("refused "));
    }
    assert!(refused > 8, "{refused} runs in which events were refused");
}

/// W-19: a flush that failed is not tried again; the next process begins from what is on disk.
#[test]
fn nothing_is_lost_when_a_flush_fails() {
    at_every("sync", "eio", failed);
}

/// W-18: killed at any write.
#[test]
fn nothing_is_lost_when_the_process_is_killed_at_a_write() {
    at_every("write", "kill", killed);
    at_every("write", "torn", killed);
}

/// W-18: killed at any flush.
#[test]
fn nothing_is_lost_when_the_process_is_killed_at_a_flush() {
    at_every("sync", "kill", killed);
}

/// W-18: killed at any time, again and again on the same queue.
#[test]
fn nothing_is_lost_when_the_process_is_killed_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let kills = std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let (mut numbers, mut under_way) = (Numbers(42), 0);
    for round in 0..kills {
        let before = acknowledged(folder.path()).len();
        let worker = start(folder.path(), &[("ROUND", &format!("{round} "))]);
        // Opening takes the first part of it.
        std::thread::sleep(Duration::from_millis(5 + numbers.below(120)));
        drop(worker);
        under_way += usize::from(acknowledged(folder.path()).len() > before);
        if (round + 1) % 50 == 0 || round + 1 == kills {
            nothing_is_lost(&acknowledged(folder.path()), &queued(folder.path()));
        }
        // What was put aside stays, so the queue grows.
        if (round + 1) % 500 == 0 {
            fs::remove_dir_all(folder.path().join("queue")).unwrap();
            fs::remove_file(folder.path().join("acknowledged")).unwrap();
        }
    }
    assert!(under_way > kills / 8, "{under_way} of {kills} had begun");
}

/// What is lost is told: here by throwing the log away, as a disk would that never flushed it.
#[test]
fn a_loss_is_found() {
    let folder = tempfile::tempdir().unwrap();
    work(folder.path(), &[("DISK_FAULT", "sync:14:kill")]);
    let lines = acknowledged(folder.path());
    assert!(lines.contains("kept "), "{lines}");
    File::create(folder.path().join("queue/queue.db-wal")).unwrap();
    fs::remove_file(folder.path().join("queue/queue.db-shm")).unwrap();
    let found = std::panic::catch_unwind(|| nothing_is_lost(&lines, &queued(folder.path())));
    assert!(found.is_err());
}
