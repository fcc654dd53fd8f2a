//! Real proxies with the documented configurations, and everything that stands around them.

use std::sync::Arc;

use sidemint::config::Environment;

use crate::client::Answer;
use crate::fakes::app::App;
use crate::fakes::counted::Counted;
use crate::fakes::login::Login;
use crate::fakes::sendsar::Sendsar;
use crate::harness::{self, LOCAL, Service, clock, config, sendsar_key};
use crate::parts::proxies::{self, Proxy, Recipe, Upstreams};

mod application;
mod session;

/// What the application gets on each request: all six, or the last alone.
pub const SET: [&str; 6] = [
    "X-Chat-Token",
    "X-Chat-Token-Expires-At",
    "X-Chat-Api-Url",
    "X-Chat-User-Id",
    "X-Chat-Display-Name",
    "X-Chat-Status",
];

/// The service as the proxy's page configures it, a login, an application, and the proxy in front of them.
pub struct Scene {
    pub proxy: Proxy,
    pub service: Service,
    /// The way from the proxy to the service.
    pub way: Counted,
    pub login: Login,
    pub app: App,
    /// The configuration of the service.
    pub text: String,
}

impl Scene {
    /// With the provider that needs no other; `bend` changes the proxy's documents.
    pub async fn local(recipe: &Recipe, bend: &[(&str, &str)]) -> Self {
        let text = configured(recipe, LOCAL);
        let service = Service::start(&text, &Environment::default(), clock()).await;
        Self::of(recipe, service, text, bend).await
    }

    /// With a provider that can be told to misbehave.
    pub async fn sendsar(recipe: &Recipe, bend: &[(&str, &str)]) -> (Self, Sendsar) {
        let clock = clock();
        let fake = Sendsar::start(Arc::clone(&clock)).await;
        let text = configured(recipe, &harness::sendsar(&fake, "retries = 0"));
        let service = Service::start(&text, &sendsar_key(), clock).await;
        (Self::of(recipe, service, text, bend).await, fake)
    }

    async fn of(recipe: &Recipe, service: Service, text: String, bend: &[(&str, &str)]) -> Self {
        let (way, login, app) = (Counted::way_to(service.address()).await, Login::start().await, App::start().await);
        let upstreams = Upstreams { sidemint: way.address, login: login.address, app: app.address };
        let proxy = Proxy::start(recipe, &upstreams, bend).await;
        Self { proxy, service, way, login, app, text }
    }
}

impl Scene {
    /// One request of a client on a connection of its own.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.proxy.visit().await.ask(method, path, headers).await
    }
}

/// Whether an answer tells a client what is for the application or the proxy.
pub fn has_chat_header(answer: &Answer) -> bool {
    // Other names of this kind are Envoy's own: it tells how long the answer took.
    answer.headers.iter().any(|(name, _)| name.starts_with("x-chat") || name.starts_with("x-envoy-auth"))
}

/// Routes and provider as given, identity as the page of the proxy says.
fn configured(recipe: &Recipe, rest: &str) -> String {
    let identity = recipe.identity();
    let overrides: Vec<(&str, &str)> = identity.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    config(rest, &overrides)
}

#[test]
fn the_pages_print_the_files_that_are_tested() {
    for recipe in proxies::ALL {
        for (name, text) in recipe.documents {
            assert!(recipe.page.contains(&format!("\n{text}```\n")), "the page of {} prints {name}", recipe.name);
        }
    }
}
