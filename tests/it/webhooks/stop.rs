//! The end of the service while a provider is still posting.

use std::sync::Arc;

use sidemint::app::Ended;

use super::fixture::{Application, HOOK, Setup, signature};
use crate::harness::clock;

const EVENT: &str = r#"{"event":"message.created","room":"r1","text":"hello"}"#;

/// What is answered 200 goes to the fallback, however late its body came.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_body_comes_during_the_drain_goes_to_the_fallback() {
    let clock = clock();
    let fallback = Application::start(Arc::clone(&clock)).await;
    let lines = format!("fallback = \"{}{HOOK}\"", fallback.fake.base_url());
    let fixture = Setup { lines, clock, ..Setup::default() }.start().await;
    let mut late = fixture.connect().await;
    let signature = signature(EVENT.as_bytes());
    let head = format!(
        "POST /webhooks/chat HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-Signature: {signature}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        EVENT.len()
    );
    late.send(head).await;
    // The body is being read: the request has its place.
    assert_eq!(late.answer().await.expect("an interim answer").status, 100);
    fixture.service.begin_stop();
    fixture.service.lifecycle.draining().cancelled().await;
    late.send(EVENT).await;
    assert_eq!(late.answer().await.expect("an answer").status, 200);
    assert_eq!(fixture.service.stop().await, Ended::Drained);
    assert_eq!(fallback.received().len(), 1);
}
