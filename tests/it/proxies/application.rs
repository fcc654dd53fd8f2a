//! Requests to the application: each carries its own user's chat token, whatever a client sends.
//!
//! One list of cases; every proxy that can ask sidemint goes through all of it.

use serde_json::json;

use super::{SET, Scene, has_chat_header};
use crate::fakes::app::Request;
use crate::fakes::http::Script;
use crate::fakes::sendsar::{Sendsar, subject_of};
use crate::parts::proxies::{self, Application, COOKIES, Recipe, Visit};

/// A proxy with all around it.
struct Stage {
    scene: Scene,
    fake: Sendsar,
    recipe: &'static Recipe,
    application: Application,
}

async fn asks(recipe: &'static Recipe) {
    let (scene, fake) = Scene::sendsar(recipe, &[]).await;
    let mut stage = Stage { scene, fake, recipe, application: recipe.application.expect("it asks") };
    stage.the_token_reaches_the_application().await;
    stage.a_visitor_is_no_user().await;
    stage.nothing_forged_reaches_the_application().await;
    stage.users_of_one_connection_keep_their_own().await;
    stage.a_denial_tells_the_client_nothing().await;
    stage.methods_and_bodies_pass().await;
    stage.a_query_changes_nothing().await;
    stage.websockets_pass().await;
    stage.nothing_else_is_upgraded().await;
    stage.connections_are_kept().await;
    stage.the_longest_token_passes().await;
    stage.an_outage_of_the_provider_leaves_nothing_of_the_clients().await;
    stage.without_sidemint_no_request_passes().await;
}

macro_rules! each_proxy {
    ($($test:ident: $recipe:ident,)*) => {$(
        /// T-05, T-35 and T-59.
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            asks(&proxies::$recipe).await;
        }
    )*};
}

each_proxy! {
    the_application_behind_nginx: NGINX,
    the_application_behind_caddy: CADDY,
    the_application_behind_haproxy: HAPROXY,
    the_application_behind_traefik: TRAEFIK,
    the_application_behind_envoy: ENVOY,
}

/// Behind Envoy the login is asked about the path itself, and some paths it answers to every client.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_login_shows_to_all_makes_no_visitor_a_user() {
    let scene = Scene::local(&proxies::ENVOY, &[]).await;
    let forged = [("X-Auth-Request-User", "mallory"), ("X-Chat-Token", "mallory"), ("X-Chat-User-Id", "mallory")];
    let signed_in = [&forged[..], &[COOKIES.alice]].concat();
    // Visitors are sent to sign in, and what the login sets on the way comes with it; a script is told.
    let answer = scene.ask("GET", "/", &forged).await;
    assert_eq!((answer.status, answer.header("location")), (302, Some("https://idp.example.com/authorize")));
    assert_eq!(answer.header("set-cookie"), Some("login_csrf=1; HttpOnly"));
    assert_eq!(scene.ask("GET", "/", &[("Accept", "application/json")]).await.status, 401);
    let answer = scene.ask("GET", "/", &signed_in).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (200, Some("login_renewed=1")));
    assert_eq!(scene.app.last().header("X-Auth-Request-User"), Some("alice"));
    // There is no sign-in on the way to these, so each client is a visitor.
    for path in ["/ping", "/ready", "/robots.txt"] {
        for headers in [&forged[..], &signed_in] {
            assert_eq!(scene.ask("GET", path, headers).await.status, 200, "{path}");
            let request = scene.app.last();
            let said = [SET[0], SET[3], SET[5], "X-Auth-Request-User"].map(|name| request.said(name));
            assert_eq!(said, [None, None, Some("anonymous"), None], "{path}: {request:?}");
            assert!(!request.holds("mallory"), "{path}: {request:?}");
        }
    }
    // The login's own pages are its own, under every spelling, and the session route asks the login under each.
    let own = [("/oauth2/start", 302), ("/oauth2/auth", 401), ("/oauth2/static/css/all.css", 200)];
    for (path, status) in own {
        assert_eq!(scene.ask("GET", path, &forged).await.status, status, "{path}");
        assert_eq!(scene.login.calls().last().unwrap().path, path);
    }
    for path in ["//oauth2/static/css/all.css", "/oauth2%2Fstatic/css/all.css", "/x/..%5Coauth2/static/css/all.css"] {
        scene.ask("GET", path, &forged).await;
    }
    for path in
        ["/api/chat/session", "//api/chat/session", "/api%2fchat/session", "/api/chat/session/", "/api/chat/Session"]
    {
        let answer = scene.ask("GET", path, &forged).await;
        assert!((300..=499).contains(&answer.status), "{path}: {answer:?}");
    }
    assert!(scene.app.is_untouched());
}

