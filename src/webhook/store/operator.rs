//! The door of the command line: the queue that the configuration names, whatever keeps it, beside running servers or without.

use std::time::Duration;

use super::Seq;
use super::listing::{Filter, OpenError, Row, Shown};
use super::seal::SealKey;
use super::{sqlite, streams};
use crate::clock::Timestamp;
use crate::config::{Queue, QueuePlace};

/// A queue, as an operator sees and changes it.
#[derive(Debug)]
pub enum Operator {
    /// In a file.
    File(sqlite::Operator),
    /// On a server.
    Streams(streams::Operator),
}

impl Operator {
    /// Opens the queue of the section `[queue]`, which is there.
    pub fn open(queue: &Queue, key: Option<SealKey>) -> Result<Self, OpenError> {
        match &queue.place {
            QueuePlace::Folder { dir, .. } => sqlite::Operator::open(dir, key).map(Self::File),
            QueuePlace::Redis(own) => streams::Operator::open(own, key).map(Self::Streams),
        }
    }

    /// The events that `filter` means, in the order of acceptance.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Row>, OpenError> {
        match self {
            Self::File(own) => own.list(filter),
            Self::Streams(own) => own.list(filter),
        }
    }

    /// What the application gets of an event; `None` where it is gone.
    pub fn show(&self, row: &Row) -> Result<Option<Shown>, OpenError> {
        match self {
            Self::File(own) => own.show(row.seq),
            Self::Streams(own) => own.show(row),
        }
    }

    /// Makes events wait again as if they had just been accepted, in the order given: the first now, each of the others a `gap`
    /// later. Says how many there were.
    pub fn replay(&mut self, rows: &[Row], now: Timestamp, gap: Duration) -> Result<usize, OpenError> {
        match self {
            Self::File(own) => own.replay(&seqs(rows), now, gap),
            Self::Streams(own) => own.replay(rows, gap),
        }
    }

    /// Deletes events, and has a server log why. Says how many there were.
    pub fn drop_events(&mut self, rows: &[Row], reason: &str) -> Result<usize, OpenError> {
        match self {
            Self::File(own) => own.drop_events(&seqs(rows), reason),
            Self::Streams(own) => own.drop_events(rows, reason),
        }
    }
}

fn seqs(rows: &[Row]) -> Vec<Seq> {
    rows.iter().map(|row| row.seq).collect()
}
