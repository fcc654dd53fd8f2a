//! TLS on the front listener: what is offered, who is let in, and certificates that change while it runs.

use std::process::Command;
use std::time::Duration;

use sidemint::config::Environment;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion, version};

use crate::canary::Traces;
use crate::client::{Connection, request};
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw};
use crate::pki::{Authority, Mount, Pair, TlsClient};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");

/// What the service is told of `mount`; with `certificates` clients must show one of theirs.
fn text(mount: &Mount, overrides: &[(&str, &str)]) -> String {
    let (certificate, key) = (mount.toml("tls.crt"), mount.toml("tls.key"));
    let own = [("server.tls.cert_file", certificate.as_str()), ("server.tls.key_file", key.as_str())];
    config(LOCAL, &[&own[..], overrides].concat())
}

async fn start(mount: &Mount, overrides: &[(&str, &str)]) -> Service {
    Service::start(&text(mount, overrides), &Environment::default(), clock()).await
}

/// The service with an authority for its clients, who must be `spiffe://corp/web`.
async fn start_mutual(mount: &Mount, overrides: &[(&str, &str)]) -> Service {
    let ca = mount.toml("ca.crt");
    let own = [
        ("server.tls.client_ca_file", ca.as_str()),
        ("identity.peers.certificates", "[\"spiffe://corp/web\", \"dns:proxy.corp\"]"),
    ];
    start(mount, &[&own[..], overrides].concat()).await
}

async fn failures(service: &Service, reason: &str) -> f64 {
    service.metric(&format!("sidemint_tls_handshake_failures_total{{listener=\"server\",reason=\"{reason}\"}}")).await
}

async fn fails(service: &Service, reason: &str, least: f64) {
    service
        .metric_reaches(
            &format!("sidemint_tls_handshake_failures_total{{listener=\"server\",reason=\"{reason}\"}}"),
            least,
        )
        .await;
}

const GENERATION: &str = "sidemint_tls_generation{listener=\"server\"}";
const REJECTED: &str = "sidemint_tls_rejected_total{listener=\"server\"}";

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_served_over_tls_1_3_and_1_2() {
    let ca = Authority::new();
    let service = start(&Mount::of_pair(&ca.server(), ""), &[]).await;
    for (versions, spoken) in [
        (&[&version::TLS13, &version::TLS12][..], ProtocolVersion::TLSv1_3),
        (&[&version::TLS12], ProtocolVersion::TLSv1_2),
    ] {
        let client = TlsClient::speaking(versions, &["http/1.1"], &ca.pem, None);
        let stream = client.connect(service.address()).await.expect("shakes hands");
        assert_eq!(stream.get_ref().1.protocol_version(), Some(spoken));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut connection = Connection::over(stream);
        for _ in 0..2 {
            assert_eq!(connection.ask("GET", SESSION, &[ALICE]).await.status, 200, "and it is kept");
        }
    }
    assert!((service.metric(GENERATION).await - 1.0).abs() < 0.1);
    // 2040-01-01.
    let expiry =
        service.metric("sidemint_tls_expiry_timestamp_seconds{file=\"certificate\",listener=\"server\"}").await;
    assert!((expiry - 2_208_988_800.0).abs() < 0.1, "{expiry}");
}

/// T-50: what is not switched on is not offered.
#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_offered_only_where_it_is_switched_on() {
    let ca = Authority::new();
    let pair = ca.server();
    for (switch, offered, spoken) in [
        ("false", &["h2", "http/1.1"][..], Some(&b"http/1.1"[..])),
        ("true", &["h2", "http/1.1"], Some(&b"h2"[..])),
        ("false", &[], None),
        ("true", &["http/1.1"], Some(&b"http/1.1"[..])),
    ] {
        let mount = Mount::of_pair(&pair, "");
        let service = start(&mount, &[("server.http2", switch)]).await;
        let client = TlsClient::speaking(&[&version::TLS13], offered, &ca.pem, None);
        let stream = client.connect(service.address()).await.expect("shakes hands");
        assert_eq!(stream.get_ref().1.alpn_protocol(), spoken, "http2 = {switch}, {offered:?}");
    }
    let service = start(&Mount::of_pair(&pair, ""), &[]).await;
    let only = TlsClient::speaking(&[&version::TLS13], &["h2"], &ca.pem, None);
    assert!(only.connect(service.address()).await.is_err());
    fails(&service, "incompatible", 1.0).await;
}

