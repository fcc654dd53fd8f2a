//! The life of a request at the listener for providers.

use serde_json::json;

use super::fixture::{Fixture, PATH, PLAIN, Setup, signature};
use crate::canary::Traces;
use crate::client::request;

const EVENT: &str = r#"{"event":"message.created","room":"r1","text":"hello"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_proven_kept_answered_and_delivered() {
    let fixture = Fixture::start().await;
    let answer = fixture.post(EVENT).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    assert!(answer.header("content-type").is_none(), "{answer:?}");
    let received = fixture.application.has(1).await;
    assert_eq!(received[0].text(), EVENT);
    assert_eq!(received[0].attempt, 1);
    assert!(received[0].id.starts_with("evt_"), "{}", received[0].id);
    let header = |name| received[0].call.header(name).to_owned();
    assert_eq!(
        (header("sidemint-webhook"), header("sidemint-event")),
        ("chat".to_owned(), "message.created".to_owned())
    );
    assert_eq!(header("content-type"), "application/json");
    assert!(header("x-signature").is_empty(), "the provider's signature stays here");
    assert_eq!(fixture.ended("accepted").await, 1);
    assert_eq!(fixture.number("sidemint_webhook_verified_total{name=\"chat\",secret=\"current\"}").await, 1);
}

/// W-01, W-02: what is not proven gets one answer whatever the reason is, and goes nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proven_is_refused_with_one_answer() {
    let fixture = Fixture::start().await;
    let good = signature(EVENT.as_bytes());
    let (good, upper) = (good.as_str(), good.to_uppercase());
    let cases = [
        (vec![], EVENT, "missing_signature"),
        (vec![("X-Signature", good), ("X-Signature", good)], EVENT, "missing_signature"),
        (vec![("X-Signature", "")], EVENT, "missing_signature"),
        (vec![("X-Signature", "sha256=00")], EVENT, "bad_format"),
        (vec![("X-Signature", upper.as_str())], EVENT, "bad_format"),
        (vec![("X-Signature", &good[7..])], EVENT, "bad_format"),
        (vec![("X-Signature", good)], &EVENT[1..], "mismatch"),
        (vec![("X-Signature", good)], r#"{"event":"message.created","room":"r1","text":"hello"} "#, "mismatch"),
        (vec![("X-Signature", good)], "", "mismatch"),
    ];
    let mut answers = Vec::new();
    for (headers, body, reason) in &cases {
        let before = fixture.ended(reason).await;
        let mut answer = fixture.send(headers, body.as_bytes()).await;
        assert_eq!(answer.status, 401, "{headers:?} {body}");
        assert_eq!(fixture.ended(reason).await, before + 1, "{reason}: {headers:?}");
        let mut told = answer.json();
        told.as_object_mut().unwrap().remove("requestId").unwrap();
        answer.headers.retain(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()));
        answers.push((answer.headers, told));
    }
    assert_eq!(answers[0].1, json!({"error": "Unauthorized", "code": "unauthorized"}));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(fixture.post(EVENT).await.status, 200);
    assert_eq!(fixture.application.has(1).await.len(), 1, "nothing but the good one arrives");
    assert_eq!(fixture.ended("accepted").await, 1);
}

/// W-25: each listener has its own paths.
#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_served_on_their_own_listener_alone() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.send_to("/webhooks/other", &[], b"{}").await.code(), "not_found");
    assert_eq!(fixture.send_to("/webhooks/chat/", &[], b"{}").await.status, 404);
    assert_eq!(fixture.send_to("/.well-known/jwks.json", &[], b"{}").await.status, 404);
    assert_eq!(fixture.connect().await.ask("GET", "/metrics", &[]).await.status, 404);
    let signature = signature(EVENT.as_bytes());
    let mut front = fixture.service.connect().await;
    front.send(request("POST", PATH, &[("X-Signature", &signature)], EVENT.as_bytes())).await;
    assert_eq!(front.answer().await.unwrap().status, 404);
    let other = fixture.connect().await.ask("GET", PATH, &[]).await;
    assert_eq!((other.code().as_str(), other.header("allow")), ("method_not_allowed", Some("POST")));
}

/// W-03: a delivery that was captured is a repeat.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_answered_and_not_delivered_again() {
    let fixture = Fixture::start().await;
    for _ in 0..3 {
        assert_eq!(fixture.post(EVENT).await.status, 200);
    }
    assert_eq!(fixture.ended("duplicate").await, 2);
    let other = EVENT.replace("hello", "again");
    assert_eq!(fixture.post(&other).await.status, 200);
    let texts: Vec<String> = fixture.application.has(2).await.iter().map(|own| own.text().to_owned()).collect();
    assert_eq!(texts, [EVENT, &other]);
}

