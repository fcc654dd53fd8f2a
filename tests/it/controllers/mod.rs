//! The pages for clusters: their files fit the published schemas, and what the controllers make of them is run and attacked.
//!
//! There is no cluster here. Each file beside this one stands for the part of one controller that decides who is let in as
//! whom: it reads the very file that the page prints, and writes nginx's or Envoy's configuration as that controller does.

use serde_json::{Value, json};
use sidemint::config::Environment;

use crate::client::Answer;
use crate::fakes::app::{App, Request};
use crate::fakes::counted::Counted;
use crate::fakes::issuer::{ISSUER, Signer};
use crate::fakes::login::{self, Login};
use crate::harness::{LOCAL, SESSION, Service, clock, config};
use crate::judge::judge;
use crate::parts::proxies::{ENVOY, NGINX, Proxy, Recipe, Upstreams};
use crate::proxies::has_chat_header;

mod envoy;
mod envoy_gateway;
mod gateway_api;
mod idle;
mod ingress_nginx;
mod istio;

const TOKEN: &str = "X-Chat-Token";
const SET: [&str; 6] =
    [TOKEN, "X-Chat-Token-Expires-At", "X-Chat-Api-Url", "X-Chat-User-Id", "X-Chat-Display-Name", "X-Chat-Status"];

/// A controller, and what its page promises.
struct Controller {
    recipe: Recipe,
    /// The file of the configuration that it writes, and how.
    writes: &'static str,
    made_of: fn(&[Value]) -> String,
    /// The chat user of alice: the page with two sources puts a namespace before her.
    alice: &'static str,
    /// Whether a login's cookie opens the session route, or the token that opens everything else.
    has_login: bool,
    /// What every client gets while sidemint is down.
    outage: u16,
}

const INGRESS_NGINX: Controller = Controller {
    recipe: Recipe {
        name: "ingress-nginx",
        documents: &[("ingress-nginx.yaml", include_str!("../../../docs/proxies/ingress-nginx.yaml"))],
        page: include_str!("../../../docs/proxies/ingress-nginx.md"),
        ..NGINX
    },
    writes: "chat.conf",
    made_of: ingress_nginx::nginx,
    alice: "corp-alice",
    has_login: true,
    outage: 500,
};

const ISTIO: Controller = Controller {
    recipe: Recipe {
        name: "istio",
        documents: &[("istio.yaml", include_str!("../../../docs/proxies/istio.yaml"))],
        page: include_str!("../../../docs/proxies/istio.md"),
        ..ENVOY
    },
    writes: "envoy.yaml",
    made_of: |documents| istio::envoy(documents).text(),
    alice: "alice",
    has_login: false,
    outage: 503,
};

const ENVOY_GATEWAY: Controller = Controller {
    recipe: Recipe {
        name: "envoy-gateway",
        documents: &[("envoy-gateway.yaml", include_str!("../../../docs/proxies/envoy-gateway.yaml"))],
        page: include_str!("../../../docs/proxies/envoy-gateway.md"),
        ..ENVOY
    },
    writes: "envoy.yaml",
    made_of: |documents| envoy_gateway::envoy(documents).text(),
    alice: "alice",
    has_login: false,
    outage: 403,
};

/// The documents of a file, held against the schemas that there are; what these say against them.
fn read(text: &str) -> (Vec<Value>, Vec<Value>) {
    let mut answer = judge("kubernetes.py", json!({ "yaml": text }));
    let documents = answer["documents"].as_array().expect("documents").clone();
    let resources: Vec<&Value> = documents.iter().filter(|document| document["kind"].is_string()).collect();
    let mut complaints = judge("kubernetes.mjs", json!({ "documents": resources }));
    let list = |value: &mut Value| value["complaints"].as_array().expect("complaints").clone();
    (documents, [list(&mut answer), list(&mut complaints)].concat())
}

/// Everything around the proxy.
struct Scene {
    proxy: Proxy,
    _service: Service,
    way: Counted,
    app: App,
    signer: Signer,
    _login: Login,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn of(controller: &'static Controller) -> Self {
        Self::bent(controller, &[]).await
    }

