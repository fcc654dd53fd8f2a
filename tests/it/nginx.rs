//! A real nginx with the documented configuration, word for word.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::client::{Answer, Connection, request};
use crate::fakes::http::Script;
use crate::fakes::sendsar::{Sendsar, subject_of};
use crate::harness::{SESSION, Service};

const CONFIGURATION: &str = include_str!("../../docs/proxies/nginx.conf");
const PAGE: &str = include_str!("../../docs/nginx.md");
/// `alice:secret`, `{x}:secret`, `bob:secret`, `alice:wrong` and `mallory:secret`.
const ALICE: (&str, &str) = ("Authorization", "Basic YWxpY2U6c2VjcmV0");
const TEMPLATE: (&str, &str) = ("Authorization", "Basic e3h9OnNlY3JldA==");
const BOB: (&str, &str) = ("Authorization", "Basic Ym9iOnNlY3JldA==");
const WRONG: (&str, &str) = ("Authorization", "Basic YWxpY2U6d3Jvbmc=");
const MALLORY: (&str, &str) = ("Authorization", "Basic bWFsbG9yeTpzZWNyZXQ=");

/// An nginx on a socket of its own. Ends with the test.
struct Nginx {
    child: Child,
    folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts nginx with the documented file; only addresses and the password file are replaced.
    async fn start(sidemint: std::net::SocketAddr, app: &App) -> Self {
        Self::start_with(sidemint, app, "proxy_cache off;").await
    }

    /// The same with something else than `proxy_cache off;` wherever that stands.
    async fn start_with(sidemint: std::net::SocketAddr, app: &App, caching: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let socket = format!("unix:{}", path.join("front.sock").display());
        let replaced = [
            ("127.0.0.1:8000", socket),
            ("127.0.0.1:8080", sidemint.to_string()),
            ("127.0.0.1:3000", app.address.to_string()),
            ("127.0.0.1:4180", app.address.to_string()),
            ("/etc/nginx/users.htpasswd", path.join("users").display().to_string()),
        ];
        let mut own = CONFIGURATION.to_owned();
        for (placeholder, value) in replaced {
            assert_eq!(own.matches(placeholder).count(), 1, "{placeholder} stands in the file once");
            own = own.replace(placeholder, &value);
        }
        assert_eq!(own.matches("proxy_cache off;").count(), 3, "every location that asks sidemint");
        let own = own.replace("proxy_cache off;", caching);
        std::fs::write(path.join("users"), "alice:{PLAIN}secret\nbob:{PLAIN}secret\n{x}:{PLAIN}secret\n").unwrap();
        std::fs::write(path.join("chat.conf"), own).unwrap();
        std::fs::write(path.join("nginx.conf"), around(path)).unwrap();
        let child = Command::new("nginx")
            .args(["-e", "error.log", "-c", "nginx.conf", "-p"])
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("nginx is not installed: run tests/install-parts");
        let nginx = Self { child, folder };
        nginx.until_it_listens().await;
        nginx
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("front.sock")
    }

