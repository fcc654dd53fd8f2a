//! Hostile and broken answers of the provider, on both calls. Each is classified and counted, nothing of it is passed
//! on, and the service goes on as before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::client::Answer;
use crate::eventually::as_time_passes;
use crate::fakes::http::Script;
use crate::harness::{NOW, Service};

const USERS: &str = "/v1/users";
const TOKEN: &str = "/v1/auth/token";
/// Stands in every answer of the provider, and must stand in nothing of ours.
const WORD: &str = "PROVIDER-WORD-b81f";

const BAD: &str = "provider_bad_answer";
const DOWN: &str = "provider_unavailable";
const KEY: &str = "provider_credentials";
const LIMITED: &str = "provider_rate_limited";
const OK: &str = "ok";

/// Name, what the provider does, and the code of our answer when it does so on the upsert and on the mint.
type Case = (&'static str, Script, &'static str, &'static str);

/// An answer with headers of its own choice and a length.
fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Script {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Script::Answer { status, headers, body: body.into() }
}

fn raw(bytes: impl Into<Vec<u8>>) -> Script {
    Script::Raw(bytes.into())
}

fn good() -> Value {
    json!({"token": "good", "expiresAt": "2026-05-04T19:40:00.000Z", "word": WORD})
}

/// A good answer with one member changed, `null` included.
fn with(member: &str, value: Value) -> Script {
    let mut body = good();
    body[member] = value;
    Script::json(200, &body)
}

fn without(member: &str) -> Script {
    let mut body = good();
    body.as_object_mut().unwrap().remove(member);
    Script::json(200, &body)
}

fn jwt(exp: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(json!({ "exp": exp }).to_string()))
}

/// Sets the provider up to misbehave on one call, asks, and checks everything that holds for every case.
async fn provoke((name, script, on_upsert, on_mint): Case) {
    for (path, expected) in [(USERS, on_upsert), (TOKEN, on_mint)] {
        let (service, fake) = Service::sendsar_with("retries = 0\ntimeout = \"2s\"", &[]).await;
        fake.always(TOKEN, Some(Script::json(200, &good())));
        fake.always(path, Some(script.clone()));
        let waits = matches!(script, Script::Stall(_) | Script::Silence);
        let (answer, ()) = tokio::join!(service.session("alice"), async {
            fake.until(|fake| fake.count(path) == 1).await;
            if waits {
                service.advance(2);
            }
        });
        check(&format!("{name} on {path}"), &answer, expected);
        assert_eq!(fake.count(path), 1, "{name} on {path}: called once");
        assert_eq!(fake.calls().len(), if path == USERS && expected != OK { 1 } else { 2 }, "{name} on {path}");
        let line = service.log_lines(1).await.pop().unwrap();
        assert_eq!(line["outcome"], expected, "{name} on {path}");
        assert!(!service.log().contains(WORD), "{name} on {path}");
        assert!(!service.ops("/metrics").await.text().contains(WORD), "{name} on {path}");
        // Past every pause of breaker and provider, the service works as before.
        fake.breaks(None);
        service.advance(61);
        assert_eq!(service.session("bob").await.status, 200, "{name} on {path}: healthy afterwards");
    }
}

/// All at once: every case has a service and a provider of its own.
async fn provoke_all(cases: impl IntoIterator<Item = Case>) {
    let mut under_way = tokio::task::JoinSet::new();
    for case in cases {
        under_way.spawn(provoke(case));
    }
    assert!(!under_way.is_empty());
    under_way.join_all().await;
}

