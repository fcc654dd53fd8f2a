//! A service with one preset, and what tests ask it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sidemint::clock::{ManualClock, Timestamp};
use sidemint::config::Environment;

pub(super) use super::{parts, sign_out};
use crate::client::Answer;
use crate::fakes::http::{Call, Script};
use crate::harness::{NOW, SESSION, Service, clock, config, draw};

/// A session route on `preset`; `lines` go into the provider's table. A failed call is not repeated: time stands still.
fn text(preset: &str, lines: &str) -> String {
    let rest = format!(
        "
[[routes]]
path = \"{SESSION}\"
answer = \"session\"
provider = \"chat\"
[providers.chat]
preset = \"{preset}\"
retries = 0
{lines}
"
    );
    config(&rest, &[])
}

/// The service at the time of the tests.
pub async fn start<const N: usize>(preset: &str, lines: &str, environment: [(&str, &str); N]) -> Service {
    start_at(NOW, preset, lines, environment).await
}

/// The service at the time of the machine, for servers that look at their own clock.
pub async fn start_today<const N: usize>(preset: &str, lines: &str, environment: [(&str, &str); N]) -> Service {
    start_at(today(), preset, lines, environment).await
}

/// The service at this time.
pub async fn start_at<const N: usize>(
    now: Timestamp,
    preset: &str,
    lines: &str,
    environment: [(&str, &str); N],
) -> Service {
    Service::start(&text(preset, lines), &Environment::of(environment), Arc::new(ManualClock::new(now))).await
}

/// The time of the machine, in whole seconds.
pub fn today() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_seconds(i64::try_from(since.as_secs()).unwrap())
}

/// Why a configuration is refused.
pub fn refused<const N: usize>(preset: &str, lines: &str, environment: [(&str, &str); N]) -> String {
    draw(&text(preset, lines), &Environment::of(environment), clock()).expect_err("refused").to_string()
}

/// Everything that the identity source can tell of a user.
pub fn alice() -> Vec<(&'static str, &'static str)> {
    vec![
        ("X-Forwarded-User", "alice"),
        ("X-Forwarded-Name", "Alice \"A\" Liddell"),
        ("X-Forwarded-Email", "alice@example.org"),
        ("X-Forwarded-Groups", "staff,admins"),
    ]
}

/// A session for a user of whom nothing but the id is known.
pub async fn session(service: &Service, user: &str) -> Answer {
    service.ask("GET", SESSION, &[("X-Forwarded-User", user)]).await
}

/// The session of [`alice`].
pub async fn session_of_alice(service: &Service) -> Value {
    let answer = service.ask("GET", SESSION, &alice()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// These users are refused with 422, and the provider is not asked.
pub async fn takes_none_of(service: &Service, users: &[&str]) {
    for user in users {
        let answer = session(service, user).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "user_id_invalid"), "{user}");
    }
}

/// Names of the members of a session.
pub fn members(session: &Value) -> Vec<&str> {
    session.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// What a strict fake answers to a call that the real provider would refuse: a body with anything but `required` and
/// `optional` members, all of them text, is one.
pub fn complaint(call: &Call, required: &[&str], optional: &[&str]) -> Option<String> {
    if call.header("content-type") != "application/json" {
        return Some("content type".to_owned());
    }
    let members = call.members();
    let missing = required.iter().find(|name| !members.contains(*name));
    let unknown = members.iter().find(|name| !required.contains(*name) && !optional.contains(*name));
    missing.or(unknown).map(|name| format!("member {name}"))
}

/// The body of an answer with one error code, where a provider puts it.
pub fn error(status: u16, body: Value) -> Script {
    Script::json(status, &body)
}

/// An order for the judge that verifies HS256 with the `jose` package.
pub fn jose(token: &Value, secret: &str, at: Timestamp) -> Value {
    json!({"token": token, "secret": secret, "checks": {"algorithms": ["HS256"]}, "at": at.as_seconds()})
}