    /// With other text in the file of the page.
    async fn bent(controller: &'static Controller, bend: &[(&str, &str)]) -> Self {
        let [(name, text)] = controller.recipe.documents else { panic!("one file") };
        let bent = bend.iter().fold((*text).to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "«{from}» stands in {name}");
            text.replace(from, to)
        });
        let written = (controller.made_of)(&read(&bent).0);
        let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("login"));
        let service = service(controller.recipe.page, folder.path(), &signer).await;
        let (way, login, app) = (Counted::way_to(service.address()).await, Login::start().await, App::start().await);
        let upstreams = Upstreams { sidemint: way.address, login: login.address, app: app.address };
        let proxy = Proxy::start_with(&controller.recipe, &upstreams, vec![(controller.writes, written)]).await;
        Self { proxy, _service: service, way, app, signer, _login: login, _folder: folder }
    }

    fn bearer(&self, user: &str) -> String {
        format!("Bearer {}", self.signer.token(user))
    }

    async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        self.proxy.ask(path, headers).await
    }

    /// What reaches the application of a request that is let through; `None` where it is refused, by whichever part.
    async fn seen(&self, path: &str, headers: &[(&str, &str)]) -> Option<Request> {
        let answer = self.ask(path, headers).await?;
        assert!(!has_chat_header(&answer), "{headers:?}: {answer:?}");
        if answer.status == 200 {
            return Some(self.app.last());
        }
        assert!((400..=499).contains(&answer.status), "{headers:?}: {answer:?}");
        assert!(self.app.is_untouched(), "{headers:?}");
        None
    }

    /// The chat user of a session, if there is one.
    async fn session(&self, headers: &[(&str, &str)]) -> Option<String> {
        let answer = self.ask(SESSION, headers).await?;
        if answer.status != 200 {
            assert!((400..=499).contains(&answer.status), "{headers:?}: {answer:?}");
            return None;
        }
        Some(answer.json()["chatUserId"].as_str().expect("a user").to_owned())
    }
}

