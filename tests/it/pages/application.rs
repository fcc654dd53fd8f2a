//! Applications with a sign-in of their own, made of the snippets of `docs/application.md` as printed: only the address of
//! sidemint and the folder of secrets are replaced. What is around them in `tests/parts/application` signs user 7 in.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use sidemint::app::Blueprint;
use sidemint::clock::ManualClock;
use sidemint::config::{Config, Environment, Sources};

use super::{agrees, shell};
use crate::docs::{blocks, pages, root};
use crate::harness::{Service, clock};
use crate::parts::Part;
use crate::parts::proxies::own_address;

const SECRET: &str = "sidemint-peer";

/// The block of the page in this language that holds `mark`.
fn block(language: &str, mark: &str) -> String {
    let page = pages().into_iter().find(|page| page.path == "docs/application.md").expect("the page");
    let found = blocks(&page).into_iter().find(|block| block.language == language && block.text.contains(mark));
    found.unwrap_or_else(|| panic!("no block of {language} with {mark}")).text
}

/// The service with the page's configuration. One user may make it work once a minute: a second time shows whether an
/// application passes `Retry-After` on.
async fn sidemint(folder: tempfile::TempDir) -> Service {
    let text = block("toml", "[identity]").replace("/run/secrets", &folder.path().display().to_string());
    let (file, clock) = (folder.path().join("sidemint.toml"), clock());
    fs::write(&file, text).unwrap();
    let overrides = [("server.listen", "127.0.0.1:0"), ("ops.listen", "127.0.0.1:0"), ("limits.user_rate", "1/min")];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let sources = Sources { files: vec![file], overrides, ..Sources::default() };
    let environment = Environment::default();
    let config = Config::load(&sources, &environment).expect("loads");
    let blueprint = Blueprint::draw(config, &environment, Arc::<ManualClock>::clone(&clock)).expect("is good");
    Service::of(blueprint, clock, folder).await
}

/// A folder with the secret, made by the command of the page.
async fn secrets() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let commands = block("sh", "openssl").replace("/run/secrets", &folder.path().display().to_string());
    let (make, serve) = commands.trim_end().split_once('\n').expect("two lines");
    assert_eq!(serve, "sidemint serve --config sidemint.toml");
    shell(make, ([127, 0, 0, 1], 8080).into()).await;
    folder
}

/// A framework: what its files are, and how it starts.
struct Framework {
    name: &'static str,
    /// Files of the page: where they belong, the language, and what they hold.
    printed: &'static [(&'static str, &'static str, &'static str)],
    /// Files around them.
    around: &'static [(&'static str, &'static str)],
    program: fn() -> PathBuf,
    arguments: &'static [&'static str],
}

/// The application before sidemint. Ends with the test.
struct Application {
    address: SocketAddr,
    _part: Part,
}

impl Application {
    async fn start(framework: &Framework, sidemint: SocketAddr, secrets: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        for (path, language, mark) in framework.printed {
            let text = block(language, mark);
            assert!(text.contains("127.0.0.1:8080") && text.contains("/run/secrets/"), "{path}");
            let text = text.replace("127.0.0.1:8080", &sidemint.to_string());
            write(path, &text.replace("/run/secrets", &secrets.display().to_string()));
        }
        for (path, text) in framework.around {
            write(path, text);
        }
        std::os::unix::fs::symlink(root().join(".tools/node/node_modules"), folder.path().join("node_modules"))
            .unwrap();
        let address = own_address();
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        // A proxy of the environment would see the secret.
        let environment = [
            ("HOST", Path::new(&host)),
            ("PORT", Path::new(&port)),
            ("http_proxy", Path::new("http://127.0.0.1:9")),
            ("GOTOOLCHAIN", Path::new("local")),
        ];
        let arguments = framework.arguments.iter().map(|text| text.replace("ADDRESS", &address.to_string()));
        let part = Part::start(framework.name, folder, &(framework.program)(), arguments, &environment);
        part.listens(address).await;
        Self { address, _part: part }
    }

