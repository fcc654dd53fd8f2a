//! What those who call the store and its thread share: what is to be kept, taken and settled, and how things stand as far as
//! the server has told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::calls::{Batch, Stands};
use crate::webhook::event::Event;
use crate::webhook::store::{Counted, Kept, Memory, Seq, Settled, Standing, StoreError};

/// Events of one batch at most.
const BATCH_EVENTS: usize = 256;
/// Bytes of their bodies, more or less.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// An event that is to be kept.
pub(super) struct Keep {
    pub(super) event: Event,
    pub(super) memory: Memory,
    pub(super) answer: oneshot::Sender<Result<Kept, StoreError>>,
    /// The caller may wait no more; its memory is counted until it is answered.
    pub(super) counted: Counted,
}

impl Keep {
    pub(super) fn answer(self, kept: Result<Kept, StoreError>) {
        // Before the answer: a provider that posts its next event at once finds the place free.
        drop(self.counted);
        // The provider may have given up meanwhile; it sends the event again, which is then a repeat.
        let _gone = self.answer.send(kept);
    }
}

/// Deliveries that want events. They hear `None` where the server is away.
pub(super) struct Wanted {
    pub(super) webhook: Arc<str>,
    pub(super) most: usize,
    pub(super) answer: oneshot::Sender<Option<Batch>>,
}

