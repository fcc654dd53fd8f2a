//! A store in one file of SQLite, for one process.
//!
//! [`writer`] is a thread of its own that alone writes: what waits while it writes is its next transaction, so one flush
//! serves all who wait; a second thread copies the log into the file meanwhile. [`state`] is what it shares with the
//! callers: above all the schedule of what is due. [`rows`] are its steps in SQL, [`database`] opens the file, [`folder`]
//! keeps a second server out, [`opening`] puts all of this together, and [`operator`] is the door of the command line,
//! which opens the file beside a running server.

mod content;
mod database;
mod folder;
mod holdings;
mod opening;
mod operator;
mod rows;
mod seal;
mod state;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderValue;
use tokio::sync::oneshot;

pub use folder::{Durability, OpenError};
pub use operator::{Filter, Operator, Row, Shown};
pub use seal::SealKey;

pub(crate) use content::Head;

use super::{Counted, Figures, Kept, Memory, Pending, Seq, Settled, Standing, Store, StoreError, Taken};
use crate::clock::Clock;
use crate::config::{self, ConfigError};
use crate::metrics::Metrics;
use crate::webhook::event::Event;
use rows::Content;
use state::{Keep, Lane, Read, Shared};
use writer::Counts;

/// Events that are read ahead at most, when others have to be read anyway.
const AHEAD: usize = 64;

/// Where the queue is, and how much it holds.
#[derive(Debug)]
pub struct Options {
    /// The folder; it is made where there is none.
    pub folder: PathBuf,
    /// How much it holds.
    pub limits: Limits,
    /// Whether a file that cannot be used is moved aside.
    pub start_empty: bool,
    /// Encrypts what is written from now on.
    pub key: Option<SealKey>,
}

impl Options {
    /// What the section `[queue]` says. Its key is read now.
    pub fn configured(queue: &config::Queue) -> Result<Self, ConfigError> {
        let most = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let limits = Limits { events: most(queue.max_events), bytes: most(queue.max_bytes), ..Limits::default() };
        let key = SealKey::configured(queue)?;
        Ok(Self { folder: queue.dir.clone(), limits, start_empty: queue.start_empty, key })
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

/// The store of the server.
pub struct SqliteStore {
    shared: Arc<Shared>,
    limits: Limits,
    durability: Durability,
    /// Closed when the writer's thread has ended.
    ended: tokio::sync::watch::Receiver<()>,
}

/// What an application gets beside the body.
fn head_of(event: &Event) -> Head {
    Head { event: event.event.clone(), id: event.id.clone(), headers: event.headers.clone() }
}

/// The same event with headers of its own: as they come, they are slices of what the connection read last, and an event
/// that waits would keep all of that in memory.
fn owned(mut event: Event) -> Event {
    for (_, value) in &mut event.headers {
        if let Ok(own) = HeaderValue::from_bytes(value.as_bytes()) {
            *value = own;
        }
    }
    event
}

impl SqliteStore {
    /// Opens the queue, reads what waits, and starts the writer. Blocks until that is done. On a disk that is full the writer
    /// does this later, and refuses all events until then: sessions need no queue.
    pub fn open(options: Options, clock: Arc<dyn Clock>, metrics: &Arc<Metrics>) -> Result<Self, OpenError> {
        let (limits, folder) = (options.limits, options.folder.clone());
        let shared = Arc::new(Shared::new(clock));
        let ended = opening::start(options, &shared, Counts::new(metrics))?;
        Ok(Self { shared, limits, durability: Durability::of(&folder), ended })
    }

    /// Whether what is kept survives a crash of the machine.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The webhooks whose events wait, and how many each: also those that are not configured any more.
    pub fn waiting(&self) -> Vec<(Arc<str>, usize)> {
        let waits = |(name, lane): (&Arc<str>, &Lane)| (Arc::clone(name), lane.schedule.len());
        let mut all: Vec<_> = self.shared.with(|state| state.lanes.iter().map(waits).collect());
        all.retain(|(_, pending)| *pending > 0);
        all.sort();
        all
    }

    /// Takes what is due now, or tells when that may change.
    async fn take_due(&self, webhook: &str, most: usize) -> Vec<Taken> {
        loop {
            let news = self.shared.with(|state| Arc::clone(&state.lane(webhook).news));
            let news = news.notified();
            tokio::pin!(news);
            // From now on no news is missed.
            news.as_mut().enable();
            let moment = self.shared.clock.moment();
            let (due, next) = self.shared.with(|state| {
                if state.has_ended {
                    return (Vec::new(), None);
                }
                let schedule = &mut state.lane(webhook).schedule;
                (schedule.take(moment, most.max(1)), schedule.next())
            });
            if !due.is_empty() {
                let taken = self.fetch(webhook, due).await;
                if !taken.is_empty() {
                    return taken;
                }
            } else if let Some(next) = next {
                let sleep = self.shared.clock.sleep_until(next);
                tokio::select! { () = news => {} () = sleep => {} }
            } else {
                news.await;
            }
        }
    }

    /// The contents of events that were taken: from memory where they are new, from the file otherwise.
    async fn fetch(&self, webhook: &str, due: Vec<(Seq, u32)>) -> Vec<Taken> {
        let mut held = Held { shared: &self.shared, webhook, due };
        let moment = self.shared.clock.moment();
        let (mut found, needed, ahead) = self.shared.with(|state| {
            let (mut found, mut needed) = (Vec::new(), Vec::new());
            for (seq, _) in &held.due {
                match state.forget(*seq) {
                    Some(content) => found.push((*seq, Some(content))),
                    None => needed.push(*seq),
                }
            }
            let ahead: Vec<Seq> = state.lane(webhook).schedule.ahead(moment, AHEAD).collect();
            (found, needed, ahead.into_iter().filter(|seq| !state.remembers(*seq)).collect())
        });
        if !needed.is_empty() {
            let (answer, read) = oneshot::channel();
            self.shared.ask(|work| work.reads.push(Read { needed, ahead, answer }));
            match read.await {
                Ok(read) => {
                    let is_due = |(seq, _): &(Seq, Option<Content>)| held.due.iter().any(|(due, _)| due == seq);
                    let (due, ahead): (Vec<_>, Vec<_>) = read.into_iter().partition(is_due);
                    found.extend(due);
                    self.shared.with(|state| {
                        for (seq, content) in ahead {
                            // Another caller may have taken it meanwhile, or be done with it.
                            let schedule = &state.lane(webhook).schedule;
                            let waits = schedule.contains(seq) && !schedule.is_taken(seq);
                            if let Some(content) = content.filter(|_| waits) {
                                state.remember(seq, content);
                            }
                        }
                    });
                }
                // The store has failed or ended: nothing is due any more.
                Err(_) => std::future::pending().await,
            }
        }
        let due = std::mem::take(&mut held.due);
        let mut taken = Vec::new();
        for (seq, attempts) in due {
            let content = found.iter_mut().find(|(own, _)| *own == seq).map(|(_, content)| content.take());
            match content {
                Some(Some(content)) => taken.push(content.taken(seq, attempts)),
                // An operator dropped it a moment ago.
                None => drop(self.shared.with(|state| state.lane(webhook).schedule.remove(seq))),
                Some(None) => {
                    tracing::error!(name = webhook, seq, "an event in the queue cannot be read; it is put aside");
                    self.settle(seq, Settled::Dead("unreadable"));
                }
            }
        }
        taken
    }
}

/// Events that were taken and are not handed out yet: they go back if they are not waited for any more.
struct Held<'s> {
    shared: &'s Shared,
    webhook: &'s str,
    due: Vec<(Seq, u32)>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.due.is_empty() {
            self.shared.with(|state| {
                let lane = state.lane(self.webhook);
                self.due.iter().for_each(|(seq, _)| lane.schedule.give_back(*seq, None));
                lane.news.notify_waiters();
            });
        }
    }
}

