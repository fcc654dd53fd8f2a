//! The way out: through a proxy, past it, with authorities of one's own, and with what variables say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::json;
use sidemint::config::Environment;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::eventually::eventually;
use crate::fakes::http::{Call, Script};
use crate::fakes::issuer::Issuer;
use crate::fakes::provider::Fake;
use crate::fakes::sendsar::API_KEY;
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw};
use crate::parts::Part;
use crate::parts::proxies::own_address;
use crate::pki::Authority;

/// Nothing listens there, so each call through it fails.
const DEAD: &str = "\"http://127.0.0.1:1\"";

/// A provider that speaks TLS, at an address that is this machine's although it is not loopback: 0.0.0.0.
async fn provider(authority: &Authority) -> (Fake, String) {
    let fake = Fake::start(|call: &Call| match call.path.as_str() {
        "/users" => Script::json(200, &json!({})),
        _ => Script::json(200, &json!({"token": "tok", "expiresAt": "2026-05-04T19:40:00Z"})),
    })
    .await;
    fake.shows(&authority.issue(&["0.0.0.0", "provider.test"], "a provider", 2040));
    let url = format!("https://0.0.0.0:{}", fake.address.port());
    (fake, url)
}

fn routes(url: &str) -> String {
    format!(
        "[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"chat\"\nttl = \"1h\"\n\
         [providers.chat]\npreset = \"sendsar\"\napi_url = \"{url}\"\npublic_api_url = \"https://x\"\nretries = 0\n"
    )
}

fn environment<const N: usize>(more: [(&str, &str); N]) -> Environment {
    let mut all = vec![("SENDSAR_API_KEY", API_KEY), ("OTHER", "x")];
    all.extend(more);
    Environment::of::<4>(std::array::from_fn(|n| *all.get(n).unwrap_or(&("NONE", "x"))))
}

/// A real proxy that wants to know who asks.
async fn tinyproxy() -> (Part, SocketAddr) {
    let (folder, address) = (tempfile::tempdir().unwrap(), own_address());
    let text = format!(
        "Port {}\nListen {}\nTimeout 60\nMaxClients 20\nAllow 127.0.0.0/8\nBasicAuth shop password1\nLogLevel Info\n",
        address.port(),
        address.ip()
    );
    std::fs::write(folder.path().join("tinyproxy.conf"), text).unwrap();
    let part = Part::start("tinyproxy", folder, Path::new("tinyproxy"), ["-d", "-c", "tinyproxy.conf"], &[]);
    part.listens(address).await;
    (part, address)
}

