//! Events on their way to the application, with a store in memory and time in hand.

mod application;
mod log;
mod memory;
mod outage;
mod stop;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use sidemint::clock::{Clock, ManualClock, Timestamp};
use sidemint::lifecycle::Lifecycle;
use sidemint::metrics::Metrics;
use sidemint::outbound::Outbound;
use sidemint::secrets::{Reports, Secret, SecretSource};
use sidemint::webhook::delivery::{Deliveries, Parts, Role, Signer, Target};
use sidemint::webhook::store::{Settled, Store};
use tokio_util::task::TaskTracker;

use application::{Application, KEY, answer};
use memory::MemoryStore;

use crate::eventually::eventually;
use crate::fakes::http::{Call, Script};

const NOW: Timestamp = Timestamp::from_seconds(1_780_142_400);
const SECOND: Duration = Duration::from_secs(1);

/// Deliveries of one webhook.
struct Bench {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    metrics: Arc<Metrics>,
    requests: TaskTracker,
    lifecycle: Lifecycle,
    deliveries: Option<Arc<Deliveries>>,
}

impl Bench {
    /// Deliveries to these addresses.
    fn start(clock: &Arc<ManualClock>, to: &str, fallback: Option<&str>) -> Self {
        let store = MemoryStore::new(clock);
        let mut bench = Self::with_store(clock, store);
        bench.deliver(to, fallback);
        bench
    }

    fn with_store(clock: &Arc<ManualClock>, store: Arc<MemoryStore>) -> Self {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let (requests, lifecycle) = (TaskTracker::new(), Lifecycle::new());
        Self { clock: Arc::clone(clock), store, metrics, requests, lifecycle, deliveries: None }
    }

    fn parts(&self) -> Parts {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let key = SecretSource::Made(Secret::new(KEY.as_bytes().to_vec()));
        let signer = Signer::open("sign_key_file", key, Reports::new("signing keys", "webhooks.chat")).expect("a key");
        Parts {
            poster: Outbound::new(Arc::clone(&clock)).expect("a client").poster().expect("a client"),
            signer: Arc::new(signer),
            clock,
            metrics: Arc::clone(&self.metrics),
            requests: self.requests.clone(),
            at_once: 16,
            timeout: 15 * SECOND,
        }
    }

    fn deliver(&mut self, to: &str, fallback: Option<&str>) {
        let (parts, name) = (self.parts(), Arc::<str>::from("chat"));
        let target = |role, url: &str| Target::new(&name, role, url.parse().expect("an address"), &parts);
        let (to, fallback) = (target(Role::To, to), fallback.map(|url| target(Role::Fallback, url)));
        let store: Arc<dyn Store> = Arc::<MemoryStore>::clone(&self.store);
        let deliveries = Arc::new(Deliveries::new(&name, store, to, fallback, &parts, &self.lifecycle));
        deliveries.start();
        self.deliveries = Some(deliveries);
    }

    /// Waits while the clock goes on, a second at a time.
    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        self.until_by(SECOND, what, holds).await;
    }

    /// Waits while the clock goes on by steps. An attempt takes no time: on a busy machine it would meet its deadline.
    async fn until_by(&self, step: Duration, what: &str, holds: impl Fn() -> bool) {
        eventually(what, async || {
            let holds = holds();
            if !holds && self.attempts() == 0 {
                self.clock.advance(step);
            }
            holds
        })
        .await;
    }

    /// Attempts that are under way.
    fn attempts(&self) -> usize {
        let status = self.deliveries.as_ref().map(|deliveries| deliveries.status());
        status.iter().flat_map(|status| &status.targets).map(|target| target.calls.running).sum()
    }

    /// Waits while the clock stands still.
    async fn soon(&self, what: &str, holds: impl Fn() -> bool) {
        eventually(what, || std::future::ready(holds())).await;
    }

    fn pending(&self) -> usize {
        self.store.standing("chat").pending
    }

    /// What `/metrics` shows of a series.
    fn shown(&self, series: &str) -> Option<f64> {
        if let Some(deliveries) = &self.deliveries {
            deliveries.status().show(&self.metrics.delivery);
        }
        self.metrics.render().lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOW))
}

