//! Files that the configuration names, read so that none of them can block the service (T-62): regular files alone, opened
//! without waiting, and read on a thread of their own for a limited time.

use std::collections::BTreeMap;
use std::fs::{Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::fence;
use crate::clock::Timestamp;

/// A file that has not been read within this time is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a file could not be read: the rest of a sentence that begins with the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FileError {
    /// It is missing or may not be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A pipe, a device, a socket or a folder.
    #[error("is not a regular file")]
    Irregular,
    /// It is larger than anything that may stand there.
    #[error("is larger than {0} bytes; is it the right file?")]
    TooLarge(u64),
    /// Reading it does not come to an end.
    #[error("could not be read within {} s: its file system does not answer", PATIENCE.as_secs())]
    Stuck,
    /// It is no text.
    #[error("is not UTF-8 text")]
    NotText,
}

impl From<std::io::Error> for FileError {
    fn from(error: std::io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// What stands in a file, and when it was written, where the file system knows.
pub(super) type Content = (Vec<u8>, Option<Timestamp>);

/// Where the reading of a path stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Running,
    /// It is not waited for any more.
    GivenUp,
}

/// What is being read in this process. Each path once: a file that is stuck holds one thread, however often it is asked for.
struct Readings {
    all: Mutex<BTreeMap<PathBuf, Reading>>,
    ended: Condvar,
}

static READINGS: Readings = Readings { all: Mutex::new(BTreeMap::new()), ended: Condvar::new() };

/// Takes a path from the list when its reading ends, however it ends.
struct Running(PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        READINGS.all.lock().remove(&self.0);
        READINGS.ended.notify_all();
    }
}

/// How many paths are not waited for any more, and whose reading has not come to an end.
pub fn stuck() -> usize {
    READINGS.all.lock().values().filter(|reading| **reading == Reading::GivenUp).count()
}

/// The text of a file of `most` bytes at most.
pub fn read_text(path: &Path, most: u64) -> Result<String, FileError> {
    let (bytes, _) = within(PATIENCE, path, move |path| read_here(path, most))?;
    String::from_utf8(bytes).map_err(|_| FileError::NotText)
}

/// What lies in a folder and is named with this end, in the order of the names.
pub fn list(folder: &Path, end: &'static str) -> Result<Vec<PathBuf>, FileError> {
    within_limit(folder, move |folder| {
        let paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
        let paths = paths.collect::<std::io::Result<Vec<PathBuf>>>()?;
        let mut found: Vec<_> =
            paths.into_iter().filter(|path| path.extension().is_some_and(|own| own == end)).collect();
        found.sort();
        Ok(found)
    })
}

/// Reads from `path` on a thread of its own, and waits for it no longer than the limit. A path that is stuck is not read
/// again before it is free.
pub(super) fn within_limit<T: Send + 'static>(
    path: &Path,
    read: impl FnOnce(&Path) -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    within(PATIENCE, path, read)
}

fn within<T: Send + 'static>(
    limit: Duration,
    path: &Path,
    read: impl FnOnce(&Path) -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    let is_running = |all: &mut BTreeMap<_, _>| all.get(path) == Some(&Reading::Running);
    let mut all = READINGS.all.lock();
    // Whether the time was enough shows below.
    let _in_time = READINGS.ended.wait_while_for(&mut all, is_running, limit);
    // T-62: read once
    if all.contains_key(path) {
        return Err(FileError::Stuck);
    }
    all.insert(path.to_owned(), Reading::Running);
    drop(all);
    let running = Running(path.to_owned());
    let (tell, told) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("file".to_owned()).spawn(move || {
        let outcome = read(&running.0);
        drop(running);
        // The caller may have stopped waiting.
        let _late = tell.send(outcome);
    })?;
    told.recv_timeout(limit).unwrap_or_else(|_late| {
        if let Some(reading) = READINGS.all.lock().get_mut(path) {
            *reading = Reading::GivenUp;
        }
        Err(FileError::Stuck)
    })
}

/// Reads a file on this thread.
pub(super) fn read_here(path: &Path, most: u64) -> Result<Content, FileError> {
    let fenced = fence::of(path)?;
    // Looked at first: to open a pipe or a device may do something by itself.
    regular(&fenced.as_ref().map_or_else(|| std::fs::metadata(path), |own| own.look()?.metadata())?)?;
    let plain = || OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = fenced.map_or_else(plain, |own| own.open())?;
    // And again: it may be another one by now.
    let about = file.metadata()?;
    regular(&about)?;
    let written = about.modified().ok().map(Timestamp::from);
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(FileError::TooLarge(most));
    }
    Ok((bytes, written))
}

fn regular(about: &Metadata) -> Result<(), FileError> {
    // T-62: regular file
    if about.is_file() { Ok(()) } else { Err(FileError::Irregular) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    /// T-62: who waits for a stuck file waits so long and no longer, it holds one thread, and others are read meanwhile.
    #[test]
    fn a_file_that_is_stuck_costs_one_thread_and_its_own_value() {
        let (stuck_file, other) = (Path::new("/stuck/file"), Path::new("/other/file"));
        let (free, waits) = mpsc::channel::<()>();
        let hangs = move |_: &Path| {
            let _freed = waits.recv();
            Ok(1)
        };
        assert_eq!(within(SOON, stuck_file, hangs), Err(FileError::Stuck));
        for _ in 0..100 {
            assert_eq!(
                within(Duration::MAX, stuck_file, |_| Ok(2)),
                Err(FileError::Stuck),
                "no second thread, no wait"
            );
        }
        assert_eq!(stuck(), 1);
        assert_eq!(within(Duration::MAX, other, |_| Ok(3)), Ok(3));
        drop(free);
        while stuck() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(within(Duration::MAX, stuck_file, |_| Ok(4)), Ok(4), "free again");
    }

    #[test]
    fn one_file_is_read_by_one_at_a_time_and_for_all() {
        let path = Path::new("/one/file");
        let (free, waits) = mpsc::channel();
        let slow = std::thread::spawn(move || within(Duration::MAX, path, move |_| Ok(waits.recv().expect("a word"))));
        while !READINGS.all.lock().contains_key(path) {
            std::thread::yield_now();
        }
        let next = std::thread::spawn(move || within(Duration::MAX, path, |_| Ok("second")));
        free.send("first").expect("waits");
        assert_eq!(slow.join().expect("ends"), Ok("first"));
        assert_eq!(next.join().expect("ends"), Ok("second"));
    }

    /// T-62: what is no regular file is said to be none, at once.
    #[test]
    fn pipes_sockets_devices_and_folders_are_no_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo");
        assert!(made.success());
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("bound");
        std::os::unix::fs::symlink(at("pipe"), at("link")).expect("linked");
        for path in [at("pipe"), at("link"), at("socket"), folder.path().to_owned(), "/dev/zero".into()] {
            assert_eq!(read_text(&path, 10), Err(FileError::Irregular), "{}", path.display());
        }
        std::fs::write(at("file"), "0123456789").expect("written");
        assert_eq!(read_text(&at("file"), 10), Ok("0123456789".to_owned()));
        assert_eq!(read_text(&at("file"), 9), Err(FileError::TooLarge(9)));
        std::fs::write(at("file"), b"\xff").expect("written");
        assert_eq!(read_text(&at("file"), 9), Err(FileError::NotText));
        assert!(matches!(read_text(&at("nothing"), 9), Err(FileError::Unreadable(_))));
    }
}