/// W-04, W-05: an id that nothing proves makes no event new, and none a repeat.
#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_id_decides_nothing_alone() {
    let fixture = Setup { preset: "timed-hooks", ..Setup::default() }.start().await;
    assert_eq!(fixture.post_timed("1", EVENT).await.status, 200);
    assert_eq!(fixture.post_timed("2", EVENT).await.status, 200, "captured, under a new id");
    assert_eq!(fixture.ended("duplicate").await, 1);
    let next = EVENT.replace("hello", "next");
    assert_eq!(fixture.post_timed("2", &next).await.status, 200, "the real one with that id");
    let texts: Vec<String> = fixture.application.has(2).await.iter().map(|own| own.text().to_owned()).collect();
    assert_eq!(texts, [EVENT, &next]);
}

/// Two bodies under one id: the second is a repeat where the id is signed, and another event where it is not. Both are told.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_comes_with_another_body_is_counted() {
    let signed = format!("{}id = {{ json = \"/id\" }}\n", PLAIN.replace("plain-hooks", "signed-ids"));
    let conflicts =
        async |fixture: &Fixture| fixture.number("sidemint_webhook_id_conflicts_total{name=\"chat\"}").await;
    let traces = Traces::capture();
    let lines = || traces.text().matches("under the id of another one").count();
    let fixture =
        Setup { preset: "signed-ids", definitions: vec![("signed-ids", signed)], ..Setup::default() }.start().await;
    for body in [r#"{"id":"e1","n":1}"#, r#"{"id":"e1","n":1}"#, r#"{"id":"e1","n":2}"#, r#"{"id":"e1","n":3}"#] {
        assert_eq!(fixture.post(body).await.status, 200);
    }
    assert_eq!((fixture.ended("accepted").await, fixture.ended("duplicate").await), (1, 3));
    assert_eq!((conflicts(&fixture).await, lines()), (2, 1));
    fixture.service.advance(60);
    assert_eq!(fixture.post(r#"{"id":"e1","n":4}"#).await.status, 200);
    assert_eq!((conflicts(&fixture).await, lines()), (3, 2));

    let fixture = Setup { preset: "timed-hooks", ..Setup::default() }.start().await;
    for body in [r#"{"n":1}"#, r#"{"n":1}"#, r#"{"n":2}"#] {
        assert_eq!(fixture.post_timed("e1", body).await.status, 200);
    }
    assert_eq!((fixture.ended("accepted").await, conflicts(&fixture).await), (2, 1));
    assert_eq!(fixture.application.has(2).await.len(), 2);
}

/// W-16: what a body asks to have called is not called.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_a_body_is_not_called() {
    let called = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = called.local_addr().unwrap();
    let fixture = Fixture::start().await;
    let body = json!({
        "Type": "SubscriptionConfirmation",
        "SubscribeURL": format!("http://{address}/?Action=ConfirmSubscription&Token=t"),
        "SigningCertURL": format!("http://{address}/certificate.pem"),
        "challenge": "c",
    });
    assert_eq!(fixture.post(&body.to_string()).await.status, 200);
    assert_eq!(fixture.post(EVENT).await.status, 200);
    fixture.application.has(2).await;
    // A call would wait in the queue of the listener before this one.
    let first = tokio::net::TcpStream::connect(address).await.unwrap();
    assert_eq!(called.accept().await.unwrap().1, first.local_addr().unwrap());
}