impl Stage {
    fn name(&self) -> &str {
        self.recipe.name
    }

    /// What reached the application is alice's, complete, and no other user's.
    fn assert_alices(&self, request: &Request) {
        let name = self.name();
        assert_eq!(request.header(SET[0]).map(subject_of).as_deref(), Some("alice"), "{name}: {request:?}");
        let said = SET[1..].iter().map(|header| request.header(header).unwrap_or_default());
        let expires = "2026-05-04T19:40:00.000Z";
        let expected = [expires, "https://api.sendsar.com/v1", "alice", self.application.alices_name, "ok"];
        assert_eq!(said.collect::<Vec<_>>(), expected, "{name}: {request:?}");
        assert!(!request.holds("mallory"), "{name}: {request:?}");
        let listed = request.header("Connection").unwrap_or_default().to_lowercase();
        assert!(!listed.contains("x-"), "{name}: the next hop is told to drop something: {request:?}");
    }

    /// What reached the application says that there is no token, and why.
    fn assert_without_session(&self, request: &Request, status: &str) {
        let name = self.name();
        let said = SET.map(|header| request.said(header));
        assert_eq!(said, [None, None, None, None, None, Some(status)], "{name}: {request:?}");
        assert!(!request.holds("mallory"), "{name}: {request:?}");
    }

    async fn the_token_reaches_the_application(&self) {
        for path in ["/", "/page?x=1", "/auth", "/api/chat/sessions"] {
            let answer = self.scene.ask("GET", path, &[self.application.users.alice]).await;
            assert_eq!((answer.status, answer.text()), (200, "hello"), "{}: {answer:?}", self.name());
            assert!(!has_chat_header(&answer), "{}: the token is for the application: {answer:?}", self.name());
            let request = self.scene.app.last();
            assert_eq!((request.method(), request.target()), ("GET", path));
            self.assert_alices(&request);
            assert_eq!(request.header(self.recipe.user_header()), Some("alice"));
        }
    }

    async fn a_visitor_is_no_user(&self) {
        let before = self.fake.calls().len();
        let answer = self.scene.ask("GET", "/", &[]).await;
        assert_eq!(answer.status, self.application.visitor, "{}", self.name());
        assert!(!has_chat_header(&answer), "{}: {answer:?}", self.name());
        if answer.status == 200 {
            self.assert_without_session(&self.scene.app.last(), "anonymous");
        }
        assert!(self.scene.app.is_untouched());
        assert_eq!(self.fake.calls().len(), before, "no user was made up");
    }

    /// Each as a visitor and as alice: refused, or as if it had not been sent.
    async fn nothing_forged_reaches_the_application(&self) {
        for attack in attacks(self.recipe) {
            for user in [None, Some(self.application.users.alice)] {
                let headers: Vec<(&str, &str)> =
                    attack.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(user).collect();
                let mut visit = self.scene.proxy.visit().await;
                let Some(answer) = visit.try_ask("GET", "/", &headers).await else { continue };
                assert!(!has_chat_header(&answer), "{}: {attack:?}: {answer:?}", self.name());
                match (answer.status, user) {
                    (200, Some(_)) => self.assert_alices(&self.scene.app.last()),
                    (200, None) => self.assert_without_session(&self.scene.app.last(), "anonymous"),
                    (400..=499, _) => {}
                    (status, None) if status == self.application.visitor => {}
                    _ => panic!("{}: {attack:?}: {answer:?}", self.name()),
                }
                assert!(self.scene.app.is_untouched(), "{}: {attack:?}", self.name());
            }
        }
    }

    /// One client's connection, and the proxy's own to sidemint, serve many users.
    async fn users_of_one_connection_keep_their_own(&self) {
        let users = self.application.users;
        let mut visit = self.scene.proxy.visit().await;
        for (user, signs_in) in [("alice", users.alice), ("bob", users.bob), ("alice", users.alice)] {
            assert_eq!(visit.ask("GET", "/", &[signs_in]).await.status, 200);
            let request = self.scene.app.last();
            assert_eq!(request.header(SET[0]).map(subject_of).as_deref(), Some(user), "{}", self.name());
        }
        assert_eq!(visit.ask("GET", "/", &[]).await.status, self.application.visitor);
        if self.application.visitor == 200 {
            self.assert_without_session(&self.scene.app.last(), "anonymous");
        }
        // At once.
        let [mut one, mut two, mut three] =
            [self.scene.proxy.visit().await, self.scene.proxy.visit().await, self.scene.proxy.visit().await];
        tokio::join!(
            several(&mut one, "/alice", users.alice),
            several(&mut two, "/bob", users.bob),
            several(&mut three, "/alice", users.alice)
        );
        let requests = self.scene.app.all();
        assert_eq!(requests.len(), 60);
        for request in requests {
            let user = request.header(SET[0]).map(subject_of);
            assert_eq!(user.as_deref(), request.target().strip_prefix('/'), "{}: {request:?}", self.name());
            assert_eq!(request.header("X-Chat-User-Id"), user.as_deref(), "{}", self.name());
        }
    }