    async fn until_it_listens(&self) {
        for _ in 0..4000 {
            if UnixStream::connect(self.socket()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nginx does not listen:\n{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.connect().await.ask(method, path, headers).await
    }

    async fn connect(&self) -> Connection<UnixStream> {
        Connection::over(UnixStream::connect(self.socket()).await.expect("connects"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- nginx ---\n{}", self.log());
        }
    }
}

/// What is around the documented file on a test's nginx: one process, and everything in its folder.
pub fn around(folder: &Path) -> String {
    let folder = folder.display();
    let parts = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = parts.map(|part| format!("  {part}_temp_path {folder}/{part};\n")).concat();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log info;\n\
         events {{}}\nhttp {{\n  access_log off;\n{temporary}  \
         proxy_cache_path {folder}/cache keys_zone=shared:1m;\n  include {folder}/chat.conf;\n}}\n"
    )
}

/// The application behind nginx, and the login's auth endpoint: remembers the requests it got.
#[derive(Clone)]
struct App {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl App {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let server = app.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        app
    }

    /// One request of nginx, which speaks HTTP/1.0 here and closes.
    async fn serve(self, mut stream: TcpStream) {
        let (mut text, mut chunk) = (String::new(), [0; 4096]);
        while !complete(&text) {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(n) => text.push_str(&String::from_utf8_lossy(&chunk[..n])),
            }
        }
        let answer = match text.split(' ').nth(1).unwrap_or_default() {
            "/oauth2/auth" if text.contains("\r\nCookie: login=bob\r\n") => {
                "200 OK\r\nX-Auth-Request-User: bob\r\nContent-Length: 0\r\n\r\n"
            }
            "/oauth2/auth" if text.contains("\r\nCookie: login=alice\r\n") => {
                "200 OK\r\nX-Auth-Request-User: alice\r\nX-Auth-Request-Preferred-Username: Alice Doe\r\n\
                 X-Auth-Request-Email: alice@example.org\r\nContent-Length: 0\r\n\r\n"
            }
            "/oauth2/auth" => "401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
            _ => "200 OK\r\nContent-Length: 5\r\n\r\nhello",
        };
        self.seen.lock().unwrap().push(text);
        let _gone = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
    }

    /// The last request that was not for the login; panics when there was none since the last call.
    fn last(&self) -> String {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.into_iter().rfind(|text| !text.contains("/oauth2/auth")).expect("a request came")
    }

    fn is_untouched(&self) -> bool {
        self.seen.lock().unwrap().is_empty()
    }
}

fn complete(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

/// The one value of a header in the text of a request.
fn header<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let lines = text.lines().skip(1).take_while(|line| !line.is_empty());
    let mut found = lines
        .filter_map(|line| line.split_once(": "))
        .filter(|(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, v)| v);
    let value = found.next();
    assert_eq!(found.next(), None, "{name} came twice:\n{text}");
    value
}

fn has_chat_header(answer: &Answer) -> bool {
    answer.headers.iter().any(|(name, _)| name.starts_with("x-chat") || name.starts_with("x-envoy"))
}

async fn everything() -> (Service, Sendsar, App, Nginx) {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let app = App::start().await;
    let nginx = Nginx::start(service.address(), &app).await;
    (service, fake, app, nginx)
}

#[test]
fn the_page_prints_the_file_that_is_tested() {
    let mut blocks = PAGE.split("```nginx\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    assert_eq!(blocks.next(), Some(CONFIGURATION));
    assert_eq!(blocks.next(), None);
}

#[test]
fn the_page_prints_a_configuration_of_sidemint_that_loads() {
    let block = PAGE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let drawn = crate::harness::draw(block, &crate::harness::sendsar_key(), crate::harness::clock());
    let blueprint = drawn.unwrap_or_else(|errors| panic!("{errors}"));
    let paths: Vec<&str> = blueprint.plans().iter().map(|plan| plan.path.as_str()).collect();
    assert_eq!(paths, [SESSION, "/auth", "/guard"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_reaches_the_application() {
    let (_service, _fake, app, nginx) = everything().await;
    for path in ["/", "/page?x=1", "/members/", "/members/page"] {
        let answer = nginx.ask("GET", path, &[ALICE]).await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert!(!has_chat_header(&answer), "the token is for the application");
        let request = app.last();
        assert!(request.starts_with(&format!("GET {path} ")), "{request}");
        assert_eq!(subject_of(header(&request, "X-Chat-Token").unwrap()), "alice");
        assert_eq!(header(&request, "X-Chat-Token-Expires-At"), Some("2026-05-04T19:40:00.000Z"));
        assert_eq!(header(&request, "X-Chat-Api-Url"), Some("https://api.sendsar.com/v1"));
        assert_eq!(header(&request, "X-Chat-User-Id"), Some("alice"));
        assert_eq!(header(&request, "X-Chat-Display-Name"), Some("alice"));
        assert_eq!(header(&request, "X-Chat-Status"), Some("ok"));
        assert_eq!(header(&request, "X-Forwarded-User"), Some("alice"));
    }
}

/// T-01, T-03 and T-05, through the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_forges_is_replaced() {
    let (_service, fake, app, nginx) = everything().await;
    let forged = [
        ("X-Forwarded-User", "mallory"),
        ("X-Forwarded-Name", "Mallory"),
        ("X-Forwarded-Email", "mallory@example.org"),
        ("X-Forwarded-Groups", "admins"),
        ("X_Forwarded_User", "mallory"),
        ("X-Chat-Token", "forged"),
        ("X-Chat-Token", "forged again"),
        ("X-Chat-Token-Expires-At", "forged"),
        ("X-Chat-Api-Url", "https://forged.example"),
        ("X-Chat-User-Id", "mallory"),
        ("X-Chat-Display-Name", "Mallory"),
        ("X-Chat-Status", "ok"),
        ("X_Chat_Token", "forged"),
    ];
    // As a visitor there is nothing to replace it with, and it is gone all the same.
    assert_eq!(nginx.ask("GET", "/", &forged).await.status, 200);
    let request = app.last();
    assert!(!request.to_lowercase().contains("mallory") && !request.contains("forged"), "{request}");
    assert_eq!(header(&request, "X-Chat-Status"), Some("anonymous"));
    assert!(fake.calls().is_empty());
    for path in ["/", "/members/"] {
        assert_eq!(nginx.ask("GET", path, &[&forged[..], &[ALICE]].concat()).await.status, 200);
        let request = app.last();
        assert!(!request.to_lowercase().contains("mallory") && !request.contains("forged"), "{request}");
        assert_eq!(subject_of(header(&request, "X-Chat-Token").unwrap()), "alice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_pass_without_a_token_where_chat_is_optional() {
    let (service, fake, app, nginx) = everything().await;
    assert_eq!(nginx.ask("GET", "/", &[]).await.status, 200);
    let request = app.last();
    assert_eq!(header(&request, "X-Chat-Status"), Some("anonymous"));
    for name in ["X-Chat-Token", "X-Chat-Token-Expires-At", "X-Chat-Api-Url", "X-Chat-User-Id", "X-Forwarded-User"] {
        assert_eq!(header(&request, name), None, "{name}: nginx leaves empty headers out");
    }
    assert_eq!(nginx.ask("GET", "/members/", &[]).await.status, 401);
    assert!(app.is_untouched() && fake.calls().is_empty());
    let asked = "sidemint_requests_total{outcome=\"unauthorized\",route=\"/guard\"}";
    assert!(service.metric(asked).await.abs() < 0.1, "nginx refused by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_user_without_the_right_password_goes_nowhere() {
    let (_service, fake, app, nginx) = everything().await;
    for claim in [WRONG, MALLORY, ("Authorization", "Basic"), ("Authorization", "Bearer alice")] {
        for path in ["/", "/members/"] {
            assert_eq!(nginx.ask("GET", path, &[claim]).await.status, 401, "{path} {claim:?}");
        }
    }
    assert!(app.is_untouched() && fake.calls().is_empty());
}

/// T-35.
#[tokio::test(flavor = "multi_thread")]
async fn a_denial_carries_nothing_to_the_client() {
    let (_service, fake, app, nginx) = everything().await;
    for path in ["/", "/members/"] {
        let denied = nginx.ask("GET", path, &[TEMPLATE]).await;
        assert_eq!(denied.status, 401, "a user id that is a placeholder");
        assert_eq!(denied.header("www-authenticate"), Some("Bearer"), "no password box");
        assert!(!has_chat_header(&denied), "{denied:?}");
    }
    fake.always("/v1/users", Some(Script::text(429, "application/json", "{}")));
    let limited = nginx.ask("GET", "/members/", &[ALICE]).await;
    assert_eq!(limited.status, 403);
    assert!(!has_chat_header(&limited), "{limited:?}");
    assert!(app.is_untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_bodies_pass_by_the_question() {
    let (service, fake, app, nginx) = everything().await;
    for path in ["/", "/members/"] {
        let mut connection = nginx.connect().await;
        connection.send(request("POST", path, &[ALICE], &[b'x'; 5000])).await;
        assert_eq!(connection.answer().await.expect("an answer").status, 200);
        let request = app.last();
        assert!(request.starts_with("POST ") && request.ends_with(&"x".repeat(5000)), "{request}");
        assert!(header(&request, "X-Chat-Token").is_some());
        for method in ["HEAD", "DELETE", "OPTIONS", "PROPFIND"] {
            assert_eq!(connection.ask(method, path, &[ALICE]).await.status, 200, "{method}");
            assert!(app.last().starts_with(method));
        }
    }
    assert_eq!((fake.upserts(), fake.mints()), (1, 2), "one session for each route; no DELETE signed anybody out");
    let bodies = "sidemint_requests_total{outcome=\"ok\",route=\"/auth\"}";
    assert!((service.metric(bodies).await - 5.0).abs() < 0.1);
}

/// Forwards to an address and counts the connections.
async fn counting(to: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                let _closed = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, count)
}

/// A3: an answer with a body would cost a connection each.
#[tokio::test(flavor = "multi_thread")]
async fn nginx_keeps_its_connections_to_the_service() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let app = App::start().await;
    let (counted, connections) = counting(service.address()).await;
    let nginx = Nginx::start(counted, &app).await;
    for n in 0..20 {
        let path = if n % 2 == 0 { "/" } else { "/members/" };
        assert_eq!(nginx.ask("GET", path, &[ALICE]).await.status, 200);
        assert_eq!(nginx.ask("GET", "/", &[]).await.status, 200);
        assert_eq!(nginx.ask("GET", path, &[TEMPLATE]).await.status, 401);
    }
    fake.breaks(Some(Script::Reset));
    service.advance(7200);
    for _ in 0..5 {
        assert_eq!(nginx.ask("GET", "/members/", &[ALICE]).await.status, 500, "503 is an error to nginx");
        assert_eq!(nginx.ask("GET", "/", &[ALICE]).await.status, 200, "optional");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1, "70 questions, one after the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_provider_is_not_noticed_by_users_with_a_session() {
    let (service, fake, app, nginx) = everything().await;
    assert_eq!(nginx.ask("GET", "/", &[ALICE]).await.status, 200);
    assert_eq!(nginx.ask("GET", "/members/", &[ALICE]).await.status, 200);
    let before = app.last();
    fake.breaks(Some(Script::Reset));
    assert_eq!(nginx.ask("GET", "/members/", &[ALICE]).await.status, 200);
    assert_eq!(header(&app.last(), "X-Chat-Token"), header(&before, "X-Chat-Token"));
    // A day later nothing is left, and the application goes on without chat.
    service.advance(86_400);
    assert_eq!(nginx.ask("GET", "/", &[ALICE]).await.status, 200);
    let request = app.last();
    assert_eq!((header(&request, "X-Chat-Status"), header(&request, "X-Chat-Token")), (Some("unavailable"), None));
}

/// As documented: nginx makes 500 of everything but 2xx, 401 and 403.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_service_nginx_answers_500() {
    let (service, _fake, app, nginx) = everything().await;
    assert_eq!(nginx.ask("GET", "/", &[ALICE]).await.status, 200);
    app.last();
    service.stop().await;
    for path in ["/", "/members/"] {
        let answer = nginx.ask("GET", path, &[ALICE]).await;
        assert_eq!(answer.status, 500, "{path}");
        assert!(!has_chat_header(&answer));
    }
    assert!(app.is_untouched());
    assert!(nginx.log().contains("Connection refused"), "{}", nginx.log());
}

/// The third shape: the login's auth endpoint says who it is, and the page gets its session.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_gets_its_session_behind_a_login() {
    let (_service, fake, app, nginx) = everything().await;
    let login = ("Cookie", "login=alice");
    let forged = [("X-Forwarded-User", "mallory"), ("X-Forwarded-Name", "Mallory"), ("X-Auth-Request-User", "mallory")];
    for headers in [&forged[..], &[("Cookie", "login=mallory")], &[ALICE], &[]] {
        assert_eq!(nginx.ask("GET", SESSION, headers).await.status, 401, "not signed in");
    }
    assert!(fake.calls().is_empty());
    for method in ["GET", "POST"] {
        let answer = nginx.ask(method, SESSION, &[&forged[..], &[login]].concat()).await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(
            (answer.json()["chatUserId"].as_str(), answer.json()["displayName"].as_str()),
            (Some("alice"), Some("Alice Doe"))
        );
        assert_eq!(answer.header("cache-control"), Some("no-store, private"));
    }
    let elsewhere = nginx.ask("GET", SESSION, &[login, ("Sec-Fetch-Site", "cross-site")]).await;
    assert_eq!((elsewhere.status, elsewhere.code().as_str()), (403, "origin_refused"));
    assert_eq!(nginx.ask("DELETE", SESSION, &[login]).await.status, 204);
    let asked: Vec<String> = app.seen.lock().unwrap().clone();
    assert!(asked.iter().all(|text| header(text, "X-Original-URI") == Some(SESSION)), "{asked:#?}");
}

/// Who gets the session of whom from an nginx that caches by address alone, on each of the three locations.
async fn sessions_through_a_cache(heeding: &str) -> Vec<Option<String>> {
    let (service, _fake) = Service::sendsar_with("retries = 0", &[]).await;
    let app = App::start().await;
    let caching = format!("proxy_cache shared; proxy_cache_key $uri; proxy_cache_valid any 10m; {heeding}");
    let nginx = Nginx::start_with(service.address(), &app, &caching).await;
    let mut users = Vec::new();
    for (password, cookie) in [(ALICE, ("Cookie", "login=alice")), (BOB, ("Cookie", "login=bob"))] {
        for path in ["/", "/members/"] {
            assert_eq!(nginx.ask("GET", path, &[password]).await.status, 200);
            users.push(header(&app.last(), "X-Chat-User-Id").map(str::to_owned));
        }
        let page = nginx.ask("GET", SESSION, &[cookie]).await;
        assert_eq!(page.status, 200, "{page:?}");
        users.push(page.json()["chatUserId"].as_str().map(str::to_owned));
    }
    users
}

/// T-31: a cache whose key does not hold the user, as in a well-known example. `Cache-Control` keeps sessions out of it;
/// where an operator told nginx to ignore that, `Vary` still keeps users with different cookies apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_cache_hands_no_session_to_another_user() {
    let names = |users: [&str; 6]| users.map(|user| Some(user.to_owned())).to_vec();
    let own = names(["alice", "alice", "alice", "bob", "bob", "bob"]);
    let without_vary = "proxy_ignore_headers Vary;";
    assert_eq!(sessions_through_a_cache(without_vary).await, own, "nothing is kept");
    let heedless = "proxy_ignore_headers Cache-Control;";
    assert_eq!(sessions_through_a_cache(heedless).await, own, "different cookies and credentials");
    // The cache was really there: with both headers ignored, everybody is alice.
    let reckless = "proxy_ignore_headers Cache-Control Vary;";
    assert_eq!(sessions_through_a_cache(reckless).await, names(["alice"; 6]));
}
