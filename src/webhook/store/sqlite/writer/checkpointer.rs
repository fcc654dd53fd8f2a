//! Copies the log into the file on a thread and a connection of its own, so that commits go on meanwhile.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, Error};

use super::super::database::checkpoint;

/// The thread, for as long as this stands.
pub(in crate::webhook::store::sqlite) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer shares with the thread.
struct Shared {
    /// Held while the log is copied.
    connection: Mutex<Connection>,
    asked: Mutex<Asked>,
    news: Condvar,
}

#[derive(Default)]
struct Asked {
    is_wanted: bool,
    is_over: bool,
    /// Why the last copy failed. There is no other before the writer has seen it: after a flush that failed, one that
    /// succeeds says nothing.
    error: Option<Error>,
}

impl Checkpointer {
    /// Starts the thread, which waits.
    pub(in crate::webhook::store::sqlite) fn start(connection: Connection) -> std::io::Result<Self> {
        let (connection, asked) = (Mutex::new(connection), Mutex::default());
        let shared = Arc::new(Shared { connection, asked, news: Condvar::new() });
        let run = {
            let shared = Arc::clone(&shared);
            move || shared.run()
        };
        let thread = std::thread::Builder::new().name("queue-log".to_owned()).spawn(run)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has the log copied beside what the writer does. Fails with what the last copy failed with.
    pub(super) fn ask(&self) -> rusqlite::Result<()> {
        self.shared.failure()?;
        self.shared.asked.lock().is_wanted = true;
        self.shared.news.notify_one();
        Ok(())
    }

    /// Copies all of the log now, after a copy that is under way. With its next transaction the writer then begins the log
    /// anew.
    pub(super) fn finish(&self) -> rusqlite::Result<()> {
        let connection = self.shared.connection.lock();
        self.shared.failure()?; // W-19: copy that failed beside the writer
        checkpoint(&connection, "PASSIVE")
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.asked.lock().is_over = true;
        self.shared.news.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn failure(&self) -> rusqlite::Result<()> {
        self.asked.lock().error.take().map_or(Ok(()), Err)
    }

    fn run(&self) {
        loop {
            let mut asked = self.asked.lock();
            self.news.wait_while(&mut asked, |asked| !asked.is_over && (!asked.is_wanted || asked.error.is_some()));
            if asked.is_over {
                return;
            }
            asked.is_wanted = false;
            drop(asked);
            let connection = self.connection.lock();
            let copied = checkpoint(&connection, "PASSIVE");
            // Told before another copy may begin.
            self.asked.lock().error = copied.err();
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::OpenFlags;

    use super::*;

    /// After a flush that failed, one that succeeds would say nothing: the writer hears of the first.
    #[test]
    fn a_copy_that_failed_is_told_before_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queue.db");
        let writer = Connection::open(&file).unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE one (x); INSERT INTO one VALUES (1)").unwrap();
        let copied = || -> i64 { writer.query_row("PRAGMA wal_checkpoint(NOOP)", (), |row| row.get(2)).unwrap() };
        let failing = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let checkpointer = Checkpointer::start(failing).unwrap();
        checkpointer.ask().unwrap();
        while checkpointer.shared.asked.lock().error.is_none() {
            std::thread::yield_now();
        }
        *checkpointer.shared.connection.lock() = Connection::open(&file).unwrap();
        checkpointer.finish().unwrap_err();
        assert_eq!(copied(), 0);
        checkpointer.finish().unwrap();
        assert!(copied() > 0);
    }

    /// The writer does not wait for it.
    #[test]
    fn the_log_is_copied_beside_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queue.db");
        let writer = Connection::open(&file).unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE one (x); INSERT INTO one VALUES (1)").unwrap();
        let checkpointer = Checkpointer::start(Connection::open(&file).unwrap()).unwrap();
        let copied = || -> i64 { writer.query_row("PRAGMA wal_checkpoint(NOOP)", (), |row| row.get(2)).unwrap() };
        for _ in 0..2 {
            let before = copied();
            writer.execute("INSERT INTO one VALUES (1)", ()).unwrap();
            checkpointer.ask().unwrap();
            while copied() == before {
                std::thread::yield_now();
            }
        }
    }
}
