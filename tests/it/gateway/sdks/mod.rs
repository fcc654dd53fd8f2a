//! Server libraries of chat systems, unmodified: what they send straight to a provider is what arrives there through the
//! gateway, but for the proof; and what the gateway refuses is their own kind of error.

mod cases;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use self::cases::Case;
use super::recorder::{Recorder, Request, Rules};
use crate::fakes::http::listen;
use crate::judge::judge;
use crate::parts::proxies::own_address;
use crate::parts::sidemint::Program;
use crate::pki::{Authority, Mount, Pair};

/// The caller's own key.
const KEY: &str = "gwCANARYkey0123456789abcdefghijklmnopqrstuvw";

/// Where a library believes its provider to be, and what it proves itself with there.
struct Account<'a> {
    at: &'a At,
    id: &'a str,
    key: &'a str,
}

/// An address; where TLS is spoken there, with the file of the authority that vouches for it.
struct At {
    url: String,
    authority: Option<PathBuf>,
}

/// The program, with a mount at `/`.
struct Running {
    at: At,
    _program: Program,
    _folder: tempfile::TempDir,
    _files: Mount,
}

/// A certificate for an address, and the files of it and its authority.
fn certificate(address: IpAddr) -> (Pair, Mount) {
    let authority = Authority::new();
    let pair = authority.issue(&[&address.to_string()], "a server", 2040);
    let files = Mount::of_pair(&pair, &authority.pem);
    (pair, files)
}

