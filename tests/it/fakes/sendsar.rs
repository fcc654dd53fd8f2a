//! A Sendsar that refuses what the real one would refuse, remembers every call, and can be told to misbehave.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidemint::clock::{Clock, ManualClock};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::http::{Call, Script, Then, listen, read_call};

pub const API_KEY: &str = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef";

/// The fake; cheap to clone.
#[derive(Clone)]
pub struct Sendsar {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    clock: Arc<ManualClock>,
    calls: Mutex<Vec<Call>>,
    users: Mutex<HashMap<String, String>>,
    key: Mutex<String>,
    /// By path: what the next calls get.
    scripts: Mutex<HashMap<String, VecDeque<Script>>>,
    always: Mutex<HashMap<String, Script>>,
    tokens: AtomicUsize,
    changed: Notify,
    /// While held, mint answers wait.
    gate: tokio::sync::RwLock<()>,
}

impl Sendsar {
    pub async fn start(clock: Arc<ManualClock>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            clock,
            calls: Mutex::default(),
            users: Mutex::default(),
            key: Mutex::new(API_KEY.to_owned()),
            scripts: Mutex::default(),
            always: Mutex::default(),
            tokens: AtomicUsize::new(0),
            changed: Notify::new(),
            gate: tokio::sync::RwLock::new(()),
        });
        let own = Self { address, state };
        let server = own.clone();
        tokio::spawn(listen(listener, move |stream| server.clone().serve(stream)));
        own
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What the next call of `path` gets.
    pub fn next(&self, path: &str, script: Script) {
        self.state.scripts.lock().unwrap().entry(path.to_owned()).or_default().push_back(script);
    }

    /// What every call of `path` gets from now on; `None` makes it Sendsar again.
    pub fn always(&self, path: &str, script: Option<Script>) {
        let mut always = self.state.always.lock().unwrap();
        match script {
            Some(script) => always.insert(path.to_owned(), script),
            None => always.remove(path),
        };
    }

    /// Both calls fail in this way from now on; `None` heals it.
    pub fn breaks(&self, script: Option<Script>) {
        self.always("/v1/users", script.clone());
        self.always("/v1/auth/token", script);
    }

    /// Changes the key that is accepted.
    pub fn accept_key(&self, key: &str) {
        key.clone_into(&mut self.state.key.lock().unwrap());
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().unwrap().clone()
    }

    pub fn count(&self, path: &str) -> usize {
        self.state.calls.lock().unwrap().iter().filter(|call| call.path == path).count()
    }

    pub fn upserts(&self) -> usize {
        self.count("/v1/users")
    }

    pub fn mints(&self) -> usize {
        self.count("/v1/auth/token")
    }

    /// Holds mint answers back until the guard is dropped.
    pub async fn hold(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.state.gate.write().await
    }

    /// Waits until `fits` holds for the calls so far.
    pub async fn until(&self, fits: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.state.changed.notified();
                if fits(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the provider was called as expected");
    }

    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let Some(call) = read_call(&mut stream, &mut buffer).await? else { return Ok(()) };
            let script = self.script(&call);
            self.state.calls.lock().unwrap().push(call.clone());
            self.state.changed.notify_waiters();
            let script = match script {
                Some(script) => script,
                None => self.honest(&call),
            };
            if call.path == "/v1/auth/token" {
                let _open = self.state.gate.read().await;
            }
            if script.play(&mut stream).await? == Then::Close {
                return Ok(());
            }
        }
    }

    fn script(&self, call: &Call) -> Option<Script> {
        let next = self.state.scripts.lock().unwrap().get_mut(&call.path).and_then(VecDeque::pop_front);
        next.or_else(|| self.state.always.lock().unwrap().get(&call.path).cloned())
    }

    /// What Sendsar does, as its contract page says.
    fn honest(&self, call: &Call) -> Script {
        let error = |status, text: &str| Script::json(status, &json!({ "error": text }));
        if call.headers.get("x-api-key") != Some(&*self.state.key.lock().unwrap()) {
            return error(401, "Invalid API key");
        }
        if call.headers.get("content-type").map(String::as_str) != Some("application/json") {
            return error(415, "JSON only");
        }
        let members: Vec<&str> =
            call.json.as_object().map(|members| members.keys().map(String::as_str).collect()).unwrap_or_default();
        match (call.method.as_str(), call.path.as_str()) {
            ("POST", "/v1/users") => {
                let (Some(id), Some(name)) = (call.json["id"].as_str(), call.json["username"].as_str()) else {
                    return error(400, "id and username must be text");
                };
                if members.iter().any(|member| !["id", "username", "appCode"].contains(member)) {
                    return error(400, "unknown member");
                }
                self.state.users.lock().unwrap().insert(id.to_owned(), name.to_owned());
                Script::json(201, &json!({ "id": id, "username": name }))
            }
            ("POST", "/v1/auth/token") => {
                let (Some(id), Some(seconds)) = (call.json["userId"].as_str(), call.json["expiresIn"].as_i64()) else {
                    return error(400, "userId must be text, expiresIn a number");
                };
                if members.len() != 2 || !(1..=86_400).contains(&seconds) {
                    return error(400, "unknown member or lifetime out of range");
                }
                if !self.state.users.lock().unwrap().contains_key(id) {
                    return error(404, "User not found");
                }
                let number = self.state.tokens.fetch_add(1, Ordering::Relaxed);
                let expires = self.state.clock.now().plus(Duration::from_secs(seconds.unsigned_abs()));
                let claims = json!({ "sub": id, "n": number, "exp": expires.as_seconds() });
                let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
                Script::json(200, &json!({ "token": token, "expiresAt": expires.to_rfc3339() }))
            }
            _ => error(404, "Not found"),
        }
    }
}

/// The user that a token of this fake is for.
pub fn subject_of(token: &str) -> String {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["sub"].as_str().expect("a subject").to_owned()
}
