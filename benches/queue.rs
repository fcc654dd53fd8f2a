//! The queue of webhooks beside what its disk can do: events a second that are kept, and a file to which as many bytes are
//! appended with as many flushes. `cargo bench --bench queue -- FOLDER` prints a line of JSON for each number of callers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a benchmark"
)]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sidemint::clock::{Clock as _, Stopwatch, SystemClock};
use sidemint::metrics::Metrics;
use sidemint::webhook::event::{Event, EventKey, OrderKey, ProofKey};
use sidemint::webhook::store::Limits;
use sidemint::webhook::store::sqlite::{Options, SqliteStore};
use sidemint::webhook::store::{Memory, Store as _};

const BODY: usize = 2048;
const SPAN: Duration = Duration::from_secs(5);
const MEMORY: Memory = Memory { key: Duration::from_secs(4 * 86_400), proof: Duration::from_secs(600) };

fn event(number: u64) -> Event {
    let mut body = format!("{number} ");
    body.push_str(&"x".repeat(BODY.saturating_sub(body.len())));
    Event {
        webhook: "chat".into(),
        key: EventKey::of_signed_id(&number.to_string()),
        proof: ProofKey::of(&number.to_be_bytes()),
        order: Some(OrderKey::of("chat", &(number % 100).to_string())),
        event: None,
        id: None,
        received: SystemClock.now(),
        headers: Vec::new(),
        body: Bytes::from(body),
    }
}

/// Transactions that were written.
fn commits(metrics: &Metrics) -> u64 {
    let shown = metrics.render();
    let count = shown.lines().find_map(|line| line.strip_prefix("sidemint_webhook_commit_seconds_count "));
    count.map_or(0, |count| count.parse().unwrap())
}

/// Events a second, commits, and the slowest hundredth, with so many callers at once.
fn keep(runtime: &tokio::runtime::Runtime, folder: &Path, callers: usize) -> (u64, u64, Duration, Duration) {
    let limits = Limits { events: usize::MAX, bytes: usize::MAX, ..Limits::default() };
    let options = Options { folder: folder.to_owned(), limits, start_empty: false, key: None };
    let metrics = Arc::new(Metrics::new().unwrap());
    let store = Arc::new(SqliteStore::open(options, Arc::new(SystemClock), &metrics).unwrap());
    let next = Arc::new(AtomicU64::new(0));
    let before = commits(&metrics);
    let watch = Stopwatch::start();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (store, next) = (Arc::clone(&store), Arc::clone(&next));
            runtime.spawn(async move {
                let mut times = Vec::new();
                while watch.elapsed() < SPAN {
                    let one = Stopwatch::start();
                    store.keep(event(next.fetch_add(1, Ordering::Relaxed)), MEMORY, Box::new(())).await.unwrap();
                    times.push(one.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times: Vec<Duration> = tasks.into_iter().flat_map(|task| runtime.block_on(task).unwrap()).collect();
    let took = watch.elapsed();
    times.sort();
    let commits = commits(&metrics).saturating_sub(before);
    runtime.block_on(store.close());
    let slowest = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    (times.len() as u64, commits, took, slowest)
}

/// Time for `flushes` appends of `bytes` each, and the slowest hundredth.
fn append(folder: &Path, flushes: u64, bytes: usize) -> (Duration, Duration) {
    let path = folder.join("appended");
    let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
    let piece = vec![b'x'; bytes];
    let (watch, mut times) = (Stopwatch::start(), Vec::new());
    for _ in 0..flushes {
        let one = Stopwatch::start();
        file.write_all(&piece).unwrap();
        file.sync_data().unwrap();
        times.push(one.elapsed());
    }
    let took = watch.elapsed();
    times.sort();
    std::fs::remove_file(path).unwrap();
    (took, times.get(times.len() * 99 / 100).copied().unwrap_or_default())
}

fn main() {
    let base =
        std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_else(|| "target".to_owned());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for callers in [1, 64] {
        let folder = tempfile::tempdir_in(&base).unwrap();
        let (events, commits, took, slowest) = keep(&runtime, &folder.path().join("queue"), callers);
        let piece = usize::try_from(events).unwrap() * BODY / usize::try_from(commits.max(1)).unwrap();
        let (reference, slowest_flush) = append(folder.path(), commits, piece);
        let per_second = events as f64 / took.as_secs_f64();
        println!(
            "{{\"callers\": {callers}, \"events_per_second\": {per_second:.0}, \"events_per_commit\": {:.1}, \"ratio\": {:.2}, \
             \"p99_ms\": {:.1}, \"flush_p99_ms\": {:.1}}}",
            events as f64 / commits.max(1) as f64,
            reference.as_secs_f64() / took.as_secs_f64(),
            slowest.as_secs_f64() * 1000.0,
            slowest_flush.as_secs_f64() * 1000.0,
        );
    }
}
