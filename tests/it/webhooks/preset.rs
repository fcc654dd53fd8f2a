//! A service with a webhook of a preset that ships, before an application that verifies what it gets.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sidemint::clock::{ManualClock, Timestamp};
use sidemint::config::Environment;

use super::fixture::{Application, HOOK, Received, SIGN_KEY};
use crate::client::{Answer, Connection, request};
use crate::eventually::{as_time_passes, eventually};
use crate::harness::{Service, config};

/// How a preset is configured for webhooks alone.
pub struct Preset {
    pub name: &'static str,
    /// The setting that holds secrets or keys.
    setting: &'static str,
    /// More lines of the provider's table.
    lines: &'static str,
}

/// What stands for one of the schemes of `tests/vectors`: each preset that takes it.
pub fn of_scheme(scheme: &str) -> Vec<Preset> {
    let preset = |name, setting| Preset { name, setting, lines: "" };
    match scheme {
        "standard-webhooks" => {
            vec![preset("standard-webhooks", "webhook_secret"), preset("liveblocks", "webhook_secret")]
        }
        "svix" => vec![preset("svix", "webhook_secret")],
        "stream" => vec![preset("stream", "api_secret")],
        "sendbird" => vec![preset("sendbird", "webhook_secret")],
        "talkjs" => vec![preset("talkjs", "webhook_secret")],
        "pusher" => vec![preset("pusher", "webhook_keys"), preset("pusher-channel", "webhook_keys")],
        "ably" => vec![preset("ably", "webhook_keys"), preset("ably-token-request", "webhook_keys")],
        "intercom" => vec![preset("intercom", "client_secret")],
        "zendesk" => vec![preset("zendesk", "webhook_secret")],
        "slack-v0" => vec![preset("slack", "signing_secret")],
        "t-v1-list" => {
            vec![Preset { lines: "header = \"X-Signature-T\"\n", ..preset("signature-list", "webhook_secret") }]
        }
        "cometchat-basic" => vec![preset("cometchat", "webhook_credentials")],
        "twilio-form" | "twilio-json" => vec![preset("twilio", "auth_token")],
        "sendsar-webhook" => vec![preset("sendsar", "webhook_secret")],
        "emb-chat-webhook" => vec![preset("emb-chat", "webhook_secret")],
        "livekit-webhook" => vec![preset("livekit", "webhook_keys")],
        other => panic!("{other}"),
    }
}

impl Preset {
    /// The configuration of `sidemint`, with what it names in `folder`. `case` has secrets or keys, and the address where it
    /// is signed, as the files of vectors have them, and `sign_keys` where those are not the usual one; events go to `to`.
    pub fn text(&self, case: &Value, folder: &Path, to: &str) -> String {
        let secrets = folder.join("secrets");
        std::fs::create_dir_all(&secrets).expect("a folder");
        let mut secret = format!("{}_dir = \"{}\"", self.setting, secrets.display());
        if self.setting == "webhook_keys"
            && let Some(keys) = case["keys"].as_object()
        {
            let lines: Vec<String> =
                keys.iter().map(|(id, key)| format!("{id}: {}", key.as_str().expect("text"))).collect();
            std::fs::write(folder.join("keys"), lines.join("\n")).expect("written");
            secret = format!("{}_file = \"{}/keys\"", self.setting, folder.display());
        }
        for (number, secret) in case["secrets"].as_array().into_iter().flatten().enumerate() {
            std::fs::write(secrets.join(number.to_string()), secret.as_str().expect("text")).expect("written");
        }
        let sign_keys = folder.join("sign-keys");
        std::fs::create_dir_all(&sign_keys).expect("a folder");
        let own = Value::from(vec![SIGN_KEY]);
        let keys = case.get("sign_keys").unwrap_or(&own);
        for (number, key) in keys.as_array().expect("keys").iter().enumerate() {
            std::fs::write(sign_keys.join(format!("{number}.key")), key.as_str().expect("text")).expect("written");
        }
        let url = case["url"].as_str().map_or_else(String::new, |url| {
            // The hash of a body is no part of what the provider was given.
            format!("public_url = \"{}\"\n", url.split("?bodySHA256=").next().expect("text"))
        });
        let (name, lines, folder) = (self.name, self.lines, folder.display());
        let rest = format!(
            "[webhook_server]\nlisten = \"127.0.0.1:0\"\n[providers.events]\npreset = \"{name}\"\n{secret}\n{lines}\
             [webhooks.chat]\nprovider = \"events\"\nto = \"{to}\"\nsign_key_dir = \"{folder}/sign-keys\"\n{url}\
             [queue]\ndir = \"{folder}/queue\"\n"
        );
        config(&rest, &[])
    }

    /// The service at `now`, and the application, which `case` may say is reached elsewhere (`to`).
    pub async fn start(&self, case: &Value, now: Timestamp) -> Stage {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), Arc::new(ManualClock::new(now)));
        let application = Application::start(Arc::clone(&clock)).await;
        let to = case["to"].as_str().map_or_else(|| application.fake.base_url(), str::to_owned);
        let text = self.text(case, folder.path(), &format!("{to}{HOOK}"));
        let service = Service::start(&text, &Environment::default(), clock).await;
        Stage { service, application, _folder: folder }
    }
}

/// All of it, running.
pub struct Stage {
    pub service: Service,
    pub application: Application,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Sends a request of a provider, as it is.
    pub async fn send(&self, method: &str, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut connection = Connection::open(self.service.webhooks.expect("a listener")).await;
        connection.send(request(method, &format!("/webhooks/chat{query}"), headers, body)).await;
        connection.answer().await.expect("an answer")
    }

    /// Waits until the application has its event. On a busy machine the first attempt may fail: time passes, but so slowly
    /// that an attempt under way does not reach its deadline.
    pub async fn delivered(&self) -> Received {
        let delivered = eventually("the event is delivered", async || !self.application.received().is_empty());
        as_time_passes(&self.service.clock, Duration::from_millis(5), delivered).await;
        self.application.received().remove(0)
    }

    /// How many requests ended so.
    pub async fn ended(&self, outcome: &str) -> f64 {
        let line = format!("sidemint_webhook_requests_total{{name=\"chat\",outcome=\"{outcome}\"}}");
        self.service.metric(&line).await
    }
}

/// The header lines of a case, in its order.
pub fn headers(case: &Value) -> Vec<(&str, &str)> {
    let headers = case["headers"].as_object().expect("headers");
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("text"))).collect()
}

/// The query of an address, with its question mark.
pub fn query(url: &Value) -> String {
    url.as_str().and_then(|url| url.split_once('?')).map_or_else(String::new, |(_, query)| format!("?{query}"))
}

/// What the application must have of a body: it is unpacked.
pub fn unpacked(body: &[u8]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    match body {
        [0x1f, 0x8b, ..] => drop(flate2::read::GzDecoder::new(body).read_to_end(&mut unpacked).expect("gzip")),
        _ => unpacked.extend_from_slice(body),
    }
    unpacked
}
