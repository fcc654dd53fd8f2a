//! Tells when secret files may have changed.
//!
//! Kubernetes changes a mounted secret by swapping the `..data` link beside it, so folders are watched, not files; any
//! event means «look again». File systems without events are covered by a slow poll, and an operator in a hurry sends
//! SIGHUP. Whether anything did change is for the reader to find out, by comparing contents.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::lifecycle::Lifecycle;

/// How often files are read even if no event came.
const POLL: Duration = Duration::from_secs(30);
/// Several events of one change are taken together.
const SETTLE: Duration = Duration::from_millis(50);

/// Asks for a look at the files now, as SIGHUP does.
#[derive(Clone, Debug)]
pub struct Nudge {
    events: mpsc::Sender<()>,
    looks: watch::Receiver<u64>,
}

impl Nudge {
    /// Asks; a request that is already waiting is enough.
    pub fn now(&self) {
        let _waiting = self.events.try_send(());
    }

    /// How many looks have ended since the start.
    pub fn looks(&self) -> u64 {
        *self.looks.borrow()
    }
}

/// Calls `look_again` whenever one of `files` may have changed, until the service drains.
pub fn start(
    files: &BTreeSet<PathBuf>,
    clock: Arc<dyn Clock>,
    lifecycle: &Lifecycle,
    look_again: impl Fn() + Send + Sync + 'static,
) -> Nudge {
    let (events, mut incoming) = mpsc::channel(1);
    let watcher = watch_folders(files, events.clone());
    let (looked, looks) = watch::channel(0);
    let (stop, look_again) = (lifecycle.draining().clone(), Arc::new(look_again));
    lifecycle.spawn(async move {
        // Dropped with the task: the watch ends with it.
        let _watcher = watcher;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                event = incoming.recv() => if event.is_none() { return },
                () = clock.sleep_until(clock.moment().plus(POLL)) => {}
            }
            tokio::time::sleep(SETTLE).await;
            while incoming.try_recv().is_ok() {}
            let look_again = Arc::clone(&look_again);
            // Files may be slow, so no worker reads them, and the end of the service does not wait for them.
            let looking = tokio::task::spawn_blocking(move || look_again()); // T-62: slow files
            tokio::select! {
                () = stop.cancelled() => return,
                _ended = looking => looked.send_modify(|looks| *looks += 1),
            }
        }
    });
    Nudge { events, looks }
}

/// Whether an event tells of reading only. Our own look at a file is one: to look again because of it would never end.
fn is_own_reading(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}

fn watch_folders(files: &BTreeSet<PathBuf>, events: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    if folders.is_empty() {
        return None;
    }
    let report = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_own_reading(event.kind)) {
            return;
        }
        let _waiting = events.try_send(());
    };
    let mut watcher = match notify::recommended_watcher(report) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "secret files are not watched, only read every {} s", POLL.as_secs());
            return None;
        }
    };
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            tracing::warn!(folder = %folder.display(), %error, "folder is not watched, only read every {} s", POLL.as_secs());
        }
    }
    Some(watcher)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, RecvTimeoutError};

    use super::*;
    use crate::clock::SystemClock;

    /// T-62: files that are slow hold up no worker, here the only one, and not the end of the service.
    #[tokio::test]
    async fn a_look_that_hangs_holds_nothing_up() {
        let lifecycle = Lifecycle::new();
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let (free, waits) = mpsc::channel::<()>();
        let waits = std::sync::Mutex::new(waits);
        let ended = Arc::new(std::sync::Mutex::new(None));
        let told = Arc::clone(&ended);
        let nudge = start(&BTreeSet::new(), Arc::new(SystemClock), &lifecycle, move || {
            let _unheard = begun.send(());
            let outcome = waits.lock().expect("lock").recv_timeout(Duration::from_secs(20));
            *told.lock().expect("lock") = Some(outcome);
        });
        nudge.now();
        assert_eq!(begins.recv().await, Some(()));
        lifecycle.draining().cancel();
        lifecycle.finished().await;
        assert_eq!(*ended.lock().expect("lock"), None, "the look goes on, and nothing waited for it");
        drop(free);
        while ended.lock().expect("lock").is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*ended.lock().expect("lock"), Some(Err(RecvTimeoutError::Disconnected)));
    }

    /// Our own reading is no reason to read again: a watch that heard itself would never rest.
    #[tokio::test]
    async fn reading_is_no_event() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        std::fs::write(&file, "x").expect("written");
        let (events, mut incoming) = tokio::sync::mpsc::channel(1000);
        let _watcher = watch_folders(&BTreeSet::from([file.clone()]), events);
        for _ in 0..100 {
            assert_eq!(std::fs::read(&file).expect("read"), b"x");
            assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1);
        }
        // Events come in order, and each of these is one: where reading made any, some of them are left.
        for n in 0..10 {
            std::fs::create_dir(folder.path().join(n.to_string())).expect("made");
            assert_eq!(incoming.recv().await, Some(()));
        }
        assert!(incoming.try_recv().is_err(), "events of our own reading");
    }
}