/// Hello of a client that knows nothing newer than TLS 1.1, as one sent it.
const HELLO_1_1: [u8; 62] = [
    0x16, 0x03, 0x01, 0x00, 0x39, 0x01, 0x00, 0x00, 0x35, 0x03, 0x02, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0x00, 0x00, 0x02, 0xc0, 0x13, 0x01, 0x00,
    0x00, 0x0a, 0x00, 0x0d, 0x00, 0x06, 0x00, 0x04, 0x04, 0x01, 0x04, 0x03,
];

/// T-51: old versions, other protocols, and clients that say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_modern_tls_is_closed_and_counted() {
    let ca = Authority::new();
    let service = start(&Mount::of_pair(&ca.server(), ""), &[("server.header_timeout", "\"200ms\"")]).await;
    let mut old = TcpStream::connect(service.address()).await.unwrap();
    old.write_all(&HELLO_1_1).await.unwrap();
    let mut alert = Vec::new();
    old.read_to_end(&mut alert).await.unwrap();
    assert_eq!((alert.first(), alert.last()), (Some(&0x15), Some(&70)), "the alert «protocol version»");
    fails(&service, "incompatible", 1.0).await;
    // Plain HTTP to the TLS port gets no answer that could be taken for one of ours.
    let mut plain = service.connect().await;
    plain.send(request("GET", SESSION, &[ALICE], b"")).await;
    plain.wait_for_the_end().await;
    fails(&service, "not_tls", 1.0).await;
    // One that leaves, and one that says nothing, or half of it.
    drop(TcpStream::connect(service.address()).await.unwrap());
    fails(&service, "closed", 1.0).await;
    for bytes in [&HELLO_1_1[..0], &HELLO_1_1[..20]] {
        let before = failures(&service, "timeout").await;
        let mut slow = Connection::open(service.address()).await;
        slow.send(bytes).await;
        slow.wait_for_the_end().await;
        fails(&service, "timeout", before + 1.0).await;
    }
    // A client that trusts another authority.
    assert!(TlsClient::new(&Authority::new().pem, None).connect(service.address()).await.is_err());
    fails(&service, "refused_by_client", 1.0).await;
    assert_eq!(TlsClient::new(&ca.pem, None).ask(service.address(), &[ALICE]).await.expect("an answer").status, 200);
}

/// T-49: connections in a handshake count as connections.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stall_in_the_handshake_count_against_the_limit_and_are_cut() {
    let ca = Authority::new();
    let limits = [("server.max_connections", "2"), ("server.header_timeout", "\"300ms\"")];
    let service = start(&Mount::of_pair(&ca.server(), ""), &limits).await;
    let _one = TcpStream::connect(service.address()).await.unwrap();
    let _other = TcpStream::connect(service.address()).await.unwrap();
    service.metric_reaches("sidemint_connections", 2.0).await;
    // Waits in the kernel's queue until one of them is cut.
    let answer = TlsClient::new(&ca.pem, None).ask(service.address(), &[ALICE]).await.expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(failures(&service, "timeout").await > 0.9);
}

/// T-01: the name in the client's certificate is what counts: SAN, whole, never the common name.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_proves_a_peer_by_its_names() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let mount = Mount::of_pair(&ca.server(), &clients.pem);
    let service = start_mutual(&mount, &[]).await;
    for (names, common_name, status) in [
        (&["spiffe://corp/web"][..], "x", 200),
        (&["proxy.corp"], "x", 200),
        (&["PROXY.corp"], "x", 200),
        (&["other.corp", "spiffe://corp/web"], "x", 200),
        (&["spiffe://corp/web2"], "spiffe://corp/web", 403),
        (&["other.corp"], "proxy.corp", 403),
        (&["x.proxy.corp"], "x", 403),
        (&["*.corp"], "x", 403),
        (&["dns://proxy.corp"], "x", 403),
        (&[], "proxy.corp", 403),
    ] {
        let pair = clients.issue(names, common_name, 2040);
        let answer = TlsClient::new(&ca.pem, Some(&pair)).ask(service.address(), &[ALICE]).await.expect("an answer");
        assert_eq!(answer.status, status, "{names:?} {common_name}");
    }
}

