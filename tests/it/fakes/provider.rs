//! A provider that a test describes: strict, and with a memory of what it was asked.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::http::{Call, Script, Then, Wire, listen, read_call};
use crate::pki::Pair;

/// What the provider does with a call.
type Honest = dyn Fn(&Call) -> Script + Send + Sync;

/// The fake; cheap to clone.
#[derive(Clone)]
pub struct Fake {
    pub address: SocketAddr,
    /// What it shows of itself, where it speaks TLS.
    acceptor: Arc<Mutex<Option<TlsAcceptor>>>,
    honest: Arc<Honest>,
    calls: Arc<Mutex<Vec<Call>>>,
    /// By path: what the next calls get instead.
    scripts: Arc<Mutex<HashMap<String, VecDeque<Script>>>>,
}

impl Fake {
    /// A provider that does with each call what `honest` says. It should refuse what the real one would refuse.
    pub async fn start(honest: impl Fn(&Call) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = Self {
            address,
            acceptor: Arc::default(),
            honest: Arc::new(honest),
            calls: Arc::default(),
            scripts: Arc::default(),
        };
        let server = own.clone();
        tokio::spawn(listen(listener, move |stream| {
            let (server, acceptor) = (server.clone(), server.acceptor.lock().unwrap().clone());
            async move {
                match acceptor {
                    None => server.serve(stream).await,
                    Some(acceptor) => server.serve(acceptor.accept(stream).await?).await,
                }
            }
        }));
        own
    }

    /// Shows this certificate from now on, and speaks nothing but TLS.
    pub fn shows(&self, pair: &Pair) {
        *self.acceptor.lock().unwrap() = Some(pair.acceptor());
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address by name, as certificates have it.
    pub fn tls_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// What the next call of `path` gets.
    pub fn next(&self, path: &str, script: Script) {
        self.scripts.lock().unwrap().entry(path.to_owned()).or_default().push_back(script);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Method and path of every call so far.
    pub fn asked(&self) -> Vec<String> {
        self.calls().iter().map(|call| format!("{} {}", call.method, call.path)).collect()
    }

    async fn serve(self, mut stream: impl Wire) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let Some(call) = read_call(&mut stream, &mut buffer).await? else { return Ok(()) };
            self.calls.lock().unwrap().push(call.clone());
            let scripted = self.scripts.lock().unwrap().get_mut(&call.path).and_then(VecDeque::pop_front);
            let script = scripted.unwrap_or_else(|| (self.honest)(&call));
            if script.play(&mut stream).await? == Then::Close {
                return Ok(());
            }
        }
    }
}
