//! A login with an auth endpoint, as oauth2-proxy is one: a cookie is somebody's, and everybody else has to sign in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};

use crate::fakes::http::{Call, Script, listen, read_call};

/// What signs alice in.
pub const ALICE: (&str, &str) = ("Cookie", "login=alice");
/// What signs bob in, of whom nothing but the user is known.
pub const BOB: (&str, &str) = ("Cookie", "login=bob");
/// What signs somebody in whose name is what some logins say where they have no value: sidemint refuses it.
pub const PLACEHOLDER: (&str, &str) = ("Cookie", "login=placeholder");

/// A running login; cheap to clone.
#[derive(Clone)]
pub struct Login {
    pub address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Login {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let login = Self { address: listener.local_addr().unwrap(), calls: Arc::default() };
        let server = login.clone();
        tokio::spawn(listen(listener, move |stream| server.clone().serve(stream)));
        login
    }

    /// What it was asked so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Answers each question. Nothing is said of groups: whoever asks has to know what that means for a client's own.
    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        while let Some(call) = read_call(&mut stream, &mut buffer).await? {
            let member = call.header("cookie").strip_prefix("login=").filter(|name| name.starts_with("member"));
            let member = member.map(|name| ("X-Auth-Request-User", name.to_owned()));
            let member = member.as_ref().map(|(header, name)| (*header, name.as_str()));
            let said: &[(&str, &str)] = match call.header("cookie") {
                _ if !call.path.starts_with("/oauth2/auth") => &[],
                cookie if cookie == ALICE.1 => &[
                    ("X-Auth-Request-User", "alice"),
                    ("X-Auth-Request-Preferred-Username", "Alice Doe"),
                    ("X-Auth-Request-Email", "alice@example.org"),
                ],
                cookie if cookie == PLACEHOLDER.1 => &[("X-Auth-Request-User", "{x}")],
                cookie if cookie == BOB.1 => &[("X-Auth-Request-User", "bob")],
                _ => member.as_slice(),
            };
            self.calls.lock().unwrap().push(call);
            let headers = said.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let status = if said.is_empty() { 401 } else { 200 };
            Script::Answer { status, headers, body: Vec::new() }.play(&mut stream).await?;
        }
        Ok(())
    }
}
