//! A real oauth2-proxy in front, with the options that its page prints: in both forms the user is who signed in, whatever
//! else a client says.

use std::net::SocketAddr;

use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use sidemint::config::Environment;

use crate::client::{Answer, Connection};
use crate::harness::{LOCAL, SESSION, Service, clock, config};
use crate::judge::tool;
use crate::parts::Part;
use crate::parts::oidc::Mock;
use crate::parts::proxies::{own_address, system};

const PAGE: &str = include_str!("../../../docs/identity/oauth2-proxy.md");

/// A block of the page.
fn block(kind: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{kind}\n")).expect("a block");
    rest.split_once("```").expect("its end").0
}

/// oauth2-proxy and the provider at which it has users sign in.
struct Login {
    address: SocketAddr,
    _part: Part,
    _provider: Mock,
}

impl Login {
    /// With these options beside those of any deployment.
    async fn start(options: &str) -> Self {
        let (folder, address, provider) = (tempfile::tempdir().unwrap(), own_address(), Mock::start(0).await);
        let text = format!(
            "http_address = \"{address}\"\nprovider = \"oidc\"\noidc_issuer_url = \"http://{}\"\n\
             client_id = \"app\"\nclient_secret = \"0123456789abcdef0123456789abcdef\"\n\
             cookie_secret = \"0123456789abcdef0123456789abcdef\"\nredirect_url = \"http://{address}/oauth2/callback\"\n\
             cookie_secure = false\ninsecure_oidc_allow_unverified_email = true\nemail_domains = [\"*\"]\n\
             skip_provider_button = true\n{options}",
            provider.address
        );
        std::fs::write(folder.path().join("oauth2-proxy.cfg"), text).unwrap();
        let program = tool("bin/oauth2-proxy");
        let part = Part::start("oauth2-proxy", folder, &program, ["--config", "oauth2-proxy.cfg"], &[]);
        part.listens(address).await;
        Self { address, _part: part, _provider: provider }
    }

    /// Signs alice in as her browser does, and gives the cookie.
    async fn cookie(&self) -> String {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let start = client.get(format!("http://{}/oauth2/start", self.address)).send().await.unwrap();
        let authorize = text_of(start.headers(), LOCATION.as_str());
        let form = client.post(authorize).header("Content-Type", "application/x-www-form-urlencoded").body("sub=alice");
        let callback = text_of(form.send().await.unwrap().headers(), LOCATION.as_str());
        let back = client.get(callback).header(COOKIE, cookies(start.headers())).send().await.unwrap();
        assert_eq!(back.status().as_u16(), 302, "{back:?}");
        cookies(back.headers())
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).unwrap_or_else(|| panic!("{name}: {headers:?}")).to_str().unwrap().to_owned()
}

/// What a browser sends back of what it was told to keep.
fn cookies(headers: &HeaderMap) -> String {
    let all = headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap().split(';').next().unwrap());
    all.filter(|cookie| !cookie.ends_with("csrf=")).collect::<Vec<_>>().join("; ")
}

async fn service(source: &str) -> Service {
    let source = format!("\"{source}\"");
    Service::start(&config(LOCAL, &[("identity.source", &source)]), &Environment::default(), clock()).await
}

async fn ask(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    Connection::open(address).await.ask("GET", path, headers).await
}

/// Requests that the service answered.
fn requests(service: &Service) -> usize {
    service.log().lines().count()
}

/// What a client adds that says that it is mallory, in the spellings that some server takes for `name`.
fn forged(name: &str) -> Vec<Vec<(String, String)>> {
    let mallory = |name: String| (name, "mallory".to_owned());
    vec![
        vec![mallory(name.to_owned())],
        vec![mallory(name.to_lowercase())],
        vec![mallory(name.replace('-', "_"))],
        vec![mallory(name.replace("User", "Email")), mallory(name.replace("User", "Groups"))],
    ]
}