impl Content {
    fn taken(self, seq: Seq, attempts: u32) -> Taken {
        let Self { webhook_id, received, head, body } = self;
        let Head { event, id, headers } = head;
        Taken { seq, webhook_id, event, id, received, attempts, headers, body }
    }
}

impl Store for SqliteStore {
    fn keep(&self, event: Event, memory: Memory, counted: Counted) -> Pending<'_, Result<Kept, StoreError>> {
        Box::pin(async move {
            let event = owned(event);
            let (answer, kept) = oneshot::channel();
            self.shared.ask(|work| work.keeps.push(Keep { event, memory, answer, counted }));
            // Where the writer has ended, there is no answer.
            kept.await.unwrap_or(Err(StoreError::Failing))
        })
    }

    fn take<'s>(&'s self, webhook: &'s str, most: usize) -> Pending<'s, Vec<Taken>> {
        Box::pin(self.take_due(webhook, most))
    }

    fn settle(&self, seq: Seq, settled: Settled) {
        let (now, moment) = (self.shared.clock.now(), self.shared.clock.moment());
        let mark = self.shared.with(|state| state.settle(seq, &settled, now, moment));
        if let Some(mark) = mark {
            self.shared.ask(|work| work.marks.extend([(seq, mark)]));
        }
    }

    fn hurry(&self, webhook: &str) {
        let moment = self.shared.clock.moment();
        self.shared.with(|state| {
            let lane = state.lane(webhook);
            lane.schedule.hurry(moment);
            lane.news.notify_waiters();
        });
    }

    fn standing(&self, webhook: &str) -> Standing {
        self.shared.with(|state| {
            let lane = state.lane(webhook);
            Standing { pending: lane.schedule.len(), dead: lane.aside, oldest: lane.schedule.oldest() }
        })
    }

    fn figures(&self) -> Figures {
        self.shared.with(|state| Figures {
            events: state.held.events,
            bytes: state.held.bytes,
            most_events: self.limits.events,
            most_bytes: self.limits.bytes,
            forgotten: state.forgotten,
        })
    }

    fn failed(&self) -> Pending<'_, String> {
        let mut failure = self.shared.failure.subscribe();
        Box::pin(async move {
            let problem = failure.wait_for(Option::is_some).await.ok().and_then(|problem| problem.clone());
            match problem {
                Some(problem) => problem,
                // The store is gone, and did not fail.
                None => std::future::pending().await,
            }
        })
    }

    fn close(&self) -> Pending<'_, ()> {
        let mut ended = self.ended.clone();
        self.shared.ask(|work| work.is_last = true);
        Box::pin(async move { while ended.changed().await.is_ok() {} })
    }
}

/// The thread ends when the store is gone; what it was given before is written.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.shared.ask(|work| work.is_last = true);
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