/// What became of events, by webhook: of each its number, a word and what belongs to it.
pub(super) type Marks = BTreeMap<Arc<str>, Vec<(Seq, &'static str, String)>>;

/// What is shared.
#[derive(Default)]
pub(super) struct State {
    inner: Mutex<Inner>,
    /// There is something to be kept, or the end has come.
    pub(super) keeps: Notify,
    /// There is something else to be done.
    pub(super) works: Notify,
}

#[derive(Default)]
struct Inner {
    keeps: Vec<Keep>,
    wanted: Vec<Wanted>,
    marks: Marks,
    /// Events that this process has, and whose.
    taken: HashMap<Seq, Arc<str>>,
    lanes: HashMap<Arc<str>, Lane>,
    /// How all of it stands, as last told.
    stands: Stands,
    is_last: bool,
    has_ended: bool,
}

#[derive(Default)]
struct Lane {
    standing: Standing,
    news: Arc<Notify>,
}

/// The word for what became of an event, and what belongs to it.
fn mark(settled: &Settled) -> (&'static str, String) {
    let millis = |span: &Duration| span.as_millis().to_string();
    match settled {
        Settled::Delivered => ("delivered", String::new()),
        Settled::Again(wait) => ("again", millis(wait)),
        Settled::Returned(wait) => ("returned", millis(wait)),
        Settled::Dead(reason) => ("dead", (*reason).to_owned()),
    }
}

impl State {
    pub(super) fn keep(&self, keep: Keep) {
        let mut inner = self.inner.lock();
        if inner.has_ended {
            return;
        }
        inner.keeps.push(keep);
        drop(inner);
        self.keeps.notify_one();
    }

    /// What goes to the server at once; `None` at the end.
    pub(super) fn batch(&self) -> Option<Vec<Keep>> {
        let mut inner = self.inner.lock();
        let (mut events, mut bytes): (usize, usize) = (0, 0);
        for keep in &inner.keeps {
            bytes = bytes.saturating_add(keep.event.body.len());
            if events >= BATCH_EVENTS || (events > 0 && bytes > BATCH_BYTES) {
                break;
            }
            events = events.saturating_add(1);
        }
        if events == 0 && inner.is_last {
            return None;
        }
        let rest = inner.keeps.split_off(events);
        Some(std::mem::replace(&mut inner.keeps, rest))
    }

    pub(super) fn want(&self, wanted: Wanted) {
        let mut inner = self.inner.lock();
        if !inner.has_ended {
            inner.wanted.push(wanted);
            drop(inner);
            self.works.notify_one();
        }
    }

    /// Takes note of what became of an event that was taken here.
    pub(super) fn settle(&self, seq: Seq, settled: &Settled) {
        let mut inner = self.inner.lock();
        let Some(webhook) = inner.taken.remove(&seq) else { return };
        let (what, more) = mark(settled);
        inner.marks.entry(webhook).or_default().push((seq, what, more));
        drop(inner);
        self.works.notify_one();
    }

    /// Marks and wishes; and of each webhook what was taken and not settled, for its leases.
    pub(super) fn work(&self) -> (Marks, Vec<Wanted>, BTreeMap<Arc<str>, Vec<Seq>>) {
        let mut inner = self.inner.lock();
        let (marks, wanted) = (std::mem::take(&mut inner.marks), std::mem::take(&mut inner.wanted));
        let mut taken: BTreeMap<Arc<str>, Vec<Seq>> = BTreeMap::new();
        for (seq, webhook) in &inner.taken {
            taken.entry(Arc::clone(webhook)).or_default().push(*seq);
        }
        (marks, wanted, taken)
    }

    /// Marks that could not be told.
    pub(super) fn marks_again(&self, marks: Marks) {
        let mut inner = self.inner.lock();
        for (webhook, mut earlier) in marks {
            let later = inner.marks.entry(webhook).or_default();
            earlier.append(later);
            *later = earlier;
        }
    }

    /// Hands out what was taken. Where it is not waited for any more, it goes back.
    pub(super) fn hand_out(&self, wanted: Wanted, batch: Batch) {
        let Wanted { webhook, answer, .. } = wanted;
        let seqs: Vec<Seq> = batch.entries.iter().map(|entry| entry.seq).collect();
        {
            let mut inner = self.inner.lock();
            for seq in &seqs {
                inner.taken.insert(*seq, Arc::clone(&webhook));
            }
        }
        if answer.send(Some(batch)).is_err() {
            self.give_back(&seqs);
        }
    }

    /// Events go back as they were.
    pub(super) fn give_back(&self, seqs: &[Seq]) {
        for seq in seqs {
            self.settle(*seq, &Settled::Returned(Duration::ZERO));
        }
    }

    /// Everything that was taken goes back: the service ends.
    pub(super) fn give_all_back(&self) {
        let seqs: Vec<Seq> = self.inner.lock().taken.keys().copied().collect();
        self.give_back(&seqs);
    }

    /// Takes over what the server told, and wakes those who wait for a change.
    pub(super) fn stands(&self, webhook: &Arc<str>, stands: Stands, is_news: bool) {
        let mut inner = self.inner.lock();
        inner.stands = stands;
        let lane = inner.lanes.entry(Arc::clone(webhook)).or_default();
        lane.standing = stands.webhook;
        if is_news {
            lane.news.notify_waiters();
        }
    }

    pub(super) fn standing(&self, webhook: &str) -> Standing {
        self.inner.lock().lanes.get(webhook).map(|lane| lane.standing).unwrap_or_default()
    }

    pub(super) fn figures(&self) -> Stands {
        self.inner.lock().stands
    }

    /// Told when something may be due.
    pub(super) fn news(&self, webhook: &str) -> Arc<Notify> {
        Arc::clone(&self.inner.lock().lanes.entry(webhook.into()).or_default().news)
    }

    pub(super) fn is_last(&self) -> bool {
        self.inner.lock().is_last
    }

    /// What is there is finished, and then the thread ends.
    pub(super) fn finish(&self) {
        self.inner.lock().is_last = true;
        self.keeps.notify_one();
        self.works.notify_one();
    }

    /// Nothing more is done; those who wait are told.
    pub(super) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.has_ended = true;
        let (keeps, _wanted) = (std::mem::take(&mut inner.keeps), std::mem::take(&mut inner.wanted));
        drop(inner);
        for keep in keeps {
            keep.answer(Err(StoreError::Failing));
        }
    }
}
