//! A login with an auth endpoint, as oauth2-proxy is one: a cookie is a user's, and all others have to sign in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};

use crate::fakes::http::{Call, Script, listen, read_call};

/// What signs alice in.
pub const ALICE: (&str, &str) = ("Cookie", "login=alice");
/// What signs bob in, of whom nothing but the user is known.
pub const BOB: (&str, &str) = ("Cookie", "login=bob");
/// What signs in a user whose name is what some logins say where they have no value: sidemint refuses it.
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

    /// Answers each question. Nothing is said of groups: the proxy has to know what that means for a client's own.
    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        while let Some(call) = read_call(&mut stream, &mut buffer).await? {
            let (status, said) = answer(&call);
            self.calls.lock().unwrap().push(call);
            let headers = said.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Script::Answer { status, headers, body: Vec::new() }.play(&mut stream).await?;
        }
        Ok(())
    }
}

/// As oauth2-proxy does with `--set-xauthrequest --skip-provider-button --upstream=static://200`: the auth endpoint is this
/// one path and answers 202, some paths are open to all and say no user, and every other one is the upstream.
fn answer(call: &Call) -> (u16, Vec<(&'static str, String)>) {
    let said = user(call.header("cookie"));
    let sign_in = || {
        let renewed = "login_csrf=1; HttpOnly".to_owned();
        (302, vec![("Location", "https://idp.example.com/authorize".to_owned()), ("Set-Cookie", renewed)])
    };
    match (call.path.as_str(), said.is_empty()) {
        ("/ping" | "/ready" | "/robots.txt" | "/oauth2/static/css/all.css", _) => (200, Vec::new()),
        ("/oauth2/start", _) => sign_in(),
        ("/oauth2/auth", false) => (202, said),
        ("/oauth2/auth", true) => (401, Vec::new()),
        (_, false) => (200, [said, vec![("Set-Cookie", "login_renewed=1".to_owned())]].concat()),
        // A script that asks for JSON cannot follow to a sign-in page.
        (_, true) if call.header("accept").contains("application/json") => (401, Vec::new()),
        (_, true) => sign_in(),
    }
}

/// What it says of whom a cookie signs in.
fn user(cookie: &str) -> Vec<(&'static str, String)> {
    let said: &[(&'static str, &str)] = match cookie {
        cookie if cookie == ALICE.1 => &[
            ("X-Auth-Request-User", "alice"),
            ("X-Auth-Request-Preferred-Username", "Alice Doe"),
            ("X-Auth-Request-Email", "alice@example.org"),
        ],
        cookie if cookie == PLACEHOLDER.1 => &[("X-Auth-Request-User", "{x}")],
        cookie if cookie == BOB.1 => &[("X-Auth-Request-User", "bob")],
        cookie => {
            let member = cookie.strip_prefix("login=").filter(|name| name.starts_with("member"));
            return member.map(|name| vec![("X-Auth-Request-User", name.to_owned())]).unwrap_or_default();
        }
    };
    said.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}