/// Speaks TLS for a server that does not.
async fn behind_tls(server: SocketAddr, acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind((server.ip(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(listen(listener, move |near| {
        let acceptor = acceptor.clone();
        async move {
            let (mut near, mut far) = (acceptor.accept(near).await?, TcpStream::connect(server).await?);
            tokio::io::copy_bidirectional(&mut near, &mut far).await.map(|_| ())
        }
    }));
    address
}

impl Case {
    /// All calls of the case, and what their user sees of each.
    fn call(&self, account: &Account<'_>) -> Vec<Value> {
        let mut order = json!({"library": self.sdk, "url": account.at.url, "id": account.id, "key": account.key});
        if let Some(authority) = &account.at.authority {
            order["authority"] = json!(authority);
        }
        order["calls"] = self.calls.iter().map(|call| json!([call.name, call.argument])).collect();
        order.as_object_mut().unwrap().extend(self.options.as_object().cloned().unwrap_or_default());
        judge(self.program, order).as_array().unwrap().clone()
    }

    /// What is the same in two requests of the same call.
    fn compared(&self, request: &Request) -> Value {
        let mut query = request.query();
        query.retain(|(name, _)| !self.proofs.contains(&&**name));
        query.sort();
        // What the definition does not list stays at the gateway.
        let listed = |name: &str| ["accept", "user-agent"].contains(&name) || self.headers.contains(&name);
        let mut headers = request.said(&self.proofs);
        headers.retain(|(name, _)| listed(name));
        for (_, value) in headers.iter_mut().filter(|(name, _)| self.random.contains(&&**name)) {
            "…".clone_into(value);
        }
        let kind = request.header("content-type").filter(|_| !request.body.is_empty());
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default());
        let mut body = serde_json::from_slice(&request.body).unwrap_or_else(|_| json!(request.body));
        for pointer in &self.random {
            if let Some(value) = body.pointer_mut(pointer).filter(|_| pointer.starts_with('/')) {
                *value = json!("…");
            }
        }
        // A random field that ends a message of Protocol Buffers.
        if let Some(bytes) = body.as_array_mut().filter(|_| request.path().ends_with("/SendData")) {
            bytes.truncate(bytes.len().saturating_sub(16));
        }
        let path = percent_encoding::percent_decode_str(request.path()).decode_utf8().unwrap();
        json!({"method": request.method, "path": path, "query": query, "headers": headers, "type": kind, "body": body})
    }

    /// All requests of the case when nothing is between.
    async fn straight(&self) -> Vec<Request> {
        let recorder = Recorder::start(Rules::default(), self.answers).await;
        let (pair, files) = certificate(recorder.address.ip());
        let at = if self.tls {
            let url = format!("https://{}", behind_tls(recorder.address, pair.acceptor()).await);
            At { url, authority: Some(files.path("ca.crt")) }
        } else {
            At { url: recorder.base_url(), authority: None }
        };
        let outcomes = self.call(&Account { at: &at, id: self.id, key: self.key });
        for (call, outcome) in self.calls.iter().zip(&outcomes) {
            assert!(outcome.get("done").is_some(), "{self}: {}: {outcome}", call.name);
        }
        recorder.requests()
    }

    /// The gateway before `provider`; its caller `shop` may do this.
    async fn gateway(&self, provider: &Recorder, allow: &[&str]) -> Running {
        let (mount, folder) = (own_address(), tempfile::tempdir().unwrap());
        let (key, secret) = (folder.path().join("key"), folder.path().join("secret"));
        let (_, files) = certificate(mount.ip());
        let tls = format!("[gateway.tls]\ncert_file = {}\nkey_file = {}", files.toml("tls.crt"), files.toml("tls.key"));
        std::fs::write(&key, KEY).unwrap();
        std::fs::write(&secret, self.key).unwrap();
        let rest = format!(
            "[gateway]\nlisten = \"{}\"\n[[gateway.mounts]]\nprovider = \"own\"\nlisten = \"{mount}\"\n\
             {}\n[gateway.callers.shop]\nkey_files = [\"{}\"]\n[[gateway.callers.shop.grants]]\nprovider = \"own\"\n\
             allow = {allow:?}\n[providers.own]\npreset = \"{}\"\napi_url = \"{}\"\n{}\n{}_file = \"{}\"\n",
            own_address(),
            if self.tls { &tls } else { "" },
            key.display(),
            self.preset,
            provider.base_url(),
            self.settings,
            self.secret,
            secret.display()
        );
        let program = Program::start(&rest, &[], &[]).await;
        let at = if self.tls {
            At { url: format!("https://{mount}"), authority: Some(files.path("ca.crt")) }
        } else {
            At { url: format!("http://{mount}"), authority: None }
        };
        Running { at, _program: program, _folder: folder, _files: files }
    }

    /// A provider that fails the test when what arrives is not as it must be.
    async fn provider(&self) -> Recorder {
        let headers = [&self.headers[..], &self.proofs[..]].concat();
        Recorder::start(Rules::strict(&[KEY], &headers), self.answers).await
    }

    /// The caller's key in the shape that the library wants.
    fn virtual_key(&self) -> String {
        self.shape.replace("KEY", KEY)
    }
}

/// What a library does when nothing is between it and its provider: the measure of all that follows.
async fn goes_straight_to_the_provider(case: &Case) -> Vec<Request> {
    let requests = case.straight().await;
    let asked: Vec<String> = requests.iter().map(|request| format!("{} {}", request.method, request.path())).collect();
    let wanted: Vec<&str> = case.calls.iter().map(|call| call.arrives).collect();
    assert_eq!(asked, wanted, "{case}");
    case.assert_proven(requests.last().unwrap());
    requests
}

/// Through the gateway the same arrives, with the provider's proof in place of the caller's.
async fn sends_the_same_through_the_gateway(case: &Case, straight: &[Request]) {
    let provider = case.provider().await;
    let allow: Vec<&str> = case.calls.iter().map(|call| call.name).collect();
    let running = case.gateway(&provider, &allow).await;
    let outcomes = case.call(&Account { at: &running.at, id: "shop", key: &case.virtual_key() });
    for (call, outcome) in case.calls.iter().zip(&outcomes) {
        assert!(outcome.get("done").is_some(), "{case}: {}: {outcome}", call.name);
    }
    let through = provider.requests();
    assert_eq!(straight.len(), through.len(), "{case}");
    for (straight, through) in straight.iter().zip(&through) {
        assert_eq!(case.compared(straight), case.compared(through), "{case}");
        case.assert_proven(through);
    }
}

/// What the gateway refuses is an error as the library has them, and nothing arrives.
async fn sees_refusals_as_its_own_errors(case: &Case) {
    let provider = case.provider().await;
    let running = case.gateway(&provider, &[case.calls[1].name]).await;
    let mut refused = case.call(&Account { at: &running.at, id: "shop", key: &case.virtual_key() });
    assert!(refused[1].get("done").is_some(), "{case}: {}", refused[1]);
    refused.remove(1);
    for outcome in &refused {
        assert!(outcome.get("error").is_some(), "{case}: {outcome}");
        assert_eq!(case.told(outcome), case.refused, "{case}: {outcome}");
    }
    let wrong = case.shape.replace("KEY", "gwOTHERkey0123456789abcdefghijklmnopqrstuvw");
    for outcome in case.call(&Account { at: &running.at, id: "shop", key: &wrong }) {
        assert!(outcome.get("error").is_some(), "{case}: {outcome}");
        let text = outcome.to_string();
        assert!(!text.contains(KEY) && !text.contains(case.key), "{case}: {outcome}");
    }
    assert_eq!(provider.requests().len(), 1, "{case}");
}

/// No key of a caller goes further, and none of the provider comes back.
async fn play(case: Case) {
    let straight = goes_straight_to_the_provider(&case).await;
    sends_the_same_through_the_gateway(&case, &straight).await;
    sees_refusals_as_its_own_errors(&case).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit_on_node() {
    play(cases::livekit("gateway.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit_on_python() {
    play(cases::livekit("gateway.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_on_node() {
    play(cases::stream()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pusher_on_node() {
    play(cases::pusher("gateway.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pusher_on_python() {
    play(cases::pusher("gateway.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ably_on_node() {
    play(cases::ably("gateway.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ably_on_python() {
    play(cases::ably("gateway.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn centrifugo_on_python() {
    play(cases::centrifugo()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn liveblocks_on_node() {
    play(cases::liveblocks()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twilio_on_node() {
    play(cases::twilio("gateway.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twilio_on_python() {
    play(cases::twilio("gateway.py")).await;
}
