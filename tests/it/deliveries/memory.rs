//! A store in memory, as plain as its trait allows: events in the order of their acceptance, one at a time of each order.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sidemint::clock::{Clock as _, ManualClock, Moment};
use sidemint::webhook::event::{Event, OrderKey};
use sidemint::webhook::store::{
    Counted, Figures, Kept, Memory, Pending, Seq, Settled, Standing, Store, StoreError, Taken,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<ManualClock>,
    state: Mutex<State>,
    changed: Notify,
    failed: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    last: Seq,
    events: BTreeMap<Seq, Taken>,
    order_of: HashMap<Seq, OrderKey>,
    /// Those that nothing stands before, by when they are due.
    ready: BTreeSet<(Moment, Seq)>,
    orders: HashMap<OrderKey, VecDeque<Seq>>,
    settled: Vec<(Seq, Settled)>,
    dead: BTreeMap<Seq, &'static str>,
    taken: usize,
    most_taken: usize,
}

impl MemoryStore {
    pub fn new(clock: &Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self {
            clock: Arc::clone(clock),
            state: Mutex::default(),
            changed: Notify::new(),
            failed: CancellationToken::new(),
        })
    }

    /// Puts an event in; its id is its number.
    pub fn put(&self, order: Option<&str>, body: &str) -> Seq {
        let mut state = self.state.lock().unwrap();
        state.last += 1;
        let seq = state.last;
        let order = order.map(|name| OrderKey::of("chat", name));
        let taken = Taken {
            seq,
            webhook_id: format!("evt_{seq}"),
            event: Some("message.new".to_owned()),
            id: Some(format!("id-{seq}")),
            received: self.clock.now(),
            attempts: 0,
            headers: vec![(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"))],
            body: Bytes::from(body.to_owned()),
        };
        state.events.insert(seq, taken);
        state.order_of.extend(order.map(|order| (seq, order)));
        let stands_first = order.is_none_or(|order| {
            let line = state.orders.entry(order).or_default();
            line.push_back(seq);
            line.len() == 1
        });
        if stands_first {
            state.ready.insert((self.clock.moment(), seq));
        }
        drop(state);
        self.changed.notify_waiters();
        seq
    }

    /// What was settled since the last call.
    pub fn settled(&self) -> Vec<(Seq, Settled)> {
        std::mem::take(&mut self.state.lock().unwrap().settled)
    }

    pub fn dead(&self) -> BTreeMap<Seq, &'static str> {
        self.state.lock().unwrap().dead.clone()
    }

    /// Most events that were taken at once.
    pub fn most_taken(&self) -> usize {
        self.state.lock().unwrap().most_taken
    }

    /// From now on nothing is handed out.
    pub fn fail(&self) {
        self.failed.cancel();
    }

    fn pop(&self, most: usize) -> Result<Vec<Taken>, Option<Moment>> {
        let now = self.clock.moment();
        let mut state = self.state.lock().unwrap();
        let mut found = Vec::new();
        while let Some((due, seq)) = state.ready.first().copied() {
            if due > now || found.len() == most {
                break;
            }
            state.ready.remove(&(due, seq));
            found.push(state.events[&seq].clone());
        }
        if found.is_empty() {
            return Err(state.ready.first().map(|(due, _)| *due));
        }
        state.taken += found.len();
        state.most_taken = state.most_taken.max(state.taken);
        Ok(found)
    }

    async fn wait(&self, most: usize) -> Vec<Taken> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.pop(most) {
                Ok(found) => return found,
                Err(None) => changed.await,
                Err(Some(due)) => tokio::select! {
                    () = changed => {}
                    () = self.clock.sleep_until(due) => {}
                },
            }
        }
    }
}

impl State {
    fn forget(&mut self, seq: Seq, now: Moment) {
        self.events.remove(&seq);
        let Some(order) = self.order_of.remove(&seq) else { return };
        let line = self.orders.get_mut(&order).unwrap();
        assert_eq!(line.pop_front(), Some(seq), "only the first of an order is taken");
        if let Some(next) = line.front() {
            self.ready.insert((now, *next));
        }
    }
}

impl Store for MemoryStore {
    fn keep(&self, _event: Event, _memory: Memory, _counted: Counted) -> Pending<'_, Result<Kept, StoreError>> {
        Box::pin(async { Err(StoreError::Failing) })
    }

    fn take<'s>(&'s self, _webhook: &'s str, most: usize) -> Pending<'s, Vec<Taken>> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = self.failed.cancelled() => std::future::pending().await,
                found = self.wait(most) => found,
            }
        })
    }

    fn settle(&self, seq: Seq, settled: Settled) {
        let now = self.clock.moment();
        let mut state = self.state.lock().unwrap();
        state.taken -= 1;
        let comes_again = |state: &mut State, used: u32, wait: Duration| {
            state.events.get_mut(&seq).unwrap().attempts += used;
            state.ready.insert((now.plus(wait), seq));
        };
        match &settled {
            Settled::Delivered => state.forget(seq, now),
            Settled::Dead(why) => {
                state.forget(seq, now);
                state.dead.insert(seq, why);
            }
            Settled::Again(wait) => comes_again(&mut state, 1, *wait),
            Settled::Returned(wait) => comes_again(&mut state, 0, *wait),
        }
        state.settled.push((seq, settled));
        drop(state);
        self.changed.notify_waiters();
    }

    fn hurry(&self, _webhook: &str) {
        let now = self.clock.moment();
        let mut state = self.state.lock().unwrap();
        state.ready = state.ready.iter().map(|(due, seq)| ((*due).min(now), *seq)).collect();
        drop(state);
        self.changed.notify_waiters();
    }

    fn standing(&self, _webhook: &str) -> Standing {
        let state = self.state.lock().unwrap();
        Standing {
            pending: state.events.len(),
            dead: state.dead.len(),
            oldest: state.events.values().next().map(|event| event.received),
        }
    }

    fn figures(&self) -> Figures {
        Figures::default()
    }

    fn failed(&self) -> Pending<'_, String> {
        Box::pin(async {
            self.failed.cancelled().await;
            "the disk is gone".to_owned()
        })
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async {})
    }
}