/// The service as the page configures it; the issuer's keys are a file, and the pods' network is loopback.
async fn service(page: &str, folder: &std::path::Path, signer: &Signer) -> Service {
    let block = page.split("```toml").nth(1).and_then(|rest| rest.split_once('\n')).expect("a configuration").1;
    let text = block.split("```").next().unwrap().replace("10.42.0.0/16", "127.0.0.0/8");
    let mut page: toml::Table = text.parse().expect("TOML");
    let keys = folder.join("keys.json");
    std::fs::write(&keys, json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let sources = page["identity"]["sources"].as_table_mut().expect("sources");
    let mut source = sources.remove("oidc").and_then(|source| source.as_table().cloned()).expect("the source");
    assert_eq!(source.remove("issuer").unwrap().as_str(), Some("https://login.example.com/"));
    let audience = source.remove("audience").expect("an audience");
    let own: toml::Table = format!(
        "kind = \"jwt\"\njwt = {{ header = \"Authorization\", algorithms = [\"EdDSA\"], issuer = \"{ISSUER}\", audience = {audience} }}\n\
         keys = {{ file = \"{}\" }}",
        keys.display()
    )
    .parse()
    .expect("TOML");
    source.extend(own);
    sources.insert("login".to_owned(), source.into());
    page["identity"]["source"] = "login".into();
    // Pages that say nothing of routes have those of the shipped configuration.
    let parts = ["identity", "routes"].map(|key| (key, page.get(key).map(ToString::to_string)));
    let parts: Vec<(&str, &str)> = parts.iter().filter_map(|(key, text)| Some((*key, text.as_deref()?))).collect();
    Service::start(&config(LOCAL, &parts), &Environment::default(), clock()).await
}

/// The subject of a token of preset `local`.
fn subject(token: &str) -> String {
    use base64::Engine as _;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims"));
    let claims: Value = serde_json::from_slice(&claims.expect("base64url")).expect("JSON");
    claims["sub"].as_str().expect("a subject").to_owned()
}

/// Whose chat token the application got; `None` where it got none. Nothing may be there twice.
fn told(request: &Request) -> Option<String> {
    let said = SET.map(|name| request.said(name));
    let Some(token) = said[0] else {
        assert_eq!(said[1..5], [None; 4], "{request:?}");
        return None;
    };
    assert_eq!(said[5], Some("ok"));
    assert_eq!(said[3], Some(subject(token).as_str()));
    assert_eq!(said[2], Some("https://chat.example/v1"));
    assert!(said.iter().all(Option::is_some), "{request:?}");
    Some(subject(token))
}

/// What an application may take for a header of the set, and should not: CGI, WSGI and PHP make the same of `-`, `_` and
/// `.`. Our own has its exact name, and never the value of a client.
fn forged(request: &Request) -> Vec<&str> {
    let head = request.0.lines().skip(1).take_while(|line| !line.is_empty());
    let chat = head.filter(|line| line.to_lowercase().replace(['_', '.'], "-").starts_with("x-chat-"));
    chat.filter(|line| {
        let (name, value) = line.split_once(':').expect("a header");
        let is_clients = value.contains("mallory") || value.contains("yyyy");
        is_clients || !SET.iter().any(|own| own.eq_ignore_ascii_case(name))
    })
    .collect()
}

async fn the_token_reaches_the_application(controller: &'static Controller) {
    let mut scene = Scene::of(controller).await;
    let (alice, bob) = (scene.bearer("alice"), scene.bearer("bob"));
    for path in ["/", "/page?mode=required&user=bob", "/a/b.css", "/auth"] {
        let request = scene.seen(path, &[("Authorization", &alice)]).await.expect("let through");
        assert_eq!((request.target(), told(&request).as_deref()), (path, Some(controller.alice)));
        assert_eq!(request.header("Authorization"), Some(alice.as_str()), "it is the application's too");
    }
    // Alice, bob and a visitor on one connection, with a body; a chat token is never another's.
    let mut visit = scene.proxy.visit().await;
    for _ in 0..2 {
        for (headers, user) in [
            (vec![("Authorization", alice.as_str())], Some(controller.alice.to_owned())),
            (vec![("Authorization", bob.as_str())], Some(controller.alice.replace("alice", "bob"))),
            (vec![], None),
        ] {
            assert_eq!(visit.ask_with("POST", "/", &headers, b"hello").await.status, 200);
            let request = scene.app.last();
            assert_eq!((request.body(), told(&request)), ("hello", user.clone()));
            let status = request.said("X-Chat-Status");
            assert_eq!(status, Some(if user.is_some() { "ok" } else { "anonymous" }));
        }
    }
    // A token that is no good is refused, and the answer has nothing for the application in it.
    let other = format!("Bearer {}", Signer::new("login").token("alice"));
    for proof in [other.as_str(), "Bearer x"] {
        let answer = scene.ask("/", &[("Authorization", proof)]).await.expect("an answer");
        assert_eq!(answer.status, 401, "{proof}");
        assert!(!has_chat_header(&answer) && scene.app.is_untouched(), "{answer:?}");
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{answer:?}");
    }
    // And while sidemint is down, no request passes.
    scene.way.close().await;
    let answer = scene.proxy.ask("/", &[(TOKEN, "forged")]).await.expect("an answer");
    assert_eq!(answer.status, controller.outage);
    assert!(scene.app.is_untouched());
}

/// T-01, T-03, T-04 and T-05 behind a controller: neither as a visitor nor as oneself can a client be another user, on its
/// way to the application or to a session.
async fn nothing_forged_passes(controller: &'static Controller) {
    let scene = Scene::of(controller).await;
    let alice = scene.bearer("alice");
    let proof = ("Authorization", alice.as_str());
    let sign_in = if controller.has_login { login::ALICE } else { proof };
    assert_eq!(scene.session(&[sign_in]).await.as_deref(), Some(controller.alice));
    assert_eq!(scene.session(&[]).await, None);
    let payload = "eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoibWFsbG9yeSJ9";
    let long = "y".repeat(9000);
    let mut attacks: Vec<Vec<(String, &str)>> = Vec::new();
    let names = ["X-Forwarded-User", "X-Auth-Request-User", "X-Auth-Request-Groups", "X-Jwt-Payload", "X-Chat-User-Id"];
    for name in names.into_iter().chain(SET) {
        for spelled in [name.to_owned(), name.replace('-', "_"), name.replace('-', "."), name.to_lowercase()] {
            let value = if name == "X-Jwt-Payload" { payload } else { "mallory" };
            attacks.push(vec![(spelled.clone(), value)]);
            attacks.push(vec![(spelled.clone(), ""), (spelled.clone(), value)]);
            attacks.push(vec![("Connection".to_owned(), name), (spelled, value)]);
        }
        attacks.push(vec![(name.to_owned(), &long)]);
    }
    for attack in &attacks {
        let attack: Vec<(&str, &str)> = attack.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        if let Some(request) = scene.seen("/", &attack).await {
            assert_eq!((told(&request), forged(&request)), (None, vec![]), "{attack:?}");
        }
        let own = [&attack[..], &[proof]].concat();
        if let Some(request) = scene.seen("/", &own).await {
            assert_eq!(told(&request).as_deref(), Some(controller.alice), "{attack:?}");
            assert_eq!(forged(&request), [""; 0], "{attack:?}");
        }
        assert_eq!(scene.session(&attack).await, None, "{attack:?}");
        let own = [&attack[..], &[sign_in]].concat();
        let user = scene.session(&own).await;
        assert!(user.is_none() || user.as_deref() == Some(controller.alice), "{attack:?}: {user:?}");
    }
}

/// What the pages say of the lists: of what is not in them, the application believes the client, unless it is removed early.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_listed_is_the_clients() {
    for (controller, line, passed) in [
        (&INGRESS_NGINX, "X-Chat-User-Id,", Some("mallory")),
        (&ISTIO, "          - x-chat-user-id\n", None),
        (&ENVOY_GATEWAY, "        - x-chat-user-id\n", None),
    ] {
        let scene = Scene::bent(controller, &[(line, "")]).await;
        let alice = scene.bearer("alice");
        let request = scene.seen("/", &[("Authorization", &alice), ("X-Chat-User-Id", "mallory")]).await;
        assert_eq!(request.expect("let through").said("X-Chat-User-Id"), passed, "{}", controller.recipe.name);
    }
}

