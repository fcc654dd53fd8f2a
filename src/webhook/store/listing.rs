//! What a queue may hold, why it cannot be opened, and its events as an operator chooses and sees them.

use super::Seq;
use super::content::Head;
use crate::clock::Timestamp;
use crate::config::Queue;
use crate::definition::Mistake;

/// Why a queue cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The operator must change something: exit code 2.
    #[error("{0}")]
    Mistake(Mistake),
    /// The disk does not do what it should: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The disk has no room now.
    #[error("{0}")]
    Full(String),
}

impl OpenError {
    /// A mistake at a key of the configuration.
    pub(in crate::webhook::store) fn mistake(key: &str, problem: impl Into<String>) -> Self {
        Self::Mistake(Mistake::new(key, problem))
    }
}

/// How much the queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events at most, those that were put aside as well.
    pub events: usize,
    /// Their bytes at most.
    pub bytes: usize,
    /// Keys, and as many proofs, that are remembered at each webhook at most.
    pub remembered: usize,
    /// Webhooks that share it: where there are several, none takes all of it.
    pub webhooks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events: 100_000, bytes: 256 * 1024 * 1024, remembered: 200_000, webhooks: 1 }
    }
}

impl Limits {
    /// What the section `[queue]` says.
    pub fn configured(queue: &Queue) -> Self {
        let most = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self { events: most(queue.max_events), bytes: most(queue.max_bytes), ..Self::default() }
    }

    /// What one webhook may hold of a limit. Where several share the queue, one leaves a quarter of it to the others: an
    /// application that is down does not stop the events of the rest.
    pub(super) const fn part(&self, limit: usize) -> usize {
        if self.webhooks < 2 { limit } else { limit.saturating_sub(limit / 4) } // W-19: share of one webhook
    }
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

impl Filter {
    /// Whether an event is meant.
    pub(super) fn covers(&self, row: &Row) -> bool {
        self.name.as_ref().is_none_or(|name| *name == row.name)
            && self.is_dead.is_none_or(|is_dead| is_dead == row.is_dead)
            && self.since.is_none_or(|since| row.received >= since)
            && self.webhook_id.as_ref().is_none_or(|id| *id == row.webhook_id)
    }
}

impl Shown {
    /// What a store holds, as an operator sees it.
    pub(super) fn of(head: Head, body: &[u8]) -> Self {
        let Head { event, headers, .. } = head;
        let content_type = headers.iter().find(|(name, _)| name == http::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|(_, value)| value.to_str().ok().map(str::to_owned));
        Self { event, content_type, body: body.to_vec() }
    }
}
