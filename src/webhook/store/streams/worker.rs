//! The thread that asks the server: one connection on which events are kept, and one for everything else, since the first
//! waits for disks.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::calls::{Answer, Calls, Sealed};
use super::state::{Keep, State, Wanted};
use super::{LEASE, Options, holder};
use crate::clock::{Clock, Stopwatch};
use crate::metrics::{Histogram, Metrics, Size};
use crate::shared::{Call, Client, OnDisk, Refused, Reply};
use crate::webhook::event::OrderKey;
use crate::webhook::store::content::head_of;
use crate::webhook::store::listing::{Limits, OpenError};
use crate::webhook::store::seal::{Place, SealKey};
use crate::webhook::store::{Kept, StoreError};

/// How long the server waits for the disks: with `appendfsync everysec` a second, and as much again.
const ON_DISK: Duration = Duration::from_secs(2);
/// How long one answer is waited for.
const KEEPING: Duration = Duration::from_secs(3);
const ASKING: Duration = Duration::from_secs(2);
/// After an answer that did not come.
const PAUSE: Duration = Duration::from_millis(200);
/// Leases are renewed so often.
const RENEWAL: Duration = Duration::from_secs(15);
/// The first look at the server, when the service starts.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// What the thread has.
pub(super) struct Worker {
    pub(super) calls: Calls,
    pub(super) state: Arc<State>,
    keeping: Client,
    asking: Client,
    key: SealKey,
    limits: Limits,
    replicas: u64,
    /// Who takes: this process, in this run.
    holder: String,
    clock: Arc<dyn Clock>,
    commit_seconds: Histogram,
    commit_events: Size,
    metrics: Arc<Metrics>,
}