/// T-01: a certificate that is not good does not even get a connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_good_certificate_is_not_let_in() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let mount = Mount::of_pair(&ca.server(), &clients.pem);
    let service = start_mutual(&mount, &[]).await;
    let name = "spiffe://corp/web";
    let stranger = Authority::new().client(name);
    // The time of the tests is 2026.
    let expired = clients.issue(&[name], "x", 2025);
    for (own, reason) in [
        (None, "certificate_missing"),
        (Some(&stranger), "certificate_issuer"),
        (Some(&expired), "certificate_expired"),
    ] {
        let client = TlsClient::new(&ca.pem, own);
        assert!(client.ask(service.address(), &[ALICE]).await.is_none(), "{reason}");
        fails(&service, reason, 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_optional_one_that_is_shown_must_be_good() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let mount = Mount::of_pair(&ca.server(), &clients.pem);
    let service = start_mutual(&mount, &[("server.tls.client_certificates", "\"optional\"")]).await;
    let ask = async |own: Option<&Pair>| {
        TlsClient::new(&ca.pem, own).ask(service.address(), &[ALICE]).await.map(|answer| answer.status)
    };
    assert_eq!(ask(None).await, Some(403));
    assert_eq!(ask(Some(&clients.client("spiffe://corp/web"))).await, Some(200));
    assert_eq!(ask(Some(&Authority::new().client("spiffe://corp/web"))).await, None);
    // Public keys are public.
    let mut connection = Connection::over(TlsClient::new(&ca.pem, None).connect(service.address()).await.unwrap());
    assert_eq!(connection.ask("GET", "/.well-known/jwks.json", &[]).await.status, 200);
}

// Files that change.

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_without_restart_and_open_connections_live_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let mount = Mount::of_pair(&old.server(), "");
    let service = start(&mount, &[]).await;
    let mut open = Connection::over(TlsClient::new(&old.pem, None).connect(service.address()).await.unwrap());
    assert_eq!(open.ask("GET", SESSION, &[ALICE]).await.status, 200);
    mount.swap_pair(&new.issue(&["sidemint.test"], "x", 2035), "");
    service.metric_reaches(GENERATION, 2.0).await;
    assert!(TlsClient::new(&old.pem, None).connect(service.address()).await.is_err());
    assert_eq!(TlsClient::new(&new.pem, None).ask(service.address(), &[ALICE]).await.expect("an answer").status, 200);
    assert_eq!(open.ask("GET", SESSION, &[ALICE]).await.status, 200);
    let expiry =
        service.metric("sidemint_tls_expiry_timestamp_seconds{file=\"certificate\",listener=\"server\"}").await;
    assert!((expiry - 2_051_222_400.0).abs() < 0.1, "{expiry}");
}

/// T-58: whatever is put into the files, the service goes on with what it had, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn unusable_files_are_refused_and_the_last_good_ones_stay() {
    let traces = Traces::capture();
    let (ca, clients) = (Authority::new(), Authority::new());
    let (good, other) = (ca.server(), ca.server());
    let mount = Mount::of_pair(&good, &clients.pem);
    let service = start_mutual(&mount, &[]).await;
    let client = TlsClient::new(&ca.pem, Some(&clients.client("spiffe://corp/web")));
    let (certificate, key, authorities) = (good.certificate.as_str(), good.key.as_str(), clients.pem.as_str());
    for (n, files) in [
        [("tls.crt", certificate), ("tls.key", other.key.as_str()), ("ca.crt", authorities)],
        [("tls.crt", ""), ("tls.key", key), ("ca.crt", authorities)],
        [("tls.crt", certificate), ("tls.key", "CANARYkey"), ("ca.crt", authorities)],
        [("tls.crt", key), ("tls.key", key), ("ca.crt", authorities)],
        // No authority would mean that every client is let in.
        [("tls.crt", certificate), ("tls.key", key), ("ca.crt", "")],
        [("tls.crt", certificate), ("tls.key", key), ("ca.crt", "no certificate")],
        [("tls.crt", certificate), ("tls.key", key), ("none", "")],
    ]
    .into_iter()
    .enumerate()
    {
        let before = service.metric(REJECTED).await;
        mount.swap(&files);
        service.metric_reaches(REJECTED, before + 1.0).await;
        assert!((service.metric(GENERATION).await - 1.0).abs() < 0.1, "{n}");
        assert_eq!(client.ask(service.address(), &[ALICE]).await.expect("an answer").status, 200, "{n}");
        assert!(TlsClient::new(&ca.pem, None).ask(service.address(), &[ALICE]).await.is_none(), "{n}");
    }
    assert!(traces.text().contains("new certificates are unusable; the last good ones stay"));
    let secret: Vec<&str> = key.lines().filter(|line| !line.starts_with('-')).collect();
    for text in [traces.text(), service.ops("/metrics").await.text().to_owned(), service.log()] {
        assert!(!text.contains("CANARYkey") && secret.iter().all(|line| !text.contains(line)), "a key is told");
    }
    mount.swap_pair(&other, authorities);
    service.metric_reaches(GENERATION, 2.0).await;
    assert_eq!(client.ask(service.address(), &[ALICE]).await.expect("an answer").status, 200);
}