/// Answers by the number of times that the event came.
fn by_attempt(statuses: &'static [u16]) -> impl Fn(&Call) -> Script + Send + Sync + 'static {
    move |call| {
        let attempt: usize = call.header("sidemint-attempt").parse().expect("a number");
        answer(statuses.get(attempt - 1).or(statuses.last()).copied().expect("a status"))
    }
}

#[tokio::test]
async fn what_is_due_is_delivered_over_kept_connections() {
    let clock = clock();
    let app = Application::start(&clock).await;
    let bench = Bench::start(&clock, &app.url(), None);
    for n in 0..50 {
        bench.store.put(None, &format!("{{\"n\":{n}}}"));
        bench.soon("delivered", || bench.pending() == 0).await;
    }
    let calls = app.calls();
    assert_eq!(calls.len(), 50);
    assert!(app.connections() < 5, "{} connections", app.connections());
    assert_eq!(calls[7].json["n"], 7);
    assert_eq!(calls[7].header("sidemint-event"), "message.new");
    assert_eq!(calls[7].header("sidemint-attempt"), "1");
    assert!(calls[7].header("user-agent").starts_with("sidemint/"));
    assert_eq!(bench.shown("sidemint_webhook_deliveries_total{name=\"chat\",outcome=\"delivered\"}"), Some(50.0));
    assert_eq!(bench.shown("sidemint_webhook_lag_seconds_count{name=\"chat\"}"), Some(50.0));
    assert_eq!(bench.shown("sidemint_webhook_target_up{name=\"chat\",target=\"to\"}"), Some(1.0));
}

/// The same id and bytes at each attempt, another time and signature.
#[tokio::test]
async fn an_attempt_that_fails_is_made_again_by_the_ladder() {
    let clock = clock();
    let app = Application::start(&clock).await;
    app.answers(by_attempt(&[500, 409, 400]));
    let bench = Bench::start(&clock, &app.url(), None);
    bench.store.put(None, "{}");
    bench.until("dead", || bench.pending() == 0).await;
    let calls = app.calls();
    let attempts: Vec<_> = calls.iter().map(|call| call.header("sidemint-attempt")).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    let times: Vec<i64> = calls.iter().map(|call| call.header("webhook-timestamp").parse().expect("seconds")).collect();
    assert!(calls.iter().all(|call| call.header("webhook-id") == "evt_1" && call.body == b"{}"));
    assert!(calls.iter().all(|call| call.header("sidemint-received") == "2026-05-30T12:00:00.000Z"));
    // Refused at its third attempt, it is dead.
    assert_eq!(bench.store.dead(), BTreeMap::from([(1, "refused")]));
    assert!(times[1] - times[0] <= 3 && (4..=8).contains(&(times[2] - times[1])), "{times:?}");
}

#[tokio::test]
async fn an_application_says_when_to_come_again() {
    let clock = clock();
    let app = Application::start(&clock).await;
    app.answers(|call| match call.header("sidemint-attempt") {
        "1" => Script::Answer { status: 429, headers: vec![("Retry-After".into(), "100".into())], body: Vec::new() },
        _ => answer(200),
    });
    let bench = Bench::start(&clock, &app.url(), None);
    bench.store.put(None, "{}");
    bench.until("delivered", || bench.pending() == 0).await;
    assert_eq!(bench.store.settled(), [(1, Settled::Again(100 * SECOND)), (1, Settled::Delivered)]);
    assert!(clock.now() >= NOW.plus(100 * SECOND));
}

/// W-20: what the application never takes holds up its own order alone, and ends.
#[tokio::test]
async fn a_bad_event_holds_up_no_other_order_and_ends() {
    for status in [400, 500] {
        let clock = clock();
        let app = Application::start(&clock).await;
        app.answers(move |call| answer(if call.json["bad"] == true { status } else { 200 }));
        let bench = Bench::start(&clock, &app.url(), None);
        let bad = bench.store.put(Some("a"), r#"{"room":"a","bad":true}"#);
        bench.store.put(Some("a"), r#"{"room":"a"}"#);
        for n in 0..100 {
            bench.store.put(Some(&format!("b{}", n % 10)), &format!(r#"{{"room":"b{}"}}"#, n % 10));
        }
        bench.soon("the others", || bench.pending() == 2).await;
        assert_eq!(clock.now(), NOW, "no other waits for it");
        if status == 400 {
            bench.until("the rest", || bench.pending() == 0).await;
            assert_eq!(bench.store.dead(), BTreeMap::from([(bad, "refused")]));
            assert_eq!(app.ids().last().map(String::as_str), Some("evt_2"), "its order goes on");
        } else {
            // Three days old and through the ladder, it has had its last attempt.
            clock.advance(Duration::from_hours(72));
            bench.until_by(60 * SECOND, "it ends", || bench.store.dead().contains_key(&bad)).await;
            assert_eq!(app.ids().iter().filter(|id| *id == "evt_1").count(), 9);
            bench.soon("the rest", || bench.pending() == 0).await;
            assert_eq!(bench.store.dead(), BTreeMap::from([(bad, "expired")]));
        }
        let series = |outcome| format!("sidemint_webhook_deliveries_total{{name=\"chat\",outcome=\"{outcome}\"}}");
        let outcome = if status == 400 { "refused" } else { "failed" };
        assert!(bench.shown(&series(outcome)).is_some_and(|count| count >= 1.0));
        assert_eq!(bench.shown("sidemint_webhook_target_up{name=\"chat\",target=\"to\"}"), Some(1.0));
    }
}

/// W-17: a redirect is not followed, an answer without end is cut, one that never comes is given up.
#[tokio::test]
async fn an_application_that_answers_badly_costs_its_own_attempt() {
    let clock = clock();
    let other = Application::start(&clock).await;
    let app = Application::start(&clock).await;
    let to_other = other.url();
    app.answers(move |call| match call.json["n"].as_u64() {
        Some(0) => {
            let headers = vec![("Location".to_owned(), to_other.clone())];
            Script::Answer { status: 307, headers, body: Vec::new() }
        }
        // More than is read of it, and the rest would never end.
        Some(1) => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
            Script::Stall([&head[..], &b"x".repeat(20_000)].concat())
        }
        Some(2) => Script::Silence,
        Some(3) => Script::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx".to_vec()),
        _ => answer(200),
    });
    let bench = Bench::start(&clock, &app.url(), None);
    for n in 0..5 {
        bench.store.put(None, &format!("{{\"n\":{n}}}"));
    }
    bench.soon("what is answered", || bench.pending() == 3).await;
    assert!(other.calls().is_empty(), "the redirect was not followed");
    assert_eq!(clock.now(), NOW, "the endless answer was cut at once");
    bench.soon("all under way", || app.count() == 5).await;
    clock.advance(15 * SECOND);
    bench.soon("the time is over", || bench.store.settled().iter().any(|(seq, _)| *seq == 3)).await;
    bench.soon("an answer whose status came is one", || bench.pending() == 2).await;
    for outcome in ["refused", "timeout"] {
        let series = format!("sidemint_webhook_deliveries_total{{name=\"chat\",outcome=\"{outcome}\"}}");
        assert!(bench.shown(&series).is_some_and(|count| count >= 1.0), "{outcome}");
    }
}

/// Events that are not kept have one attempt, and the application's answer comes back.
#[tokio::test]
async fn an_event_that_is_not_kept_is_sent_once() {
    use bytes::Bytes;
    use sidemint::webhook::event::{Event, EventKey, ProofKey};

    let clock = clock();
    let app = Application::start(&clock).await;
    app.answers(|call| match call.json["big"].as_bool() {
        Some(true) => Script::json(200, &serde_json::json!({ "pad": "x".repeat(70_000) })),
        _ => Script::json(200, &serde_json::json!({ "action": "allow" })),
    });
    let bench = Bench::with_store(&clock, MemoryStore::new(&clock));
    let target = Target::new(&"chat".into(), Role::To, app.url().parse().expect("an address"), &bench.parts());
    let event = |body: &'static str| Event {
        webhook: "chat".into(),
        key: EventKey::of_body(body.as_bytes()),
        proof: ProofKey::of(b"proof"),
        order: None,
        event: None,
        id: None,
        received: NOW,
        headers: vec![(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body: Bytes::from_static(body.as_bytes()),
    };
    let deadline = clock.moment().plus(3 * SECOND);
    let outcome = target.send(&event("{}"), deadline, 65_536).await.expect("sent");
    assert_eq!(outcome.answer.as_deref(), Some(&br#"{"action":"allow"}"#[..]));
    let outcome = target.send(&event(r#"{"big":true}"#), deadline, 65_536).await.expect("sent");
    assert_eq!((outcome.status, outcome.answer), (Some(200), None), "an answer that is cut is none");
    let calls = app.calls();
    assert_eq!(calls[0].header("webhook-id"), EventKey::of_body(b"{}").webhook_id("chat"));
    assert_eq!(calls[0].header("sidemint-attempt"), "1");
    assert_eq!(calls[0].header("sidemint-event"), "");
}
