//! What the log tells of deliveries: each attempt that failed, a target that goes down and comes back, an event that is put
//! aside; and nothing of what is in an event.

use std::io::Write;
use std::sync::Mutex;

use serde_json::Value;

use super::*;

/// Everything that is written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Lines with this message.
    fn of(&self, message: &str) -> Vec<Value> {
        let lines = self.text();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with(message))).collect()
    }
}

#[tokio::test]
async fn the_log_tells_what_failed_and_nothing_of_events() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
    // The test has one thread, so everything of it is seen.
    let _guard = tracing::subscriber::set_default(subscriber);
    let clock = clock();
    let app = Application::start(&clock).await;
    let bench = Bench::start(&clock, &app.url(), None);
    app.answers(|call| answer(if call.json["text"] == "canary-refused" { 422 } else { 503 }));
    bench.store.put(None, r#"{"text":"canary-refused"}"#);
    bench.until("dead", || !bench.store.dead().is_empty()).await;
    let failed = lines.of("delivery failed");
    assert_eq!(failed.len(), 3, "{}", lines.text());
    let line = &failed[0];
    assert_eq!(
        (&line["webhook"], &line["webhook_id"], &line["destination"]),
        (&"chat".into(), &"evt_1".into(), &"to".into())
    );
    assert_eq!((&line["outcome"], &line["status"]), (&"refused".into(), &422.into()));
    assert!(line["milliseconds"].is_u64());
    let aside = lines.of("event is put aside");
    assert_eq!((aside.len(), &aside[0]["level"], &aside[0]["webhook_id"]), (1, &"WARN".into(), &"evt_1".into()));

    (0..30).for_each(|_| _ = bench.store.put(None, r#"{"text":"canary-body"}"#));
    bench.until("some probes", || app.count() > 30).await;
    let down = lines.of("target is down");
    assert_eq!(
        (down.len(), &down[0]["level"], &down[0]["status"]),
        (1, &"WARN".into(), &503.into()),
        "once, however long"
    );
    app.answers(|_| answer(200));
    bench.until("delivered", || bench.pending() == 0).await;
    let up = lines.of("target is up again");
    assert_eq!((up.len(), &up[0]["level"]), (1, &"INFO".into()));
    assert!(up[0]["seconds"].is_u64());
    for secret in ["canary", "id-1", "message.new", "whsec_"] {
        assert!(!lines.text().contains(secret), "{secret}");
    }
}
