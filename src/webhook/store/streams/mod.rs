//! A store on Redis or Valkey, for replicas that share their webhooks.
//!
//! What was accepted stands in a stream; sorted sets beside it say what is due, what is taken and until when, and what waits
//! behind what. [`scripts`] change all of it at once, by the server's clock, so it needs no agreement between replicas: each
//! takes what is due, under a lease that ends with it. [`worker`] is the thread that asks the server, [`state`] what it shares
//! with the callers, [`calls`] what is asked, and [`operator`] the door of the command line.

mod calls;
mod operator;
mod scripts;
mod state;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use tokio::sync::{oneshot, watch};

pub use operator::Operator;

use super::content::{Head, owned};
use super::listing::{Limits, OpenError};
use super::seal::{Place, SealKey};
use super::{Counted, Figures, Kept, Memory, Pending, Seq, Settled, Standing, Store, StoreError, Taken};
use crate::clock::Clock;
use crate::config::{self, ConfigError, QueueRedis};
use crate::metrics::Metrics;
use crate::webhook::event::Event;
use calls::{Calls, Entry};
use state::{Keep, State, Wanted};

/// An event that was taken is another replica's after this time, unless its holder still lives.
const LEASE: Duration = Duration::from_secs(60);
/// So often what other replicas changed is looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Where the queue is, and how much it holds.
#[derive(Debug)]
pub struct Options {
    /// The server.
    pub place: QueueRedis,
    /// How much it holds.
    pub limits: Limits,
    /// Encrypts what is written.
    pub key: SealKey,
}

impl Options {
    /// What the section `[queue]` says of a server. Its key is read now.
    pub fn configured(queue: &config::Queue, place: &QueueRedis) -> Result<Self, ConfigError> {
        let missing = || ConfigError::new(queue.origin.clone(), "queue.key_file", "is missing beside [queue.redis]");
        let key = SealKey::configured(queue)?.ok_or_else(missing)?;
        Ok(Self { place: place.clone(), limits: Limits::configured(queue), key })
    }
}

/// A name for this process, in this run.
fn holder() -> Result<String, OpenError> {
    let mut name = [0; 12];
    let failed = |_| OpenError::Failed("the system gives no randomness".to_owned());
    aws_lc_rs::rand::fill(&mut name).map_err(failed)?;
    Ok(HEXLOWER.encode(&name))
}

/// The store of the server.
pub struct StreamsStore {
    state: Arc<State>,
    key: SealKey,
    limits: Limits,
    clock: Arc<dyn Clock>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
}

impl StreamsStore {
    /// Looks at the server and starts the thread. Blocks until that is done.
    pub fn open(options: Options, clock: Arc<dyn Clock>, metrics: &Arc<Metrics>) -> Result<Self, OpenError> {
        let calls = Calls::new(&options.place.fleet);
        Self::open_with(options, calls, clock, metrics)
    }

    /// On a server whose clock is ours, which tests move by hand.
    #[cfg(test)]
    pub(super) fn timed(
        place: QueueRedis,
        limits: Limits,
        clock: Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let options = Options { place, limits, key: super::tests::Case::seal_key() };
        let calls = Calls::timed(&options.place.fleet, Arc::clone(&clock));
        Self::open_with(options, calls, clock, metrics)
    }

    fn open_with(
        options: Options,
        calls: Calls,
        clock: Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let (state, key, limits) = (Arc::<State>::default(), options.key.clone(), options.limits);
        let ended = worker::start(options, calls, &state, Arc::clone(&clock), metrics)?;
        Ok(Self { state, key, limits, clock, ended })
    }

    async fn take_due(&self, webhook: &str, most: usize) -> Vec<Taken> {
        let name: Arc<str> = webhook.into();
        loop {
            let news = self.state.news(webhook);
            let news = news.notified();
            tokio::pin!(news);
            // From now on no news is missed.
            news.as_mut().enable();
            let (answer, batch) = oneshot::channel();
            self.state.want(Wanted { webhook: Arc::clone(&name), most: most.max(1), answer });
            let wait = match batch.await {
                Ok(Some(batch)) if !batch.entries.is_empty() => {
                    let taken = self.open_entries(webhook, batch.entries);
                    if !taken.is_empty() {
                        return taken;
                    }
                    Duration::ZERO
                }
                Ok(Some(batch)) => batch.wait.unwrap_or(LOOK).min(LOOK),
                Ok(None) => LOOK,
                // The store has ended: nothing is due any more.
                Err(_) => std::future::pending().await,
            };
            let sleep = self.clock.sleep_until(self.clock.moment().plus(wait));
            tokio::select! { () = news => {} () = sleep => {} }
        }
    }

    fn open_entries(&self, webhook: &str, entries: Vec<Entry>) -> Vec<Taken> {
        let mut taken = Vec::new();
        for Entry { seq, webhook_id, received, attempts, head, body } in entries {
            let opened = open(&self.key, &webhook_id, &head, &body);
            let Some((Head { event, id, headers }, body)) = opened else {
                tracing::error!(name = webhook, seq, "an event in the queue cannot be read; it is put aside");
                self.state.settle(seq, &Settled::Dead("unreadable"));
                continue;
            };
            taken.push(Taken { seq, webhook_id, event, id, received, attempts, headers, body: body.into() });
        }
        taken
    }
}

/// What is sealed for one event; `None` where it does not open.
fn open(key: &SealKey, webhook_id: &str, head: &[u8], body: &[u8]) -> Option<(Head, Vec<u8>)> {
    let head = Head::decode(&key.open(Place::Head(webhook_id), head)?)?;
    Some((head, key.open(Place::Body(webhook_id), body)?))
}

impl Store for StreamsStore {
    fn keep(&self, event: Event, memory: Memory, counted: Counted) -> Pending<'_, Result<Kept, StoreError>> {
        Box::pin(async move {
            let (answer, kept) = oneshot::channel();
            self.state.keep(Keep { event: owned(event), memory, answer, counted });
            // Where the thread has ended, there is no answer.
            kept.await.unwrap_or(Err(StoreError::Failing))
        })
    }

    fn take<'s>(&'s self, webhook: &'s str, most: usize) -> Pending<'s, Vec<Taken>> {
        Box::pin(self.take_due(webhook, most))
    }

    fn settle(&self, seq: Seq, settled: Settled) {
        self.state.settle(seq, &settled);
    }

    /// What waits is not this process's alone: the others go on with it, in its time.
    fn hurry(&self, _webhook: &str) {}

    fn is_shared(&self) -> bool {
        true
    }

    fn standing(&self, webhook: &str) -> Standing {
        self.state.standing(webhook)
    }

    fn figures(&self) -> Figures {
        self.state.figures().figures(&self.limits)
    }

    /// A server that is away comes back: this process need not end for that.
    fn failed(&self) -> Pending<'_, String> {
        Box::pin(std::future::pending())
    }

    fn close(&self) -> Pending<'_, ()> {
        let mut ended = self.ended.clone();
        self.state.finish();
        Box::pin(async move { while ended.changed().await.is_ok() {} })
    }
}

/// The thread ends when the store is gone; what it was given before is done.
impl Drop for StreamsStore {
    fn drop(&mut self) {
        self.state.finish();
    }
}

impl fmt::Debug for StreamsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamsStore").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
