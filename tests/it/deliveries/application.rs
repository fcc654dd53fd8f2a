//! An application that is strict and remembers: it proves each delivery as Standard Webhooks says, and answers by a script.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sidemint::clock::{Clock as _, ManualClock};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::fakes::http::{Call, Script, Then, listen, read_call};

pub const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

type Answers = dyn Fn(&Call) -> Script + Send + Sync;

/// A running application; cheap to clone.
#[derive(Clone)]
pub struct Application {
    pub address: SocketAddr,
    clock: Arc<ManualClock>,
    answers: Arc<Mutex<Arc<Answers>>>,
    memory: Arc<Mutex<Seen>>,
    down: Arc<Mutex<CancellationToken>>,
}

#[derive(Default)]
struct Seen {
    calls: Vec<Call>,
    connections: usize,
    under_way: usize,
    most: usize,
    /// Of each order that is under way.
    orders: BTreeMap<String, usize>,
}

impl Application {
    /// One that takes everything.
    pub async fn start(clock: &Arc<ManualClock>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = Self {
            address: listener.local_addr().unwrap(),
            clock: Arc::clone(clock),
            answers: Arc::new(Mutex::new(Arc::new(|_: &Call| answer(204)))),
            memory: Arc::default(),
            down: Arc::default(),
        };
        app.serve_on(listener);
        app
    }

    /// One whose port is taken and on which no process listens yet.
    pub fn down(clock: &Arc<ManualClock>) -> (Self, TcpSocket) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let app = Self {
            address: socket.local_addr().unwrap(),
            clock: Arc::clone(clock),
            answers: Arc::new(Mutex::new(Arc::new(|_: &Call| answer(204)))),
            memory: Arc::default(),
            down: Arc::default(),
        };
        (app, socket)
    }

    /// It comes up.
    pub fn up(&self, socket: TcpSocket) {
        self.serve_on(socket.listen(1024).unwrap());
    }

    fn serve_on(&self, listener: TcpListener) {
        let (server, down) = (self.clone(), CancellationToken::new());
        *self.down.lock().unwrap() = down.clone();
        let serving = listen(listener, move |stream| server.clone().serve(stream));
        tokio::spawn(async move { down.run_until_cancelled(serving).await });
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks/chat", self.address)
    }

    /// What it answers from now on.
    pub fn answers(&self, answers: impl Fn(&Call) -> Script + Send + Sync + 'static) {
        *self.answers.lock().unwrap() = Arc::new(answers);
    }

    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        self.memory.lock().unwrap().connections += 1;
        let mut buffer = Vec::new();
        while let Some(call) = read_call(&mut stream, &mut buffer).await? {
            self.prove(&call);
            let order = call.json["room"].as_str().map(str::to_owned);
            let script = {
                let mut seen = self.memory.lock().unwrap();
                seen.under_way += 1;
                seen.most = seen.most.max(seen.under_way);
                if let Some(order) = &order {
                    let count = seen.orders.entry(order.clone()).or_default();
                    *count += 1;
                    assert_eq!(*count, 1, "two events of one order at once");
                }
                seen.calls.push(call.clone());
                Arc::clone(&self.answers.lock().unwrap())
            };
            // So that others come in between, if they may.
            tokio::task::yield_now().await;
            let script = script(&call);
            {
                let mut seen = self.memory.lock().unwrap();
                seen.under_way -= 1;
                if let Some(order) = &order {
                    seen.orders.insert(order.clone(), 0);
                }
            }
            if script.play(&mut stream).await? == Then::Close {
                break;
            }
        }
        Ok(())
    }

    /// What every delivery must be. A panic here ends the connection, and the test finds no delivery.
    fn prove(&self, call: &Call) {
        assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/hooks/chat"));
        let (id, time) = (call.header("webhook-id"), call.header("webhook-timestamp"));
        assert!(id.starts_with("evt_") && !id.contains('.'), "{id}");
        let seconds: i64 = time.parse().expect("seconds");
        assert!((self.clock.now().as_seconds() - seconds).abs() <= 300, "signed at {seconds}");
        let key = BASE64.decode(KEY.strip_prefix("whsec_").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signed = [format!("{id}.{time}.").as_bytes(), &call.body].concat();
        let proven = call.header("webhook-signature").split(' ').any(|entry| {
            let mac = entry.strip_prefix("v1,").and_then(|mac| BASE64.decode(mac).ok());
            mac.is_some_and(|mac| hmac::verify(&key, &signed, &mac).is_ok())
        });
        assert!(proven, "{}", call.header("webhook-signature"));
        for name in ["sidemint-webhook", "sidemint-received", "sidemint-attempt", "content-type", "user-agent"] {
            assert!(!call.header(name).is_empty(), "{name}");
        }
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.memory.lock().unwrap().calls.clone()
    }

    pub fn count(&self) -> usize {
        self.memory.lock().unwrap().calls.len()
    }

    /// Ids of the events that came, in the order they came.
    pub fn ids(&self) -> Vec<String> {
        self.memory.lock().unwrap().calls.iter().map(|call| call.header("webhook-id").to_owned()).collect()
    }

    pub fn connections(&self) -> usize {
        self.memory.lock().unwrap().connections
    }

    /// Most calls at once.
    pub fn most(&self) -> usize {
        self.memory.lock().unwrap().most
    }
}

/// An answer without a body.
pub fn answer(status: u16) -> Script {
    Script::Answer { status, headers: Vec::new(), body: Vec::new() }
}
