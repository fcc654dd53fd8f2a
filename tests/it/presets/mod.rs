//! The shipped definitions, each through the front door of the real service and judged by a program that shares no code
//! with it.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use sidemint::clock::ManualClock;
use sidemint::config::Environment;
use sidemint::provider::PRESETS;

use crate::client::{Answer, request};
use crate::fakes::sendsar::{API_KEY, Sendsar};
use crate::harness::{SESSION, Service, clock, config, draw};

mod ably;
mod amba;
mod centrifugo;
mod cometchat;
mod ejabberd;
mod emb_chat;
mod firebase;
mod front;
mod identity_hash;
mod intercom;
mod liveblocks;
mod livekit;
mod nats;
mod pusher;
mod sendbird;
mod stream;
mod synapse;
mod synapse_jwt;
mod talkjs;
mod techsup_io;
mod twilio;
mod zendesk;

pub use front::today;

/// What stands in for the provider of a preset.
pub struct StandIn {
    /// Its address, as `api_url` has it.
    pub api_url: String,
    /// The address of the real one.
    pub real: &'static str,
    /// The secret that it takes.
    pub secret: &'static str,
}

/// The strict fake of a preset that calls its provider; `None` for a preset that makes its tokens by itself.
pub async fn stand_in(preset: &str) -> Option<StandIn> {
    let (api_url, real, secret) = match preset {
        "amba" => (amba::strict().await.base_url(), "https://api.amba.dev", amba::SECRET),
        "cometchat" => {
            let api_url = format!("{}/v3", cometchat::app(&[]).await.base_url());
            (api_url, "https://2561a0b3c4d5e6f7.api-eu.cometchat.io/v3", cometchat::KEY)
        }
        "liveblocks" => (liveblocks::fake().await.base_url(), "https://api.liveblocks.io", liveblocks::KEY),
        "sendbird" => (
            sendbird::app(&[]).await.base_url(),
            "https://api-2D7B4CDB-932F-4082-9B09-A1153792DC8D.sendbird.com",
            sendbird::TOKEN,
        ),
        "sendsar" => (Sendsar::start(clock()).await.base_url(), "https://api.sendsar.com/v1", API_KEY),
        "stream" => (stream::strict().await.base_url(), "https://chat.stream-io-api.com", stream::SECRET),
        "synapse" => (synapse::strict("example.com").await.base_url(), "http://synapse:8008", synapse::TOKEN),
        "talkjs" => (talkjs::strict().await.base_url(), "https://api.talkjs.com", talkjs::SECRET),
        "techsup-io" => (techsup_io::strict().await.base_url(), "https://io.example.com", techsup_io::SECRET),
        _ => return None,
    };
    Some(StandIn { api_url, real, secret })
}

/// A session route on `preset` with `lines` of settings.
fn route(preset: &str, lines: &str) -> String {
    let route = format!("[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"chat\"\n");
    config(&format!("{route}[providers.chat]\npreset = \"{preset}\"\n{lines}\n"), &[])
}

/// The service on `preset` with `lines` of settings, its secrets in the environment.
async fn on<const N: usize>(preset: &str, lines: &str, secrets: [(&str, &str); N]) -> Service {
    on_at(preset, lines, secrets, clock()).await
}

/// The same, at a time.
async fn on_at<const N: usize>(
    preset: &str,
    lines: &str,
    secrets: [(&str, &str); N],
    clock: Arc<ManualClock>,
) -> Service {
    Service::start(&route(preset, lines), &Environment::of(secrets), clock).await
}

/// What `sidemint check` says against it.
fn refusal<const N: usize>(preset: &str, lines: &str, secrets: [(&str, &str); N]) -> String {
    let environment = Environment::of(secrets);
    draw(&route(preset, lines), &environment, clock()).map(|_blueprint| ()).expect_err("refused").to_string()
}

/// A secret in a file, for as long as the folder lives.
fn secret_file(folder: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let file = folder.path().join(name);
    std::fs::write(&file, content).unwrap();
    file
}

/// A POST of a form by `user`, as the libraries of Pusher send it.
async fn post_form(service: &Service, user: &str, form: &str) -> Answer {
    let headers = [("X-Forwarded-User", user), ("Content-Type", "application/x-www-form-urlencoded")];
    let mut connection = service.connect().await;
    connection.send(request("POST", SESSION, &headers, form.as_bytes())).await;
    connection.answer().await.expect("an answer")
}

/// `user` signs out.
async fn sign_out(service: &Service, user: &str) -> Answer {
    service.ask("DELETE", SESSION, &[("X-Forwarded-User", user)]).await
}

/// Header and claims of a token, unverified, and their text.
fn parts(token: &Value) -> (Value, Value) {
    use base64::Engine as _;
    let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).expect("base64url");
    let mut parts = token.as_str().expect("a token").split('.').map(part);
    let mut json = || serde_json::from_slice(&parts.next().expect("three parts")).expect("JSON");
    (json(), json())
}

/// A file with test vectors.
fn vectors(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The text of a preset, for definitions that differ from it in one point.
fn text_of(name: &str) -> &'static str {
    PRESETS.iter().find(|(own, _)| *own == name).expect("a preset").1
}