    async fn a_denial_tells_the_client_nothing(&self) {
        let answer = self.scene.ask("GET", "/", &[self.application.users.placeholder]).await;
        assert_eq!(answer.status, 401, "{}: a name that sidemint refuses", self.name());
        assert!(!has_chat_header(&answer), "{}: {answer:?}", self.name());
        assert!(self.scene.app.is_untouched());
    }

    async fn methods_and_bodies_pass(&self) {
        let alice = self.application.users.alice;
        let mut visit = self.scene.proxy.visit().await;
        for method in ["POST", "PUT", "DELETE"] {
            let answer = visit.ask_with(method, "/form", &[alice], &[b'x'; 5000]).await;
            assert_eq!(answer.status, 200, "{}", self.name());
            let request = self.scene.app.last();
            assert_eq!((request.method(), request.body()), (method, "x".repeat(5000).as_str()), "{}", self.name());
            self.assert_alices(&request);
        }
        for method in ["HEAD", "DELETE", "OPTIONS", "PATCH"] {
            assert_eq!(visit.ask(method, "/", &[alice]).await.status, 200, "{}: {method}", self.name());
            let request = self.scene.app.last();
            assert_eq!(request.method(), method);
            self.assert_alices(&request);
        }
        let alices = self.fake.calls().iter().filter(|call| call.json["id"] == "alice").count();
        assert_eq!(alices, 1, "{}: no DELETE signed a user out", self.name());
    }

    async fn a_query_changes_nothing(&self) {
        for query in ["mode=optional", "mode=optional&user=mallory", "X-Forwarded-User=mallory", "allow=1#x"] {
            let path = format!("/page?{query}");
            let answer = self.scene.ask("GET", &path, &[self.application.users.placeholder]).await;
            assert!((400..=499).contains(&answer.status), "{}: {query}", self.name());
            assert!(self.scene.app.is_untouched(), "{}: {query}", self.name());
            let answer = self.scene.ask("GET", &path, &[self.application.users.alice]).await;
            // A fragment is no part of a request; who refuses one is right.
            assert!(answer.status == 200 || query.contains('#'), "{}: {query}: {answer:?}", self.name());
            if answer.status == 200 {
                let token = self.scene.app.last().header(SET[0]).map(subject_of);
                assert_eq!(token.as_deref(), Some("alice"), "{}: {query}", self.name());
            }
        }
    }

    /// What keeps a client's `Connection` harmless leaves this one use of it.
    async fn websockets_pass(&self) {
        if !self.application.passes_websockets {
            return;
        }
        let handshake = [
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            self.application.users.alice,
        ];
        self.scene.proxy.visit().await.try_ask("GET", "/socket", &handshake).await;
        let request = self.scene.app.last();
        self.assert_alices(&request);
        assert_eq!(request.header("Upgrade"), Some("websocket"), "{}", self.name());
        let connection = request.header("Connection").unwrap_or_default().to_lowercase();
        assert!(connection.contains("upgrade"), "{}: {connection}", self.name());
    }

