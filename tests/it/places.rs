//! Places on the listeners: who gets one when strangers want them all.

use std::net::SocketAddr;
use std::time::Duration;

use sidemint::config::Environment;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::{Connection, request};
use crate::harness::{LOCAL, SESSION, Service, clock, config};
use crate::pki::{Authority, Mount, TlsClient};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");
/// The peers that are trusted: one address, so that another one of this machine is a stranger's.
const ONE: (&str, &str) = ("identity.peers.networks", "[\"127.0.0.1/32\"]");
/// No timeout ends anything in these tests.
const PATIENT: [(&str, &str); 2] = [("server.header_timeout", "\"10m\""), ("server.idle_timeout", "\"20m\"")];

async fn start(overrides: &[(&str, &str)]) -> Service {
    let text = config(LOCAL, &[&[ONE][..], &PATIENT, overrides].concat());
    Service::start(&text, &Environment::default(), clock()).await
}

/// A connection from an address that is not trusted.
pub async fn stranger(to: SocketAddr, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// So many of them, which send these bytes and nothing more.
pub async fn strangers(to: SocketAddr, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for n in 0..count {
        let mut stream = stranger(to, 9 + u8::try_from(n % 40).unwrap()).await;
        // One that was refused may be closed by now.
        let _closed = stream.write_all(bytes).await;
        all.push(stream);
    }
    all
}

async fn refused(service: &Service) -> f64 {
    let mut sum = 0.0;
    for reason in ["address", "strangers", "full"] {
        sum += service.metric(&format!("sidemint_connections_refused_total{{reason=\"{reason}\"}}")).await;
    }
    sum
}

async fn displaced(service: &Service) -> f64 {
    service.metric("sidemint_connections_closed_total{reason=\"displaced\"}").await
}

/// T-70: whatever strangers leave open, a trusted peer is served at once, on a new connection and on the one that it has.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_keep_no_trusted_peer_out() {
    for http2 in ["false", "true"] {
        for bytes in [
            &b""[..],
            b"G",
            b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ] {
            let service = start(&[("server.max_connections", "20"), ("server.http2", http2)]).await;
            let mut kept = service.connect().await;
            assert_eq!(kept.ask("GET", SESSION, &[ALICE]).await.status, 200);
            let held = strangers(service.address(), 60, bytes).await;
            for _ in 0..3 {
                assert_eq!(service.session("alice").await.status, 200, "{bytes:?}");
            }
            assert_eq!(kept.ask("GET", SESSION, &[ALICE]).await.status, 200, "{bytes:?}");
            let open = service.metric("sidemint_connections").await;
            assert!(open <= 20.0, "{open}");
            // Where HTTP/2 is not spoken, its first bytes end a connection.
            let is_ended = http2 == "false" && bytes.starts_with(b"PRI");
            let turned_away = displaced(&service).await + refused(&service).await;
            assert!(is_ended || turned_away >= 55.0, "five places are theirs: {turned_away}");
            drop(held);
        }
    }
}

/// T-70: a stranger that asks is answered, however many sit idle.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_ask_are_answered_among_idle_ones() {
    let service = start(&[("server.max_connections", "20")]).await;
    let held = strangers(service.address(), 30, b"").await;
    let mut connection = Connection::over(stranger(service.address(), 200).await);
    assert_eq!(connection.ask("GET", "/.well-known/jwks.json", &[]).await.status, 200);
    let session = connection.ask("GET", SESSION, &[ALICE]).await;
    assert_eq!((session.status, session.code().as_str()), (403, "peer_untrusted"));
    drop(held);
}

/// T-70: trusted peers may have every place, and are never pushed out by each other.
#[tokio::test(flavor = "multi_thread")]
async fn trusted_peers_may_have_every_place() {
    let service = start(&[("server.max_connections", "8")]).await;
    assert!((service.metric("sidemint_connections_limit").await - 8.0).abs() < 0.1, "the gauge tells the places");
    let held = strangers(service.address(), 8, b"").await;
    let mut proxies = Vec::new();
    for _ in 0..8 {
        let mut proxy = service.connect().await;
        assert_eq!(proxy.ask("GET", SESSION, &[ALICE]).await.status, 200);
        proxies.push(proxy);
    }
    let mut late = Connection::over(stranger(service.address(), 9).await);
    late.wait_for_the_end().await;
    for proxy in &mut proxies {
        assert_eq!(proxy.ask("GET", SESSION, &[ALICE]).await.status, 200);
    }
    assert!(service.metric("sidemint_connections_refused_total{reason=\"full\"}").await > 0.5);
    drop(held);
}

/// T-70: where every peer may bring a token, one that hoards makes room: no peer is a stranger there.
#[tokio::test(flavor = "multi_thread")]
async fn who_hoards_makes_room_where_no_peer_is_a_stranger() {
    let source = "{ kind = \"jwt\", jwt = { header = \"Authorization\", algorithms = [\"EdDSA\"], \
        issuer = \"https://i.example\", audience = \"chat\" }, keys = { url = \"http://127.0.0.1:1/keys\", network = \"private\" } }";
    let overrides =
        [("server.max_connections", "8"), ("identity.source", "\"corp\""), ("identity.sources.corp", source)];
    let service = start(&overrides).await;
    let held = strangers(service.address(), 8, b"GET / HTTP/1.1\r\n").await;
    for last in [9, 100, 200] {
        let mut connection = Connection::over(stranger(service.address(), last).await);
        assert_eq!(connection.ask("GET", SESSION, &[]).await.status, 401, "{last}");
    }
    drop(held);
}