/// The handshake of a second connection of one client.
async fn second_handshake(client: &TlsClient, service: &Service) -> Option<HandshakeKind> {
    let stream = client.connect(service.address()).await.ok()?;
    let kind = stream.get_ref().1.handshake_kind();
    let mut connection = Connection::over(stream);
    connection.try_send(request("GET", SESSION, &[ALICE], b"")).await;
    connection.answer().await?;
    kind
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed_until_the_certificate_changes() {
    let ca = Authority::new();
    let mount = Mount::of_pair(&ca.server(), "");
    let service = start(&mount, &[]).await;
    let client = TlsClient::new(&ca.pem, None);
    assert_eq!(second_handshake(&client, &service).await, Some(HandshakeKind::Full));
    assert_eq!(second_handshake(&client, &service).await, Some(HandshakeKind::Resumed));
    mount.swap_pair(&ca.server(), "");
    service.metric_reaches(GENERATION, 2.0).await;
    assert_eq!(second_handshake(&client, &service).await, Some(HandshakeKind::Full));
}

/// T-58: a new authority counts for all: no session is resumed past it, and no connection outlives it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_old_authority_is_out_when_the_new_one_is_in() {
    let (ca, old, new) = (Authority::new(), Authority::new(), Authority::new());
    for versions in [&[&version::TLS13][..], &[&version::TLS12]] {
        let pair = ca.server();
        let mount = Mount::of_pair(&pair, &old.pem);
        let service = start_mutual(&mount, &[]).await;
        let client = TlsClient::speaking(versions, &[], &ca.pem, Some(&old.client("spiffe://corp/web")));
        for _ in 0..2 {
            assert_eq!(second_handshake(&client, &service).await, Some(HandshakeKind::Full), "never resumed");
        }
        let mut open = Connection::over(client.connect(service.address()).await.unwrap());
        assert_eq!(open.ask("GET", SESSION, &[ALICE]).await.status, 200);
        mount.swap_pair(&pair, &new.pem);
        service.metric_reaches(GENERATION, 2.0).await;
        assert_eq!(second_handshake(&client, &service).await, None);
        open.wait_for_the_end().await;
        let client = TlsClient::new(&ca.pem, Some(&new.client("spiffe://corp/web")));
        assert_eq!(client.ask(service.address(), &[ALICE]).await.expect("an answer").status, 200);
    }
}

/// T-58: what a certificate proves ends with it, on connections that are open as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_the_certificate_of_its_client() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let service = start_mutual(&Mount::of_pair(&ca.server(), &clients.pem), &[]).await;
    let short = TlsClient::new(&ca.pem, Some(&clients.issue(&["spiffe://corp/web"], "a client", 2027)));
    let mut ends = Connection::over(short.connect(service.address()).await.unwrap());
    let long = TlsClient::new(&ca.pem, Some(&clients.client("spiffe://corp/web")));
    let mut stays = Connection::over(long.connect(service.address()).await.unwrap());
    for open in [&mut ends, &mut stays] {
        assert_eq!(open.ask("GET", SESSION, &[ALICE]).await.status, 200);
    }
    service.advance(366 * 24 * 60 * 60);
    ends.wait_for_the_end().await;
    assert_eq!(stays.ask("GET", SESSION, &[ALICE]).await.status, 200);
    assert!(short.ask(service.address(), &[ALICE]).await.is_none());
}