    /// Status, headers and body of an answer to user 7, or to a visitor.
    async fn ask(&self, path: &str, is_signed_in: bool) -> (u16, BTreeMap<String, String>, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.get(format!("http://{}{path}", self.address));
        if is_signed_in {
            request = request.header("X-Test-User", "7");
        }
        let answer = request.send().await.unwrap();
        let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        (answer.status().as_u16(), headers, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    /// The route of the page; no answer of it is kept by a cache.
    async fn session(&self, is_signed_in: bool) -> (u16, Option<String>, Value) {
        let (status, mut headers, body) = self.ask("/chat/session", is_signed_in).await;
        assert!(headers["cache-control"].contains("no-store"), "{headers:?}");
        assert!(headers["content-type"].starts_with("application/json"), "{headers:?}");
        (status, headers.remove("retry-after"), body)
    }
}

async fn check(framework: Framework) {
    let secrets = secrets().await;
    let own = tempfile::tempdir().unwrap();
    fs::copy(secrets.path().join(SECRET), own.path().join(SECRET)).unwrap();
    let service = sidemint(secrets).await;
    let application = Application::start(&framework, service.address(), own.path()).await;

    let (status, _, session) = application.session(true).await;
    assert_eq!((status, &session["chatUserId"], &session["displayName"]), (200, &json!("7"), &json!("Ålice 李")));
    assert!(session["token"].as_str().is_some_and(|token| token.split('.').count() == 3), "{session}");
    assert_eq!(application.session(false).await.0, 401, "a visitor");
    service.advance(60);
    assert_eq!(application.ask("/sign-out", true).await.0, 204);
    let (status, wait, limited) = application.session(true).await;
    assert_eq!((status, &limited["code"]), (429, &json!("rate_limited")));
    assert!(wait.is_some_and(|wait| wait.parse::<u32>().is_ok()), "Retry-After is passed on");
    // The secret is read for each request, and proves the application.
    fs::write(own.path().join(SECRET), "0123456789abcdef0123456789abcdef\n").unwrap();
    let (status, _, refused) = application.session(true).await;
    assert_eq!((status, &refused["code"]), (403, &json!("peer_untrusted")));
    service.stop().await;
    let (status, wait, _) = application.session(true).await;
    assert_eq!((status, wait.as_deref()), (503, Some("5")), "sidemint is away");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_curl_of_the_page_gets_the_session_that_it_shows() {
    let secrets = secrets().await;
    let folder = secrets.path().display().to_string();
    let service = sidemint(secrets).await;
    let answer = shell(&block("sh", "curl").replace("/run/secrets", &folder), service.address()).await;
    let (shown, own): (Value, Value) =
        (serde_json::from_str(&block("json", "token")).unwrap(), serde_json::from_str(&answer).unwrap());
    assert!(agrees(&shown, &own), "{own:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn express() {
    check(Framework {
        name: "express",
        printed: &[("chat.mjs", "js", "// chat.mjs")],
        around: &[("server.mjs", include_str!("../../parts/application/express.mjs"))],
        program: || "node".into(),
        arguments: &["server.mjs"],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn django() {
    check(Framework {
        name: "django",
        printed: &[("chat/views.py", "python", "# chat/views.py")],
        around: &[
            ("server.py", include_str!("../../parts/application/django.py")),
            ("urls.py", include_str!("../../parts/application/django_urls.py")),
        ],
        program: || root().join(".tools/venv/bin/python"),
        arguments: &["server.py"],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rails() {
    check(Framework {
        name: "rails",
        printed: &[("chat_controller.rb", "ruby", "class ChatController")],
        around: &[("server.rb", include_str!("../../parts/application/rails.rb"))],
        program: || "ruby".into(),
        arguments: &["server.rb"],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn laravel() {
    check(Framework {
        name: "laravel",
        printed: &[("ChatController.php", "php", "class ChatController")],
        around: &[("index.php", include_str!("../../parts/application/laravel.php"))],
        program: || "php".into(),
        arguments: &["-S", "ADDRESS", "index.php"],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go() {
    check(Framework {
        name: "go",
        printed: &[("chat/chat.go", "go", "package chat")],
        around: &[
            ("main.go", include_str!("../../parts/application/main.go")),
            ("go.mod", "module example\n\ngo 1.19\n"),
        ],
        program: || "sh".into(),
        arguments: &["-c", "go build -o app . && exec ./app"],
    })
    .await;
}