/// Starts the thread, and blocks until it has looked at the server. One that must be set up differently is refused; one that is
/// not there is waited for. The channel closes when the thread has ended.
pub(super) fn start(
    options: Options,
    calls: Calls,
    state: &Arc<State>,
    clock: Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<watch::Receiver<()>, OpenError> {
    let failed = |problem: String| OpenError::Failed(format!("the queue cannot be opened: {problem}"));
    let scripts = calls.scripts.all();
    let server = &options.place.server;
    let worker = Worker {
        keeping: Client::new(server, &scripts),
        asking: Client::new(server, &scripts),
        state: Arc::clone(state),
        holder: holder()?,
        key: options.key,
        limits: options.limits,
        replicas: options.place.replicas,
        clock,
        commit_seconds: metrics.webhook.commit_seconds(),
        commit_events: metrics.webhook.commit_events(),
        metrics: Arc::clone(metrics),
        calls,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let (alive, ended) = watch::channel(());
    let (looked, answer) = mpsc::sync_channel(1);
    let run = move || {
        let _alive = alive;
        let _end = End(Arc::clone(&worker.state));
        runtime.block_on(async {
            let both = async { tokio::try_join!(worker.asking.connect(), worker.keeping.connect()).map(drop) };
            let look = tokio::time::timeout(FIRST_LOOK, both).await;
            let look = look.unwrap_or_else(|_| Err(("it took too long".to_owned(), false)));
            let is_usable = !matches!(look, Err((_, true)));
            let _told = looked.send(look);
            if is_usable {
                worker.run().await;
            }
        });
    };
    std::thread::Builder::new().name("queue".to_owned()).spawn(run).map_err(|error| failed(error.to_string()))?;
    match answer.recv() {
        Ok(Ok(())) => Ok(ended),
        Ok(Err((problem, true))) => Err(OpenError::mistake("queue.redis", problem)),
        Ok(Err((problem, false))) => {
            tracing::error!("the server of the queue is away ({problem}): events are answered 503 until it is there");
            Ok(ended)
        }
        Err(_) => Err(failed("its thread has ended".to_owned())),
    }
}

/// Says that nothing is done any more, however the thread ends.
struct End(Arc<State>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Worker {
    async fn run(&self) {
        let stop = CancellationToken::new();
        let links = async {
            let (one, other) = (stop.clone(), stop.clone());
            tokio::join!(
                self.keeping.run(Arc::clone(&self.clock), one),
                self.asking.run(Arc::clone(&self.clock), other)
            );
        };
        let works = async {
            tokio::join!(self.keep(), self.work());
            stop.cancel();
        };
        tokio::join!(links, works);
    }

    /// Keeps what waits, as one write to the disk; what comes meanwhile is the next.
    async fn keep(&self) {
        while let Some(keeps) = self.state.batch() {
            if keeps.is_empty() {
                self.state.keeps.notified().await;
            } else {
                self.keep_batch(keeps).await;
            }
        }
    }

    async fn keep_batch(&self, keeps: Vec<Keep>) {
        let stopwatch = Stopwatch::start();
        let (mut calls, mut asked) = (Vec::new(), Vec::new());
        for keep in keeps {
            match self.keep_call(&keep) {
                Some(call) => {
                    calls.push(call);
                    asked.push(keep);
                }
                // Without randomness nothing can be sealed, and nothing is written in the clear.
                None => keep.answer(Err(StoreError::Failing)),
            }
        }
        let on_disk = OnDisk { replicas: self.replicas, wait: ON_DISK };
        let answer = self.keeping.ask(&calls, Some(on_disk), KEEPING).await;
        // What may be on the server and is not known to be on enough disks is answered 503: the provider sends it again, which
        // then waits for the disks as a repeat.
        let (replies, is_on_disk) = answer.unwrap_or_default();
        if !replies.is_empty() && !is_on_disk {
            let replicas = self.replicas;
            tracing::warn!(replicas, "the server of the queue did not get events onto enough disks in time");
        }
        let mut kept: u32 = 0;
        let mut replies = replies.into_iter();
        for keep in asked {
            let webhook = Arc::clone(&keep.event.webhook);
            let outcome = match replies.next() {
                Some(Ok(reply)) => Calls::kept(reply),
                Some(Err(Refused::Full)) => {
                    keep.answer(Err(StoreError::Full));
                    continue;
                }
                Some(Err(Refused::Other(code))) => {
                    tracing::warn!(code, "the server of the queue refuses an event");
                    None
                }
                None => None,
            };
            let Some((outcome, stands)) = outcome else {
                keep.answer(Err(StoreError::Failing));
                continue;
            };
            self.state.stands(&webhook, stands, outcome == Answer::New);
            // W-28: on a disk before the answer
            if !is_on_disk {
                keep.answer(Err(StoreError::Failing));
                continue;
            }
            kept = kept.saturating_add(u32::from(outcome == Answer::New));
            keep.answer(match outcome {
                Answer::New => Ok(Kept::New),
                Answer::Repeat => Ok(Kept::Repeat),
                Answer::Full => Err(StoreError::Full),
            });
        }
        self.commit_seconds.observe(stopwatch.elapsed().as_secs_f64());
        if kept > 0 {
            self.commit_events.observe(f64::from(kept));
        }
    }

    fn keep_call(&self, keep: &Keep) -> Option<Call> {
        let Keep { event, memory, .. } = keep;
        let webhook_id = event.key.webhook_id(&event.webhook);
        let sealed = Sealed {
            head: self.key.seal(Place::Head(&webhook_id), &head_of(event).encode())?,
            // W-28: sealed
            body: self.key.seal(Place::Body(&webhook_id), &event.body)?,
            // W-28: rooms are hashed with a key
            order: event.order.as_ref().map(|order| self.key.blind(OrderKey::as_bytes(order))).unwrap_or_default(),
        };
        Some(self.calls.keep(event, sealed, *memory, &self.limits))
    }

    /// Everything else: what became of events, what is wanted, and leases.
    async fn work(&self) {
        let mut renewed = self.clock.moment();
        loop {
            let is_last = self.state.is_last();
            if is_last {
                self.state.give_all_back();
            }
            let (marks, wanted, taken) = self.state.work();
            let renews = self.clock.moment().since(renewed) >= RENEWAL;
            if marks.is_empty() && wanted.is_empty() && !renews {
                if is_last {
                    return;
                }
                tokio::select! {
                    () = self.state.works.notified() => {}
                    () = self.clock.sleep_until(renewed.plus(RENEWAL)) => {}
                }
                continue;
            }
            let mut calls: Vec<Call> =
                marks.iter().map(|(webhook, marks)| self.calls.settle(webhook, &self.holder, marks)).collect();
            calls.extend(wanted.iter().map(|own| self.calls.take(&own.webhook, own.most, &self.holder, LEASE)));
            if renews {
                renewed = self.clock.moment();
                calls.extend(taken.iter().map(|(webhook, seqs)| self.calls.renew(webhook, &self.holder, LEASE, seqs)));
            }
            if calls.is_empty() {
                continue;
            }
            let answer = self.asking.ask(&calls, None, ASKING).await;
            let is_away = answer.is_err();
            let (replies, _) = answer.unwrap_or_default();
            let mut replies = replies.into_iter();
            let mut again = super::state::Marks::new();
            for (webhook, own) in marks {
                match replies.next().and_then(Result::ok).and_then(Calls::stands) {
                    Some(stands) => self.state.stands(&webhook, stands, true),
                    None => drop(again.insert(webhook, own)),
                }
            }
            let failed = is_away || !again.is_empty();
            self.state.marks_again(again);
            for own in wanted {
                self.hand_out(own, replies.next());
            }
            if failed {
                if is_last {
                    return;
                }
                self.clock.sleep_until(self.clock.moment().plus(PAUSE)).await;
            }
        }
    }

    fn hand_out(&self, wanted: Wanted, reply: Option<Result<Reply, Refused>>) {
        let batch = match reply {
            Some(Ok(reply)) => Calls::taken(reply),
            Some(Err(Refused::Other(code))) => {
                tracing::warn!(code, "the server of the queue refuses to hand out events");
                None
            }
            Some(Err(Refused::Full)) | None => None,
        };
        let Some(batch) = batch else {
            let _gone = wanted.answer.send(None);
            return;
        };
        self.state.stands(&wanted.webhook, batch.stands, false);
        let name = &*wanted.webhook;
        for webhook_id in &batch.expired {
            self.metrics.delivery.expired(name).inc();
            tracing::warn!(name, webhook_id, "an event that was put aside has ended; it was never delivered");
        }
        for (webhook_id, reason) in &batch.dropped {
            tracing::warn!(webhook_id, reason, "an operator dropped an event");
        }
        self.state.hand_out(wanted, batch);
    }
}
