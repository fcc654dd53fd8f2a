//! Opens the queue and starts its writer; where the disk has no room, as soon as it has.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::folder::{Folder, OpenError};
use super::state::Shared;
use super::writer::{Checkpointer, Counts, Writer};
use super::{Options, database};
use crate::clock::Clock;

/// Between the first two attempts on a disk that is full. It doubles: an attempt may read the whole file.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two attempts at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Starts the writer, and blocks until the queue is read, unless its disk is full. The channel closes when the writer has
/// ended.
pub(super) fn start(options: Options, shared: &Arc<Shared>, counts: Counts) -> Result<watch::Receiver<()>, OpenError> {
    let failed = |problem: String| OpenError::Failed(format!("the queue cannot be opened: {problem}"));
    let opened = match Opened::open(&options, &*shared.clock) {
        // W-19: a full disk at start
        Err(OpenError::Full(problem)) => {
            tracing::error!("{problem}: events are answered 503, and none is delivered, until there is room");
            None
        }
        opened => Some(opened?),
    };
    let is_open = opened.is_some();
    let (ready, is_ready) = mpsc::sync_channel(1);
    let (alive, ended) = watch::channel(());
    let shared = Arc::clone(shared);
    let run = move || {
        // Given up last: the file, its lock, and then the sign of life.
        let (_alive, _end) = (alive, End(Arc::clone(&shared)));
        let opened = opened.map_or_else(|| Opened::when_there_is_room(&options, &shared), |opened| Ok(Some(opened)));
        let Opened { folder: _folder, connection, checkpointer } = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) => return shared.end(None),
            Err(problem) => return shared.end(Some(problem.to_string())),
        };
        match Writer::new(&connection, checkpointer, options.key, options.limits, Arc::clone(&shared), counts) {
            Ok(writer) => {
                let _opened = ready.send(Ok(()));
                writer.run();
            }
            Err(error) => {
                shared.end(Some(error.to_string()));
                let _opened = ready.send(Err(error.to_string()));
            }
        }
    };
    std::thread::Builder::new().name("queue".to_owned()).spawn(run).map_err(|error| failed(error.to_string()))?;
    if !is_open {
        return Ok(ended);
    }
    match is_ready.recv() {
        Ok(Ok(())) => Ok(ended),
        Ok(Err(problem)) => Err(failed(problem)),
        Err(_) => Err(failed("its thread has ended".to_owned())),
    }
}

/// Says that nothing is written any more, however the thread of the writer ends.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end(Some("its thread has ended".to_owned()));
    }
}

/// A queue that is open for the server.
struct Opened {
    /// Locked for as long as it stands here.
    folder: Folder,
    connection: Connection,
    checkpointer: Checkpointer,
}

impl Opened {
    fn open(options: &Options, clock: &dyn Clock) -> Result<Self, OpenError> {
        let folder = Folder::of_server(&options.folder)?;
        let label = format!("unusable-{}", clock.now().as_seconds());
        let connection = database::of_server(&folder, options.start_empty, &label)?;
        database::check_seal(&folder, &connection, options.key.as_ref())?;
        let checkpointer = Checkpointer::start(database::beside(&folder)?)
            .map_err(|error| OpenError::Failed(format!("the queue cannot be opened: {error}")))?;
        Ok(Self { folder, connection, checkpointer })
    }

    /// Refuses events until there is room; `None` where the service ends before that.
    fn when_there_is_room(options: &Options, shared: &Shared) -> Result<Option<Self>, OpenError> {
        let (mut tried, mut pause) = (shared.clock.moment(), PAUSE);
        loop {
            let work = shared.next_work();
            let is_last = work.is_last;
            work.refuse();
            if is_last {
                return Ok(None);
            }
            let now = shared.clock.moment();
            if now.since(tried) < pause {
                continue;
            }
            (tried, pause) = (now, pause.saturating_mul(2).min(LONGEST_PAUSE));
            match Self::open(options, &*shared.clock) {
                Err(OpenError::Full(_)) => {}
                opened => return opened.map(Some),
            }
        }
    }
}
