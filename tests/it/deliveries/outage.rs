//! An application that is down: nothing is lost, no attempt is used up, and it is not flooded when it comes back.

use std::collections::BTreeMap;

use super::*;

/// Room and number of each event that came.
fn numbers(app: &Application) -> Vec<(String, u64)> {
    let room = |call: &Call| call.json["room"].as_str().unwrap_or_default().to_owned();
    app.calls().iter().map(|call| (room(call), call.json["n"].as_u64().expect("a number"))).collect()
}

/// W-21: an hour without the application, ten thousand events wait; `WAITING=100000` in the environment for as many as a queue
/// holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_uses_up_no_attempt_and_the_order_stays() {
    let clock = clock();
    let (app, socket) = Application::down(&clock);
    let bench = Bench::start(&clock, &app.url(), None);
    let total: usize = std::env::var("WAITING").map_or(10_000, |waiting| waiting.parse().unwrap());
    for n in 0..total {
        let room = (n % 3 > 0).then(|| format!("r{}", n % 97));
        bench.store.put(room.as_deref(), &serde_json::json!({ "room": room, "n": n }).to_string());
    }
    let up = "sidemint_webhook_target_up{name=\"chat\",target=\"to\"}";
    bench.soon("the target is closed", || bench.shown(up) == Some(0.0)).await;
    let tried =
        || bench.shown("sidemint_webhook_deliveries_total{name=\"chat\",outcome=\"unreachable\"}").unwrap_or(0.0);
    bench.soon("what was under way has ended", || bench.store.settled().is_empty()).await;
    let at_first = tried();
    assert!((5.0..=20.0).contains(&at_first), "{at_first} attempts before it counts as down");
    let later = clock.moment().plus(Duration::from_hours(1));
    bench.until_by(10 * SECOND, "an hour", || clock.moment() >= later).await;
    let probes = tried() - at_first;
    assert!((90.0..=130.0).contains(&probes), "{probes} probes in an hour: after 1, 2, 4, 8, 16, and then every 30 s");
    assert_eq!(bench.pending(), total);
    app.up(socket);
    while bench.pending() > 0 {
        let left = bench.pending();
        bench.until("it goes on", || bench.pending() < left).await;
    }
    let came = numbers(&app);
    assert_eq!(came.len(), total, "each once");
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for (room, n) in came.into_iter().filter(|(room, _)| !room.is_empty()) {
        assert!(last.insert(room.clone(), n).is_none_or(|before| before < n), "the order of {room}");
    }
    assert!(app.calls().iter().all(|call| call.header("sidemint-attempt") == "1"), "no attempt is used up");
    assert!(app.most() <= 16 && app.connections() <= 64, "{} at once over {}", app.most(), app.connections());
    assert!(bench.store.most_taken() <= 32, "{} in memory", bench.store.most_taken());
    assert_eq!(bench.shown(up), Some(1.0));
}

/// A proxy before an application that is down answers for it.
#[tokio::test]
async fn answers_of_a_proxy_close_the_target_and_one_event_probes_it() {
    let clock = clock();
    let app = Application::start(&clock).await;
    app.answers(|_| answer(503));
    let bench = Bench::start(&clock, &app.url(), None);
    let up = "sidemint_webhook_target_up{name=\"chat\",target=\"to\"}";
    for n in 0..200 {
        bench.store.put(None, &format!("{{\"n\":{n}}}"));
    }
    bench.soon("closed", || bench.shown(up) == Some(0.0)).await;
    bench.soon("what was under way has ended", || bench.store.settled().is_empty()).await;
    let at_first = app.count();
    assert!(at_first <= 5 + 15, "{at_first}");
    for _ in 0..3 {
        let before = app.count();
        bench.until("a probe", || app.count() > before).await;
        assert_eq!(app.count(), before + 1, "one at a time");
    }
    let probed: std::collections::BTreeSet<String> = app.ids().into_iter().skip(at_first).collect();
    assert_eq!(probed.len(), 3, "each time another event");
    app.answers(|_| answer(200));
    bench.until("all are delivered", || bench.pending() == 0).await;
    let again = app.calls().iter().filter(|call| call.header("sidemint-attempt") == "2").count();
    assert!(again <= 5, "{again} events had an attempt used up before the target was closed");
}

/// W-20: one event that the application dies of does not keep it closed for the others.
#[tokio::test]
async fn an_event_that_breaks_the_application_does_not_stand_for_it() {
    let clock = clock();
    let app = Application::start(&clock).await;
    app.answers(|call| if call.json["bad"] == true { Script::Reset } else { answer(200) });
    let bench = Bench::start(&clock, &app.url(), None);
    bench.store.put(None, r#"{"bad":true}"#);
    let up = "sidemint_webhook_target_up{name=\"chat\",target=\"to\"}";
    bench.until("closed", || bench.shown(up) == Some(0.0)).await;
    for _ in 0..10 {
        let later = clock.moment().plus(50 * SECOND);
        bench.until_by(5 * SECOND, "the bad one is tried", || clock.moment() >= later).await;
        let (put, at) = (bench.store.put(None, "{}"), clock.moment());
        let id = format!("evt_{put}");
        bench.until("the next event", || app.ids().contains(&id)).await;
        let waited = clock.moment().since(at);
        assert!(waited <= 40 * SECOND, "{waited:?}");
    }
}

#[tokio::test]
async fn after_a_minute_the_fallback_is_used_until_the_target_is_back() {
    let clock = clock();
    let (app, socket) = Application::down(&clock);
    let other = Application::start(&clock).await;
    let bench = Bench::start(&clock, &app.url(), Some(&other.url()));
    for n in 0..20 {
        bench.store.put(None, &format!("{{\"n\":{n}}}"));
    }
    bench.until("delivered", || bench.pending() == 0).await;
    assert!(clock.now() >= NOW.plus(60 * SECOND), "not before a minute has passed: {:?}", clock.now());
    assert!(clock.now() <= NOW.plus(75 * SECOND), "{:?}", clock.now());
    assert_eq!(other.count(), 20);
    app.up(socket);
    clock.advance(30 * SECOND);
    for n in 20..40 {
        bench.store.put(None, &format!("{{\"n\":{n}}}"));
    }
    bench.until("delivered", || bench.pending() == 0).await;
    assert!(app.count() > 0, "it is probed meanwhile");
    assert_eq!(app.count() + other.count(), 40, "each once");
    let (before, seq) = (other.count(), bench.store.put(None, "{}"));
    bench.soon("delivered", || bench.pending() == 0).await;
    assert_eq!((other.count(), app.ids().last()), (before, Some(&format!("evt_{seq}"))));
}
