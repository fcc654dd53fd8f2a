//! The end of the service: what is under way is finished, what waits goes to the fallback, what is left stays in the store.

use tokio::sync::Semaphore;

use super::*;

#[tokio::test]
async fn at_the_end_the_backlog_goes_to_the_fallback() {
    let clock = clock();
    let app = Application::start(&clock).await;
    app.answers(|_| answer(500));
    let other = Application::start(&clock).await;
    let bench = Bench::start(&clock, &app.url(), Some(&other.url()));
    for n in 0..300 {
        bench.store.put((n % 2 == 0).then_some("room"), &format!("{{\"n\":{n}}}"));
    }
    // All but those behind the first of the order have failed once, and wait.
    bench.soon("tried", || app.count() == 151).await;
    assert!(other.calls().is_empty());
    // Some of these attempts may not have ended yet: they are no exception.
    bench.lifecycle.draining().cancel();
    bench.lifecycle.finished().await;
    assert_eq!(clock.now(), NOW, "no wait is waited for");
    assert_eq!((bench.pending(), other.count(), app.count()), (0, 300, 151));
    let ordered: Vec<u64> =
        other.calls().iter().filter_map(|call| call.json["n"].as_u64()).filter(|n| n % 2 == 0).collect();
    assert!(ordered.is_sorted(), "the order stays");
    assert_eq!(bench.shown("sidemint_webhook_pending{name=\"chat\"}"), Some(0.0));
}

#[tokio::test]
async fn without_a_fallback_what_is_under_way_is_finished_and_the_rest_is_left() {
    let clock = clock();
    let app = Application::start(&clock).await;
    let permits = Arc::new(Semaphore::new(0));
    let own = Arc::clone(&permits);
    app.answers(move |_| Script::After(Arc::clone(&own), Box::new(answer(200))));
    let bench = Bench::start(&clock, &app.url(), None);
    for _ in 0..100 {
        bench.store.put(None, "{}");
    }
    bench.soon("under way", || app.count() == 16).await;
    bench.lifecycle.draining().cancel();
    permits.add_permits(100);
    bench.lifecycle.finished().await;
    let left = bench.pending();
    assert_eq!(left, 100 - app.count());
    assert!((100 - 32..=100 - 16).contains(&left), "{left}");
    assert_eq!(bench.shown("sidemint_webhook_pending{name=\"chat\"}"), Some(f64::from(u32::try_from(left).unwrap())));
}

#[tokio::test]
async fn a_fallback_that_does_not_answer_ends_with_the_drain_deadline() {
    let clock = clock();
    let (app, _socket) = Application::down(&clock);
    let other = Application::start(&clock).await;
    other.answers(|_| Script::Silence);
    let bench = Bench::start(&clock, &app.url(), Some(&other.url()));
    for _ in 0..100 {
        bench.store.put(None, "{}");
    }
    bench.lifecycle.draining().cancel();
    bench.soon("under way", || other.count() == 16).await;
    bench.lifecycle.cut().cancel();
    bench.lifecycle.finished().await;
    assert_eq!(bench.pending(), 100, "each of them is delivered after the next start");
    assert!(bench.store.settled().iter().all(|(_, settled)| matches!(settled, Settled::Returned(_))));
}

/// A store that has failed hands out nothing: the process ends at once, and the next one begins with what is on disk.
#[tokio::test]
async fn a_store_that_has_failed_is_not_waited_for() {
    let clock = clock();
    let app = Application::start(&clock).await;
    let bench = Bench::start(&clock, &app.url(), Some(&app.url()));
    bench.store.fail();
    bench.store.put(None, "{}");
    bench.lifecycle.draining().cancel();
    bench.soon("ended", || bench.lifecycle.running() == 0).await;
    assert_eq!((bench.pending(), app.count()), (1, 0));
}
