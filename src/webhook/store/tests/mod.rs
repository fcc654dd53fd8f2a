//! What every store does, as its callers see it: events in, events out, across restarts, failures and operators. Each test runs
//! on a file and on a real server.

mod case;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};

use super::*;
use crate::clock::Timestamp;
use crate::webhook::event::{EventKey, OrderKey, ProofKey};

pub(super) use case::Case;

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MEMORY: Memory = Memory { key: DAY, proof: Duration::from_secs(600) };

/// The event that the body `text` makes, at the webhook `chat`.
pub(super) fn event(text: &str) -> Event {
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

pub(super) fn ordered(text: &str, order: &str) -> Event {
    Event { order: Some(OrderKey::of("chat", order)), ..event(text) }
}

pub(super) async fn keep(store: &dyn Store, event: Event) -> Result<Kept, StoreError> {
    store.keep(event, MEMORY, Box::new(())).await
}

/// Events that are due now; empty where none are.
pub(super) async fn due(store: &dyn Store) -> Vec<Taken> {
    tokio::time::timeout(Duration::from_millis(300), store.take("chat", 100)).await.unwrap_or_default()
}

pub(super) fn bodies(taken: &[Taken]) -> Vec<&str> {
    taken.iter().map(|taken| std::str::from_utf8(&taken.body).unwrap()).collect()
}

/// Waits until things stand so at `chat`: a server tells of them a little later.
pub(super) async fn stands(store: &dyn Store, pending: usize, dead: usize, oldest: Option<Timestamp>) {
    let standing = Standing { pending, dead, oldest };
    eventually(|| store.standing("chat") == standing).await;
}

#[tokio::test]
async fn what_is_kept_is_handed_out_with_all_that_belongs_to_it() {
    for case in Case::all(Limits::default()).await {
        let store = case.open();
        assert_eq!(keep(&*store, event("one")).await, Ok(Kept::New));
        let taken = due(&*store).await;
        let [one] = &taken[..] else { panic!("{taken:?}") };
        assert_eq!(one.webhook_id, event("one").key.webhook_id("chat"));
        assert_eq!((one.event.as_deref(), one.id.as_deref()), (Some("message.created"), Some("id of one")));
        assert_eq!((one.attempts, one.received, &one.headers), (0, NOW, &event("one").headers));
        stands(&*store, 1, 0, Some(NOW)).await;
        // It is no other caller's until it is settled.
        assert!(due(&*store).await.is_empty());
        store.settle(one.seq, Settled::Delivered);
        stands(&*store, 0, 0, None).await;
        store.close().await;
        assert_eq!(case.open().figures().events, 0);
    }
}

/// A repeat is told by the key or by the proof, also after a restart, and until their time is over.
#[tokio::test]
async fn a_repeat_is_told_by_its_key_or_its_proof() {
    for case in Case::all(Limits::default()).await {
        let other_id = || Event { key: EventKey::of_signed_id("other"), ..event("one") };
        let other_proof = || Event { proof: ProofKey::of(b"other"), ..event("one") };
        {
            let store = case.open();
            assert_eq!(keep(&*store, event("one")).await, Ok(Kept::New));
            for again in [event("one"), other_id(), other_proof()] {
                assert_eq!(keep(&*store, again).await, Ok(Kept::Repeat));
            }
            // Each webhook has a memory of its own.
            assert_eq!(keep(&*store, Event { webhook: "shop".into(), ..event("one") }).await, Ok(Kept::New));
            store.close().await;
        }
        let store = case.open();
        assert_eq!(keep(&*store, event("one")).await, Ok(Kept::Repeat));
        case.clock.advance(MEMORY.proof);
        assert_eq!(keep(&*store, event("one")).await, Ok(Kept::Repeat));
        assert_eq!(keep(&*store, other_id()).await, Ok(Kept::New));
        case.clock.advance(DAY);
        assert_eq!(keep(&*store, event("one")).await, Ok(Kept::New));
    }
}

/// Two of one transaction are repeats of each other as well.
#[tokio::test]
async fn of_equal_events_at_once_one_is_new() {
    for case in Case::all(Limits::default()).await {
        let store = case.open();
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
}

#[tokio::test]
async fn what_waits_and_its_attempts_are_there_after_a_restart() {
    for case in Case::all(Limits::default()).await {
        {
            let store = case.open();
            for text in ["one", "two", "three", "four"] {
                keep(&*store, event(text)).await.unwrap();
            }
            let taken = due(&*store).await;
            store.settle(taken[0].seq, Settled::Again(60 * SECOND));
            store.settle(taken[1].seq, Settled::Delivered);
            store.settle(taken[2].seq, Settled::Dead("refused"));
            store.settle(taken[3].seq, Settled::Returned(SECOND));
            store.close().await;
        }
        case.clock.advance(10 * SECOND);
        let store = case.open();
        let taken = due(&*store).await;
        stands(&*store, 2, 1, Some(NOW)).await;
        assert_eq!((bodies(&taken), taken[0].attempts), (vec!["four"], 0));
        case.clock.advance(50 * SECOND);
        let taken = due(&*store).await;
        assert_eq!((bodies(&taken), taken[0].attempts), (vec!["one"], 1));
    }
}

/// W-20: a poison event holds its own order key, and no other; and that after a restart not longer than before.
#[tokio::test]
async fn a_poison_event_leaves_the_others_alone() {
    for case in Case::all(Limits::default()).await {
        {
            let store = case.open();
            for (text, order) in [("poison", "a"), ("behind", "a"), ("other", "b")] {
                keep(&*store, ordered(text, order)).await.unwrap();
            }
            let taken = due(&*store).await;
            assert_eq!(bodies(&taken), ["poison", "other"]);
            store.settle(taken[0].seq, Settled::Again(7200 * SECOND));
            store.settle(taken[1].seq, Settled::Delivered);
            store.close().await;
        }
        case.clock.advance(Duration::from_secs(14 * 60));
        let store = case.open();
        assert!(due(&*store).await.is_empty());
        case.clock.advance(Duration::from_secs(60));
        assert_eq!(bodies(&due(&*store).await), ["behind"]);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_drops_nothing() {
    for limits in [Limits { events: 2, ..Limits::default() }, Limits { bytes: 650, ..Limits::default() }] {
        for case in Case::all(limits).await {
            let store = case.open();
            assert_eq!(keep(&*store, event("one")).await, Ok(Kept::New));
            assert_eq!(keep(&*store, event("two")).await, Ok(Kept::New));
            assert_eq!(keep(&*store, event("three")).await, Err(StoreError::Full));
            // What was accepted is known, also now.
            assert_eq!(keep(&*store, event("two")).await, Ok(Kept::Repeat));
            let taken = due(&*store).await;
            assert_eq!(bodies(&taken), ["one", "two"]);
            store.settle(taken[0].seq, Settled::Delivered);
            stands(&*store, 1, 0, Some(NOW)).await;
            assert_eq!(keep(&*store, event("three")).await, Ok(Kept::New));
            assert_eq!(store.figures().events, 2);
        }
    }
}

/// One webhook whose application is down leaves room for the others.
#[tokio::test]
async fn a_webhook_leaves_a_part_of_the_queue_to_the_others() {
    for case in Case::all(Limits { events: 8, webhooks: 2, ..Limits::default() }).await {
        let store = case.open();
        let shop = |text| Event { webhook: "shop".into(), ..event(text) };
        assert_eq!(keep(&*store, shop("0")).await, Ok(Kept::New));
        for text in ["1", "2", "3", "4", "5", "6"] {
            assert_eq!(keep(&*store, event(text)).await, Ok(Kept::New));
        }
        assert_eq!(keep(&*store, event("7")).await, Err(StoreError::Full));
        assert_eq!(keep(&*store, shop("1")).await, Ok(Kept::New));
        assert_eq!(keep(&*store, shop("2")).await, Err(StoreError::Full));
    }
}

/// The oldest entries of the memory make room, and are counted.
#[tokio::test]
async fn the_memory_of_repeats_is_bounded() {
    for case in Case::all(Limits { remembered: 3, ..Limits::default() }).await {
        let store = case.open();
        for text in ["one", "two", "three", "four"] {
            case.clock.advance(SECOND);
            assert_eq!(keep(&*store, event(text)).await, Ok(Kept::New));
        }
        assert_eq!(store.figures().forgotten, 2);
        assert_eq!(keep(&*store, event("two")).await, Ok(Kept::Repeat));
        assert_eq!(keep(&*store, event("one")).await, Ok(Kept::New));
    }
}

/// A clock that was set back far must not stop what waits, and time in which the process was down counts.
#[tokio::test]
async fn a_clock_that_is_set_neither_stops_nor_loses_anything() {
    for case in Case::all(Limits::default()).await {
        {
            let store = case.open();
            keep(&*store, event("one")).await.unwrap();
            let taken = due(&*store).await;
            store.settle(taken[0].seq, Settled::Again(60 * SECOND));
            store.close().await;
        }
        case.clock.set_wall(Timestamp::from_seconds(1_000_000_000));
        let store = case.open();
        assert!(due(&*store).await.is_empty());
        case.clock.advance(Duration::from_secs(144 * 60));
        assert_eq!(bodies(&due(&*store).await), ["one"]);
    }
}

/// A caller that stops waiting has taken nothing.
#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    for case in Case::all(Limits::default()).await {
        {
            let store = case.open();
            keep(&*store, event("one")).await.unwrap();
            store.close().await;
        }
        let store = case.open();
        // Its content has to be read, which the writer does at once now and then.
        let mut take = store.take("chat", 1);
        while let Some(taken) = futures_poll(&mut take).await {
            store.settle(taken[0].seq, Settled::Returned(Duration::ZERO));
            take = store.take("chat", 1);
        }
        drop(take);
        assert_eq!(bodies(&due(&*store).await), ["one"]);
    }
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
    for case in Case::all(Limits::default()).await {
        let store = case.open();
        let waits = {
            let store = Arc::clone(&store);
            async move { store.take("chat", 1).await }
        };
        let adds = async {
            tokio::task::yield_now().await;
            keep(&*store, event("one")).await.unwrap();
        };
        let (taken, ()) = tokio::join!(waits, adds);
        store.settle(taken[0].seq, Settled::Again(60 * SECOND));
        let moves = async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if case.clock.sleepers() > 0 {
                    case.clock.advance(60 * SECOND);
                }
            }
        };
        let taken = tokio::select! {
            taken = store.take("chat", 1) => taken,
            () = moves => unreachable!(),
        };
        assert_eq!((bodies(&taken), taken[0].attempts), (vec!["one"], 1));
        // A service that stops does not wait for retries.
        store.settle(taken[0].seq, Settled::Again(60 * SECOND));
        assert!(due(&*store).await.is_empty());
        store.hurry("chat");
        // What waits on a server is not this process's alone.
        let hurried = if store.is_shared() { vec![] } else { vec!["one"] };
        assert_eq!(bodies(&due(&*store).await), hurried);
    }
}

