//! W-15: questions of a provider. What nothing proves is answered only where the operator says so, and then with plain text.

use super::fixture::{Fixture, PATH, PLAIN, Setup};
use crate::client::Answer;

/// The token that a question must hold.
const TOKEN: &str = "CANARYverifytoken0123456789";

/// Proven and unproven questions beside the events of `plain-hooks`.
fn asking() -> String {
    PLAIN.replace("plain-hooks", "asking-hooks")
        + r#"
[[webhook.challenge]]
json = "/type"
is = "url_verification"
answer = { text = { json = "/challenge" } }
[[webhook.challenge]]
method = "GET"
query = "hub.challenge"
require = { query = "hub.verify_token", secret = "verify_token" }
[[webhook.challenge]]
method = "OPTIONS"
header = "WebHook-Request-Origin"
allow = ["eventemitter.example.com"]
[settings.verify_token]
about = "Token of the handshake."
secret = true
optional = true
"#
}

async fn fixture(lines: &str) -> (Fixture, tempfile::NamedTempFile) {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), TOKEN).unwrap();
    let file = format!("\"{}\"", token.path().display());
    let setup = Setup {
        preset: "asking-hooks",
        lines: lines.to_owned(),
        definitions: vec![("asking-hooks", asking())],
        overrides: vec![("providers.events.verify_token_file", file)],
        ..Setup::default()
    };
    (setup.start().await, token)
}

async fn ask(fixture: &Fixture, method: &str, query: &str, headers: &[(&str, &str)]) -> Answer {
    fixture.connect().await.ask(method, &format!("{PATH}{query}"), headers).await
}

/// W-15: what is proven is answered in plain text, and not delivered; what is no plain text is not repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_proven_question_is_answered_in_plain_text() {
    let (fixture, _token) = fixture("").await;
    let asked = r#"{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}"#;
    let answer = fixture.post(asked).await;
    assert_eq!((answer.status, answer.text()), (200, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(fixture.ended("challenge").await, 1);
    for text in ["two words", "a\\r\\nSet-Cookie: a=b", &"x".repeat(257)] {
        let asked = format!(r#"{{"type":"url_verification","challenge":"{text}"}}"#);
        assert_eq!(fixture.post(&asked).await.status, 401, "{text}");
    }
    assert_eq!(fixture.send(&[], asked.as_bytes()).await.status, 401, "unproven");
    assert!(fixture.application.received().is_empty());
}

/// W-15: what nothing proves is not answered without leave, nor without the token.
#[tokio::test(flavor = "multi_thread")]
async fn questions_that_nothing_proves_need_leave() {
    let right = format!("?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={TOKEN}");
    let (closed, _token) = fixture("").await;
    assert_eq!(ask(&closed, "GET", &right, &[]).await.status, 405);
    let origin = [("WebHook-Request-Origin", "eventemitter.example.com")];
    assert_eq!(ask(&closed, "OPTIONS", "", &origin).await.status, 405);

    let (open, _token) = fixture("handshake = true").await;
    let answer = ask(&open, "GET", &right, &[]).await;
    assert_eq!((answer.status, answer.text()), (200, "1158201444"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    for query in [
        "?hub.challenge=1158201444".to_owned(),
        "?hub.challenge=1158201444&hub.verify_token=wrong".to_owned(),
        format!("?hub.challenge=%3Cscript%3E%20&hub.verify_token={TOKEN}"),
    ] {
        assert_eq!(ask(&open, "GET", &query, &[]).await.status, 401, "{query}");
    }
    let answer = ask(&open, "OPTIONS", "", &origin).await;
    assert_eq!((answer.status, answer.header("webhook-allowed-origin")), (200, Some("eventemitter.example.com")));
    let other = [("WebHook-Request-Origin", "evil.example.com")];
    assert_eq!(ask(&open, "OPTIONS", "", &other).await.status, 401);
    assert_eq!(open.post("{}").await.status, 200, "events are still events");
}