    /// An application that answers such a request with 101 has given the client a tunnel, and sidemint is not asked within it.
    async fn nothing_else_is_upgraded(&self) {
        let upgrades: [&[&str]; 8] = [
            &["h2c"],
            &["H2C"],
            &["TLS/1.0"],
            &["websocket, h2c"],
            &["h2c, websocket"],
            &["websocket/13"],
            &["websocket", "h2c"],
            &["h2c", "websocket"],
        ];
        for upgrade in upgrades {
            for connection in ["Upgrade, HTTP2-Settings", "upgrade", "keep-alive, Upgrade"] {
                let mut headers = vec![("Connection", connection), ("HTTP2-Settings", "AAMAAABkAAQAoAAA")];
                headers.extend(upgrade.iter().map(|protocol| ("Upgrade", *protocol)));
                headers.push(self.application.users.alice);
                self.scene.proxy.visit().await.try_ask("GET", "/socket", &headers).await;
                for request in self.scene.app.all() {
                    assert!(!request.holds("h2c"), "{}: {upgrade:?}: {request:?}", self.name());
                    let connection = request.header("Connection").unwrap_or_default().to_lowercase();
                    let is_upgraded = connection.contains("upgrade");
                    let is_websocket = request.header("Upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
                    assert!(!is_upgraded || is_websocket, "{}: {upgrade:?}: {request:?}", self.name());
                }
            }
        }
    }

    /// A3: an answer with a body would cost a connection each.
    async fn connections_are_kept(&self) {
        let users = self.application.users;
        self.scene.ask("GET", "/", &[users.alice]).await;
        let before = self.scene.way.connections();
        for _ in 0..10 {
            assert_eq!(self.scene.ask("GET", "/", &[users.alice]).await.status, 200);
            assert_eq!(self.scene.ask("GET", "/", &[users.placeholder]).await.status, 401);
        }
        // Not always none: some proxies let idle ones go in between, or keep them by thread.
        let connections = self.scene.way.connections() - before;
        assert!(connections < 10, "{}: {connections} new connections for 20 questions", self.name());
    }

    /// A9: what sidemint sends at most fits, with the documented buffers.
    async fn the_longest_token_passes(&self) {
        let minted = json!({"token": "t".repeat(3000), "expiresAt": "2026-05-05T19:40:00.000Z"});
        self.fake.always("/v1/auth/token", Some(Script::json(200, &minted)));
        // A day later the session that alice had is over.
        self.scene.service.advance(86_400);
        let answer = self.scene.ask("GET", "/", &[self.application.users.alice]).await;
        assert_eq!(answer.status, 200, "{}: {answer:?}", self.name());
        let request = self.scene.app.last();
        assert_eq!(request.header(SET[0]).map(str::len), Some(3000), "{}: {request:?}", self.name());
        self.fake.always("/v1/auth/token", None);
    }

    /// A6, A11: a 200 without a token takes away what a client sent in its place.
    async fn an_outage_of_the_provider_leaves_nothing_of_the_clients(&self) {
        self.fake.breaks(Some(Script::Reset));
        self.scene.service.advance(86_400);
        let forged = SET.map(|header| (header, "mallory"));
        let headers = [&forged[..], &[self.application.users.alice]].concat();
        assert_eq!(self.scene.ask("GET", "/", &headers).await.status, 200, "{}", self.name());
        self.assert_without_session(&self.scene.app.last(), "unavailable");
    }

    async fn without_sidemint_no_request_passes(&mut self) {
        self.scene.way.close().await;
        let answer = self.scene.ask("GET", "/", &[self.application.users.alice]).await;
        assert_eq!(answer.status, self.application.outage, "{}", self.name());
        assert!(!has_chat_header(&answer), "{}: {answer:?}", self.name());
        assert!(self.scene.app.is_untouched());
    }
}

/// Twenty requests, one after the other, on one connection.
async fn several(visit: &mut Visit, path: &str, user: (&str, &str)) {
    for _ in 0..20 {
        assert_eq!(visit.ask("GET", path, &[user]).await.status, 200);
    }
}

type Headers = Vec<(String, String)>;

/// Everything that sidemint reads or says, forged, aliased, doubled, too long, and listed in `Connection`.
fn attacks(recipe: &Recipe) -> Vec<Headers> {
    let long = format!("mallory{}", "y".repeat(9000));
    let mut attacks: Vec<Headers> = Vec::new();
    let mut attack = |headers: &[(&str, &str)]| {
        attacks.push(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
    };
    for name in recipe.identity_headers().iter().chain(&SET) {
        let (underscore, dot) = (name.replace('-', "_"), name.replace('-', "."));
        let mixed = name.replacen('-', "_", 1);
        for spelled in [name, underscore.as_str(), &dot, &mixed, &name.to_lowercase(), &name.to_uppercase()] {
            attack(&[(spelled, "mallory")]);
            attack(&[(spelled, "mallory"), (spelled, "mallory")]);
        }
        attack(&[(name, "alice, mallory")]);
        attack(&[(name, "")]);
        attack(&[(name, &long)]);
        attack(&[("Connection", name)]);
        attack(&[("Connection", &format!("keep-alive, {name}")), (name, "mallory")]);
        attack(&[("Connection", &name.to_lowercase()), ("Connection", "close"), (&underscore, "mallory")]);
    }
    let everything = SET.map(|name| (name, "mallory"));
    attack(&everything);
    attack(&[&everything[..], &[("Connection", "Upgrade, X-Chat-Token"), ("Upgrade", "x")]].concat());
    attacks
}
