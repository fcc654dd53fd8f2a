//! The chat provider stops answering: who has a session keeps it, and who has none is told so within our own deadline,
//! long before a proxy would lose patience.

use std::sync::Arc;

use sidemint::clock::{Clock as _, ManualClock, SystemClock};

use crate::client::Answer;
use crate::fakes::app::{App, Request};
use crate::fakes::login::Login;
use crate::fakes::sendsar::{API_KEY, Sendsar, subject_of};
use crate::harness::{SESSION, sendsar};
use crate::parts::proxies::{self, Proxy, Recipe, Upstreams, Users};
use crate::parts::sidemint::Program;
use crate::proxies::SET;

use super::crowd::signs_in;

/// How often a client asks until the answer comes that must come. One try is enough, but for a machine that stands still
/// for longer than a proxy waits.
const TRIES: usize = 40;

/// A proxy in front of a sidemint whose provider is ours to stop.
struct Scene {
    recipe: &'static Recipe,
    proxy: Proxy,
    fake: Sendsar,
    app: App,
    _program: Program,
    _login: Login,
}

async fn outlasts(recipe: &'static Recipe) {
    let scene = Scene::set(recipe).await;
    // Warm: a user of the application, and one of the page.
    scene.page_says(0, 200).await;
    if recipe.application.is_some() {
        assert_eq!(scene.application_says(1, "ok").await, Some("member1".to_owned()));
    }
    let before = scene.fake.mints();

    let gate = scene.fake.hold().await;
    let refused = scene.page_says(2, 503).await;
    assert_eq!((refused.code().as_str(), refused.header("retry-after").is_some()), ("provider_unavailable", true));
    scene.page_says(0, 200).await;
    if recipe.application.is_some() {
        assert_eq!(scene.application_says(3, "unavailable").await, None);
        assert_eq!(scene.application_says(1, "ok").await, Some("member1".to_owned()));
    }

    // No user asked the provider twice, however often they came: what they began has gone on.
    drop(gate);
    scene.page_says(2, 200).await;
    if recipe.application.is_some() {
        assert_eq!(scene.application_says(3, "ok").await, Some("member3".to_owned()));
    }
    let cold = if recipe.application.is_some() { 2 } else { 1 };
    assert_eq!(scene.fake.mints() - before, cold, "{}", recipe.name);
}

macro_rules! each_proxy {
    ($($test:ident: $recipe:ident,)*) => {$(
        /// T-57.
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            outlasts(&proxies::$recipe).await;
        }
    )*};
}

each_proxy! {
    a_stalled_provider_behind_nginx: NGINX,
    a_stalled_provider_behind_caddy: CADDY,
    a_stalled_provider_behind_haproxy: HAPROXY,
    a_stalled_provider_behind_traefik: TRAEFIK,
    a_stalled_provider_behind_envoy: ENVOY,
    a_stalled_provider_behind_apache: APACHE,
}

impl Scene {
    async fn set(recipe: &'static Recipe) -> Self {
        let fake = Sendsar::start(Arc::new(ManualClock::new(SystemClock.now()))).await;
        let identity = recipe.identity();
        let overrides: Vec<(&str, &str)> = identity.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        // The session route would wait for five seconds.
        let routes = sendsar(&fake, "").replace("ttl = \"1h\"", "ttl = \"1h\"\ndeadline = \"150ms\"");
        let program = Program::start(&routes, &overrides, &[("SENDSAR_API_KEY", API_KEY)]).await;
        let (login, app) = (Login::start().await, App::start().await);
        let upstreams = Upstreams { sidemint: program.front, login: login.address, app: app.address };
        let proxy = Proxy::start(recipe, &upstreams, &[]).await;
        Self { recipe, proxy, fake, app, _program: program, _login: login }
    }

    async fn ask(&self, users: Users, number: usize, path: &str) -> Answer {
        let (name, value) = signs_in(users, number);
        self.proxy.visit().await.ask("GET", path, &[(name, &value)]).await
    }

    /// Asks for the session of a member until it is answered with this status.
    async fn page_says(&self, number: usize, status: u16) -> Answer {
        for _ in 0..TRIES {
            let answer = self.ask(self.recipe.users, number, SESSION).await;
            if answer.status == 200 {
                let session = answer.json();
                assert_eq!(subject_of(session["token"].as_str().expect("a token")), format!("member{number}"));
            }
            if answer.status == status {
                return answer;
            }
        }
        panic!("{}: member{number} never gets {status}", self.recipe.name);
    }

    /// Sends requests of a member to the application until one arrives with this status of chat, and gives whose token it
    /// has. None of them is held up, and none has a part of the set.
    async fn application_says(&self, number: usize, status: &str) -> Option<String> {
        let application = self.recipe.application.expect("it asks");
        for _ in 0..TRIES {
            let answer = self.ask(application.users, number, "/").await;
            let passed: Option<Request> = self.app.all().pop();
            assert_eq!(passed.is_some(), answer.status == 200, "{}: {answer:?}", self.recipe.name);
            let Some(request) = passed else {
                assert_eq!(answer.status, application.outage, "{}", self.recipe.name);
                continue;
            };
            let said = SET.map(|header| request.said(header));
            let whole = match said[5] {
                Some("ok") => said.iter().all(Option::is_some),
                _ => said[..5].iter().all(Option::is_none),
            };
            assert!(whole, "{}: a part of the set: {request:?}", self.recipe.name);
            if said[5] == Some(status) {
                return said[0].map(subject_of);
            }
        }
        panic!("{}: member{number} never gets {status}", self.recipe.name);
    }
}