/// What the pages say of other spellings: nothing but the regular expression keeps them from the application.
#[tokio::test(flavor = "multi_thread")]
async fn other_spellings_pass_where_they_are_not_removed() {
    for (controller, passes_underscores) in [(&ISTIO, true), (&ENVOY_GATEWAY, false)] {
        let scene = Scene::bent(controller, &[("x[-_.]chat[-_.].*", "x-chat-.*")]).await;
        for (spelled, passes) in
            [("X-Chat-User-Id", false), ("x.chat.user.id", true), ("X_Chat_User_Id", passes_underscores)]
        {
            let request = scene.seen("/", &[(spelled, "mallory")]).await;
            let found = request.as_ref().map(forged).unwrap_or_default();
            assert_eq!(found.len(), usize::from(passes), "{}: {spelled}: {found:?}", controller.recipe.name);
        }
    }
}

/// What the pages say of `failOpen`: a client's headers pass with it, unless they are removed before anything else.
#[tokio::test(flavor = "multi_thread")]
async fn failing_open_needs_headers_to_be_removed_early() {
    let regex = "x[-_.]chat[-_.].*";
    for controller in [&ISTIO, &ENVOY_GATEWAY] {
        for (other, passed) in [(regex, None), ("x-other", Some("forged"))] {
            let mut scene = Scene::bent(controller, &[("failOpen: false", "failOpen: true"), (regex, other)]).await;
            scene.way.close().await;
            let answer = scene.proxy.ask("/", &[(TOKEN, "forged")]).await.expect("an answer");
            assert_eq!((answer.status, scene.app.last().said(TOKEN)), (200, passed), "{}", controller.recipe.name);
        }
    }
}

macro_rules! each_controller {
    ($($controller:ident: $reaches:ident, $forged:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $reaches() {
            the_token_reaches_the_application(&$controller).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $forged() {
            nothing_forged_passes(&$controller).await;
        }
    )*};
}

each_controller! {
    INGRESS_NGINX: the_token_reaches_the_application_ingress_nginx, nothing_forged_passes_ingress_nginx;
    ISTIO: the_token_reaches_the_application_istio, nothing_forged_passes_istio;
    ENVOY_GATEWAY: the_token_reaches_the_application_envoy_gateway, nothing_forged_passes_envoy_gateway;
}

#[test]
fn the_files_fit_the_schemas() {
    for controller in [&INGRESS_NGINX, &ISTIO, &ENVOY_GATEWAY] {
        for (name, text) in controller.recipe.documents {
            assert!(controller.recipe.page.contains(&format!("\n```yaml\n{text}```\n")), "the page prints {name}");
            assert_eq!(read(text).1, Vec::<Value>::new(), "{name}");
        }
    }
}

/// The judges see what `kubectl apply` would refuse, and what it would drop without a word.
#[test]
fn a_mistake_in_a_file_is_seen() {
    let all: String = [&INGRESS_NGINX, &ISTIO].map(|controller| controller.recipe.documents[0].1).join("---\n");
    for (right, wrong, complaint) in [
        ("pathType: Exact", "pathTypes: Exact", "Ingress"),
        ("number: 3000", "number: http", "Ingress"),
        ("action: CUSTOM", "action: ASK", "AuthorizationPolicy: /spec/action"),
        ("rules: [{}]", "rule: [{}]", "AuthorizationPolicy: /spec/rule is unknown"),
        ("type: PathPrefix", "type: Prefix", "HTTPRoute: /spec/rules/0/matches/0/path/type"),
        ("idleTimeout: 60s", "idleTime: 60s", "connectionPool/http/idleTime is unknown"),
        ("operation: MERGE", "operation: MIX", "EnvoyFilter: /spec/configPatches/0/patch/operation"),
        ("{ remove: [Cookie] }", "{ removes: [Cookie] }", "requestHeaderModifier/removes is unknown"),
    ] {
        assert!(all.contains(right), "{right}");
        let complaints = read(&all.replacen(right, wrong, 1)).1;
        assert!(complaints.iter().any(|text| text.as_str().unwrap().contains(complaint)), "{wrong}: {complaints:?}");
    }
}
