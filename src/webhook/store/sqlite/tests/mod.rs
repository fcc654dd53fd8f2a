//! The store as its callers see it: events in, events out, across restarts, failures and a second process.

mod bounds;
mod files;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::metrics::Metrics;
use crate::secrets::Secret;
use crate::webhook::event::{EventKey, OrderKey, ProofKey};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);
const MEMORY: Memory = Memory { key: DAY, proof: Duration::from_secs(600) };

/// A folder with a store in it that can be opened again and again.
struct Queue {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    limits: Limits,
    key: Option<&'static [u8]>,
    start_empty: bool,
    metrics: Arc<Metrics>,
}

impl Queue {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            clock: Arc::new(ManualClock::new(NOW)),
            limits: Limits::default(),
            key: None,
            start_empty: false,
            metrics: Arc::new(Metrics::new().unwrap()),
        }
    }

    /// Whether one event that was put aside has ended.
    fn has_expired(&self) -> bool {
        self.metrics.render().contains("sidemint_webhook_expired_total{name=\"chat\"} 1")
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("queue")
    }

    fn file(&self) -> PathBuf {
        self.path().join("queue.db")
    }

    fn seal_key(&self) -> Option<SealKey> {
        self.key.map(|key| SealKey::parse(&Secret::new(key.to_vec())).unwrap())
    }

    fn open(&self) -> Result<SqliteStore, OpenError> {
        let options =
            Options { folder: self.path(), limits: self.limits, start_empty: self.start_empty, key: self.seal_key() };
        SqliteStore::open(options, Arc::<ManualClock>::clone(&self.clock), &self.metrics)
    }

    fn mistake(&self) -> String {
        match self.open() {
            Err(OpenError::Mistake(mistake)) => mistake.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn operator(&self) -> Operator {
        Operator::open(&self.path(), self.seal_key()).unwrap()
    }
}

/// The event that the body `text` makes, at the webhook `chat`.
fn event(text: &str) -> Event {
    Event {
        webhook: "chat".into(),
        key: EventKey::of_body(text.as_bytes()),
        proof: ProofKey::of(text.as_bytes()),
        order: None,
        event: Some("message.created".to_owned()),
        id: Some(format!("id of {text}")),
        received: NOW,
        headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body: Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn ordered(text: &str, order: &str) -> Event {
    Event { order: Some(OrderKey::of("chat", order)), ..event(text) }
}

async fn keep(store: &SqliteStore, event: Event) -> Result<Kept, StoreError> {
    store.keep(event, MEMORY, Box::new(())).await
}

/// Events that are due now; empty where none are.
async fn due(store: &SqliteStore) -> Vec<Taken> {
    tokio::time::timeout(Duration::from_millis(300), store.take("chat", 100)).await.unwrap_or_default()
}

fn bodies(taken: &[Taken]) -> Vec<&str> {
    taken.iter().map(|taken| std::str::from_utf8(&taken.body).unwrap()).collect()
}

#[tokio::test]
async fn what_is_kept_is_handed_out_with_all_that_belongs_to_it() {
    let queue = Queue::new();
    let store = queue.open().unwrap();
    assert_eq!(keep(&store, event("one")).await, Ok(Kept::New));
    let taken = due(&store).await;
    let [one] = &taken[..] else { panic!("{taken:?}") };
    assert_eq!(one.webhook_id, event("one").key.webhook_id("chat"));
    assert_eq!((one.event.as_deref(), one.id.as_deref()), (Some("message.created"), Some("id of one")));
    assert_eq!((one.attempts, one.received, &one.headers), (0, NOW, &event("one").headers));
    assert_eq!(store.standing("chat"), Standing { pending: 1, dead: 0, oldest: Some(NOW) });
    // It is no other caller's until it is settled.
    assert!(due(&store).await.is_empty());
    store.settle(one.seq, Settled::Delivered);
    assert_eq!(store.standing("chat"), Standing::default());
    store.close().await;
    assert_eq!(queue.open().unwrap().figures().events, 0);
}

/// A repeat is told by the key or by the proof, also after a restart, and until their time is over.
#[tokio::test]
async fn a_repeat_is_told_by_its_key_or_its_proof() {
    let queue = Queue::new();
    let other_id = || Event { key: EventKey::of_signed_id("other"), ..event("one") };
    let other_proof = || Event { proof: ProofKey::of(b"other"), ..event("one") };
    {
        let store = queue.open().unwrap();
        assert_eq!(keep(&store, event("one")).await, Ok(Kept::New));
        for again in [event("one"), other_id(), other_proof()] {
            assert_eq!(keep(&store, again).await, Ok(Kept::Repeat));
        }
        // Each webhook has a memory of its own.
        assert_eq!(keep(&store, Event { webhook: "shop".into(), ..event("one") }).await, Ok(Kept::New));
        store.close().await;
    }
    let store = queue.open().unwrap();
    assert_eq!(keep(&store, event("one")).await, Ok(Kept::Repeat));
    queue.clock.advance(MEMORY.proof);
    assert_eq!(keep(&store, event("one")).await, Ok(Kept::Repeat));
    assert_eq!(keep(&store, other_id()).await, Ok(Kept::New));
    queue.clock.advance(DAY);
    assert_eq!(keep(&store, event("one")).await, Ok(Kept::New));
}

/// Two of one transaction are repeats of each other as well.
#[tokio::test]
async fn of_equal_events_at_once_one_is_new() {
    let queue = Queue::new();
    let store = queue.open().unwrap();
    let mut all = Vec::new();
    for _ in 0..50 {
        all.push(store.keep(event("one"), MEMORY, Box::new(())));
    }
    let mut new = 0;
    for kept in all {
        new += i32::from(kept.await == Ok(Kept::New));
    }
    assert_eq!(new, 1);
}

#[tokio::test]
async fn what_waits_and_its_attempts_are_there_after_a_restart() {
    let queue = Queue::new();
    {
        let store = queue.open().unwrap();
        for text in ["one", "two", "three", "four"] {
            keep(&store, event(text)).await.unwrap();
        }
        let taken = due(&store).await;
        store.settle(taken[0].seq, Settled::Again(60 * SECOND));
        store.settle(taken[1].seq, Settled::Delivered);
        store.settle(taken[2].seq, Settled::Dead("refused"));
        store.settle(taken[3].seq, Settled::Returned(SECOND));
        store.close().await;
    }
    queue.clock.advance(10 * SECOND);
    let store = queue.open().unwrap();
    assert_eq!(store.standing("chat"), Standing { pending: 2, dead: 1, oldest: Some(NOW) });
    let taken = due(&store).await;
    assert_eq!((bodies(&taken), taken[0].attempts), (vec!["four"], 0));
    queue.clock.advance(50 * SECOND);
    let taken = due(&store).await;
    assert_eq!((bodies(&taken), taken[0].attempts), (vec!["one"], 1));
}

/// W-20: a poison event holds its own order key, and no other; and that after a restart not longer than before.
#[tokio::test]
async fn a_poison_event_leaves_the_others_alone() {
    let queue = Queue::new();
    {
        let store = queue.open().unwrap();
        for (text, order) in [("poison", "a"), ("behind", "a"), ("other", "b")] {
            keep(&store, ordered(text, order)).await.unwrap();
        }
        let taken = due(&store).await;
        assert_eq!(bodies(&taken), ["poison", "other"]);
        store.settle(taken[0].seq, Settled::Again(7200 * SECOND));
        store.settle(taken[1].seq, Settled::Delivered);
        store.close().await;
    }
    queue.clock.advance(Duration::from_secs(14 * 60));
    let store = queue.open().unwrap();
    assert!(due(&store).await.is_empty());
    queue.clock.advance(Duration::from_secs(60));
    assert_eq!(bodies(&due(&store).await), ["behind"]);
}

#[tokio::test]
async fn a_full_queue_refuses_and_drops_nothing() {
    for limits in [Limits { events: 2, ..Limits::default() }, Limits { bytes: 650, ..Limits::default() }] {
        let queue = Queue { limits, ..Queue::new() };
        let store = queue.open().unwrap();
        assert_eq!(keep(&store, event("one")).await, Ok(Kept::New));
        assert_eq!(keep(&store, event("two")).await, Ok(Kept::New));
        assert_eq!(keep(&store, event("three")).await, Err(StoreError::Full));
        // What was accepted is known, also now.
        assert_eq!(keep(&store, event("two")).await, Ok(Kept::Repeat));
        let taken = due(&store).await;
        assert_eq!(bodies(&taken), ["one", "two"]);
        store.settle(taken[0].seq, Settled::Delivered);
        assert_eq!(keep(&store, event("three")).await, Ok(Kept::New));
        assert_eq!(store.figures().events, 2);
    }
}

/// One webhook whose application is down leaves room for the others.
#[tokio::test]
async fn a_webhook_leaves_a_part_of_the_queue_to_the_others() {
    let queue = Queue { limits: Limits { events: 8, webhooks: 2, ..Limits::default() }, ..Queue::new() };
    let store = queue.open().unwrap();
    let shop = |text| Event { webhook: "shop".into(), ..event(text) };
    assert_eq!(keep(&store, shop("0")).await, Ok(Kept::New));
    for text in ["1", "2", "3", "4", "5", "6"] {
        assert_eq!(keep(&store, event(text)).await, Ok(Kept::New));
    }
    assert_eq!(keep(&store, event("7")).await, Err(StoreError::Full));
    assert_eq!(keep(&store, shop("1")).await, Ok(Kept::New));
    assert_eq!(keep(&store, shop("2")).await, Err(StoreError::Full));
}

/// The oldest entries of the memory make room, and are counted.
#[tokio::test]
async fn the_memory_of_repeats_is_bounded() {
    let queue = Queue { limits: Limits { remembered: 3, ..Limits::default() }, ..Queue::new() };
    let store = queue.open().unwrap();
    for text in ["one", "two", "three", "four"] {
        queue.clock.advance(SECOND);
        assert_eq!(keep(&store, event(text)).await, Ok(Kept::New));
    }
    assert_eq!(store.figures().forgotten, 2);
    assert_eq!(keep(&store, event("two")).await, Ok(Kept::Repeat));
    assert_eq!(keep(&store, event("one")).await, Ok(Kept::New));
}

/// A clock that was set back far must not stop what waits, and time in which the process was down counts.
#[tokio::test]
async fn a_clock_that_is_set_neither_stops_nor_loses_anything() {
    let queue = Queue::new();
    {
        let store = queue.open().unwrap();
        keep(&store, event("one")).await.unwrap();
        let taken = due(&store).await;
        store.settle(taken[0].seq, Settled::Again(60 * SECOND));
        store.close().await;
    }
    queue.clock.set_wall(Timestamp::from_seconds(1_000_000_000));
    let store = queue.open().unwrap();
    assert!(due(&store).await.is_empty());
    queue.clock.advance(Duration::from_secs(144 * 60));
    assert_eq!(bodies(&due(&store).await), ["one"]);
}

/// A caller that stops waiting has taken nothing.
#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    let queue = Queue::new();
    {
        let store = queue.open().unwrap();
        keep(&store, event("one")).await.unwrap();
        store.close().await;
    }
    let store = queue.open().unwrap();
    // Its content has to be read, which the writer does at once now and then.
    let mut take = store.take("chat", 1);
    while let Some(taken) = futures_poll(&mut take).await {
        store.settle(taken[0].seq, Settled::Returned(Duration::ZERO));
        take = store.take("chat", 1);
    }
    drop(take);
    assert_eq!(bodies(&due(&store).await), ["one"]);
}

/// Looks once.
async fn futures_poll<T>(future: &mut Pending<'_, T>) -> Option<T> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn waiting_ends_when_something_is_due() {
    let queue = Queue::new();
    let store = Arc::new(queue.open().unwrap());
    let waits = {
        let store = Arc::clone(&store);
        async move { store.take("chat", 1).await }
    };
    let adds = async {
        tokio::task::yield_now().await;
        keep(&store, event("one")).await.unwrap();
    };
    let (taken, ()) = tokio::join!(waits, adds);
    store.settle(taken[0].seq, Settled::Again(60 * SECOND));
    let moves = async {
        while queue.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        queue.clock.advance(60 * SECOND);
    };
    let (taken, ()) = tokio::join!(store.take("chat", 1), moves);
    assert_eq!((bodies(&taken), taken[0].attempts), (vec!["one"], 1));
    // A service that stops does not wait for retries.
    store.settle(taken[0].seq, Settled::Again(60 * SECOND));
    assert!(due(&store).await.is_empty());
    store.hurry("chat");
    assert_eq!(bodies(&due(&store).await), ["one"]);
}

/// W-27: what an operator does beside a running server is seen by it.
#[tokio::test]
async fn an_operator_replays_and_drops_beside_the_server() {
    let queue = Queue::new();
    let store = queue.open().unwrap();
    for text in ["one", "two", "three"] {
        keep(&store, event(text)).await.unwrap();
    }
    let taken = due(&store).await;
    store.settle(taken[0].seq, Settled::Dead("refused"));
    store.settle(taken[1].seq, Settled::Dead("refused"));
    store.settle(taken[2].seq, Settled::Again(7200 * SECOND));
    let mut operator = queue.operator();
    let dead = Filter { is_dead: Some(true), ..Filter::default() };
    eventually(|| operator.list(&dead).unwrap().len() == 2).await;
    let all = operator.list(&Filter::default()).unwrap();
    assert_eq!(
        all.iter().map(|row| row.reason.as_deref()).collect::<Vec<_>>(),
        [Some("refused"), Some("refused"), None]
    );
    assert_eq!(operator.show(all[0].seq).unwrap().unwrap().body, b"one");

    assert_eq!(operator.replay(&[all[0].seq, all[2].seq], NOW, Duration::ZERO).unwrap(), 2);
    assert_eq!(operator.drop_events(&[all[1].seq], "asked for").unwrap(), 1);
    assert_eq!(operator.drop_events(&[all[1].seq], "asked for").unwrap(), 0);
    let (mut seen, mut replayed) = (Vec::new(), Vec::new());
    while seen.len() < 2 {
        let taken = tokio::time::timeout(Duration::from_secs(5), store.take("chat", 9)).await.unwrap();
        seen.extend(bodies(&taken).into_iter().map(str::to_owned));
        replayed.extend(taken);
    }
    assert_eq!((seen, replayed[1].attempts), (vec!["one".to_owned(), "three".to_owned()], 0));
    assert_eq!(store.standing("chat"), Standing { pending: 2, dead: 0, oldest: Some(NOW) });
    assert_eq!(store.figures().events, 2);

    // One that is taken is dropped: what becomes of it is not written.
    assert_eq!(operator.drop_events(&[replayed[0].seq], "asked for").unwrap(), 1);
    eventually(|| store.standing("chat").pending == 1).await;
    store.settle(replayed[0].seq, Settled::Again(SECOND));
    store.settle(replayed[1].seq, Settled::Delivered);
    store.close().await;
    assert!(queue.operator().list(&Filter::default()).unwrap().is_empty());
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let limit = tokio::time::timeout(Duration::from_secs(10), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    limit.await.expect("holds in the end");
}

/// Events that were put aside end after a fortnight; what waits does not.
#[tokio::test]
async fn what_was_put_aside_ends_after_a_fortnight() {
    let queue = Queue::new();
    let store = queue.open().unwrap();
    keep(&store, event("one")).await.unwrap();
    keep(&store, event("two")).await.unwrap();
    let taken = due(&store).await;
    store.settle(taken[0].seq, Settled::Dead("refused"));
    store.settle(taken[1].seq, Settled::Again(SECOND));
    keep(&store, event("three")).await.unwrap();
    queue.clock.advance(13 * DAY);
    keep(&store, event("four")).await.unwrap();
    assert_eq!((store.standing("chat").dead, queue.has_expired()), (1, false));
    queue.clock.advance(DAY);
    eventually(|| queue.has_expired()).await;
    assert_eq!((store.standing("chat").dead, store.standing("chat").pending), (0, 3));
}
