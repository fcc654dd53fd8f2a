//! What those who call the store and its writer share: the index of what waits, and what is to be written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, oneshot, watch};

use super::super::schedule::{PATIENCE, Schedule, Waiting};
use super::super::{Counted, Kept, Memory, Seq, Settled, StoreError};
use super::holdings::{Held, Holdings};
use super::rows::{Change, Content, Known, Mark};
use crate::clock::{Clock, Moment, Timestamp};
use crate::webhook::event::{Event, OrderKey};
use crate::webhook::store::content::Head;

/// Events of one transaction at most.
const BATCH_EVENTS: usize = 256;
/// Bytes of their bodies, more or less.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of contents that are kept in memory until they are first taken, so that they need not be read back.
const FRESH_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that a content counts beside what is in it: its names and headers are pieces of memory of their own.
const OVERHEAD: usize = 512;
/// What became of taken events waits this long at most for a transaction of new ones.
const GATHER: Duration = Duration::from_millis(200);
/// So often the writer looks for what other processes changed.
const LOOK: Duration = Duration::from_millis(500);
/// A due time that was written lies this far ahead at most, on opening: the clock may have been set back meanwhile. The
/// longest step of the ladder is 2 h, and a fifth.
const MOST_AHEAD: Duration = Duration::from_secs(144 * 60);

/// An event that is to be kept.
pub(super) struct Keep {
    pub(super) event: Event,
    pub(super) memory: Memory,
    pub(super) answer: oneshot::Sender<Result<Kept, StoreError>>,
    /// The caller may wait no more; its memory is counted until it is answered.
    pub(super) counted: Counted,
}

/// An event that is on disk.
pub(super) struct Stored {
    pub(super) seq: Seq,
    pub(super) webhook: Arc<str>,
    pub(super) order: Option<OrderKey>,
    pub(super) content: Content,
}

/// Events whose content is to be read.
pub(super) struct Read {
    pub(super) needed: Vec<Seq>,
    /// Those that will be wanted soon. They are read as well as long as they are small.
    pub(super) ahead: Vec<Seq>,
    pub(super) answer: oneshot::Sender<Vec<(Seq, Option<Content>)>>,
}

/// What the writer is to do.
#[derive(Default)]
pub(super) struct Work {
    pub(super) keeps: Vec<Keep>,
    /// What became of taken events: of each the last word.
    pub(super) marks: BTreeMap<Seq, Mark>,
    pub(super) reads: Vec<Read>,
    /// Whether this is the last of it.
    pub(super) is_last: bool,
}

/// One webhook.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) schedule: Schedule,
    pub(super) aside: usize,
    /// Told when something may be due.
    pub(super) news: Arc<Notify>,
}

/// What is shared.
pub(super) struct Shared {
    state: Mutex<State>,
    /// There is work.
    work: Condvar,
    /// Why nothing is written any more.
    pub(super) failure: watch::Sender<Option<String>>,
    pub(super) clock: Arc<dyn Clock>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) lanes: HashMap<Arc<str>, Lane>,
    /// Contents of events that were never taken, as far as there is room.
    fresh: HashMap<Seq, Content>,
    fresh_bytes: usize,
    /// What all webhooks hold in the file.
    pub(super) held: Held,
    /// Entries of the memory of repeats that were forgotten before their time.
    pub(super) forgotten: u64,
    work: Work,
    /// Whether the writer takes nothing any more.
    pub(super) has_ended: bool,
}

impl Shared {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), failure: watch::Sender::new(None), clock }
    }

    /// The state, for as long as it takes to look something up.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock())
    }

    /// Adds work, and wakes the writer where it waits for such.
    pub(super) fn ask(&self, add: impl FnOnce(&mut Work)) {
        let mut state = self.state.lock();
        if state.has_ended {
            return;
        }
        let (was_empty, was_urgent) = (state.work.is_empty(), state.work.is_urgent());
        add(&mut state.work);
        // Waking is a call of the system: once when there is something, and once when it must not wait.
        let wakes = was_empty || (state.work.is_urgent() && !was_urgent);
        drop(state);
        if wakes {
            self.work.notify_one();
        }
    }

    /// Waits for work, but not for ever: other processes change the file as well.
    pub(super) fn next_work(&self) -> Work {
        let mut state = self.state.lock();
        let _waited = self.work.wait_while_for(&mut state, |state| state.work.is_empty(), LOOK);
        let _gathered =
            self.work.wait_while_for(&mut state, |state| !state.work.is_urgent() && !state.work.is_empty(), GATHER);
        state.work.batch()
    }

    /// New events are on disk: they may be taken.
    pub(super) fn add(&self, kept: Vec<Stored>) {
        let moment = self.clock.moment();
        let mut news: Vec<Arc<Notify>> = Vec::new();
        let mut state = self.state.lock();
        let state = &mut *state;
        for Stored { seq, webhook, order, content } in kept {
            let received = content.received;
            state.remember(seq, content);
            let lane = state.lanes.entry(webhook).or_default();
            lane.schedule.add(seq, Waiting { order, received, due: moment, attempts: 0, held: None });
            if !news.iter().any(|news| Arc::ptr_eq(news, &lane.news)) {
                news.push(Arc::clone(&lane.news));
            }
        }
        for news in news {
            news.notify_waiters();
        }
    }

    /// Takes over what operators changed, and how much there is since.
    pub(super) fn change(&self, changes: Vec<Change>, holdings: &Holdings) {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.held = holdings.all();
        for change in changes {
            let Change { seq, now, .. } = change;
            if let Some(lane) = state.lanes.values_mut().find(|lane| lane.schedule.contains(seq)) {
                // One that is taken goes on; it is found out when it is settled.
                if now.as_ref().is_some_and(|known| !known.is_aside) && lane.schedule.is_taken(seq) {
                    continue;
                }
                lane.schedule.remove(seq);
                state.forget(seq);
            }
            if let Some(known) = now.filter(|known| !known.is_aside) {
                state.load(&known, &*self.clock, Duration::MAX);
            }
        }
        for (name, lane) in &mut state.lanes {
            lane.aside = holdings.of(name).aside;
            lane.news.notify_waiters();
        }
    }

    /// Adds an event to the index when the file has been opened.
    pub(super) fn load(&self, known: &Known) {
        self.state.lock().load(known, &*self.clock, MOST_AHEAD);
    }

    /// Nothing more is written, because of a `problem` or because all is done. Callers that wait are told.
    pub(super) fn end(&self, problem: Option<String>) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.has_ended, true) {
            let work = std::mem::take(&mut state.work);
            drop(state);
            self.failure.send_replace(problem);
            work.refuse();
        }
    }
}

