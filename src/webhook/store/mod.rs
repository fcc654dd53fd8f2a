//! Where proven events stand until the application has taken them.
//!
//! [`Store`] is one door for all stores. What it says is kept survives a crash of the process and of the machine.

mod content;
mod listing;
mod operator;
mod schedule;
mod seal;
pub mod sqlite;
pub mod streams;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::Serialize;

#[cfg(any(test, fuzzing))]
pub(crate) use content::Head;
pub use listing::{Filter, Limits, OpenError, Row, Shown};
pub use operator::Operator;
pub use seal::SealKey;

use super::event::Event;
use crate::clock::Timestamp;

/// What a store does takes time.
pub type Pending<'s, T> = Pin<Box<dyn Future<Output = T> + Send + 's>>;

/// What the memory of an event is counted by until the event is on disk.
pub type Counted = Box<dyn Send>;

/// Number of a kept event: it grows in the order of acceptance.
pub type Seq = i64;

/// Keeps events, tells repeats, and hands out what is due.
pub trait Store: fmt::Debug + Send + Sync {
    /// Keeps `event` unless it is a repeat, and remembers its key and its proof for `memory`. When this is done, all of it
    /// survives a crash. `counted` is what the memory of the event is counted by: it is dropped when that is over, before
    /// the caller hears of it and however long it waits.
    fn keep(&self, event: Event, memory: Memory, counted: Counted) -> Pending<'_, Result<Kept, StoreError>>;

    /// Waits until events of `webhook` are due whose order is free, and takes at most `most` of them: those first that are
    /// due for the longest time. No other caller gets them before they are settled. A caller that stops waiting has taken
    /// none.
    fn take<'s>(&'s self, webhook: &'s str, most: usize) -> Pending<'s, Vec<Taken>>;

    /// Says what became of an event that was taken. It is written with the next events, or a little later.
    fn settle(&self, seq: Seq, settled: Settled);

    /// All events of `webhook` that wait for their time are due now, once: the service stops. The order stays.
    fn hurry(&self, webhook: &str);

    /// Whether other processes deliver what waits here as well: a service that stops leaves it to them.
    fn is_shared(&self) -> bool {
        false
    }

    /// How things stand at `webhook`.
    fn standing(&self, webhook: &str) -> Standing;

    /// How full the store is.
    fn figures(&self) -> Figures;

    /// Completes when the store cannot go on, with the problem: nothing is kept from then on, and the process must end and
    /// begin anew from what is on disk (exit code 1).
    fn failed(&self) -> Pending<'_, String>;

    /// Writes what is not yet written, and ends.
    fn close(&self) -> Pending<'_, ()>;
}

/// How long a key and a proof are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The key of the event.
    pub key: Duration,
    /// The proof.
    pub proof: Duration,
}

/// What became of an event that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is on disk.
    New,
    /// It was there before, under its key or its proof.
    Repeat,
}

/// Why an event is not kept. The provider sends it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// So many events wait, or so many bytes, that no more are taken.
    #[error("the queue is full")]
    Full,
    /// The disk did not take it.
    #[error("the queue cannot be written")]
    Failing,
}

/// An event that is due.
#[derive(Clone)]
pub struct Taken {
    /// Its number.
    pub seq: Seq,
    /// What the application knows it by.
    pub webhook_id: String,
    /// What the provider calls this kind of event.
    pub event: Option<String>,
    /// What the provider calls this event.
    pub id: Option<String>,
    /// When it was received.
    pub received: Timestamp,
    /// Attempts that were used up before this one.
    pub attempts: u32,
    /// Headers that the application gets as they came.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The proven bytes.
    pub body: Bytes,
}

/// What became of an event that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The application has it.
    Delivered,
    /// It comes again after this time; the attempt is used up.
    Again(Duration),
    /// It comes again after this time; no attempt was used up, because the target was down.
    Returned(Duration),
    /// It is put aside for good, until an operator replays or drops it.
    Dead(&'static str),
}

/// How things stand at one webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Events that wait, and those that are taken and not yet settled.
    pub pending: usize,
    /// Events that were put aside.
    pub dead: usize,
    /// When the oldest that waits was received.
    pub oldest: Option<Timestamp>,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Events of all webhooks, those that were put aside as well.
    pub events: usize,
    /// What they count in bytes.
    pub bytes: usize,
    /// Events at most.
    pub most_events: usize,
    /// Bytes at most.
    pub most_bytes: usize,
    /// Keys and proofs that were forgotten before their time, to make room for others.
    pub forgotten: u64,
}

impl Figures {
    /// How full it is, by events or by bytes, whichever is more: new events are refused at 100.
    pub fn percent(&self) -> usize {
        let share = |used: usize, most: usize| used.saturating_mul(100).checked_div(most).unwrap_or_default();
        share(self.events, self.most_events).max(share(self.bytes, self.most_bytes))
    }
}

/// Bodies hold messages of users.
impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").field("seq", &self.seq).field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
