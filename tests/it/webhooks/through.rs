//! `mode = "through"`: the provider has the application's answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::fixture::{Fixture, HOOK, Setup};
use crate::eventually::{as_time_passes, eventually};
use crate::fakes::http::Script;

const EVENT: &str = r#"{"event":"message.before_send","room":"r1","text":"hello"}"#;

async fn through(lines: &str) -> Fixture {
    Setup { lines: format!("mode = \"through\"\n{lines}"), ..Setup::default() }.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_decides() {
    let fixture = through("").await;
    assert!(!fixture.folder.path().join("queue").exists(), "no disk is used");
    for script in [
        Script::text(500, "text/plain", "no"),
        Script::text(400, "text/plain", "no"),
        Script::text(302, "text/plain", ""),
        Script::Reset,
    ] {
        fixture.application.next(script);
        let answer = fixture.post(EVENT).await;
        assert_eq!(
            (answer.status, answer.code().as_str(), answer.header("retry-after")),
            (503, "webhook_unavailable", Some("5"))
        );
    }
    assert_eq!(fixture.ended("not_taken").await, 4);
    let answer = fixture.post(EVENT).await;
    assert_eq!((answer.status, answer.text()), (200, ""), "what was not taken is asked again");
    assert_eq!(fixture.application.received().len(), 1);
    assert_eq!(fixture.ended("accepted").await, 1);
}

/// W-03: what was taken is a repeat, and one that comes meanwhile waits for the same answer.
#[tokio::test(flavor = "multi_thread")]
async fn repeats_join_the_flight_and_are_known_afterwards() {
    let fixture = through("").await;
    let gate = Arc::new(Semaphore::new(0));
    fixture.application.next(Script::After(Arc::clone(&gate), Box::new(Script::text(204, "text/plain", ""))));
    let asked = || fixture.application.fake.calls().iter().filter(|call| call.path == HOOK).count();
    let both = async {
        tokio::join!(fixture.post(EVENT), async {
            eventually("the application is asked", async || asked() == 1).await;
            let second = fixture.post(EVENT);
            let open = async {
                eventually("two requests wait", async || {
                    fixture.number("sidemint_webhook_verified_total{name=\"chat\",secret=\"current\"}").await > 1
                })
                .await;
                gate.add_permits(1);
            };
            tokio::join!(second, open).0
        })
    };
    let (first, second) = both.await;
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(fixture.post(EVENT).await.status, 200);
    assert_eq!(asked(), 1, "one delivery");
    assert_eq!((fixture.ended("accepted").await, fixture.ended("duplicate").await), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_does_not_answer_in_time_is_not_waited_for() {
    let fixture = through("").await;
    fixture.application.next(Script::Silence);
    let clock = Arc::clone(&fixture.service.clock);
    let answer = as_time_passes(&clock, Duration::from_millis(100), fixture.post(EVENT)).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "webhook_unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_gets_what_the_application_says() {
    let fixture = through("relay = true").await;
    let said = r#"{"message":{"text":"h***o"}}"#;
    fixture.application.next(Script::text(200, "application/json", said));
    let answer = fixture.post(EVENT).await;
    assert_eq!((answer.status, answer.text(), answer.header("content-type")), (200, said, Some("application/json")));
    let again = fixture.post(EVENT).await;
    assert_eq!((again.status, again.text()), (200, said), "one who asks again hears the same");
    for script in [
        Script::text(200, "text/html", "<html>"),
        Script::text(200, "application/json", format!("\"{}\"", "x".repeat(65_536))),
    ] {
        fixture.application.next(script);
        let other = EVENT.replace("hello", "other");
        assert_eq!(fixture.post(&other).await.status, 503);
    }
    fixture.application.next(Script::text(204, "text/plain", ""));
    let answer = fixture.post(&EVENT.replace("hello", "nothing")).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
}