/// A proxy that knows names that no resolver knows, and remembers what it was asked for.
#[derive(Clone, Default)]
pub struct Tunnel {
    names: Arc<BTreeMap<String, SocketAddr>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    pub async fn start(names: &[(&str, SocketAddr)]) -> (Self, String) {
        let names = names.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        let own = Self { names: Arc::new(names), asked: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("\"http://{}\"", listener.local_addr().unwrap());
        let server = own.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        (own, url)
    }

    async fn serve(self, mut client: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = client.read_u8().await else { return };
            head.push(byte);
        }
        let line = String::from_utf8(head).unwrap().lines().next().unwrap().to_owned();
        self.asked.lock().unwrap().push(line.clone());
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let Some(address) = self.names.get(&target) else {
            drop(client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await);
            return;
        };
        let mut server = TcpStream::connect(address).await.unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A call goes through a real proxy, with user and password from a file, to a server of one's own authority.
#[tokio::test(flavor = "multi_thread")]
async fn calls_go_through_a_real_proxy() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (fake, url) = provider(&authority).await;
    let (part, address) = tinyproxy().await;
    let (ca, auth) = (folder.path().join("ca.crt"), folder.path().join("auth"));
    std::fs::write(&ca, &authority.pem).unwrap();
    std::fs::write(&auth, "shop:password1\n").unwrap();
    let [ca, auth] = [ca, auth].map(|path| format!("\"{}\"", path.display()));
    let proxy = format!("\"http://{address}\"");
    let good = [("outbound.proxy", proxy.as_str()), ("outbound.proxy_auth_file", &auth), ("outbound.ca_file", &ca)];
    let service = Service::start(&config(&routes(&url), &good), &environment([]), clock()).await;
    let answer = service.session("alice").await;
    assert_eq!((answer.status, &answer.json()["token"]), (200, &json!("tok")), "{}", part.log());
    assert_eq!(fake.asked(), ["POST /users", "POST /auth/token"]);
    assert!(part.log().contains(&format!("CONNECT 0.0.0.0:{}", fake.address.port())), "{}", part.log());

    // The authority counts each client that connects; without it, and without a word of who asks, there is no session.
    for left_out in [1, 2] {
        let some: Vec<_> = good.iter().enumerate().filter(|(n, _)| *n != left_out).map(|(_, pair)| *pair).collect();
        let service = Service::start(&config(&routes(&url), &some), &environment([]), clock()).await;
        assert_eq!(service.session("alice").await.code(), "provider_unavailable");
    }
    assert_eq!(fake.calls().len(), 2);

    // The same from variables, at the command line; where the proxy was not told who asks it says so.
    let named = [("SSL_CERT_FILE", ca.trim_matches('"')), ("SENDSAR_API_KEY", API_KEY)];
    std::fs::write(folder.path().join("config.toml"), config(&routes(&url), &[("outbound.from_env", "true")])).unwrap();
    for (variable, password, good) in
        [("HTTPS_PROXY", "pass%77ord1", true), ("all_proxy", "password1", true), ("https_proxy", "", false)]
    {
        let who = if password.is_empty() { String::new() } else { format!("shop:{password}@") };
        let value = format!("http://{who}{address}");
        let mut mint = Command::new(env!("CARGO_BIN_EXE_sidemint"));
        mint.args(["mint", "--user", "alice"]).current_dir(folder.path()).env_clear().envs(named).env(variable, value);
        let output = tokio::task::spawn_blocking(move || mint.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // The fake's answer is of another time and refused for that: it has come, and that is enough.
        let came = said.contains("expiry is in the past");
        let refused = said.contains("no connection: the proxy asks for a user and a password");
        assert_eq!((came, refused), (good, !good), "{variable}: {said}");
        assert!(!said.contains("password1"), "{said}");
    }
}

/// Loopback, and what is listed, is called directly; so is everything where nothing is configured.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_near_is_called_directly() {
    let fake = Fake::start(|call: &Call| match call.path.as_str() {
        "/users" => Script::json(200, &json!({})),
        _ => Script::json(200, &json!({"token": "tok", "expiresAt": "2026-05-04T19:40:00Z"})),
    })
    .await;
    let any = format!("http://0.0.0.0:{}", fake.address.port());
    for (url, more, served) in [
        (fake.base_url(), vec![("outbound.proxy", DEAD)], true),
        (any.clone(), vec![("outbound.proxy", DEAD)], false),
        (any.clone(), vec![("outbound.proxy", DEAD), ("outbound.no_proxy", "[\"0.0.0.0/31\"]")], true),
        (any.clone(), vec![], true),
    ] {
        let service = Service::start(&config(&routes(&url), &more), &environment([]), clock()).await;
        assert_eq!(service.session("alice").await.status == 200, served, "{url} {more:?}");
    }
    // Variables count where the configuration says so, and nowhere else.
    let from_env = [("outbound.from_env", "true")];
    for (more, variables, served) in [
        (&[][..], [("HTTP_PROXY", "127.0.0.1:1"), ("X", "x")], true),
        (&from_env[..], [("HTTP_PROXY", "127.0.0.1:1"), ("X", "x")], false),
        (&from_env[..], [("http_proxy", "http://127.0.0.1:1"), ("NO_PROXY", "a.example, 0.0.0.0")], true),
        (&from_env[..], [("ALL_PROXY", "http://127.0.0.1:1"), ("no_proxy", "*")], true),
        (&from_env[..], [("HTTPS_PROXY", "http://127.0.0.1:1"), ("X", "x")], true),
    ] {
        let service = Service::start(&config(&routes(&any), more), &environment(variables), clock()).await;
        assert_eq!(service.session("alice").await.status == 200, served, "{more:?} {variables:?}");
    }
}

/// T-23: public key sets are read through the proxy, which knows the name; what the address itself says is looked at as ever,
/// and private ones are read directly.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_read_through_the_proxy_within_the_same_limits() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let set = json!({ "keys": [] });
    let keys = Fake::start(move |_| Script::json(200, &set)).await;
    keys.shows(&authority.issue(&["issuer.test"], "an issuer", 2040));
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, &authority.pem).unwrap();
    let ca = format!("\"{}\"", ca.display());
    let (tunnel, proxy) = Tunnel::start(&[("issuer.test:443", keys.address)]).await;
    let outbound = [("outbound.proxy", proxy.as_str()), ("outbound.ca_file", &ca), ("identity.source", "\"corp\"")];
    let start = async |keys: &str| {
        let text = config(&format!("{LOCAL}{}", Issuer::source(keys)), &outbound);
        Service::start(&text, &Environment::default(), clock()).await
    };
    let service = start("url = \"https://issuer.test/keys\"").await;
    eventually("the keys are asked for", async || keys.asked() == ["GET /keys"]).await;
    assert_eq!(tunnel.asked(), ["CONNECT issuer.test:443 HTTP/1.1"]);
    drop(service);

    let service = start("url = \"https://keys.internal/keys\"\nnetwork = \"private\"").await;
    service.metric_reaches("sidemint_key_set_fetches_total{outcome=\"connect\",source=\"corp\"}", 1.0).await;
    assert_eq!(tunnel.asked().len(), 1, "private keys are not read through the proxy");
    for url in ["https://169.254.169.254/keys", "https://10.0.0.1/keys", "https://localhost/keys"] {
        let text = config(&format!("{LOCAL}{}", Issuer::source(&format!("url = \"{url}\""))), &outbound);
        let refused = draw(&text, &Environment::default(), clock()).map(|_| ()).expect_err(url).to_string();
        assert!(refused.contains("keys.url"), "{url}: {refused}");
    }
    assert_eq!(tunnel.asked().len(), 1);
}

