//! Real reverse proxies with the documented configurations: only addresses and paths are replaced.
//!
//! Each file here is one proxy: the documents, and how to start it. [`Proxy::start`] does the rest.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpStream;

use super::Part;
use crate::client::{Answer, Connection, request};
use crate::fakes::login;
use crate::harness::SESSION;

mod apache;
mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

pub use apache::APACHE;
pub use caddy::CADDY;
pub use envoy::ENVOY;
pub use haproxy::HAPROXY;
pub use nginx::{NGINX, PAIR};
pub use traefik::TRAEFIK;

/// Every proxy there is a document for.
pub const ALL: [&Recipe; 6] = [&NGINX, &CADDY, &HAPROXY, &TRAEFIK, &ENVOY, &APACHE];

/// Ports of this process's own address; below those that the system gives to clients.
static PORT: AtomicU16 = AtomicU16::new(21_000);

/// How a proxy is started.
pub struct Recipe {
    pub name: &'static str,
    pub program: fn() -> PathBuf,
    pub arguments: &'static [&'static str],
    /// The documents: name of the file in the proxy's folder, and text.
    pub documents: &'static [(&'static str, &'static str)],
    /// The page that prints them.
    pub page: &'static str,
    /// The folder in the documents that becomes the proxy's own.
    pub folder: &'static str,
    /// Further files.
    pub around: fn(&Path) -> Vec<(&'static str, String)>,
    /// Who has a session of the session route.
    pub users: Users,
    /// How the application gets a token on every request; `None` where the proxy cannot ask for one.
    pub application: Option<Application>,
    /// What an operator writes instead who has not read the page: no sign-in is asked for, and a client's own user header
    /// is passed on. Text of the documents, and what replaces it.
    pub hole: &'static [(&'static str, &'static str)],
    /// The same for a header that the login says nothing about, behind the login.
    pub gap: (&'static str, &'static str),
}

type Header = (&'static str, &'static str);

/// What signs users in.
#[derive(Clone, Copy)]
pub struct Users {
    pub alice: Header,
    pub bob: Header,
    /// A user whose name sidemint refuses: `{x}`.
    pub placeholder: Header,
}

/// Those of the fake login.
pub const COOKIES: Users = Users { alice: login::ALICE, bob: login::BOB, placeholder: login::PLACEHOLDER };

/// Those of [`password_file`]: `alice:secret`, `bob:secret` and `{x}:secret`.
pub const PASSWORDS: Users = Users {
    alice: ("Authorization", "Basic YWxpY2U6c2VjcmV0"),
    bob: ("Authorization", "Basic Ym9iOnNlY3JldA=="),
    placeholder: ("Authorization", "Basic e3h9OnNlY3JldA=="),
};

/// Users beside those: `member0` and so on.
pub const MEMBERS: usize = 32;

/// A file as `htpasswd` makes them.
fn password_file() -> String {
    // The hash of «secret».
    let members = (0..MEMBERS).map(|number| format!("member{number}"));
    let users = ["alice", "bob", "{x}"].map(str::to_owned).into_iter().chain(members);
    let lines = users.map(|user| format!("{user}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"));
    lines.collect::<Vec<_>>().concat()
}

/// What holds for requests to the application.
#[derive(Clone, Copy)]
pub struct Application {
    pub users: Users,
    /// Display name of alice, as it reaches the application.
    pub alices_name: &'static str,
    /// What a visitor gets: 200 where the proxy lets visitors pass without a token, 302 where the login sends them to sign in.
    pub visitor: u16,
    /// What every client gets while sidemint is down.
    pub outage: u16,
    pub passes_websockets: bool,
}

/// What a proxy stands in front of.
#[derive(Clone, Copy)]
pub struct Upstreams {
    pub sidemint: SocketAddr,
    pub login: SocketAddr,
    pub app: SocketAddr,
}

impl Recipe {
    /// The configuration of sidemint that the page prints, as the harness takes it.
    pub fn identity(&self) -> Vec<(String, String)> {
        let blocks = self.page.split("```toml,fragment\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let Some(block) = blocks.into_iter().find(|block| block.contains("[identity]")) else { return Vec::new() };
        let table: toml::Table = block.parse().expect("TOML");
        let identity = table["identity"].as_table().expect("[identity]").clone();
        identity.into_iter().map(|(key, value)| (format!("identity.{key}"), value.to_string())).collect()
    }

    /// The headers that sidemint reads there.
    pub fn identity_headers(&self) -> [&'static str; 4] {
        if self.page.contains("subject = \"X-Auth-Request-User\"") {
            [
                "X-Auth-Request-User",
                "X-Auth-Request-Preferred-Username",
                "X-Auth-Request-Email",
                "X-Auth-Request-Groups",
            ]
        } else {
            ["X-Forwarded-User", "X-Forwarded-Name", "X-Forwarded-Email", "X-Forwarded-Groups"]
        }
    }

    /// The one of them that names the user.
    pub fn user_header(&self) -> &'static str {
        self.identity_headers()[0]
    }
}