/// Alice stays alice, and a visitor who has not signed in reaches nothing.
async fn assert_only_the_login_counts(service: &Service, address: SocketAddr, path: &str, cookie: &str, header: &str) {
    let all = forged(header);
    for lines in &all {
        let lines: Vec<(&str, &str)> = lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = ask(address, path, &[&[("Cookie", cookie)], &lines[..]].concat()).await;
        assert_eq!(
            (answer.status, answer.json()["chatUserId"].as_str()),
            (200, Some("alice")),
            "{lines:?}: {answer:?}"
        );
        let before = requests(service);
        let answer = ask(address, path, &lines).await;
        assert!([302, 401, 403].contains(&answer.status), "{lines:?}: {answer:?}");
        assert_eq!(requests(service), before, "{lines:?}: the service was not asked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_reverse_proxy() {
    let service = service("oauth2-proxy").await;
    let options = block("text").replace("127.0.0.1:8080", &service.address().to_string());
    assert_ne!(options, block("text"));
    let login = Login::start(&format!("{options}skip_auth_routes = [\"^/auth$\"]\n")).await;
    let cookie = login.cookie().await;
    let answer = ask(login.address, SESSION, &[("Cookie", &cookie)]).await;
    let session = answer.json();
    assert_eq!((session["chatUserId"].as_str(), session["displayName"].as_str()), (Some("alice"), Some("Alice")));
    assert_only_the_login_counts(&service, login.address, SESSION, &cookie, "X-Forwarded-User").await;
    // What oauth2-proxy does not know for a spelling of its header is refused here; and what `Connection` lists is gone
    // after it was set, so that no user is left.
    for other in [("X.Forwarded.User", "mallory"), ("Connection", "close, X-Forwarded-User")] {
        let answer = ask(login.address, SESSION, &[("Cookie", &cookie), other]).await;
        assert_eq!(answer.status, 401, "{other:?}: {answer:?}");
    }
    // A path without a login has no user, whatever a client says.
    let skipped = ask(login.address, "/auth", &[("X-Forwarded-User", "mallory")]).await;
    assert_eq!((skipped.status, skipped.header("x-chat-user-id")), (200, Some("")));
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_an_auth_subrequest_of_nginx() {
    let service = service("oauth2-proxy-subrequest").await;
    let login = Login::start("set_xauthrequest = true\nreverse_proxy = true\nupstreams = [ \"static://202\" ]\n").await;
    let (folder, address) = (tempfile::tempdir().unwrap(), own_address());
    let location = block("nginx").replace("127.0.0.1:8080", &service.address().to_string());
    assert_ne!(location, block("nginx"));
    let own = folder.path().display().to_string();
    let parts = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = parts.map(|part| format!("{part}_temp_path {own}/{part};\n")).concat();
    let text = format!(
        "daemon off;\nmaster_process off;\npid {own}/nginx.pid;\nerror_log {own}/error.log info;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}server {{\nlisten {address};\n\
         location = /oauth2/auth {{\ninternal;\nproxy_pass http://{};\nproxy_pass_request_body off;\n\
         proxy_set_header Content-Length \"\";\n}}\n{location}}}\n}}\n",
        login.address
    );
    std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
    let arguments = ["-e", "error.log", "-c", "nginx.conf", "-p", "."];
    let part = Part::start("nginx", folder, &system("nginx"), arguments, &[]);
    part.listens(address).await;
    let cookie = login.cookie().await;
    let answer = ask(address, "/chat/session", &[("Cookie", &cookie)]).await;
    let session = answer.json();
    assert_eq!((session["chatUserId"].as_str(), session["displayName"].as_str()), (Some("alice"), Some("Alice")));
    assert_only_the_login_counts(&service, address, "/chat/session", &cookie, "X-Auth-Request-User").await;
    for other in [("X.Auth.Request.User", "mallory"), ("Connection", "close, X-Auth-Request-User")] {
        let answer = ask(address, "/chat/session", &[("Cookie", &cookie), other]).await;
        assert_eq!(
            (answer.status, answer.json()["chatUserId"].as_str()),
            (200, Some("alice")),
            "{other:?}: {answer:?}"
        );
    }
}