fn check(what: &str, answer: &Answer, expected: &str) {
    assert!(!answer.text().contains(WORD), "{what}: {answer:?}");
    assert!(answer.headers.iter().all(|(_, value)| !value.contains(WORD)), "{what}: {answer:?}");
    if expected == OK {
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
    } else {
        assert_eq!((answer.status, answer.code().as_str()), (503, expected), "{what}");
        let shown = if expected == KEY { None } else { answer.header("retry-after") };
        let seconds = shown.map(|text| text.parse::<u64>().expect(what));
        assert!(seconds.is_none_or(|seconds| (1..=60).contains(&seconds)), "{what}: Retry-After {shown:?}");
        assert!(answer.text().len() < 200, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_answer_are_refused() {
    let filler = "x".repeat(300 * 1024);
    let nested = |n: usize| format!("{}\"{WORD}\"{}", "[".repeat(n), "]".repeat(n));
    let deep = format!("{{\"token\":\"good\",\"expiresAt\":\"2026-05-04T19:40:00Z\",\"x\":{}}}", nested(10_000));
    // The upsert's own answer is not needed, so only its status and size count.
    provoke_all([
        ("HTML", Script::text(200, "text/html", format!("<html>{WORD}</html>")), OK, BAD),
        ("an empty body", answer(200, &[], ""), OK, BAD),
        ("no content", raw("HTTP/1.1 204 No Content\r\n\r\n"), OK, BAD),
        ("a JSON array", Script::json(200, &json!([WORD])), OK, BAD),
        ("a JSON text", Script::json(200, &json!(WORD)), OK, BAD),
        ("JSON cut short", Script::text(200, "application/json", format!("{{\"token\":\"{WORD}")), OK, BAD),
        ("not UTF-8", Script::text(200, "application/json", b"{\"token\":\"\xff\xfe\"}".to_vec()), OK, BAD),
        ("10,000 nested arrays", Script::text(200, "application/json", nested(10_000)), OK, BAD),
        ("a good token beside 10,000 nested arrays", Script::text(200, "application/json", deep), OK, BAD),
        ("300 KiB", Script::json(200, &json!({"token": "good", "x": filler})), BAD, BAD),
        ("300 KiB of error", Script::text(500, "text/plain", filler.clone()), BAD, BAD),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_break_http_are_refused() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let body = good().to_string();
    let length = format!("Content-Length: {}\r\n\r\n", body.len() + 100);
    let many = format!("X: {WORD}\r\n").repeat(500);
    let chunk = format!("1000\r\n{}\r\n", "y".repeat(0x1000));
    provoke_all([
        (
            "endless chunks",
            Script::Endless(format!("{head}Transfer-Encoding: chunked\r\n\r\n").into(), chunk.into()),
            BAD,
            BAD,
        ),
        ("an endless body", Script::Endless(format!("{head}\r\n").into(), vec![b'z'; 4096]), BAD, BAD),
        ("a body that stops", Script::Stall(format!("{head}{length}{body}").into()), DOWN, DOWN),
        ("a head that stops", Script::Stall(head.into()), DOWN, DOWN),
        ("silence", Script::Silence, DOWN, DOWN),
        ("a reset", Script::Reset, DOWN, DOWN),
        ("a body shorter than its length", raw(format!("{head}{length}{body}")), DOWN, DOWN),
        ("a chunk cut short", raw(format!("{head}Transfer-Encoding: chunked\r\n\r\nff\r\n{body}")), DOWN, DOWN),
        ("bytes that are not HTTP", raw(format!("{WORD}\r\n\r\n")), DOWN, DOWN),
        ("binary", raw(vec![0_u8, 255, 1, 254, 13, 10, 13, 10]), DOWN, DOWN),
        ("500 header lines", raw(format!("{head}{many}Content-Length: 2\r\n\r\n{{}}")), DOWN, DOWN),
        ("nothing but an interim answer", raw("HTTP/1.1 100 Continue\r\n\r\n"), DOWN, DOWN),
        (
            "early hints before the answer",
            raw(format!("HTTP/1.1 103 Early Hints\r\nLink: <{WORD}>\r\n\r\n{head}\r\n{body}")),
            OK,
            OK,
        ),
        (
            "switching protocols",
            raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
            BAD,
            BAD,
        ),
        ("a status that does not exist", raw(format!("HTTP/1.1 799 {WORD}\r\nContent-Length: 0\r\n\r\n")), BAD, BAD),
        (
            "gzip, which was not asked for",
            answer(200, &[("Content-Encoding", "gzip")], vec![0x1f, 0x8b, 8, 0, 0]),
            OK,
            BAD,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_no_client_could_use_are_refused() {
    provoke_all([
        ("no token", without("token"), OK, BAD),
        ("a number", with("token", json!(1_234_567)), OK, BAD),
        ("null", with("token", Value::Null), OK, BAD),
        ("an object", with("token", json!({"jwt": WORD})), OK, BAD),
        ("a list", with("token", json!([WORD])), OK, BAD),
        ("empty text", with("token", json!("")), OK, BAD),
        ("a space", with("token", json!(format!("{WORD} x"))), OK, BAD),
        ("a line break", with("token", json!(format!("{WORD}\r\nX-Evil: 1"))), OK, BAD),
        ("NUL", with("token", json!(format!("{WORD}\u{0}"))), OK, BAD),
        ("a letter beyond ASCII", with("token", json!(format!("{WORD}é"))), OK, BAD),
        ("20 KiB", with("token", json!("t".repeat(20 * 1024))), OK, BAD),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_that_cannot_be_right_are_refused() {
    let past = NOW.as_seconds() - 1;
    provoke_all([
        ("none, opaque token", without("expiresAt"), OK, BAD),
        ("null, opaque token", with("expiresAt", Value::Null), OK, BAD),
        ("in the past", with("expiresAt", json!("2026-05-04T18:39:59Z")), OK, BAD),
        ("now", with("expiresAt", json!("2026-05-04T18:40:00Z")), OK, BAD),
        ("within the margin", with("expiresAt", json!("2026-05-04T18:45:05Z")), OK, BAD),
        ("a number of seconds", with("expiresAt", json!(1_777_923_600)), OK, BAD),
        ("a number as text", with("expiresAt", json!("1777923600")), OK, BAD),
        ("words", with("expiresAt", json!(WORD)), OK, BAD),
        ("a date alone", with("expiresAt", json!("2026-05-05")), OK, BAD),
        ("no offset", with("expiresAt", json!("2026-05-04T19:40:00")), OK, BAD),
        ("an object", with("expiresAt", json!({"at": WORD})), OK, BAD),
        ("year 30000", with("expiresAt", json!("+030000-01-01T00:00:00Z")), OK, BAD),
        ("in the JWT, past", token_alone(&jwt(&json!(past))), OK, BAD),
        ("in the JWT, absurd", token_alone(&jwt(&json!(884_541_600_000_i64))), OK, BAD),
        ("in the JWT, infinite", token_alone(&jwt(&json!(1e300))), OK, BAD),
        ("in the JWT, text", token_alone(&jwt(&json!("1777923600"))), OK, BAD),
        ("in the JWT, and unreadable beside it", token_and(&jwt(&json!(1_777_923_600)), json!("soon")), OK, BAD),
        ("null, and a JWT that tells", token_and(&jwt(&json!(1_777_923_600)), Value::Null), OK, OK),
    ])
    .await;
}

fn token_alone(token: &str) -> Script {
    Script::json(200, &json!({ "token": token }))
}

fn token_and(token: &str, expires: Value) -> Script {
    Script::json(200, &json!({ "token": token, "expiresAt": expires }))
}

/// T-39, and: a token in an answer that is not a success is no token.
#[tokio::test(flavor = "multi_thread")]
async fn failures_are_what_their_status_says_whatever_their_body_holds() {
    let cases = [
        (400, BAD),
        (401, KEY),
        (403, KEY),
        (402, BAD),
        (404, BAD),
        (408, DOWN),
        (409, BAD),
        (418, BAD),
        (422, BAD),
        (429, LIMITED),
        (451, BAD),
        (500, DOWN),
        (501, DOWN),
        (502, DOWN),
        (503, DOWN),
        (504, DOWN),
        (599, DOWN),
        (300, BAD),
        (304, BAD),
        (600, BAD),
    ];
    // 304 has no body by definition; the fake sends one all the same.
    provoke_all(cases.map(|(status, code)| ("a good body", Script::json(status, &good()), code, code))).await;
}

/// The API key and the user never follow a redirect.
#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("http://{}/{WORD}", listener.local_addr().unwrap());
    let visits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&visits);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let redirect = |status| answer(status, &[("Location", &elsewhere)], good().to_string());
    provoke_all([301, 302, 303, 307, 308].map(|status| ("a redirect", redirect(status), BAD, BAD))).await;
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_retry_after_is_taken_within_reason() {
    let advices = [
        "-1",
        "0",
        "1.5",
        "soon",
        "",
        "7s",
        "Wed, 21 Oct 2099 07:28:00 GMT",
        "1000000000000",
        "18446744073709551615",
        "99999999999999999999",
    ];
    for (status, code) in [(429, LIMITED), (503, DOWN)] {
        let script = |advice| answer(status, &[("Retry-After", advice)], WORD);
        provoke_all(advices.map(|advice| (advice, script(advice), code, code))).await;
    }
}

/// JSON leaves open which of two equal names counts; we read it as browsers do.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_members_with_one_name_the_last_counts() {
    let (service, fake) = Service::sendsar().await;
    let body =
        "{\"token\":\"first\",\"token\":\"second\",\"expiresAt\":\"soon\",\"expiresAt\":\"2026-05-04T19:40:00Z\"}";
    fake.next(TOKEN, Script::text(200, "application/json", body));
    let answer = service.session("alice").await;
    assert_eq!((answer.status, &answer.json()["token"]), (200, &json!("second")));
    assert_eq!(answer.json()["expiresAt"], "2026-05-04T19:40:00.000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_is_not_asked_for() {
    let (service, fake) = Service::sendsar().await;
    assert_eq!(service.session("alice").await.status, 200);
    assert!(fake.calls().iter().all(|call| !call.headers.contains_key("accept-encoding")), "{:?}", fake.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_class_of_failure_is_counted_by_step() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let metric = |step: &str, outcome: &str| {
        format!("sidemint_provider_calls_total{{outcome=\"{outcome}\",provider=\"chat\",step=\"{step}\"}}")
    };
    for (status, outcome) in [
        (400, "rejected"),
        (401, "credential_rejected"),
        (404, "user_missing"),
        (429, "rate_limited"),
        (500, "unavailable"),
        (302, "bad_response"),
    ] {
        fake.next(TOKEN, Script::text(status, "text/plain", WORD));
        assert_eq!(service.session(&format!("user{status}")).await.status, 503);
        assert!((service.metric(&metric("mint", outcome)).await - 1.0).abs() < 0.1, "{outcome}");
        service.advance(61);
    }
    assert!((service.metric(&metric("upsert", "ok")).await - 6.0).abs() < 0.1);
    assert!(service.metric(&metric("mint", "ok")).await.abs() < 0.1);
}

/// T-39: a provider that always fails sees three calls for one request, and one where a repeat would be no use.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_failing_provider_are_bounded() {
    for (script, calls) in [
        (Script::text(500, "text/plain", WORD), 3),
        (Script::Reset, 3),
        (Script::text(200, "text/html", WORD), 1),
        (Script::text(400, "text/plain", WORD), 1),
        (Script::text(429, "text/plain", WORD), 1),
    ] {
        let (service, fake) = Service::sendsar_with("timeout = \"60s\"", &[]).await;
        fake.always(TOKEN, Some(script.clone()));
        let step = std::time::Duration::from_millis(5);
        let answer = as_time_passes(&service.clock, step, service.session("alice")).await;
        assert_eq!(answer.status, 503, "{script:?}");
        assert_eq!(fake.mints(), calls, "{script:?}");
    }
}
