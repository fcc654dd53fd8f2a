//! How much the store holds, in memory and of each webhook, and for how long.

use super::*;

/// A webhook that is not configured any more leaves its events behind: they are told, and cost the one that is left no
/// share.
#[tokio::test]
async fn events_of_a_webhook_that_is_gone_are_told_and_take_no_share() {
    let queue = Queue { limits: Limits { events: 8, ..Limits::default() }, ..Queue::new() };
    {
        let store = queue.open().unwrap();
        assert_eq!(keep(&store, Event { webhook: "old".into(), ..event("0") }).await, Ok(Kept::New));
        store.close().await;
    }
    let store = queue.open().unwrap();
    assert_eq!(store.standing("chat").pending, 0);
    assert_eq!(store.waiting(), [("old".into(), 1)]);
    for text in ["1", "2", "3", "4", "5", "6", "7"] {
        assert_eq!(keep(&store, event(text)).await, Ok(Kept::New), "{text}");
    }
    assert_eq!(keep(&store, event("8")).await, Err(StoreError::Full));
}

/// What waits in memory is bounded also where there is no body, and nothing of a connection's buffers waits with it.
#[tokio::test]
async fn what_waits_in_memory_is_bounded_and_holds_no_buffer() {
    let queue = Queue::new();
    let store = queue.open().unwrap();
    let buffer = Bytes::from([b"text/plain".to_vec(), vec![0; 8192]].concat());
    let value = HeaderValue::from_maybe_shared(buffer.slice(..10)).unwrap();
    let shared = Event { headers: vec![(header::CONTENT_TYPE, value)], ..event("one") };
    assert_eq!(keep(&store, shared).await, Ok(Kept::New));
    assert!(buffer.is_unique());
    let taken = due(&store).await;
    assert_eq!(taken[0].headers[0].1, "text/plain");

    let long = |seq| Content {
        webhook_id: String::new(),
        received: NOW,
        head: Head {
            headers: vec![(header::COOKIE, HeaderValue::from_bytes(&[b'x'; 3000]).unwrap())],
            ..Head::default()
        },
        body: if seq % 2 == 0 { Bytes::new() } else { Bytes::from_static(&[0; 500]) },
    };
    let fills = |state: &mut state::State| {
        (100..3000).for_each(|seq| state.remember(seq, long(seq)));
        (100..3000).filter(|seq| state.remembers(*seq)).collect::<Vec<Seq>>()
    };
    let first = store.shared.with(fills);
    // 4 MiB of 3.8 KB each.
    assert!((1000..1200).contains(&first.len()), "{}", first.len());
    // Those that are taken give all of their room back.
    let again = store.shared.with(|state| {
        for seq in &first {
            state.forget(*seq);
        }
        fills(state)
    });
    assert_eq!(again, first);
}

/// A wall clock that is set forward ends nothing before its time, and what repeats are known by is there when it is put
/// right.
#[tokio::test]
async fn a_clock_that_is_set_forward_deletes_nothing() {
    let queue = Queue::new();
    let store = queue.open().unwrap();
    keep(&store, event("one")).await.unwrap();
    store.settle(due(&store).await[0].seq, Settled::Dead("refused"));
    keep(&store, event("two")).await.unwrap();
    queue.clock.set_wall(NOW.plus(16 * DAY));
    // The writer looks for what has ended, and sweeps.
    queue.clock.advance(Duration::from_secs(3600));
    keep(&store, event("three")).await.unwrap();
    // This one is written after the look for what has ended.
    keep(&store, event("four")).await.unwrap();
    assert_eq!((store.standing("chat").dead, queue.has_expired()), (1, false));
    queue.clock.set_wall(NOW.plus(Duration::from_secs(3600)));
    assert_eq!(keep(&store, event("two")).await, Ok(Kept::Repeat));
    // It ends when its time has passed.
    queue.clock.advance(14 * DAY);
    eventually(|| queue.has_expired()).await;
}

/// What is remembered anew after its time counts once, so that nothing else is forgotten for it.
#[tokio::test]
async fn what_comes_again_after_its_time_is_counted_once() {
    let queue = Queue { limits: Limits { remembered: 2, ..Limits::default() }, ..Queue::new() };
    let store = queue.open().unwrap();
    keep(&store, event("one")).await.unwrap();
    queue.clock.advance(MEMORY.key.max(MEMORY.proof));
    for text in ["one", "two"] {
        assert_eq!(keep(&store, event(text)).await, Ok(Kept::New), "{text}");
    }
    assert_eq!(store.figures().forgotten, 0);
    assert_eq!(keep(&store, event("one")).await, Ok(Kept::Repeat));
}

/// An event that is answered holds no memory any more, so that a provider that posts its next event at once finds room.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_not_counted_any_more() {
    let queue = Queue::new();
    let store = queue.open().unwrap();
    let counted = Arc::new(());
    for number in 0..500 {
        let own = event(&number.to_string());
        assert_eq!(store.keep(own, MEMORY, Box::new(Arc::clone(&counted))).await, Ok(Kept::New));
        assert_eq!(Arc::strong_count(&counted), 1, "event {number}");
    }
}
