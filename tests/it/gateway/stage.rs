//! A service with a gateway before a recorder: one caller with a key, one provider behind a definition with every kind of rule.

use std::net::SocketAddr;
use std::ops::Deref;

use super::fixture::{Fixture, Setup};
pub use super::fixture::{SECRET, SHOP as KEY};
use super::recorder::{Recorder, Request, Rules};
use crate::client::{Answer, Connection, request};
use crate::fakes::http::Script;

/// A provider with every kind of rule.
const DEFINITION: &str = r#"
name = "own-calls"
summary = "Rooms of our own."
[settings.api_url]
about = "Where it is."
kind = "url"
[settings.api_key]
about = "Its key."
secret = true
[settings.app]
about = "The app."
[gateway]
needs = ["api_url", "api_key", "app"]
base = "{{ config.api_url }}/v1"
auth = { header = "X-Api-Key", secret = "api_key" }
set = { query = { app = "{{ config.app }}" } }
headers = ["x-note"]
answer_headers = ["x-answer-note"]
as_user = { header = "X-On-Behalf-Of", id = "provider", pattern = "[a-z]{1,20}" }
[[gateway.calls]]
query = ["limit"]
read = { "room.list" = "GET /rooms", "room.get" = "GET /rooms/{room}" }
destroy = { "room.delete" = "DELETE /rooms/{room}" }
secret = { "key.create" = "POST /keys" }
[[gateway.calls]]
params = { room = { json = ["/room", "/roomName"] } }
forbid = [{ json = ["/role", "/members/*/role"] }]
force = { "/app_id" = "{{ config.app }}" }
write = { "room.create" = "POST /rooms" }
[[gateway.calls]]
write = { "message.send" = "POST /rooms/{room}/messages" }
[[gateway.calls]]
read = { "app.get" = "GET /apps/{=config.app}" }
[[gateway.calls]]
as_user = "required"
write = { "me.update" = "POST /me" }
[[gateway.calls]]
stream = true
read = { "event.stream" = "GET /events" }
"#;

/// How a stage is set up. `..Stand::default()` is a caller that may do everything in `default` with its key.
pub struct Stand {
    /// What it is allowed, as TOML.
    pub allow: &'static str,
    /// More lines of its grant.
    pub grant: &'static str,
    /// Whom it may call as.
    pub as_user: &'static str,
}

impl Default for Stand {
    fn default() -> Self {
        Self { allow: "[\"default\"]", grant: "", as_user: "none" }
    }
}

/// All of it, running.
pub struct Stage {
    fixture: Fixture,
    /// Where the provider is served at `/`.
    pub address: SocketAddr,
    /// Where it is served at `/gateway/own/`.
    pub shared: SocketAddr,
}

impl Deref for Stage {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

impl Stand {
    pub async fn start(self) -> Stage {
        let provider = Recorder::empty(Rules::strict(&[KEY], &["x-api-key", "x-note", "x-on-behalf-of"])).await;
        let setup = Setup {
            definition: ("own-calls", DEFINITION.to_owned()),
            lines: "app = \"app-1\"".to_owned(),
            allow: self.allow.to_owned(),
            grant: self.grant.to_owned(),
            overrides: vec![("gateway.callers.shop.as_user", format!("\"{}\"", self.as_user))],
            ..Setup::default()
        };
        let fixture = setup.start_at(provider).await;
        let (address, shared) = (fixture.address(), fixture.gateway());
        Stage { fixture, address, shared }
    }
}

impl Stage {
    pub async fn start() -> Self {
        Stand::default().start().await
    }

    /// Sends these header lines beside the caller's key, and gives the answer.
    pub async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let headers = [&[("Host", "localhost"), ("X-Api-Key", KEY)], headers].concat();
        let mut connection = Connection::open(self.address).await;
        connection.send(request(method, target, &headers, body)).await;
        connection.answer_to(method).await.expect("an answer")
    }

    /// Posts JSON.
    pub async fn post(&self, target: &str, body: &str) -> Answer {
        self.ask("POST", target, &[("Content-Type", "application/json")], body.as_bytes()).await
    }

    /// The call of `target`, which the provider answers so.
    pub async fn answered(&self, target: &str, script: Script) -> Answer {
        self.provider.next(&format!("/v1{target}"), script);
        self.ask("GET", target, &[], b"").await
    }

    /// Every request that arrived was one that is granted, with our credential; gives the last.
    pub fn arrived(&self, count: usize) -> Option<Request> {
        let requests = self.provider.requests();
        assert_eq!(requests.len(), count, "{requests:#?}");
        for request in &requests {
            assert_eq!(request.header("x-api-key"), Some(SECRET), "{request:?}");
            assert_eq!(request.header("host"), Some(&*self.provider.address.to_string()), "{request:?}");
            assert_eq!(request.parameter("app").as_deref(), Some("app-1"), "{request:?}");
        }
        requests.into_iter().next_back()
    }
}

/// Status and code of a refusal, which is ours and says nothing else.
pub fn refusal(answer: &Answer) -> (u16, &str) {
    let code = answer.header("x-chat-gateway-error").unwrap_or_else(|| panic!("not ours: {answer:?}"));
    let text = String::from_utf8_lossy(&answer.body);
    for secret in [SECRET, KEY, "shop-1"] {
        assert!(!text.contains(secret), "{text}");
    }
    (answer.status, code)
}