/// W-27: what an operator does beside a running server is seen by it.
#[tokio::test]
async fn an_operator_replays_and_drops_beside_the_server() {
    for case in Case::all(Limits::default()).await {
        let store = case.open();
        for text in ["one", "two", "three"] {
            keep(&*store, event(text)).await.unwrap();
        }
        let taken = due(&*store).await;
        store.settle(taken[0].seq, Settled::Dead("refused"));
        store.settle(taken[1].seq, Settled::Dead("refused"));
        store.settle(taken[2].seq, Settled::Again(7200 * SECOND));
        let dead = Filter { is_dead: Some(true), ..Filter::default() };
        stands(&*store, 1, 2, Some(NOW)).await;
        let list = |filter: &Filter| case.operate(|own| own.list(filter).unwrap());
        eventually(|| list(&dead).len() == 2).await;
        let all = list(&Filter::default());
        assert_eq!(
            all.iter().map(|row| row.reason.as_deref()).collect::<Vec<_>>(),
            [Some("refused"), Some("refused"), None]
        );
        assert_eq!(case.operate(|own| own.show(&all[0]).unwrap().unwrap().body), b"one");

        let again = [all[0].clone(), all[2].clone()];
        assert_eq!(case.operate(|own| own.replay(&again, NOW, Duration::ZERO).unwrap()), 2);
        let drops = |row: &Row| case.operate(|own| own.drop_events(std::slice::from_ref(row), "asked for").unwrap());
        assert_eq!((drops(&all[1]), drops(&all[1])), (1, 0));
        let (mut seen, mut replayed) = (Vec::new(), Vec::new());
        while seen.len() < 2 {
            // A server is looked at again twice a second.
            case.clock.advance(SECOND / 2);
            let taken = due(&*store).await;
            seen.extend(bodies(&taken).into_iter().map(str::to_owned));
            replayed.extend(taken);
        }
        assert_eq!((seen, replayed[1].attempts), (vec!["one".to_owned(), "three".to_owned()], 0));
        stands(&*store, 2, 0, Some(NOW)).await;
        assert_eq!(store.figures().events, 2);

        // One that is taken is dropped: what becomes of it is not written.
        let taken = list(&Filter { webhook_id: Some(replayed[0].webhook_id.clone()), ..Filter::default() });
        assert_eq!(drops(&taken[0]), 1);
        store.settle(replayed[0].seq, Settled::Again(SECOND));
        store.settle(replayed[1].seq, Settled::Delivered);
        stands(&*store, 0, 0, None).await;
        store.close().await;
        assert!(list(&Filter::default()).is_empty());
    }
}

pub(super) async fn eventually(mut holds: impl FnMut() -> bool) {
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
    for case in Case::all(Limits::default()).await {
        let store = case.open();
        keep(&*store, event("one")).await.unwrap();
        keep(&*store, event("two")).await.unwrap();
        let taken = due(&*store).await;
        store.settle(taken[0].seq, Settled::Dead("refused"));
        store.settle(taken[1].seq, Settled::Again(SECOND));
        keep(&*store, event("three")).await.unwrap();
        stands(&*store, 2, 1, Some(NOW)).await;
        case.clock.advance(13 * DAY);
        keep(&*store, event("four")).await.unwrap();
        stands(&*store, 3, 1, Some(NOW)).await;
        assert!(!case.has_expired());
        case.clock.advance(DAY);
        // A server ends them when it hands out others.
        due(&*store).await;
        eventually(|| case.has_expired()).await;
        stands(&*store, 3, 0, Some(NOW)).await;
    }
}