/// The kind, stream and content of the next frame of HTTP/2; `None` when the peer has closed.
async fn frame<S: AsyncRead + Unpin>(stream: &mut S) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut content = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut content).await.ok()?;
    Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), content))
}

/// T-58: a client of HTTP/2 that will not hear of the end, and answers no ping that asks for it, is cut off.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_old_authority_cannot_hold_on_to_its_connection() {
    let (ca, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let pair = ca.server();
    let mount = Mount::of_pair(&pair, &old.pem);
    let service = start_mutual(&mount, &[("server.http2", "true"), ("server.header_timeout", "\"1s\"")]).await;
    let own = old.client("spiffe://corp/web");
    let client = TlsClient::speaking(&[&version::TLS13], &["h2"], &ca.pem, Some(&own));
    let mut stream = client.connect(service.address()).await.unwrap();
    let ask = |id: u32| {
        // GET, https and the rest as literals that are not remembered (RFC 7541, 6.2.2).
        let mut block = vec![0x82, 0x87];
        for (lead, text) in [(&[0x04][..], SESSION), (&[0x01], "sidemint.test"), (b"\0\x10x-forwarded-user", "alice")] {
            block.extend_from_slice(lead);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
        let length = u8::try_from(block.len()).unwrap();
        [&[0, 0, length, 1, 5][..], &id.to_be_bytes(), &block].concat()
    };
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    stream.write_all(&[preface, ask(1)].concat()).await.unwrap();
    while frame(&mut stream).await.expect("an answer").0 != 1 {}
    mount.swap_pair(&pair, &new.pem);
    service.metric_reaches(GENERATION, 2.0).await;
    // The service asks for the end; it is heard, and never confirmed.
    while frame(&mut stream).await.expect("an end that is announced").0 != 7 {}
    let end = async {
        while let Some((kind, _, content)) = frame(&mut stream).await {
            let asks_for_the_end = content.starts_with(&[0x0b, 0x7b, 0xa2, 0xf0]);
            if kind == 6 && !asks_for_the_end {
                let pong = [&[0, 0, 8, 6, 1, 0, 0, 0, 0][..], &content].concat();
                let _gone = stream.write_all(&pong).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), end).await.expect("cut off in time");
    service.metric_reaches("sidemint_connections_closed_total{reason=\"retired\"}", 1.0).await;
}

/// An open connection is cut off by the drain as any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_handshakes_and_connections() {
    let ca = Authority::new();
    let service = start(&Mount::of_pair(&ca.server(), ""), &[("server.header_timeout", "\"60s\"")]).await;
    let mut stalled = Connection::open(service.address()).await;
    let mut open = Connection::over(TlsClient::new(&ca.pem, None).connect(service.address()).await.unwrap());
    assert_eq!(open.ask("GET", SESSION, &[ALICE]).await.status, 200);
    service.metric_reaches("sidemint_connections", 2.0).await;
    assert_eq!(service.stop().await, sidemint::app::Ended::Drained);
    stalled.wait_for_the_end().await;
    open.wait_for_the_end().await;
}

/// A handshake that has begun when the drain begins comes to its end, and the request behind it is answered. There is a
/// tenth of a second for it, so a machine that stands still has more than one try.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_handshakes_come_to_their_end() {
    let ca = Authority::new();
    let mount = Mount::of_pair(&ca.server(), "");
    for _ in 0..20 {
        // The second waits in the kernel until the first has gone, which goes with the drain.
        let service = start(&mount, &[("server.max_connections", "1")]).await;
        let client = TlsClient::new(&ca.pem, None);
        let mut first = Connection::over(client.connect(service.address()).await.unwrap());
        assert_eq!(first.ask("GET", SESSION, &[ALICE]).await.status, 200);
        let asked = [ALICE];
        let second = client.ask(service.address(), &asked);
        let stop = async {
            service.begin_stop();
            first.wait_for_the_end().await;
        };
        let (answer, ()) = tokio::join!(second, stop);
        if let Some(answer) = answer {
            assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
            return;
        }
    }
    panic!("no handshake comes to its end");
}