/// T-70: handshakes are in the part of strangers, and a peer that shows a certificate leaves it.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_handshakes_keep_no_certificate_out() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let mount = Mount::of_pair(&ca.server(), &clients.pem);
    let files = [mount.toml("tls.crt"), mount.toml("tls.key"), mount.toml("ca.crt")];
    let [certificate, key, authority] = files.each_ref().map(String::as_str);
    let overrides = [
        ("server.tls.cert_file", certificate),
        ("server.tls.key_file", key),
        ("server.tls.client_ca_file", authority),
        ("identity.peers.networks", "[]"),
        ("identity.peers.certificates", "[\"spiffe://corp/web\"]"),
        ("server.max_connections", "4"),
    ];
    let service = start(&overrides).await;
    let client = TlsClient::new(&ca.pem, Some(&clients.client("spiffe://corp/web")));
    let mut kept = Vec::new();
    for _ in 0..3 {
        let held = strangers(service.address(), 8, b"\x16\x03\x01").await;
        let mut own = Connection::over(client.connect(service.address()).await.expect("a handshake"));
        assert_eq!(own.ask("GET", SESSION, &[ALICE]).await.status, 200);
        kept.push(own);
        drop(held);
    }
    for own in &mut kept {
        assert_eq!(own.ask("GET", SESSION, &[ALICE]).await.status, 200, "it is not pushed out");
    }
}

/// T-70: a stranger's body is not read, so it need not even be sent; nor is that of a peer without its secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_body_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    let files = format!("[{:?}]", secret.display().to_string());
    let rest = LOCAL.split("[[routes]]").filter(|part| !part.contains("/auth")).collect::<Vec<_>>().join("[[routes]]");
    let provider = LOCAL.split("[providers.chat]").nth(1).unwrap();
    let rest = format!("{rest}\n[providers.chat]{provider}");
    let body = ("identity.source", "\"body\"");
    for (proof, own) in [
        (&[body][..], 9),
        (&[("identity.peers.hmac_key_files", files.as_str())], 9),
        (&[body, ("identity.peers.hmac_key_files", files.as_str())], 9),
        (&[body, ("identity.peers.secret_files", files.as_str())], 1),
    ] {
        let text = config(&rest, &[&[ONE][..], &PATIENT, proof].concat());
        let service = Service::start(&text, &Environment::default(), clock()).await;
        for method in ["POST", "DELETE"] {
            let mut connection = Connection::over(stranger(service.address(), own).await);
            let head = format!("{method} {SESSION} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
            connection.send(format!("{head}Content-Length: 900\r\n\r\n{{")).await;
            let answer = connection.answer().await.expect("an answer");
            assert_eq!((answer.status, answer.code().as_str()), (403, "peer_untrusted"), "{method} {proof:?}");
        }
        let counted = ["peer_untrusted", "peer_secret"]
            .map(|reason| format!("sidemint_identity_refusals_total{{reason=\"{reason}\"}}"));
        let sum = service.metric(&counted[0]).await + service.metric(&counted[1]).await;
        assert!((sum - 2.0).abs() < 0.1, "{sum}");
    }
}

/// T-70: pings keep no connection of HTTP/2 that has no stream, though each of them is answered.
#[tokio::test(flavor = "multi_thread")]
async fn pings_keep_no_connection_without_a_stream() {
    let limits = [("server.http2", "true"), ("server.idle_timeout", "\"1s\""), ("server.header_timeout", "\"1s\"")];
    let service = Service::start(&config(LOCAL, &limits), &Environment::default(), clock()).await;
    let stream = TcpStream::connect(service.address()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    writer.write_all(preface).await.unwrap();
    let pings = async {
        while writer.write_all(&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let end = async {
        let mut bytes = [0; 1024];
        while reader.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    };
    let both = async { tokio::join!(pings, end) };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("the connection ends");
    assert!((service.metric("sidemint_connections_closed_total{reason=\"idle_timeout\"}").await - 1.0).abs() < 0.1);
}

/// T-70: probes are answered whatever else sits on their listener, from whatever address.
#[tokio::test(flavor = "multi_thread")]
async fn probes_get_a_place_among_idle_connections() {
    let service = start(&[]).await;
    for bytes in [&b""[..], b"GET /livez HTTP/1.1\r\nHost:"] {
        let mut held = Vec::new();
        for _ in 0..150 {
            let mut stream = TcpStream::connect(service.ops).await.unwrap();
            let _closed = stream.write_all(bytes).await;
            held.push(stream);
        }
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(service.ops(path).await.status, 200, "{path}");
        }
        drop(held);
    }
    assert!(displaced(&service).await > 80.0);
    assert_eq!(service.session("alice").await.status, 200);
}

/// Whatever comes, a request in hand is answered.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_end_no_request_in_hand() {
    let (service, fake) = Service::sendsar_with("", &[("server.max_connections", "2"), ONE]).await;
    let gate = fake.hold().await;
    let mut waiting = service.connect().await;
    waiting.send(request("GET", SESSION, &[ALICE], b"")).await;
    fake.until(|fake| fake.mints() == 1).await;
    let held = strangers(service.address(), 10, b"").await;
    drop(gate);
    assert_eq!(waiting.answer().await.expect("an answer").status, 200);
    drop(held);
}
