//! The file of the queue: opened, checked, and made where it is new.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, ffi};

use super::folder::{Folder, OpenError};
use super::seal::{Place, SealKey};

/// Marks the file as ours: "side".
const APPLICATION: i32 = 0x7369_6465;
/// The form of the tables.
const FORM: i32 = 1;
/// What is wanted of the file while another process, such as the command line, writes: its steps are short.
const BUSY: Duration = Duration::from_secs(5);
/// Bytes of the write-ahead log beyond which it is begun anew, and cut where it is longer. A shorter one writes more pages
/// twice.
pub(super) const WAL_BYTES: i32 = 16 * 1024 * 1024;

/// What changes while an event waits stands apart from what does not, so that an attempt does not write the body again.
const TABLES: &str = "
CREATE TABLE webhook (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
-- state 0 waits, due is its next attempt; state 1 was put aside for a reason, due is when.
CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  webhook INTEGER NOT NULL,
  webhook_id TEXT NOT NULL,
  state INTEGER NOT NULL,
  due INTEGER NOT NULL,
  received INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  failed INTEGER,
  order_key BLOB,
  sealed INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  reason TEXT
);
CREATE INDEX aside ON event (due) WHERE state = 1;
CREATE TABLE content (seq INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB NOT NULL);
-- What repeats are known by; kind 0 is the key of an event, kind 1 its proof.
CREATE TABLE seen (
  webhook INTEGER NOT NULL, kind INTEGER NOT NULL, key BLOB NOT NULL, until INTEGER NOT NULL,
  PRIMARY KEY (webhook, kind, key)
) WITHOUT ROWID;
CREATE INDEX seen_until ON seen (webhook, kind, until);
-- What an operator changed beside a running server, which looks here.
CREATE TABLE changed (seq INTEGER NOT NULL, webhook_id TEXT NOT NULL, reason TEXT);
-- What the key of the file must open.
CREATE TABLE seal (proof BLOB NOT NULL);
";

/// What is wrong with a file.
enum Fault {
    Unusable(String),
    Disk(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Unusable(error.to_string()),
            _ => Self::Disk(error),
        }
    }
}

/// Opens the queue for the one server. `start_empty` moves a file that cannot be used aside, with `label` in its name.
pub(super) fn of_server(folder: &Folder, start_empty: bool, label: &str) -> Result<Connection, OpenError> {
    let problem = match open(folder).and_then(checked) {
        Ok(connection) => return Ok(connection),
        Err(Fault::Disk(error)) => return Err(failed(folder, &error)),
        Err(Fault::Unusable(problem)) => problem,
    };
    let file = folder.file();
    if !start_empty {
        return Err(OpenError::mistake(
            "queue.dir",
            format!(
                "{} cannot be used: {problem}. What waits in it may be lost; restore it, or set queue.start_empty = true, \
                 which moves it aside and starts with an empty queue",
                file.display()
            ),
        ));
    }
    let aside = folder
        .set_aside(label)
        .map_err(|error| OpenError::Failed(format!("{} cannot be moved aside: {error}", file.display())))?;
    tracing::error!(file = %file.display(), aside = %aside.display(), problem, "the queue is moved aside, and starts empty");
    match open(folder).and_then(checked) {
        Ok(connection) => Ok(connection),
        Err(Fault::Disk(error)) => Err(failed(folder, &error)),
        Err(Fault::Unusable(problem)) => Err(OpenError::Failed(format!("{}: {problem}", file.display()))),
    }
}

/// Opens the queue once more: for the copies of its log, or for the command line, which needs no server.
pub(super) fn beside(folder: &Folder) -> Result<Connection, OpenError> {
    match open(folder) {
        Ok(connection) => Ok(connection),
        Err(Fault::Unusable(problem)) => {
            Err(OpenError::mistake("queue.dir", format!("{}: {problem}", folder.file().display())))
        }
        Err(Fault::Disk(error)) => Err(failed(folder, &error)),
    }
}

fn failed(folder: &Folder, error: &rusqlite::Error) -> OpenError {
    let problem = format!("{} cannot be opened: {error}", folder.file().display());
    if is_full(error) { OpenError::Full(problem) } else { OpenError::Failed(problem) }
}

/// Whether there is no room on the disk. The index of the log has a code of its own for that.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    let index = error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE);
    index || error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

fn open(folder: &Folder) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(folder.file(), flags)?;
    connection.busy_timeout(BUSY)?;
    // Before anything is changed.
    if is_new(&connection)? {
        // Before there is a table, or it has no effect.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Unusable(format!("its file system has no write-ahead log (journal mode {mode})")));
    }
    // A commit is on disk when it returns.
    connection.pragma_update(None, "synchronous", "FULL")?; // W-18: synchronous
    // The log is emptied where the writer says so, which sees when that fails; SQLite would not say so.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // What is deleted is overwritten where that costs no more writing.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// Whether the file has no tables yet. One that is no queue is refused.
fn is_new(connection: &Connection) -> Result<bool, Fault> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    match (number("application_id")?, number("user_version")?) {
        (0, 0) => {
            let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
            if tables == 0 { Ok(true) } else { Err(Fault::Unusable("it is a database of another program".to_owned())) }
        }
        (APPLICATION, FORM) => Ok(false),
        (APPLICATION, form) => {
            Err(Fault::Unusable(format!("it has form {form}, and this version of sidemint knows form {FORM}")))
        }
        _ => Err(Fault::Unusable("it is a database of another program".to_owned())),
    }
}

/// Looks at every page, makes the tables of a new file, forgets what operators changed while no server ran, and empties the
/// log: what a process that failed left there is written and flushed anew, so that no later commit stands behind bytes that
/// never reached the disk.
fn checked(connection: Connection) -> Result<Connection, Fault> {
    if is_new(&connection)? {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORM}; COMMIT;"
        ))?;
    }
    let found: String = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
    // W-19: corrupt file
    if found != "ok" {
        return Err(Fault::Unusable(found));
    }
    connection.execute("DELETE FROM changed", ())?;
    checkpoint(&connection, "TRUNCATE")?;
    Ok(connection)
}

/// Empties the log into the file. Where another process reads or writes, the rest is done the next time.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), (), |_| Ok(()))
}

/// Whether the operator's key is the one that the sealed events were written with. Without sealed events any key is good.
pub(super) fn check_seal(folder: &Folder, connection: &Connection, key: Option<&SealKey>) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| failed(folder, &error);
    let sealed: bool = connection
        .query_row("SELECT EXISTS (SELECT 1 FROM event WHERE sealed)", (), |row| row.get(0))
        .map_err(failed)?;
    let proof: Option<Vec<u8>> =
        connection.query_row("SELECT proof FROM seal", (), |row| row.get(0)).optional().map_err(failed)?;
    let opens = |key: &SealKey| proof.as_deref().is_some_and(|proof| key.open(Place::Check, proof).is_some());
    match key {
        None if sealed => Err(OpenError::mistake(
            "queue.key_file",
            "is missing, and the queue holds events that are encrypted with a key",
        )),
        Some(key) if sealed && !opens(key) => {
            Err(OpenError::mistake("queue.key_file", "holds another key than the one that the queue was written with"))
        }
        Some(key) if !opens(key) => {
            let proof = key.seal(Place::Check, b"").ok_or_else(|| OpenError::Failed("no randomness".to_owned()))?;
            let written = connection
                .execute("DELETE FROM seal", ())
                .and_then(|_| connection.execute("INSERT INTO seal (proof) VALUES (?1)", [proof]));
            written.map(drop).map_err(failed)
        }
        _ => Ok(()),
    }
}
