//! Real reverse proxies with the documented configurations: only addresses and paths are replaced.
//!
//! Each file here is one proxy: the documents, and how to start it. [`Proxy::start`] does the rest.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;

use super::Part;
use crate::client::{Answer, Connection};
use crate::fakes::login::{self, Login};
use crate::harness::{SESSION, Service};

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
pub use nginx::NGINX;
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
    /// What signs alice in.
    pub sign_in: (&'static str, &'static str),
    /// What somebody writes instead who has not read the page: nobody has to sign in, and a client's own user header
    /// is passed on. Text that stands in the documents once, and what replaces it.
    pub hole: &'static [(&'static str, &'static str)],
    /// The same for a header that the login says nothing about, behind the login.
    pub gap: (&'static str, &'static str),
}

impl Recipe {
    /// The configuration of sidemint that the page prints, as the harness takes it.
    pub fn identity(&self) -> Vec<(String, String)> {
        let Some(block) = self.page.split("```toml,fragment\n").nth(1) else { return Vec::new() };
        let table: toml::Table = block.split("```").next().unwrap().parse().expect("TOML");
        let identity = table["identity"].as_table().expect("[identity]").clone();
        identity.into_iter().map(|(key, value)| (format!("identity.{key}"), value.to_string())).collect()
    }

    /// The header that names the user there.
    pub fn user_header(&self) -> &'static str {
        if self.page.contains("subject = \"X-Auth-Request-User\"") { "X-Auth-Request-User" } else { "X-Forwarded-User" }
    }
}

/// A running proxy. Ends with the test.
pub struct Proxy {
    pub address: SocketAddr,
    part: Part,
}

impl Proxy {
    /// Starts the proxy between clients, a login and the service. `bend` replaces text that is in a document once.
    pub async fn start(recipe: &Recipe, service: &Service, login: &Login, bend: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        let mut all: String = recipe.documents.iter().map(|(_, text)| *text).collect();
        for (from, _) in bend {
            assert_eq!(all.matches(from).count(), 1, "«{from}» stands in the documents of {} once", recipe.name);
        }
        for (name, text) in recipe.documents {
            let mut text = bend.iter().fold((*text).to_owned(), |text, (from, to)| text.replace(from, to));
            for (port, there) in [(8000, address), (8080, service.address()), (4180, login.address)] {
                text = moved(&text, port, there);
            }
            text = text.replace("bind 127.0.0.1\n", &format!("bind {}\n", address.ip()));
            text = text.replace(recipe.folder, &format!("{}/", folder.path().display()));
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        all = moved(&all, 8000, address);
        assert!(all.contains(&address.ip().to_string()), "{} listens where it is told", recipe.name);
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

    /// One request on a connection of its own; `None` where the proxy closes instead of an answer.
    pub async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let mut connection = Connection::open(self.address).await;
        let host = self.address.to_string();
        let headers = [&[("Host", host.as_str())], headers].concat();
        connection.send(crate::client::request("GET", path, &headers, b"")).await;
        connection.answer().await
    }

    /// Waits until the session route is there: some listen before they have read all of their files.
    async fn until_it_answers(&mut self) {
        for _ in 0..4000 {
            let listens = TcpStream::connect(self.address).await.is_ok();
            if listens && self.ask(SESSION, &[]).await.is_some_and(|answer| answer.status != 404) {
                return;
            }
            if let Some(status) = self.part.leash.try_wait().expect("a child") {
                let (name, lines) = (self.part.name, self.part.last_lines());
                panic!("{name} ended ({status}); is it installed? run tests/install-parts:\n{lines}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} does not answer:\n{}", self.part.name, self.part.last_lines());
    }
}

/// Replaces an address of the documents, in either form that they write it.
pub fn moved(text: &str, port: u16, there: SocketAddr) -> String {
    let spelled = format!("address: {}, port_value: {}", there.ip(), there.port());
    let text = text.replace(&format!("127.0.0.1:{port}"), &there.to_string());
    text.replace(&format!("address: 127.0.0.1, port_value: {port}"), &spelled)
}

/// An address that nobody else listens on: these programs cannot tell which free port they chose, and one that was
/// chosen for them could be taken before they listen. Every process has an address of loopback for itself.
pub fn own_address() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    (Ipv4Addr::new(127, 64 | (high & 63), middle, low), PORT.fetch_add(1, Ordering::Relaxed)).into()
}

/// Where the system keeps its servers, which is not in everybody's path.
fn system(name: &str) -> PathBuf {
    let mut places =
        ["/usr/sbin", "/usr/bin", "/usr/local/sbin"].map(|folder| Path::new(folder).join(name)).into_iter();
    places.find(|place| place.exists()).unwrap_or_else(|| panic!("{name} is not installed: run tests/install-parts"))
}

const COOKIE: (&str, &str) = login::COOKIE;