/// A running proxy. Ends with the test.
pub struct Proxy {
    pub address: SocketAddr,
    part: Part,
}

impl Proxy {
    /// Starts the proxy between clients and `upstreams`. `bend` replaces text wherever it stands.
    pub async fn start(recipe: &Recipe, upstreams: &Upstreams, bend: &[(&str, &str)]) -> Self {
        let all: String = recipe.documents.iter().map(|(_, text)| *text).collect();
        for (from, _) in bend {
            assert!(all.contains(from), "«{from}» stands in the documents of {}", recipe.name);
        }
        let bent = |text: &str| bend.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let documents = recipe.documents.iter().map(|(name, text)| (*name, bent(text))).collect();
        Self::start_with(recipe, upstreams, documents).await
    }

    /// The same with other documents.
    pub async fn start_with(recipe: &Recipe, upstreams: &Upstreams, documents: Vec<(&str, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        let mut is_told = false;
        for (name, mut text) in documents {
            let Upstreams { sidemint, login, app } = *upstreams;
            text = moved(&text, &[(8000, address), (8080, sidemint), (4180, login), (3000, app)]);
            text = text.replace("bind 127.0.0.1\n", &format!("bind {}\n", address.ip()));
            text = text.replace(recipe.folder, &format!("{}/", folder.path().display()));
            is_told |= text.contains(&address.ip().to_string());
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        assert!(is_told, "{} listens where it is told", recipe.name);
        for (name, text) in (recipe.around)(folder.path()) {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let part = Part::start(recipe.name, folder, &(recipe.program)(), recipe.arguments, &[]);
        let mut proxy = Self { address, part };
        proxy.until_it_answers().await;
        proxy
    }

    /// The session route as a browser sees it.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, SESSION)
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        let error_log = std::fs::read_to_string(self.part.path("error.log")).unwrap_or_default();
        self.part.log() + &error_log
    }

    /// One GET on a connection of its own; `None` where the proxy closes instead of an answer.
    pub async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        self.visit().await.try_ask("GET", path, headers).await
    }

    /// A connection of a client.
    pub async fn visit(&self) -> Visit {
        Visit::to(self.address).await
    }

    /// Waits until the session route is there: some listen before they have read all of their files.
    async fn until_it_answers(&mut self) {
        let address = self.address;
        let answers = async || {
            TcpStream::connect(address).await.is_ok()
                && Visit::to(address)
                    .await
                    .try_ask("GET", SESSION, &[])
                    .await
                    .is_some_and(|answer| answer.status != 404)
        };
        self.part.starts(answers).await;
    }
}

/// A client's connection to a proxy.
pub struct Visit {
    pub connection: Connection,
    host: String,
}

impl Visit {
    async fn to(address: SocketAddr) -> Self {
        Self { connection: Connection::open(address).await, host: address.to_string() }
    }

    /// A request and its answer.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("Host", self.host.as_str())], headers].concat();
        self.connection.ask(method, path, &headers).await
    }

    /// The same; `None` where the proxy closes instead of an answer, or before it has read all.
    pub async fn try_ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let headers = [&[("Host", self.host.as_str())], headers].concat();
        self.connection.try_send(request(method, path, &headers, b"")).await;
        self.connection.answer().await
    }

    /// The same with a body.
    pub async fn ask_with(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let headers = [&[("Host", self.host.as_str())], headers].concat();
        self.connection.send(request(method, path, &headers, body)).await;
        self.connection.answer().await.expect("an answer")
    }
}

/// Replaces addresses of the documents, in either form that they write them. Marks come between: an address that was put
/// in may begin like one that is still to be replaced.
pub fn moved(text: &str, places: &[(u16, SocketAddr)]) -> String {
    let marked = places.iter().fold(text.to_owned(), |text, (port, _)| {
        let text = text.replace(&format!("127.0.0.1:{port}"), &format!("<{port}>"));
        text.replace(&format!("address: 127.0.0.1, port_value: {port}"), &format!("<<{port}>>"))
    });
    places.iter().fold(marked, |text, (port, there)| {
        let spelled = format!("address: {}, port_value: {}", there.ip(), there.port());
        text.replace(&format!("<<{port}>>"), &spelled).replace(&format!("<{port}>"), &there.to_string())
    })
}

/// An address that no other program listens on: these programs cannot tell which free port they chose, and one that was
/// chosen for them could be taken before they listen. Every process has an address of loopback for itself.
pub fn own_address() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    (Ipv4Addr::new(127, 64 | (high & 63), middle, low), PORT.fetch_add(1, Ordering::Relaxed)).into()
}

/// Where the system keeps its servers, which is not in every user's path.
pub fn system(name: &str) -> PathBuf {
    let mut places =
        ["/usr/sbin", "/usr/bin", "/usr/local/sbin"].map(|folder| Path::new(folder).join(name)).into_iter();
    places.find(|place| place.exists()).unwrap_or_else(|| panic!("{name} is not installed: run tests/install-parts"))
}
