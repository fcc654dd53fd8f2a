//! What the writer does with the tables, in SQL. Each function is a step of one transaction, which the writer begins and
//! commits.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, Statement};

use super::super::{Memory, Seq};
use super::content::Head;
use super::head_of;
use super::holdings::{Held, Holdings};
use super::seal::{Place, SealKey};
use crate::clock::Timestamp;
use crate::webhook::event::{Event, OrderKey};

/// Bytes that count for an event beside its content: its rows, and what repeats are known by.
const OVERHEAD: usize = 256;
/// Bytes of a key in the memory of repeats: beyond 128 bits of SHA-256 they only make it larger.
const KEY_BYTES: usize = 16;
/// Entries of the memory that are over are deleted so many at a time, beside those that come in.
const SWEEP: usize = 64;

/// What repeats are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Key,
    Proof,
}

impl Kind {
    fn number(self) -> i64 {
        match self {
            Self::Key => 0,
            Self::Proof => 1,
        }
    }
}

/// What became of a taken event, to be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    Delivered,
    Again { due: Timestamp, attempts: u32, failed: Option<Timestamp> },
    Aside { reason: &'static str, at: Timestamp },
}

/// An event as its row says, without its content.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) seq: Seq,
    pub(super) webhook: Arc<str>,
    pub(super) is_aside: bool,
    pub(super) received: Timestamp,
    pub(super) due: Timestamp,
    pub(super) attempts: u32,
    pub(super) failed: Option<Timestamp>,
    pub(super) order: Option<OrderKey>,
}

/// The content of an event.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) webhook_id: String,
    pub(super) received: Timestamp,
    pub(super) head: Head,
    pub(super) body: Bytes,
}

/// What an operator changed.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) seq: Seq,
    pub(super) webhook_id: String,
    /// Why it was dropped, if it was.
    pub(super) reason: Option<String>,
    /// The event as it is now.
    pub(super) now: Option<Known>,
}

/// The tables.
pub(super) struct Rows<'c> {
    connection: &'c Connection,
    seal: Option<SealKey>,
    /// Numbers of the webhooks.
    webhooks: HashMap<Arc<str>, i64>,
    /// Entries of the memory of repeats.
    remembered: HashMap<(i64, Kind), usize>,
    /// Entries of each kind at one webhook at most.
    capacity: usize,
    last: Seq,
    begin: Statement<'c>,
    commit: Statement<'c>,
    seen: Statement<'c>,
    remember: Statement<'c>,
    insert_event: Statement<'c>,
    insert_content: Statement<'c>,
    delete_event: Statement<'c>,
    delete_content: Statement<'c>,
    again: Statement<'c>,
    aside: Statement<'c>,
    read: Statement<'c>,
    earliest: Statement<'c>,
    forget: Statement<'c>,
    version: Statement<'c>,
    log: Statement<'c>,
    free_pages: Statement<'c>,
}

/// The log, in pages.
pub(super) struct Log {
    pub(super) pages: i32,
    /// How many of them are not in the file yet.
    pub(super) behind: i32,
}

/// Bytes that an event counts.
pub(super) fn size(event: &Event, head: usize) -> usize {
    event.body.len().saturating_add(head).saturating_add(OVERHEAD)
}

