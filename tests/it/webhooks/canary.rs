//! W-24: secrets, bodies and addresses of people are words that stand nowhere else, and none of them is found in an output.

use sidemint::config::Environment;

use super::fixture::{Application, Fixture, SECRET, SIGN_KEY, Setup, TIMED, signature};
use crate::canary::{Traces, assert_clean};
use crate::client::{Answer, request};
use crate::fakes::http::Script;
use crate::harness::{clock, draw_with};

const BODY: &str =
    r#"{"event":"CANARYevent","room":"CANARYroom","user":{"email":"CANARYmail@secret.example"},"text":"CANARYtext"}"#;

fn is_clean(what: &str, answer: &Answer) {
    assert_clean(what, &format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body)));
}

/// Requests that end in every way that a request of a provider, and of a stranger, can end.
async fn exercise(fixture: &Fixture) {
    let time = sidemint::clock::Clock::now(&*fixture.service.clock);
    is_clean("an event", &fixture.post_at(time, "CANARYid", BODY).await);
    is_clean("a repeat", &fixture.post_at(time, "CANARYother", BODY).await);
    let now = time.as_seconds().to_string();
    let good = signature(format!("{now}.{BODY}").as_bytes());
    for headers in [
        &[("X-Timestamp", &*now), ("X-Event-Id", "CANARYid")][..],
        &[("X-Timestamp", "CANARYtime"), ("X-Signature", &*good)],
        &[("X-Timestamp", &*now), ("X-Signature", "CANARYsignature")],
        &[("X-Timestamp", "1"), ("X-Signature", &*good), ("X-Event-Id", "CANARYid")],
        &[
            ("X-Timestamp", &*now),
            ("X-Signature", "sha256=0000000000000000000000000000000000000000000000000000000000000000"),
        ],
        &[("X-Timestamp", &*now), ("X-Signature", &*good), ("Content-Encoding", "CANARYcoding")],
    ] {
        is_clean("a refusal", &fixture.send(headers, BODY.as_bytes()).await);
    }
    for (method, path) in
        [("GET", "/webhooks/chat?CANARYquery=1"), ("CANARYMETHOD", "/webhooks/chat"), ("POST", "/webhooks/CANARYname")]
    {
        let mut connection = fixture.connect().await;
        connection.send(request(method, path, &[("Cookie", "CANARYcookie")], BODY.as_bytes())).await;
        is_clean(path, &connection.answer().await.expect("an answer"));
    }
}

/// W-24: in no answer, no line, no metric and no `Debug`.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_body_or_address_is_found_where_it_does_not_belong() {
    let traces = Traces::capture();
    let fixture = Setup { preset: "timed-hooks", ..Setup::default() }.start().await;
    for (status, body) in [(500, "CANARYanswer"), (400, "CANARYanswer"), (302, "CANARYanswer")] {
        fixture.application.next(Script::text(status, "text/plain", body));
        exercise(&fixture).await;
        fixture.service.advance(60);
    }
    fixture.application.next(Script::Raw(b"CANARYgarbage".to_vec()));
    exercise(&fixture).await;
    for _ in 0..20 {
        fixture.service.advance(2);
        tokio::task::yield_now().await;
    }
    fixture.application.has(1).await;
    assert!(fixture.service.log_lines(10).await.len() >= 10);
    assert_clean("the request log", &fixture.service.log());
    assert_clean("the log", &traces.text());
    for path in ["/metrics", "/readyz"] {
        let answer = fixture.service.ops(path).await;
        assert_clean(path, answer.text());
    }
    let metrics = fixture.service.ops("/metrics").await;
    assert!(metrics.text().contains("sidemint_webhook_requests_total"), "webhooks are counted");
    fixture.service.stop().await;
}

/// W-24: what is configured shows its files, and not what is in them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_configured_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let application = Application::start(clock()).await;
    let text = Setup { preset: "timed-hooks", ..Setup::default() }.text(folder.path(), &application.fake.base_url());
    let blueprint = draw_with(&text, &Environment::default(), clock(), &[("timed-hooks", TIMED)]).unwrap();
    let shown = format!("{blueprint} {blueprint:?} {:?}", blueprint.config());
    assert!(shown.contains("/webhooks/chat: provider events, stored"), "{shown}");
    assert_clean("Blueprint", &shown);
    for text in ["no key", "whsec_CANARYshort", "CANARYkey"] {
        std::fs::write(folder.path().join("sign-key"), text).unwrap();
        let again =
            Setup { preset: "timed-hooks", ..Setup::default() }.text(folder.path(), &application.fake.base_url());
        std::fs::write(folder.path().join("sign-key"), text).unwrap();
        let refused = draw_with(&again, &Environment::default(), clock(), &[("timed-hooks", TIMED)]).unwrap_err();
        assert!(refused.to_string().contains("webhooks.chat.sign_key_file"), "{refused}");
        assert_clean("a mistake", &refused.to_string());
    }
    assert!(SECRET.contains("CANARY") && SIGN_KEY.contains("CANARY"));
}
