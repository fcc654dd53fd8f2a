//! The door of the command line: it opens the file itself, beside a running server or without one. What it changes is noted
//! in the file, where a server looks for it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, ToSql, named_params};

use super::content::Head;
use super::database;
use super::folder::{Folder, OpenError};
use super::rows::content;
use super::seal::SealKey;
use crate::clock::Timestamp;
use crate::webhook::store::Seq;

/// Events that are changed in one transaction: a server that writes meanwhile does not wait for long.
const CHUNK: usize = 500;

/// The queue, as an operator sees it.
#[derive(Debug)]
pub struct Operator {
    connection: Connection,
    key: Option<SealKey>,
}

/// Which events are meant. All that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Name of the webhook.
    pub name: Option<String>,
    /// Whether they were put aside, or wait.
    pub is_dead: Option<bool>,
    /// Received then, or later.
    pub since: Option<Timestamp>,
    /// What the application knows the event by.
    pub webhook_id: Option<String>,
}

/// An event in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub seq: Seq,
    /// Name of the webhook.
    pub name: String,
    /// What the application knows it by.
    pub webhook_id: String,
    /// Whether it was put aside.
    pub is_dead: bool,
    /// When it was received.
    pub received: Timestamp,
    /// Its next attempt; for one that was put aside, when that was.
    pub due: Timestamp,
    /// Attempts that are used up.
    pub attempts: u32,
    /// Bytes that it counts.
    pub bytes: u64,
    /// Why it was put aside.
    pub reason: Option<String>,
}

/// What the application gets of an event.
#[derive(Debug)]
pub struct Shown {
    /// What the provider calls this kind of event.
    pub event: Option<String>,
    /// Its content type.
    pub content_type: Option<String>,
    /// The proven bytes.
    pub body: Vec<u8>,
}

impl Operator {
    /// Opens a queue that is there.
    pub fn open(folder: &Path, key: Option<SealKey>) -> Result<Self, OpenError> {
        let connection = database::beside(&Folder::of_operator(folder)?)?;
        Ok(Self { connection, key })
    }

    /// The events that `filter` means, in the order of acceptance.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Row>, OpenError> {
        let wanted = "SELECT seq, name, webhook_id, state, received, due, attempts, bytes, reason \
                      FROM event JOIN webhook ON id = webhook \
                      WHERE (:name IS NULL OR name = :name) AND (:state IS NULL OR state = :state) \
                      AND (:since IS NULL OR received >= :since) AND (:id IS NULL OR webhook_id = :id) ORDER BY seq";
        let list = || {
            let mut statement = self.connection.prepare(wanted)?;
            let params = named_params! {
                ":name": filter.name, ":state": filter.is_dead, ":since": filter.since.map(Timestamp::as_millis),
                ":id": filter.webhook_id,
            };
            let rows = statement.query_map(params, |row| {
                Ok(Row {
                    seq: row.get(0)?,
                    name: row.get(1)?,
                    webhook_id: row.get(2)?,
                    is_dead: row.get(3)?,
                    received: Timestamp::from_millis(row.get(4)?),
                    due: Timestamp::from_millis(row.get(5)?),
                    attempts: row.get(6)?,
                    bytes: row.get::<_, i64>(7)?.try_into().unwrap_or(0),
                    reason: row.get(8)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<Row>>>()
        };
        list().map_err(failed)
    }

    /// What the application gets of an event; `None` where it is gone.
    pub fn show(&self, seq: Seq) -> Result<Option<Shown>, OpenError> {
        let row = self.connection.query_row(
            "SELECT webhook_id, received, sealed, head, body FROM event JOIN content USING (seq) WHERE seq = ?1",
            [seq],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        );
        let Some((webhook_id, received, sealed, head, body)) = row.optional().map_err(failed)? else { return Ok(None) };
        let Some(content) = content(self.key.as_ref(), webhook_id, received, sealed, head, body) else {
            return Err(OpenError::mistake(
                "queue.key_file",
                "is missing or holds another key than the one that the event is encrypted with",
            ));
        };
        let Head { event, headers, .. } = content.head;
        let content_type = headers.iter().find(|(name, _)| name == http::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|(_, value)| value.to_str().ok().map(str::to_owned));
        Ok(Some(Shown { event, content_type, body: content.body.to_vec() }))
    }

    /// Makes events wait again as if they had just been accepted, in the order given: the first now, each of the others
    /// a `gap` later. Says how many there were.
    pub fn replay(&mut self, seqs: &[Seq], now: Timestamp, gap: Duration) -> Result<usize, OpenError> {
        let update = "UPDATE event SET state = 0, due = ?2, attempts = 0, failed = NULL, reason = NULL WHERE seq = ?1";
        let mut due = now;
        self.change(seqs, None, |connection, seq| {
            let changed = connection.prepare(update)?.execute([seq, due.as_millis()])?;
            due = due.plus(gap);
            Ok(changed)
        })
    }

    /// Deletes events, and has the server log why. Says how many there were.
    pub fn drop_events(&mut self, seqs: &[Seq], reason: &str) -> Result<usize, OpenError> {
        self.change(seqs, Some(reason), |connection, seq| {
            connection.prepare("DELETE FROM content WHERE seq = ?1")?.execute([seq])?;
            connection.prepare("DELETE FROM event WHERE seq = ?1")?.execute([seq])
        })
    }

    fn change(
        &mut self,
        seqs: &[Seq],
        reason: Option<&str>,
        mut change: impl FnMut(&Connection, Seq) -> rusqlite::Result<usize>,
    ) -> Result<usize, OpenError> {
        let mut changed: usize = 0;
        for chunk in seqs.chunks(CHUNK) {
            let mut step = || {
                let transaction =
                    self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
                let mut count: usize = 0;
                for seq in chunk {
                    let note = "INSERT INTO changed (seq, webhook_id, reason) SELECT seq, webhook_id, ?2 FROM event WHERE seq = ?1";
                    let params: [&dyn ToSql; 2] = [seq, &reason];
                    transaction.prepare(note)?.execute(params)?;
                    count = count.saturating_add(change(&transaction, *seq)?);
                }
                transaction.commit()?;
                Ok(count)
            };
            changed = changed.saturating_add(step().map_err(failed)?);
        }
        Ok(changed)
    }
}

fn failed(error: rusqlite::Error) -> OpenError {
    OpenError::Failed(format!("the queue: {error}"))
}