impl State {
    fn load(&mut self, known: &Known, clock: &dyn Clock, most_ahead: Duration) {
        let (now, moment) = (clock.now(), clock.moment());
        let waiting = Waiting {
            order: known.order,
            received: known.received,
            due: moment.plus(known.due.since(now).min(most_ahead)), // T-65: due after a set clock
            attempts: known.attempts,
            held: known.failed.map(|failed| moment.minus(now.since(failed).min(PATIENCE))),
        };
        self.lanes.entry(Arc::clone(&known.webhook)).or_default().schedule.add(known.seq, waiting);
    }

    /// What is known of a webhook.
    pub(super) fn lane(&mut self, webhook: &str) -> &mut Lane {
        self.lanes.entry(webhook.into()).or_default()
    }

    /// Takes note of what became of a taken event, and says what is to be written. An event that an operator dropped
    /// meanwhile is not known any more.
    pub(super) fn settle(&mut self, seq: Seq, settled: &Settled, now: Timestamp, moment: Moment) -> Option<Mark> {
        let lane = self.lanes.values_mut().find(|lane| lane.schedule.is_taken(seq))?;
        let mark = match *settled {
            Settled::Delivered => {
                lane.schedule.remove(seq);
                Some(Mark::Delivered)
            }
            Settled::Dead(reason) => {
                lane.schedule.remove(seq);
                lane.aside = lane.aside.saturating_add(1);
                Some(Mark::Aside { reason, at: now })
            }
            Settled::Again(wait) => {
                let attempts = lane.schedule.again(seq, moment.plus(wait))?;
                let failed = lane.schedule.held(seq).map(|held| now.minus(moment.since(held)));
                Some(Mark::Again { due: now.plus(wait), attempts, failed })
            }
            Settled::Returned(wait) => {
                lane.schedule.give_back(seq, Some(moment.plus(wait)));
                None
            }
        };
        lane.news.notify_waiters();
        mark
    }

    /// Keeps the content of an event that was not taken yet in memory, if there is room.
    pub(super) fn remember(&mut self, seq: Seq, content: Content) {
        let room = self.fresh_bytes.saturating_add(size(&content));
        if room <= FRESH_BYTES && !self.fresh.contains_key(&seq) {
            self.fresh_bytes = room;
            self.fresh.insert(seq, content);
        }
    }

    /// Whether the content of an event is in memory.
    pub(super) fn remembers(&self, seq: Seq) -> bool {
        self.fresh.contains_key(&seq)
    }

    /// The content of an event that was never taken, if it is still in memory.
    pub(super) fn forget(&mut self, seq: Seq) -> Option<Content> {
        let content = self.fresh.remove(&seq)?;
        self.fresh_bytes = self.fresh_bytes.saturating_sub(size(&content));
        Some(content)
    }
}

/// Bytes that a content counts in memory.
fn size(content: &Content) -> usize {
    let Head { event, id, headers } = &content.head;
    let names = [event, id].into_iter().flatten().map(String::len);
    let headers = headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len()));
    names.chain(headers).fold(OVERHEAD.saturating_add(content.body.len()), usize::saturating_add)
}

impl Work {
    fn is_empty(&self) -> bool {
        self.marks.is_empty() && !self.is_urgent()
    }

    /// Whether it must not wait for other work.
    fn is_urgent(&self) -> bool {
        !self.keeps.is_empty() || !self.reads.is_empty() || self.is_last
    }

    /// Takes what goes into one transaction. The end comes when nothing else is left.
    fn batch(&mut self) -> Self {
        let (mut events, mut bytes): (usize, usize) = (0, 0);
        for keep in &self.keeps {
            bytes = bytes.saturating_add(keep.event.body.len());
            if events >= BATCH_EVENTS || (events > 0 && bytes > BATCH_BYTES) {
                break;
            }
            events = events.saturating_add(1);
        }
        let rest = self.keeps.split_off(events);
        let keeps = std::mem::replace(&mut self.keeps, rest);
        let is_last = self.is_last && self.keeps.is_empty();
        Self { keeps, marks: std::mem::take(&mut self.marks), reads: std::mem::take(&mut self.reads), is_last }
    }

    /// Marks that could not be written; what was said of an event since then stands.
    pub(super) fn marks_again(&mut self, marks: BTreeMap<Seq, Mark>) {
        for (seq, mark) in marks {
            self.marks.entry(seq).or_insert(mark);
        }
    }

    /// Tells those who wait that nothing is kept.
    pub(super) fn refuse(self) {
        for Keep { answer, counted, .. } in self.keeps {
            drop(counted);
            let _gone = answer.send(Err(StoreError::Failing));
        }
    }
}
