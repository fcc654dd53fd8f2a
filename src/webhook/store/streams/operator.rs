//! The door of the command line: it asks the server itself, beside running processes or without one.

use std::fmt;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::calls::{Calls, int};
use super::open;
use crate::config::QueueRedis;
use crate::shared::{Call, Client, Reply};
use crate::webhook::store::listing::{Filter, OpenError, Row, Shown};
use crate::webhook::store::seal::SealKey;

/// Events of one question: the server does nothing else meanwhile.
const PAGE: usize = 500;
/// How long one answer is waited for.
const ASKING: Duration = Duration::from_secs(10);

/// The queue, as an operator sees it.
pub struct Operator {
    runtime: Runtime,
    client: Client,
    calls: Calls,
    key: Option<SealKey>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Operator {
    /// Connects to a server that is there.
    pub fn open(place: &QueueRedis, key: Option<SealKey>) -> Result<Self, OpenError> {
        Self::open_with(Calls::new(&place.fleet), place, key)
    }

    /// On a server whose clock is ours, which tests move by hand.
    #[cfg(test)]
    pub(in crate::webhook::store) fn timed(
        place: &QueueRedis,
        key: Option<SealKey>,
        clock: std::sync::Arc<dyn crate::clock::Clock>,
    ) -> Result<Self, OpenError> {
        Self::open_with(Calls::timed(&place.fleet, clock), place, key)
    }

    fn open_with(calls: Calls, place: &QueueRedis, key: Option<SealKey>) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| OpenError::Failed(format!("the queue: {error}")))?;
        let client = Client::new(&place.server, &calls.scripts.all());
        runtime.block_on(client.connect()).map_err(|(problem, _)| OpenError::mistake("queue.redis", problem))?;
        Ok(Self { runtime, client, calls, key })
    }

    fn ask(&self, calls: &[Call]) -> Result<Vec<Reply>, OpenError> {
        let failed = |problem: String| OpenError::Failed(format!("the queue: {problem}"));
        let answer = self.runtime.block_on(self.client.ask(calls, None, ASKING));
        let (replies, _) = answer.map_err(|away| failed(away.to_string()))?;
        let reply =
            |reply: Result<Reply, _>| reply.map_err(|refused| failed(format!("the server refuses: {refused:?}")));
        replies.into_iter().map(reply).collect()
    }

    fn ask_one(&self, call: Call) -> Result<Reply, OpenError> {
        let mut replies = self.ask(&[call])?;
        replies.pop().ok_or_else(unreadable)
    }

    /// The events that `filter` means, in the order of acceptance.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Row>, OpenError> {
        let (mut after, mut found) = (0, Vec::new());
        loop {
            let page = self.ask_one(self.calls.list(after, PAGE))?;
            let (last, rows) = Calls::rows(page).ok_or_else(unreadable)?;
            let Some(last) = last else { return Ok(found) };
            after = last;
            found.extend(rows.into_iter().filter(|row| filter.covers(row)));
        }
    }

    /// What the application gets of an event; `None` where it is gone.
    pub fn show(&self, row: &Row) -> Result<Option<Shown>, OpenError> {
        let reply = self.ask_one(self.calls.show(row.seq))?;
        let Some((head, body)) = Calls::shown(reply).ok_or_else(unreadable)? else { return Ok(None) };
        let opened = self.key.as_ref().and_then(|key| open(key, &row.webhook_id, &head, &body));
        let (head, body) = opened.ok_or_else(|| {
            let problem = "is missing or holds another key than the one that the event is encrypted with";
            OpenError::mistake("queue.key_file", problem)
        })?;
        Ok(Some(Shown::of(head, &body)))
    }

    /// Makes events wait again as if they had just been accepted, in the order given: the first now, each of the others a `gap`
    /// later. Says how many there were.
    pub fn replay(&mut self, rows: &[Row], gap: Duration) -> Result<usize, OpenError> {
        let mut wait = Duration::ZERO;
        let mut calls = Vec::new();
        for row in rows {
            calls.push(self.calls.replay(row, wait));
            wait = wait.saturating_add(gap);
        }
        self.change(&calls)
    }

    /// Deletes events, and has one of the servers log why. Says how many there were.
    pub fn drop_events(&mut self, rows: &[Row], reason: &str) -> Result<usize, OpenError> {
        let calls: Vec<Call> = rows.iter().map(|row| self.calls.drop_event(row, reason)).collect();
        self.change(&calls)
    }

    fn change(&self, calls: &[Call]) -> Result<usize, OpenError> {
        let mut changed: usize = 0;
        for chunk in calls.chunks(PAGE) {
            for reply in self.ask(chunk)? {
                changed = changed.saturating_add(usize::from(int(reply).ok_or_else(unreadable)? > 0));
            }
        }
        Ok(changed)
    }
}

fn unreadable() -> OpenError {
    OpenError::Failed("the queue: the server answers what it was not asked".to_owned())
}
