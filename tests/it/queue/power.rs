//! Power fails: of what was written and not flushed, a disk keeps all, nothing, or some pieces in any order.

use std::fs;
use std::sync::Arc;

use sidemint::clock::SystemClock;
use sidemint::metrics::Metrics;
use sidemint::webhook::store::Limits;
use sidemint::webhook::store::Store as _;
use sidemint::webhook::store::sqlite::{Options, SqliteStore};

use super::{Numbers, nothing_is_lost, queued, work};

/// A disk writes so many bytes at once or not at all.
const SECTOR: usize = 512;

/// What the process did to a file of the queue.
#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Debug)]
enum Step {
    Change(usize, Change),
    Flush(usize),
    Acknowledge(Vec<u8>),
}

fn steps(log: &[u8]) -> Vec<Step> {
    let (mut rest, mut steps) = (log, Vec::new());
    while let Some((head, behind)) = rest.split_first_chunk::<18>() {
        let number = |at: usize| usize::try_from(u64::from_ne_bytes(head[at..at + 8].try_into().unwrap())).unwrap();
        let (at, length, file) = (number(2), number(10), usize::from(head[1]));
        let is_write = head[0] == 0;
        let bytes = behind[..if is_write { length } else { 0 }].to_vec();
        rest = &behind[bytes.len()..];
        steps.push(match (head[0], file) {
            (0, 2) => Step::Acknowledge(bytes),
            (0, _) => Step::Change(file, Change::Write { at, bytes }),
            (1, _) => Step::Flush(file),
            _ => Step::Change(file, Change::Truncate(at)),
        });
    }
    steps
}

fn apply(file: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(length) => file.resize(*length, 0),
        Change::Write { at, bytes } => {
            file.resize(file.len().max(at + bytes.len()), 0);
            file[*at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

/// A file on the disk.
#[derive(Clone, Default)]
struct Stored {
    flushed: Vec<u8>,
    since: Vec<Change>,
}

impl Stored {
    /// What is there after the power failed: each sector that was not flushed where `keeps` says so.
    fn left(&self, mut keeps: impl FnMut() -> bool) -> Vec<u8> {
        let mut file = self.flushed.clone();
        for change in &self.since {
            match change {
                Change::Write { at, bytes } => {
                    for (nth, sector) in bytes.chunks(SECTOR).enumerate().filter(|_| keeps()) {
                        apply(&mut file, &Change::Write { at: at + nth * SECTOR, bytes: sector.to_vec() });
                    }
                }
                Change::Truncate(_) if keeps() => apply(&mut file, change),
                Change::Truncate(_) => {}
            }
        }
        file
    }
}

/// Opens a queue that a disk holds in this form, and looks that everything which was acknowledged is there.
async fn judge(files: [Vec<u8>; 2], lines: &str) {
    let folder = tempfile::tempdir().unwrap();
    let queue = folder.path().join("queue");
    fs::create_dir(&queue).unwrap();
    for (name, bytes) in ["queue.db", "queue.db-wal"].into_iter().zip(files) {
        fs::write(queue.join(name), bytes).unwrap();
    }
    let options = Options { folder: queue, limits: Limits::default(), start_empty: false, key: None };
    let store = SqliteStore::open(options, Arc::new(SystemClock), &Arc::new(Metrics::new().unwrap()))
        .expect("a file that can be used");
    store.close().await;
    nothing_is_lost(lines, &queued(folder.path()));
}

/// W-18: at every moment of a run, whatever the disk kept of what was not flushed.
#[tokio::test]
async fn nothing_is_lost_when_the_power_fails() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    assert!(work(folder.path(), &[("DISK_LOG", log.to_str().unwrap())]).success());
    let steps = steps(&fs::read(&log).unwrap());
    let (mut disk, mut lines, mut numbers) = ([Stored::default(), Stored::default()], String::new(), Numbers(7));
    let (mut judged, mut flushes) = (0, 0);
    for step in steps {
        // Before a flush most can be lost, and after an acknowledgement it must not be. A new file is made before that.
        let is_moment = !matches!(step, Step::Change(..)) && !lines.is_empty();
        if is_moment {
            let images: [[Vec<u8>; 2]; 3] = [
                [0, 1].map(|file| disk[file].left(|| false)),
                [0, 1].map(|file| disk[file].left(|| true)),
                [0, 1].map(|file| disk[file].left(|| numbers.below(2) == 0)),
            ];
            for files in images {
                judge(files, &lines).await;
                judged += 1;
            }
        }
        match step {
            Step::Change(file, change) => disk[file].since.push(change),
            Step::Flush(file) => {
                flushes += 1;
                let stored = &mut disk[file];
                stored.flushed = stored.left(|| true);
                stored.since.clear();
            }
            Step::Acknowledge(bytes) => lines.push_str(std::str::from_utf8(&bytes).unwrap()),
        }
    }
    assert!(judged > 60 && flushes > 10 && lines.lines().count() > 30, "{judged} {flushes} {lines}");
}