#[test]
fn what_is_set_and_ignored_is_told() {
    for (more, variables, expected) in [
        (&[][..], [("X", "x"), ("Y", "y")], None),
        (
            &[],
            [("HTTPS_PROXY", "http://p"), ("Y", "y")],
            Some("HTTPS_PROXY is set and ignored; set outbound.from_env = true"),
        ),
        (&[], [("http_proxy", "http://p"), ("NO_PROXY", "x")], Some("http_proxy and NO_PROXY are set and ignored")),
        (&[("outbound.proxy", DEAD)], [("ALL_PROXY", "http://p"), ("Y", "y")], Some("ALL_PROXY is set and ignored")),
        (
            &[("outbound.from_env", "true")],
            [("HTTPS_PROXY", "http://p"), ("https_proxy", "http://q")],
            Some("https_proxy is set and ignored; another variable"),
        ),
        (
            &[("outbound.from_env", "true")],
            [("ALL_PROXY", "http://p"), ("NO_PROXY", "x,10.*")],
            Some("NO_PROXY holds \"10.*\", which is ignored"),
        ),
        (&[("outbound.from_env", "true")], [("ALL_PROXY", "http://p"), ("NO_PROXY", "x")], None),
    ] {
        let blueprint = draw(&config(LOCAL, more), &environment(variables), clock()).unwrap();
        let told = blueprint.to_string();
        let warnings: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("warning         ")).collect();
        match expected {
            None => assert!(!warnings.iter().any(|warning| warning.contains("PROXY")), "{told}"),
            Some(expected) => {
                assert!(warnings.iter().any(|warning| warning.starts_with(expected)), "{expected}: {told}");
            }
        }
    }
}

/// A password in the wrong place is not repeated.
#[test]
fn what_cannot_be_meant_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        format!("\"{}\"", folder.path().join(name).display())
    };
    let (empty, nonsense, directory) =
        (file("empty", ""), file("nonsense", "CANARY"), format!("\"{}\"", folder.path().display()));
    for (more, variables, expected) in [
        (vec![("proxy", "\"http://shop:CANARY@p:1\"")], [("X", "x")], "outbound.proxy: holds a user or a password"),
        (vec![("proxy", "\"http://CANARY@p:1\"")], [("X", "x")], "outbound.proxy: holds a user or a password"),
        (vec![("proxy", "\"CANARY:3128\"")], [("X", "x")], "outbound.proxy: is not the address of an HTTP proxy"),
        (
            vec![("proxy", "\"socks5://CANARY:3128\"")],
            [("X", "x")],
            "outbound.proxy: is not the address of an HTTP proxy",
        ),
        (
            vec![("proxy", "\"http://p:1/CANARY\"")],
            [("X", "x")],
            "outbound.proxy: holds more than scheme, host and port",
        ),
        (vec![("proxy_auth_file", "\"x\"")], [("X", "x")], "outbound.proxy_auth_file: needs outbound.proxy"),
        (
            vec![("proxy", DEAD), ("proxy_auth_file", &nonsense)],
            [("X", "x")],
            "outbound.proxy_auth_file: must hold one line, user:password",
        ),
        (vec![("proxy", DEAD), ("proxy_auth_file", &empty)], [("X", "x")], "outbound.proxy_auth_file: "),
        (vec![("no_proxy", "[\"10.*\"]")], [("X", "x")], "outbound.no_proxy: \"10.*\" is not an entry"),
        (vec![("ca_file", "\"/nowhere/ca.crt\"")], [("X", "x")], "outbound.ca_file: /nowhere/ca.crt cannot be read"),
        (vec![("ca_file", &nonsense)], [("X", "x")], "outbound.ca_file: holds no certificate"),
        (vec![("ca_file", &directory)], [("X", "x")], "outbound.ca_file: "),
        (
            vec![("from_env", "true")],
            [("HTTPS_PROXY", "socks5://shop:CANARY@p")],
            "HTTPS_PROXY: is not the address of an HTTP proxy",
        ),
        (vec![], [("SSL_CERT_FILE", "/nowhere/ca.crt")], "SSL_CERT_FILE: /nowhere/ca.crt cannot be read"),
        (vec![("proxies", "1")], [("X", "x")], "outbound.proxies"),
    ] {
        let keys: Vec<String> = more.iter().map(|(key, _)| format!("outbound.{key}")).collect();
        let more: Vec<(&str, &str)> = keys.iter().zip(&more).map(|(key, (_, value))| (key.as_str(), *value)).collect();
        let refused = draw(&config(LOCAL, &more), &environment(variables), clock());
        let refused = refused.map(|_| ()).expect_err(expected).to_string();
        assert!(refused.contains(expected) && !refused.contains("CANARY"), "{expected}: {refused}");
    }
}
