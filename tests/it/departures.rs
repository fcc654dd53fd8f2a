//! Who signs out or is denied while a session is minted: it is not handed out, not kept, and taken back.

use std::sync::Arc;

use serde_json::json;
use sidemint::config::Environment;
use tokio::sync::Semaphore;

use crate::client::Answer;
use crate::eventually::eventually;
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{SESSION, Service, clock, config};

/// A service before a provider that can take tokens back, whose tokens come when the test says so.
struct World {
    service: Arc<Service>,
    provider: Fake,
    tokens: Arc<Semaphore>,
    folder: tempfile::TempDir,
}

const REVOKE: &str = "DELETE /users/alice";

impl World {
    /// `token` is what the definition says of its token beside the steps.
    async fn new(token: &str) -> Self {
        let tokens = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&tokens);
        let provider = Fake::start(move |call: &Call| match call.method.as_str() {
            "DELETE" => Script::json(200, &json!({})),
            _ => Script::After(Arc::clone(&permits), Box::new(Script::json(200, &json!({"token": "tok"})))),
        })
        .await;
        let url = provider.base_url();
        let definition = format!(
            "name = \"own\"\nsummary = \"a system of ours\"\n[settings.api_url]\nabout = \"its address\"\nkind = \"url\"\ndefault = \"{url}\"\n\
             [user]\ncase = \"counts\"\n[lifetime]\ndefault = \"1h\"\nmargin = \"60s\"\non_credential_change = \"keep\"\n\
             [response]\napi_url = \"{{{{ config.api_url }}}}\"\n[token]\n{token}\n\
             [[token.steps]]\nid = \"mint\"\npost = \"{{{{ config.api_url }}}}/token\"\njson = {{ user = \"{{{{ user.id }}}}\" }}\n\
             token = \"/token\"\nexpires = {{ kind = \"requested\" }}\n\
             [[revoke.steps]]\nid = \"revoke\"\ndelete = \"{{{{ config.api_url }}}}/users/{{{{ user.id }}}}\"\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("deny");
        std::fs::write(&list, "# none\n").unwrap();
        let route = |path: &str, answer: &str| {
            format!("[[routes]]\npath = \"{path}\"\nprovider = \"chat\"\ndeadline = \"5s\"\nanswer = {answer}\n")
        };
        let routes = [
            route(SESSION, "\"session\""),
            route("/auth", "\"subrequest\""),
            route("/guard", "\"subrequest\"\nmode = \"required\""),
        ];
        let rest = format!("{}[providers.chat]\npreset = \"own\"\n", routes.concat());
        let file = format!("\"{}\"", list.display());
        let text = config(&rest, &[("identity.users.deny_file", &file)]);
        let service = Service::start_with(&text, &Environment::default(), clock(), &[("own", &definition)]).await;
        Self { service: Arc::new(service), provider, tokens, folder }
    }

    /// A user asks, and the provider is asked; the answer comes later.
    async fn waits(&self, path: &'static str) -> tokio::task::JoinHandle<Answer> {
        let before = self.mints();
        let service = Arc::clone(&self.service);
        let asks = tokio::spawn(async move { service.ask("GET", path, &[("X-Forwarded-User", "alice")]).await });
        eventually("the provider is asked", async || self.mints() > before).await;
        asks
    }

    fn mints(&self) -> usize {
        self.provider.asked().iter().filter(|call| *call == "POST /token").count()
    }

    fn revocations(&self) -> usize {
        self.provider.asked().iter().filter(|call| *call == REVOKE).count()
    }

    async fn signs_out(&self) {
        assert_eq!(self.service.ask("DELETE", SESSION, &[("X-Forwarded-User", "alice")]).await.status, 204);
    }

    async fn is_denied(&self) {
        std::fs::write(self.folder.path().join("deny"), "alice\n").unwrap();
        self.service.nudge.now();
        self.service.metric_reaches("sidemint_denied_users", 1.0).await;
    }

    async fn nothing_is_kept(&self) {
        assert!(self.service.metric("sidemint_cache_entries").await.abs() < 0.1);
    }
}

/// T-66: at once, without waiting for the provider.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_denied_while_waiting_is_refused_and_the_token_is_taken_back() {
    for (path, status, code, shown) in
        [(SESSION, 403, "user_denied", None), ("/auth", 200, "", Some("denied")), ("/guard", 403, "", None)]
    {
        let world = World::new("").await;
        let waiting = world.waits(path).await;
        world.is_denied().await;
        let answer = waiting.await.unwrap();
        assert_eq!((answer.status, answer.header("x-chat-status")), (status, shown), "{path}");
        assert!(code.is_empty() || answer.code() == code, "{path}");
        assert!(!answer.text().contains("tok") && answer.header("x-chat-token").unwrap_or_default().is_empty());
        assert_eq!(world.revocations(), 0, "there is nothing yet");
        world.tokens.add_permits(1);
        eventually("the token is taken back", async || world.revocations() == 1).await;
        world.nothing_is_kept().await;
    }
}

/// T-66
#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_while_waiting_is_signed_out_and_the_token_is_taken_back() {
    for (path, status, shown) in [(SESSION, 401, None), ("/auth", 200, Some("anonymous")), ("/guard", 401, None)] {
        let world = World::new("").await;
        let waiting = world.waits(path).await;
        world.signs_out().await;
        let answer = waiting.await.unwrap();
        assert_eq!((answer.status, answer.header("x-chat-status")), (status, shown), "{path}");
        assert_eq!(world.revocations(), 1, "by the sign-out itself");
        world.tokens.add_permits(1);
        eventually("the token is taken back", async || world.revocations() == 2).await;
        world.nothing_is_kept().await;
    }
}

/// T-66: a token that is good for one request waits for no other, and is no other case.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_request_is_taken_back_as_well() {
    let world = World::new("cache = false").await;
    let waiting = world.waits(SESSION).await;
    world.signs_out().await;
    world.tokens.add_permits(1);
    assert_eq!(waiting.await.unwrap().status, 401);
    eventually("the token is taken back", async || world.revocations() == 2).await;
    let waiting = world.waits(SESSION).await;
    world.is_denied().await;
    world.tokens.add_permits(1);
    assert_eq!(waiting.await.unwrap().status, 403);
    eventually("the token is taken back", async || world.revocations() == 3).await;
}

/// Taking back what came late would end the new session as well, and what came late was not handed out.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_come_back_keeps_the_new_session() {
    let world = World::new("").await;
    let waiting = world.waits(SESSION).await;
    world.signs_out().await;
    assert_eq!(waiting.await.unwrap().status, 401);
    let back = world.waits(SESSION).await;
    world.tokens.add_permits(2);
    assert_eq!(back.await.unwrap().status, 200);
    eventually("both mints have ended", async || world.tokens.available_permits() == 0).await;
    let again = world.service.ask("GET", SESSION, &[("X-Forwarded-User", "alice")]).await;
    assert_eq!(again.status, 200);
    assert_eq!((world.mints(), world.revocations()), (2, 1), "from the cache, and the sign-out's own");
}

/// T-66: a denial ends renewals under way as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_of_who_is_denied_is_taken_back() {
    let world = World::new("").await;
    world.tokens.add_permits(1);
    assert_eq!(world.waits(SESSION).await.await.unwrap().status, 200);
    world.service.advance(3600 * 85 / 100);
    eventually("the renewal is under way", async || world.mints() == 2).await;
    world.is_denied().await;
    world.tokens.add_permits(1);
    eventually("the token is taken back", async || world.revocations() == 1).await;
    world.nothing_is_kept().await;
}
