//! Real `OpenID` providers: their tokens open sessions, while they change their keys, go down and come back.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidemint::clock::{Clock as _, ManualClock, Timestamp};
use sidemint::config::Environment;

use super::Part;
use crate::eventually::eventually;
use crate::harness::{LOCAL, SESSION, Service, config};
use crate::judge::tool;

/// One POST of a form; status, the header `Location`, and the body.
async fn post(url: &str, form: &str) -> (u16, String, Value) {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let request = client.post(url).basic_auth("app", Some("0123456789abcdef0123456789abcdef"));
    let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form.to_owned());
    let reply = request.send().await.unwrap();
    let location = reply.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    let status = reply.status().as_u16();
    let body = serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap_or(Value::Null);
    (status, location.unwrap_or_default(), body)
}

/// npm `oidc-provider`, which gives an application tokens of its own.
struct OidcProvider {
    part: Part,
    address: SocketAddr,
    orders: SocketAddr,
}

impl OidcProvider {
    async fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parts/oidc-provider.mjs");
        let folder = tempfile::tempdir().unwrap();
        let part = Part::start("oidc-provider", folder, Path::new("node"), [script], &[]);
        let orders = part.address_after("orders on ").await;
        let address = part.address_after("listening on ").await;
        Self { part, address, orders }
    }

    async fn order(&self, what: &str) {
        assert_eq!(post(&format!("http://{}/{what}", self.orders), "").await.0, 204, "{}", self.part.log());
    }

    async fn token(&self) -> String {
        let form = "grant_type=client_credentials&scope=chat&resource=https%3A%2F%2Fchat.example";
        let (status, _, body) = post(&format!("http://{}/token", self.address), form).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }
}

/// The package `oidc-provider-mock`, where users sign in. Its tokens do not say which key signed them.
pub struct Mock {
    pub address: SocketAddr,
    _part: Part,
}

impl Mock {
    /// On this port; 0 is a free one.
    pub async fn start(port: u16) -> Self {
        let arguments = ["-p".to_owned(), port.to_string(), "--user-claims".to_owned(), USER.to_owned()];
        let folder = tempfile::tempdir().unwrap();
        let part = Part::start("oidc-provider-mock", folder, &tool("venv/bin/oidc-provider-mock"), arguments, &[]);
        let address = part.address_after("running on http://127.0.0.1:").await;
        Self { address, _part: part }
    }

    /// Signs alice in, as her browser and the application would.
    async fn token(&self) -> String {
        let back = "redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fback";
        let authorize = format!(
            "http://{}/oauth2/authorize?client_id=app&{back}&response_type=code&scope=openid+profile&state=x",
            self.address
        );
        let (status, location, _) = post(&authorize, "sub=alice").await;
        assert_eq!(status, 302);
        let code = location.split("code=").nth(1).and_then(|rest| rest.split('&').next()).expect("a code");
        let form = format!("grant_type=authorization_code&code={code}&{back}");
        let (status, _, body) = post(&format!("http://{}/oauth2/token", self.address), &form).await;
        assert_eq!(status, 200, "{body}");
        body["id_token"].as_str().unwrap().to_owned()
    }
}

const USER: &str = r#"{"sub":"alice","name":"Alice","preferred_username":"Alice","email":"alice@example.com"}"#;

/// The service, which finds the keys of the issuer at this address by itself. Its clock shows the time of the providers.
async fn service(address: SocketAddr, algorithm: &str, audience: &str) -> Service {
    let source = format!(
        "
[identity.sources.login]
kind = \"jwt\"
[identity.sources.login.jwt]
header = \"Authorization\"
algorithms = [\"{algorithm}\"]
issuer = \"http://{address}\"
audience = \"{audience}\"
[identity.sources.login.keys]
discovery = true
network = \"private\"
"
    );
    let text = config(&format!("{LOCAL}{source}"), &[("identity.source", "\"login\"")]);
    let clock = Arc::new(ManualClock::new(Timestamp::from(SystemTime::now())));
    let service = Service::start(&text, &Environment::default(), clock).await;
    service.metric_reaches(&looks("ok"), 1.0).await;
    service
}

fn looks(outcome: &str) -> String {
    format!("sidemint_key_set_fetches_total{{outcome=\"{outcome}\",source=\"login\"}}")
}

/// Tokens made from now on are not of the future.
fn catch_up(service: &Service) {
    service.clock.advance(Timestamp::from(SystemTime::now()).since(service.clock.now()));
}

/// The first part of a token.
fn header(alg: &str, kid: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "at+jwt", "kid": kid}).to_string())
}

async fn status(service: &Service, token: &str) -> u16 {
    service.ask("GET", SESSION, &[("Authorization", &format!("Bearer {token}"))]).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_issuer_changes_its_keys_goes_down_and_comes_back_under_load() {
    let provider = OidcProvider::start().await;
    let service = Arc::new(service(provider.address, "ES256", "chat").await);
    let first = provider.token().await;
    catch_up(&service);
    let answer = service.ask("GET", SESSION, &[("Authorization", &format!("Bearer {first}"))]).await;
    assert_eq!((answer.status, answer.json()["chatUserId"].as_str()), (200, Some("app")));

    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (service, stop, asked) = (Arc::clone(&service), Arc::clone(&stop), Arc::clone(&asked));
            let bearer = format!("Bearer {first}");
            tokio::spawn(async move {
                let mut connection = service.connect().await;
                while !stop.load(Ordering::Relaxed) {
                    let answer = connection.ask("GET", SESSION, &[("Authorization", &bearer)]).await;
                    assert_eq!(answer.status, 200);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();

    provider.order("rotate").await;
    let second = provider.token().await;
    catch_up(&service);
    assert_eq!(status(&service, &second).await, 200, "the new key is found at once");

    // Tokens live for ten minutes: everything below takes less than that on our clock.
    provider.order("down").await;
    service.advance(10);
    let stranger = second.replace(second.split('.').next().unwrap(), &header("ES256", "new"));
    assert_eq!(status(&service, &stranger).await, 503, "no source can be asked");
    assert!(service.metric(&looks("connect")).await >= 1.0);
    assert_eq!(status(&service, &second).await, 200);
    let before = asked.load(Ordering::Relaxed);
    eventually("requests go on", async || asked.load(Ordering::Relaxed) > before + 100).await;

    provider.order("up").await;
    service.advance(10);
    assert_eq!(status(&service, &stranger).await, 401, "it has no such key");
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    provider.order("rotate").await;
    let third = provider.token().await;
    service.advance(10);
    assert_eq!(status(&service, &third).await, 200);
    assert_eq!(status(&service, &second).await, 200, "it is still published");
    assert_eq!(status(&service, &first).await, 401, "signed by a key that is gone");
    assert_eq!(service.ops("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_an_issuer_sign_in_and_its_new_key_is_found_without_a_name() {
    let mock = Mock::start(0).await;
    let address = mock.address;
    let service = service(address, "RS256", "app").await;
    let old = mock.token().await;
    catch_up(&service);
    let answer = service.ask("GET", SESSION, &[("Authorization", &format!("Bearer {old}"))]).await;
    assert_eq!((answer.status, answer.json()["chatUserId"].as_str()), (200, Some("alice")));
    drop(mock);
    assert_eq!(status(&service, &old).await, 200, "it is down");
    // It makes a new key at each start.
    let mock = Mock::start(address.port()).await;
    let new = mock.token().await;
    catch_up(&service);
    assert_eq!(status(&service, &new).await, 200, "it is back");
    assert_eq!(status(&service, &old).await, 401, "signed by a key that is gone");
}
