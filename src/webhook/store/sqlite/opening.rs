//! Opens the queue, where its disk has no room as soon as it has.

use std::time::Duration;

use rusqlite::Connection;

use super::folder::{Folder, OpenError};
use super::state::Shared;
use super::{Options, database};
use crate::clock::Clock;

/// Between two attempts on a disk that is full.
const PAUSE: Duration = Duration::from_secs(1);

/// A queue that is open for the server.
pub(super) struct Opened {
    /// Locked for as long as it stands here.
    pub(super) folder: Folder,
    pub(super) connection: Connection,
}

impl Opened {
    pub(super) fn open(options: &Options, clock: &dyn Clock) -> Result<Self, OpenError> {
        let folder = Folder::of_server(&options.folder)?;
        let label = format!("unusable-{}", clock.now().as_seconds());
        let connection = database::of_server(&folder, options.start_empty, &label)?;
        database::check_seal(&folder, &connection, options.key.as_ref())?;
        Ok(Self { folder, connection })
    }

    /// Refuses events until there is room; `None` where the service ends before that.
    pub(super) fn when_there_is_room(options: &Options, shared: &Shared) -> Result<Option<Self>, OpenError> {
        let mut tried = shared.clock.moment();
        loop {
            let work = shared.next_work();
            let is_last = work.is_last;
            work.refuse();
            if is_last {
                return Ok(None);
            }
            let now = shared.clock.moment();
            if now.since(tried) < PAUSE {
                continue;
            }
            tried = now;
            match Self::open(options, &*shared.clock) {
                Err(OpenError::Full(_)) => {}
                opened => return opened.map(Some),
            }
        }
    }
}
