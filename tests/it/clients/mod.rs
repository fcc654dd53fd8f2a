//! Client libraries as npm has them, unmodified: each gets its token from the service, and another one before the first ends.
//!
//! A judge of `tests/judges/clients` runs the library as an application does, and has the provider beside it: the real one
//! where that runs here, else a strict stand-in. Time stands still for the service and for the client, until the judge
//! moves it for both.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sidemint::clock::{Clock as _, ManualClock, Timestamp};
use sidemint::config::Environment;

use crate::fakes::http::Script;
use crate::fakes::provider::Fake;
use crate::harness::{Service, config};
use crate::judge::judge;

mod listed;
mod own;
mod real;
pub mod stand_ins;

/// The path that applications give to their client library.
const PATH: &str = "/chat/token";

/// A route at `path` on `preset` that gives this answer; `lines` go into the provider's table.
fn route(path: &str, answer: &str, preset: &str, lines: &str) -> String {
    format!(
        "[[routes]]\npath = \"{path}\"\nanswer = \"{answer}\"\nprovider = \"{preset}\"\n\
         [providers.{preset}]\npreset = \"{preset}\"\n{lines}\n"
    )
}

/// What a client of alice saw of the service with these routes; `order` is for its judge, `name`. With `refused` in it, alice is
/// not signed in.
async fn play<const N: usize>(
    name: &str,
    time: Timestamp,
    routes: &str,
    secrets: [(&str, &str); N],
    order: Value,
) -> Value {
    play_by(Arc::new(ManualClock::new(time)), name, routes, secrets, order).await
}

/// The same, by a clock that others have too.
async fn play_by<const N: usize>(
    clock: Arc<ManualClock>,
    name: &str,
    routes: &str,
    secrets: [(&str, &str); N],
    mut order: Value,
) -> Value {
    let time = clock.now();
    let service = Service::start(&config(routes, &[]), &Environment::of(secrets), Arc::clone(&clock)).await;
    let hand = Fake::start(move |call| {
        clock.advance(Duration::from_secs(call.json["seconds"].as_u64().expect("seconds")));
        Script::json(200, &json!({}))
    })
    .await;
    order["sidemint"] = json!(format!("http://{}", service.address()));
    order["clock"] = json!(hand.base_url());
    order["time"] = json!(time.as_seconds());
    if order["refused"] != json!(true) {
        order["user"] = json!("alice");
    }
    order["path"] = json!(PATH);
    judge(&format!("clients/{name}.mjs"), order)
}

/// So many seconds earlier.
fn before(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_seconds(time.as_seconds() - seconds)
}

/// Two different tokens were taken, the second while the first was good; it lasts.
fn assert_renewed(tokens: &Value) {
    assert_in_time(tokens);
    let second = &tokens[1];
    assert!(second["exp"].as_f64() > second["at"].as_f64().map(|at| at + 60.0), "it ends at once: {tokens}");
}

/// The same, where it is not known how long the second one lasts.
fn assert_in_time(tokens: &Value) {
    let [first, second] = tokens.as_array().map_or(&[][..], Vec::as_slice) else { panic!("two tokens: {tokens}") };
    assert_ne!(first["token"], second["token"]);
    assert!(second["at"].is_number() && second["at"].as_f64() <= first["exp"].as_f64(), "too late: {tokens}");
}

/// What the service was asked, and its statuses.
fn asked(seen: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{seen}")).to_owned();
    let asked = seen["asked"].as_array().unwrap_or_else(|| panic!("{seen}"));
    asked.iter().map(|one| format!("{} {} {}", text(&one["method"]), text(&one["path"]), one["status"])).collect()
}