// What `sidemint check` says.

#[test]
fn certificates_that_cannot_be_served_are_refused_with_file_and_key() {
    let ca = Authority::new();
    let (pair, other) = (ca.server(), ca.server());
    let crt = pair.certificate.as_str();
    for (certificate, key, authority, expected) in [
        (
            crt,
            other.key.as_str(),
            crt,
            "server.tls.key_file: is not the key of the certificate in server.tls.cert_file",
        ),
        ("", pair.key.as_str(), crt, "server.tls.cert_file: DIR/tls.crt is empty"),
        (
            "x",
            &pair.key,
            crt,
            "server.tls.cert_file: holds no certificate; write PEM, the server's own certificate first",
        ),
        (
            crt,
            "x",
            crt,
            "server.tls.key_file: holds no private key; write PEM: PKCS #8, PKCS #1 or SEC 1, without a password",
        ),
        (
            crt,
            crt,
            crt,
            "server.tls.key_file: holds no private key; write PEM: PKCS #8, PKCS #1 or SEC 1, without a password",
        ),
        (crt, &pair.key, "x", "server.tls.client_ca_file: holds no certificate; write PEM"),
    ] {
        let pair = Pair { certificate: certificate.to_owned(), key: key.to_owned() };
        let mount = Mount::of_pair(&pair, authority);
        let ca = mount.toml("ca.crt");
        let text = text(&mount, &[("server.tls.client_ca_file", ca.as_str())]);
        let errors = draw(&text, &Environment::default(), clock()).expect_err(expected).to_string();
        let expected = expected.replace("DIR/tls.crt", &mount.path("tls.crt").display().to_string());
        assert!(errors.contains(&expected) && errors.lines().count() == 1, "{expected}: {errors}");
    }
    let mount = Mount::of_pair(&pair, "");
    let names = text(&mount, &[("identity.peers.certificates", "[\"dns:a\"]")]);
    let errors = draw(&names, &Environment::default(), clock()).expect_err("no authority").to_string();
    assert!(errors.contains("identity.peers.certificates: needs server.tls.client_ca_file"), "{errors}");
}

#[test]
fn an_expired_certificate_is_a_warning() {
    let mount = Mount::of_pair(&Authority::new().issue(&["sidemint.test"], "x", 2025), "");
    let shown = draw(&text(&mount, &[]), &Environment::default(), clock()).expect("usable").to_string();
    assert!(shown.contains("front listener  127.0.0.1:0, TLS\n"), "{shown}");
    let file = mount.path("tls.crt").display().to_string();
    assert!(
        shown.contains(&format!("warning         the certificate in {file} expired at 2025-01-01T00:00:00.000Z")),
        "{shown}"
    );
}

/// A client that is not ours: curl, which links OpenSSL or the like.
#[tokio::test(flavor = "multi_thread")]
async fn curl_with_a_client_certificate_gets_a_session() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let mount = Mount::of_pair(&ca.server(), &clients.pem);
    let service = start_mutual(&mount, &[]).await;
    let good = clients.client("spiffe://corp/web");
    let own = Mount::of(&[("crt", &good.certificate), ("key", &good.key), ("ca", &ca.pem)]);
    let curl = |certificate: bool| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--noproxy", "*", "--tlsv1.2", "--cacert"]).arg(own.path("ca"));
        if certificate {
            command.arg("--cert").arg(own.path("crt")).arg("--key").arg(own.path("key"));
        }
        let port = service.address().port();
        command.arg("--resolve").arg(format!("sidemint.test:{port}:127.0.0.1"));
        command.args(["-H", "X-Forwarded-User: alice"]).arg(format!("https://sidemint.test:{port}{SESSION}"));
        let output = command.output().expect("curl is not installed: run tests/install-parts");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (fine, body) = tokio::task::block_in_place(|| curl(true));
    assert!(fine && body.contains("\"chatUserId\":\"alice\""), "{body}");
    let (fine, body) = tokio::task::block_in_place(|| curl(false));
    assert!(!fine && body.is_empty(), "{body}");
    tokio::time::timeout(Duration::from_secs(20), fails(&service, "certificate_missing", 1.0)).await.expect("counted");
}