/// W-26: a clock that is off by ten minutes refuses everything, and says by how much it is off.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told() {
    let fixture = Setup { preset: "timed-hooks", ..Setup::default() }.start().await;
    let theirs = sidemint::clock::Clock::now(&*fixture.service.clock);
    fixture.service.advance(600);
    for id in ["1", "2", "3"] {
        assert_eq!(fixture.post_at(theirs, id, EVENT).await.status, 401);
    }
    assert_eq!(fixture.ended("stale").await, 3);
    assert_eq!(fixture.number("sidemint_webhook_clock_skew_seconds{name=\"chat\"}").await, -600);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_not_wanted_are_answered_and_not_kept() {
    let fixture =
        Setup { lines: "events = [\"message.*\", \"room.closed\"]".to_owned(), ..Setup::default() }.start().await;
    for (event, outcome) in [
        ("message.created", "accepted"),
        ("room.closed", "accepted"),
        ("room.closed.now", "filtered"),
        ("typing", "filtered"),
    ] {
        let before = fixture.ended(outcome).await;
        assert_eq!(fixture.post(&json!({"event": event}).to_string()).await.status, 200);
        assert_eq!(fixture.ended(outcome).await, before + 1, "{event}");
    }
    assert_eq!(fixture.post("{}").await.status, 200);
    assert_eq!(fixture.ended("accepted").await, 3, "an event whose name cannot be read is not thrown away");
    assert_eq!(fixture.application.has(3).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_limits_and_content_types() {
    let fixture = Setup { lines: "max_body_bytes = 1000".to_owned(), ..Setup::default() }.start().await;
    let long = format!("{{\"event\":\"{}\"}}", "a".repeat(1000));
    let answer = fixture.post(&long).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    let signed = signature(EVENT.as_bytes());
    for (headers, status) in [
        (&[("Content-Type", "text/html"), ("X-Signature", &*signed)][..], 415),
        (&[("X-Signature", &*signed)][..], 200),
        (&[("Content-Type", "application/json"), ("Content-Encoding", "br"), ("X-Signature", &*signed)][..], 415),
        (&[("Content-Type", "application/json; charset=utf-8"), ("X-Signature", &*signed)][..], 200),
    ] {
        let mut connection = fixture.connect().await;
        connection.send(request("POST", PATH, headers, EVENT.as_bytes())).await;
        assert_eq!(connection.answer().await.unwrap().status, status, "{headers:?}");
    }
    let bytes = b"{\"event\":\"\xff\"}";
    let answer = fixture.send(&[("X-Signature", &signature(bytes))], bytes).await;
    assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported"));
}

/// W-11: a request that cannot be proven has no body read.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_not_read_before_the_head_is_good() {
    let fixture = Setup { preset: "timed-hooks", ..Setup::default() }.start().await;
    let stale = (sidemint::clock::Clock::now(&*fixture.service.clock).as_seconds() - 301).to_string();
    let signed = signature(b"");
    for headers in [&[("Expect", "100-continue")][..], &[("X-Signature", &*signed), ("X-Timestamp", &*stale)][..]] {
        let mut connection = fixture.connect().await;
        let mut head =
            "POST /webhooks/chat HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 500\r\n"
                .to_owned();
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        connection.send(format!("{head}\r\n")).await;
        let answer = connection.answer().await.expect("an answer without a body");
        assert_eq!((answer.status, answer.header("connection")), (401, Some("close")), "{headers:?}");
    }
}

/// Address and body are signed.
fn with_address() -> String {
    PLAIN.replace("plain-hooks", "address-hooks").replace("{{ request.body }}", "{{ request.url }}{{ request.body }}")
}

/// W-12: the address that is signed is the one in the configuration, whatever a request says of hosts.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_says_of_its_host_has_no_part() {
    let fixture = Setup {
        preset: "address-hooks",
        lines: "public_url = \"https://hooks.example.com/webhooks/chat\"".to_owned(),
        definitions: vec![("address-hooks", with_address())],
        ..Setup::default()
    };
    let fixture = fixture.start().await;
    let of = |host: &str| signature(format!("https://{host}/webhooks/chat{EVENT}").as_bytes());
    for (host, status) in [("hooks.example.com", 200), ("evil.example.com", 401)] {
        let (signed, other) = (of(host), if status == 200 { "evil.example.com" } else { host });
        let headers = [
            ("X-Signature", signed.as_str()),
            ("Host", other),
            ("X-Forwarded-Host", other),
            ("X-Forwarded-Proto", "https"),
            ("Forwarded", "host=evil.example.com;proto=https"),
            ("X-Original-URL", "https://evil.example.com/webhooks/chat"),
        ];
        assert_eq!(fixture.send(&headers, EVENT.as_bytes()).await.status, status, "{host}");
    }
}

/// A service that only takes webhooks needs no routes, no identity and no peers.
#[tokio::test(flavor = "multi_thread")]
async fn webhooks_alone_are_a_whole_configuration() {
    let setup = Setup { overrides: vec![("identity", "{}".to_owned())], ..Setup::default() };
    let fixture = setup.start().await;
    assert_eq!(fixture.service.ops("/readyz").await.status, 200);
    assert_eq!(fixture.post(EVENT).await.status, 200);
}