fn integer(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

const KNOWN: &str =
    "SELECT seq, name, state, received, due, attempts, failed, order_key FROM event JOIN webhook ON id = webhook";

fn known(row: &Row<'_>) -> rusqlite::Result<Known> {
    let name: String = row.get(1)?;
    let order: Option<[u8; 16]> = row.get(7)?;
    Ok(Known {
        seq: row.get(0)?,
        webhook: name.into(),
        is_aside: row.get::<_, i64>(2)? != 0,
        received: Timestamp::from_millis(row.get(3)?),
        due: Timestamp::from_millis(row.get(4)?),
        attempts: row.get(5)?,
        failed: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
        order: order.map(OrderKey::from_bytes),
    })
}

impl<'c> Rows<'c> {
    pub(super) fn new(connection: &'c Connection, seal: Option<SealKey>, capacity: usize) -> rusqlite::Result<Self> {
        let prepare = |sql| connection.prepare(sql);
        let mut rows = Self {
            connection,
            seal,
            webhooks: HashMap::new(),
            remembered: HashMap::new(),
            capacity,
            last: connection.query_row("SELECT coalesce(max(seq), 0) FROM event", (), |row| row.get(0))?,
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            seen: prepare("SELECT until FROM seen WHERE webhook = ?1 AND kind = ?2 AND key = ?3")?,
            remember: prepare("INSERT INTO seen (webhook, kind, key, until) VALUES (?1, ?2, ?3, ?4)")?,
            insert_event: prepare(
                "INSERT INTO event (seq, webhook, webhook_id, state, due, received, attempts, order_key, sealed, bytes) \
                 VALUES (?1, ?2, ?3, 0, ?4, ?4, 0, ?5, ?6, ?7)",
            )?,
            insert_content: prepare("INSERT INTO content (seq, head, body) VALUES (?1, ?2, ?3)")?,
            delete_event: prepare("DELETE FROM event WHERE seq = ?1 RETURNING webhook, bytes")?,
            delete_content: prepare("DELETE FROM content WHERE seq = ?1")?,
            again: prepare("UPDATE event SET due = ?2, attempts = ?3, failed = ?4 WHERE seq = ?1 AND state = 0")?,
            aside: prepare("UPDATE event SET state = 1, due = ?2, reason = ?3 WHERE seq = ?1 AND state = 0")?,
            read: prepare(
                "SELECT webhook_id, received, sealed, head, body FROM event JOIN content USING (seq) WHERE seq = ?1",
            )?,
            earliest: prepare(
                "SELECT key, until FROM seen WHERE webhook = ?1 AND kind = ?2 AND until <= ?3 ORDER BY until LIMIT ?4",
            )?,
            forget: prepare("DELETE FROM seen WHERE webhook = ?1 AND kind = ?2 AND key = ?3")?,
            version: prepare("PRAGMA data_version")?,
            log: prepare("PRAGMA wal_checkpoint(NOOP)")?,
            free_pages: prepare("PRAGMA freelist_count")?,
        };
        rows.load_names()?;
        Ok(rows)
    }

    fn load_names(&mut self) -> rusqlite::Result<()> {
        let mut names = self.connection.prepare("SELECT id, name FROM webhook")?;
        let mut names = names.query(())?;
        while let Some(row) = names.next()? {
            self.webhooks.insert(row.get::<_, String>(1)?.into(), row.get(0)?);
        }
        let mut counts = self.connection.prepare("SELECT webhook, kind, count(*) FROM seen GROUP BY 1, 2")?;
        let mut counts = counts.query(())?;
        while let Some(row) = counts.next()? {
            let kind = if row.get::<_, i64>(1)? == Kind::Key.number() { Kind::Key } else { Kind::Proof };
            self.remembered.insert((row.get(0)?, kind), count(row.get(2)?));
        }
        Ok(())
    }

    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.begin.execute(()).map(drop)
    }

    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        self.commit.execute(()).map(drop)
    }

    /// Undoes a transaction that failed, if there is one, and forgets what it would have changed.
    pub(super) fn undo(&mut self) -> rusqlite::Result<()> {
        if !self.connection.is_autocommit() {
            self.connection.execute("ROLLBACK", ())?;
        }
        self.webhooks.clear();
        self.remembered.clear();
        self.load_names()
    }

    /// Every event that waits, in the order of acceptance.
    pub(super) fn each_waiting(&self, mut each: impl FnMut(Known)) -> rusqlite::Result<()> {
        let mut all = self.connection.prepare(&format!("{KNOWN} WHERE state = 0 ORDER BY seq"))?;
        for known in all.query_map((), known)? {
            each(known?);
        }
        Ok(())
    }

    /// How much each webhook holds.
    pub(super) fn holdings(&self) -> rusqlite::Result<Holdings> {
        let mut counts = self.connection.prepare(
            "SELECT name, count(*), sum(bytes), sum(state) FROM event JOIN webhook ON id = webhook GROUP BY 1",
        )?;
        let mut counts = counts.query(())?;
        let mut holdings = Holdings::default();
        while let Some(row) = counts.next()? {
            let held = Held { events: count(row.get(1)?), bytes: count(row.get(2)?), aside: count(row.get(3)?) };
            holdings.set(row.get::<_, String>(0)?.into(), held);
        }
        Ok(holdings)
    }

    /// Whether the event or its proof was there before. What is remembered of it and over is forgotten.
    pub(super) fn is_repeat(&mut self, event: &Event, now: Timestamp) -> rusqlite::Result<bool> {
        let Some(webhook) = self.webhooks.get(&event.webhook).copied() else { return Ok(false) };
        // W-03, W-04: key and proof
        for (kind, key) in [(Kind::Key, event.key.as_bytes()), (Kind::Proof, event.proof.as_bytes())] {
            let until: Option<i64> =
                self.seen.query_row((webhook, kind.number(), short(key)), |row| row.get(0)).optional()?;
            let Some(until) = until else { continue };
            if until > now.as_millis() {
                return Ok(true);
            }
            self.forget.execute((webhook, kind.number(), short(key)))?;
            let entries = self.remembered.entry((webhook, kind)).or_default();
            *entries = entries.saturating_sub(1);
        }
        Ok(false)
    }

    /// Inserts an event that is no repeat, and what its repeats are known by.
    pub(super) fn insert(&mut self, event: &Event, memory: Memory, now: Timestamp) -> rusqlite::Result<Inserted> {
        let webhook = self.number(&event.webhook)?;
        let webhook_id = event.key.webhook_id(&event.webhook);
        let head = head_of(event).encode();
        let bytes = size(event, head.len());
        let seq = self.last.saturating_add(1);
        let order = event.order.as_ref().map(OrderKey::as_bytes);
        let received = event.received.as_millis();
        let row = (seq, webhook, &webhook_id, received, order, self.seal.is_some(), integer(bytes));
        self.insert_event.execute(row)?;
        match &self.seal {
            None => self.insert_content.execute((seq, &head, &event.body[..]))?,
            Some(key) => {
                // Without randomness nothing can be sealed, and nothing is written in the clear.
                let no_randomness = || rusqlite::Error::ToSqlConversionFailure("no randomness".into());
                let head = key.seal(Place::Head(&webhook_id), &head).ok_or_else(no_randomness)?;
                let body = key.seal(Place::Body(&webhook_id), &event.body).ok_or_else(no_randomness)?;
                self.insert_content.execute((seq, head, body))?
            }
        };
        self.last = seq;
        for (kind, key, span) in
            [(Kind::Key, event.key.as_bytes(), memory.key), (Kind::Proof, event.proof.as_bytes(), memory.proof)]
        {
            self.remember.execute((webhook, kind.number(), short(key), now.plus(span).as_millis()))?;
            let entries = self.remembered.entry((webhook, kind)).or_default();
            *entries = entries.saturating_add(1);
        }
        Ok(Inserted { seq, bytes, webhook_id })
    }

    /// The number of a webhook; it gets one with its first event.
    fn number(&mut self, webhook: &Arc<str>) -> rusqlite::Result<i64> {
        if let Some(number) = self.webhooks.get(webhook) {
            return Ok(*number);
        }
        self.connection.execute("INSERT INTO webhook (name) VALUES (?1)", [&**webhook])?;
        let number = self.connection.last_insert_rowid();
        self.webhooks.insert(Arc::clone(webhook), number);
        Ok(number)
    }

    /// Deletes entries of the memory that are over, and the oldest beyond its capacity. Says how many of those.
    pub(super) fn sweep(&mut self, now: Timestamp) -> rusqlite::Result<u64> {
        let mut forgotten: u64 = 0;
        for ((webhook, kind), entries) in &mut self.remembered {
            let beyond = entries.saturating_sub(self.capacity);
            let last = if beyond == 0 { now.as_millis() } else { i64::MAX };
            let most = integer(beyond.saturating_add(SWEEP));
            let earliest = self.earliest.query_map((webhook, kind.number(), last, most), |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
            })?;
            let earliest: Vec<(Vec<u8>, i64)> = earliest.collect::<rusqlite::Result<_>>()?;
            for (nth, (key, until)) in earliest.into_iter().enumerate() {
                let is_over = until <= now.as_millis();
                if !is_over && nth >= beyond {
                    break;
                }
                self.forget.execute((webhook, kind.number(), key))?;
                *entries = entries.saturating_sub(1);
                forgotten = forgotten.saturating_add(u64::from(!is_over));
            }
        }
        Ok(forgotten)
    }

    /// Writes what became of an event. Says whose it was and how many bytes are free now, where it is gone.
    pub(super) fn mark(&mut self, seq: Seq, mark: Mark) -> rusqlite::Result<Option<(Arc<str>, usize)>> {
        match mark {
            Mark::Delivered => return self.delete(seq),
            Mark::Again { due, attempts, failed } => {
                self.again.execute((seq, due.as_millis(), attempts, failed.map(Timestamp::as_millis)))?;
            }
            Mark::Aside { reason, at } => {
                self.aside.execute((seq, at.as_millis(), reason))?;
            }
        }
        Ok(None)
    }

    fn delete(&mut self, seq: Seq) -> rusqlite::Result<Option<(Arc<str>, usize)>> {
        let gone: Option<(i64, i64)> =
            self.delete_event.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        self.delete_content.execute([seq])?;
        let Some((number, bytes)) = gone else { return Ok(None) };
        let name = self.webhooks.iter().find(|(_, own)| **own == number).map(|(name, _)| Arc::clone(name));
        Ok(name.map(|name| (name, count(bytes))))
    }

    /// Deletes events that were put aside before `then`. Says of each what it was.
    pub(super) fn end_aside(&mut self, then: Timestamp) -> rusqlite::Result<Vec<(Arc<str>, String)>> {
        let ended = {
            let mut ended = self.connection.prepare(
                "SELECT seq, name, webhook_id FROM event JOIN webhook ON id = webhook WHERE state = 1 AND due <= ?1 LIMIT 1000",
            )?;
            let ended = ended.query_map([then.as_millis()], |row| {
                Ok((row.get::<_, Seq>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            })?;
            ended.collect::<rusqlite::Result<Vec<_>>>()?
        };
        let mut gone = Vec::new();
        for (seq, name, webhook_id) in ended {
            self.delete(seq)?;
            gone.push((name.into(), webhook_id));
        }
        Ok(gone)
    }

    /// The content of an event; `None` where it is gone, `Some(None)` where it cannot be read.
    pub(super) fn read(&mut self, seq: Seq) -> rusqlite::Result<Option<Option<Content>>> {
        let row = self.read.query_row([seq], |row| {
            let (webhook_id, received): (String, i64) = (row.get(0)?, row.get(1)?);
            let (sealed, head, body): (bool, Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((webhook_id, received, sealed, head, body))
        });
        let Some((webhook_id, received, sealed, head, body)) = row.optional()? else { return Ok(None) };
        Ok(Some(content(self.seal.as_ref(), webhook_id, received, sealed, head, body)))
    }

    /// Which version of the file other processes have made.
    pub(super) fn version(&mut self) -> rusqlite::Result<i64> {
        self.version.query_row((), |row| row.get(0))
    }

    /// Takes what operators changed.
    pub(super) fn changes(&mut self) -> rusqlite::Result<Vec<Change>> {
        let changes = {
            let mut changes = self.connection.prepare("SELECT seq, webhook_id, reason FROM changed")?;
            let changes = changes.query_map((), |row| {
                Ok(Change { seq: row.get(0)?, webhook_id: row.get(1)?, reason: row.get(2)?, now: None })
            })?;
            changes.collect::<rusqlite::Result<Vec<_>>>()?
        };
        self.connection.execute("DELETE FROM changed", ())?;
        let mut one = self.connection.prepare(&format!("{KNOWN} WHERE seq = ?1"))?;
        let now = |change: Change| Ok(Change { now: one.query_row([change.seq], known).optional()?, ..change });
        changes.into_iter().map(now).collect()
    }

    pub(super) fn log(&mut self) -> rusqlite::Result<Log> {
        self.log.query_row((), |row| {
            let (pages, copied): (i32, i32) = (row.get(1)?, row.get(2)?);
            Ok(Log { pages, behind: pages.saturating_sub(copied) })
        })
    }

    /// Pages of the file that hold nothing.
    pub(super) fn free_pages(&mut self) -> rusqlite::Result<i32> {
        self.free_pages.query_row((), |row| row.get(0))
    }
}

/// What was inserted.
#[derive(Debug)]
pub(super) struct Inserted {
    pub(super) seq: Seq,
    pub(super) bytes: usize,
    pub(super) webhook_id: String,
}

fn short(key: &[u8; 32]) -> &[u8] {
    key.first_chunk::<KEY_BYTES>().map_or(&[], |key| &key[..])
}

/// The content that a row holds; `None` where it cannot be read.
pub(super) fn content(
    seal: Option<&SealKey>,
    webhook_id: String,
    received: i64,
    sealed: bool,
    head: Vec<u8>,
    body: Vec<u8>,
) -> Option<Content> {
    let (head, body) = if sealed {
        let key = seal?;
        (key.open(Place::Head(&webhook_id), &head)?, key.open(Place::Body(&webhook_id), &body)?)
    } else {
        (head, body)
    };
    let head = Head::decode(&head)?;
    Some(Content { webhook_id, received: Timestamp::from_millis(received), head, body: body.into() })
}
