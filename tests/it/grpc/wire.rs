//! The gRPC listener itself: services, limits, TLS, drain, and what is logged.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use sidemint::app::Ended;
use sidemint::config::Listen;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::client::{Check, Wire, origin};
use super::{ALICE, assert_denied, assert_session, start, start_with};
use crate::canary::{Traces, assert_clean};
use crate::client::{Connection, request};
use crate::eventually::eventually;
use crate::harness::Service;
use crate::pki::{Authority, Mount, TlsClient};

const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";

fn address(service: &Service) -> std::net::SocketAddr {
    match &service.grpc {
        Some(Listen::Tcp(address)) => *address,
        other => panic!("gRPC on {other:?}"),
    }
}

/// One call by hand; the status that gRPC tells.
async fn call(service: &Service, path: &str, body: Vec<u8>) -> Code {
    let request = http::Request::post(format!("http://sidemint.test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(Full::new(body.into())))
        .unwrap();
    let answer = tonic::codegen::Service::call(&mut Wire::to(service).await, request).await.expect("an answer");
    let told = Status::from_header_map(answer.headers());
    let whole = answer.into_body().collect().await.expect("to its end");
    let told = told.or_else(|| Status::from_header_map(whole.trailers()?));
    told.map_or(Code::Ok, |status| status.code())
}

/// The bytes of a check.
fn prost_of(check: Check) -> Vec<u8> {
    tonic_prost::prost::Message::encode_to_vec(&check.request().into_inner())
}

/// A message in its envelope: not compressed, and its length.
fn message(bytes: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_services_methods_and_protocols_are_not_there() {
    let (service, _fake) = start().await;
    for path in [
        "/",
        "",
        "/envoy.service.auth.v2.Authorization/Check",
        "/envoy.service.auth.v3.Authorization/Other",
        "/envoy.service.auth.v3.Authorization",
        "/envoy.service.auth.v3.Authorization/Check/",
        "//Check",
        "/grpc.health.v1.Health/List2",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/api/chat/session",
        "/auth",
        "/metrics",
        "/livez",
    ] {
        assert_eq!(call(&service, path, message(&[])).await, Code::Unimplemented, "{path}");
    }
    assert_eq!(call(&service, "/envoy.service.auth.v3.Authorization/Check", message(&[])).await, Code::Ok);
    // HTTP/1.1 is not spoken there, and gRPC is not on the front.
    let mut plain = Connection::open(address(&service)).await;
    plain.send(request("GET", "/auth", &[ALICE], b"")).await;
    assert!(plain.answer().await.is_none_or(|answer| answer.status >= 400));
    let path = "/envoy.service.auth.v3.Authorization/Check";
    assert_eq!(service.ask("POST", path, &[ALICE, ("content-type", "application/grpc")]).await.status, 404);
}

/// T-40, T-43: what a browser or a tricked application can send is no call, and a browser is allowed nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_grpc_is_a_call() {
    let (service, fake) = start().await;
    let check = message(&prost_of(Check::of(&[ALICE])));
    for (method, media, status) in [
        ("POST", Some("text/plain"), 415),
        ("POST", Some("application/x-www-form-urlencoded"), 415),
        ("POST", Some("multipart/form-data; boundary=application/grpc"), 415),
        ("POST", Some("application/json"), 415),
        ("POST", None, 415),
        ("GET", Some("application/grpc"), 405),
        ("OPTIONS", None, 405),
        ("POST", Some("application/grpc"), 200),
        ("POST", Some("application/grpc+proto"), 200),
    ] {
        let mut request = http::Request::builder().method(method);
        request =
            request.uri(format!("http://sidemint.test/{AUTHORIZATION}/Check")).header("origin", "https://evil.test");
        if let Some(media) = media {
            request = request.header("content-type", media);
        }
        let request = request.body(tonic::body::Body::new(Full::new(check.clone().into()))).unwrap();
        let answer = tonic::codegen::Service::call(&mut Wire::to(&service).await, request).await.expect("an answer");
        assert_eq!(answer.status(), status, "{method} {media:?}");
        assert!(!answer.headers().keys().any(|name| name.as_str().starts_with("access-control")), "{answer:?}");
        assert_eq!(fake.mints(), usize::from(status == 200), "{method} {media:?}");
    }
}

/// T-24: nothing is decoded that is too large, too deep, or no message.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_check_is_refused_and_does_no_harm() {
    let (service, fake) = start().await;
    let path = "/envoy.service.auth.v3.Authorization/Check";
    let kilobytes = |n: usize| Check::of(&[ALICE]).raw("x-large", &vec![b'a'; n * 1024]);
    assert_session(&kilobytes(100).ask(&service).await.unwrap(), "alice");
    assert_denied(&kilobytes(300).ask(&service).await.unwrap(), Code::Unauthenticated, 401);
    // No envelope, one that is longer than its letter, and one that says it is packed: Envoy itself is wrong.
    for bytes in [vec![], vec![0, 0, 0, 0, 9, 1], vec![0, 0xff, 0xff, 0xff, 0xff], vec![1, 0, 0, 0, 1, 0]] {
        let code = call(&service, path, bytes.clone()).await;
        assert!(!matches!(code, Code::Ok | Code::Unknown), "{code:?} {:?}", bytes.get(..8));
    }
    assert_eq!(fake.upserts(), 1);
    assert_session(&Check::of(&[ALICE]).ask(&service).await.unwrap(), "alice");
}

/// T-49: a call that does not come to its end is given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_trickles_is_given_up() {
    let (service, _fake) = start_with(&[("server.header_timeout", "\"200ms\"")]).await;
    let endless =
        http_body_util::StreamBody::new(tokio_stream::pending::<Result<hyper::body::Frame<bytes::Bytes>, Status>>());
    let request = http::Request::post(format!("http://sidemint.test/{AUTHORIZATION}/Check"))
        .header("content-type", "application/grpc")
        .body(tonic::body::Body::new(endless))
        .unwrap();
    let mut wire = Wire::to(&service).await;
    let answer = tonic::codegen::Service::call(&mut wire, request);
    let answer = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("given up").expect("an answer");
    assert_eq!(Status::from_header_map(answer.headers()).map(|status| status.code()), Some(Code::DeadlineExceeded));
    assert_session(&Check::of(&[ALICE]).ask_over(&wire).await.unwrap(), "alice");
}

async fn health(wire: &Wire, service: &str) -> Result<ServingStatus, Code> {
    let mut client = HealthClient::with_origin(wire.clone(), origin());
    let asked = client.check(HealthCheckRequest { service: service.to_owned() }).await;
    asked.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

/// What health says is what `/readyz` says.
#[tokio::test(flavor = "multi_thread")]
async fn health_is_readiness() {
    let (service, _fake) = start().await;
    let wire = Wire::to(&service).await;
    let mut watcher = HealthClient::with_origin(wire.clone(), origin());
    let watch = watcher.watch(HealthCheckRequest { service: AUTHORIZATION.to_owned() }).await.unwrap();
    let mut watch = watch.into_inner();
    let mut next = async || watch.next().await.map(|told| told.map(|told| told.status()));
    assert_eq!(next().await.expect("a status").ok(), Some(ServingStatus::Serving));
    for name in ["", AUTHORIZATION] {
        assert_eq!(health(&wire, name).await, Ok(ServingStatus::Serving), "{name}");
    }
    assert_eq!(health(&wire, "other").await, Err(Code::NotFound));
    service.lifecycle.object("a_test", "says so");
    assert_eq!(service.ops("/readyz").await.status, 503);
    assert_eq!(health(&wire, "").await, Ok(ServingStatus::NotServing));
    assert_eq!(next().await.expect("a status").ok(), Some(ServingStatus::NotServing));
    service.lifecycle.withdraw("a_test");
    assert_eq!(next().await.expect("a status").ok(), Some(ServingStatus::Serving));
    assert_eq!(health(&wire, AUTHORIZATION).await, Ok(ServingStatus::Serving));
    // While draining no request is served any more, and a client that watches does not hold up the end.
    let stopped = tokio::spawn(service.stop());
    assert_eq!(next().await.expect("a status").ok(), Some(ServingStatus::NotServing));
    while next().await.is_some() {}
    assert_eq!(stopped.await.unwrap(), Ended::Drained);
}

/// T-49: nor does one who watches and reads nothing: the stream has no room for the news.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_reads_nothing_does_not_hold_up_the_end() {
    let (service, _fake) = start_with(&[("server.header_timeout", "\"300ms\"")]).await;
    let stream = tokio::net::TcpStream::connect(address(&service)).await.unwrap();
    let mut client = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let wire = Wire::shaken(client.initial_stream_window_size(0), stream).await;
    let mut watcher = HealthClient::with_origin(wire, origin());
    let watch = watcher.watch(HealthCheckRequest::default()).await.expect("a head of the answer");
    assert_eq!(service.stop().await, Ended::Drained);
    drop(watch);
}

/// A check under way is finished, and its connection ends after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_the_checks_under_way() {
    let (service, fake) = start_with(&[("grpc.route", "\"/guard\"")]).await;
    let hold = fake.hold().await;
    let wire = Wire::to(&service).await;
    let own = wire.clone();
    let check = tokio::spawn(async move { Check::of(&[ALICE]).ask_over(&own).await });
    fake.until(|fake| !fake.calls().is_empty()).await;
    service.begin_stop();
    eventually("the listener is closed", async || service.lifecycle.draining().is_cancelled()).await;
    drop(hold);
    // Its own deadline may have come first: it is an answer in any case.
    assert!(
        check.await.unwrap().map_or_else(|status| status.code() == Code::Unavailable, |verdict| verdict.status == 200)
    );
    assert_eq!(service.stop().await, Ended::Drained);
}

/// TLS and client certificates are those of the front.
#[tokio::test(flavor = "multi_thread")]
async fn tls_is_that_of_the_front() {
    let ca = Authority::new();
    let mount = Mount::of_pair(&ca.server(), &ca.pem);
    let tls = format!(
        "{{ cert_file = {}, key_file = {}, client_ca_file = {} }}",
        mount.toml("tls.crt"),
        mount.toml("tls.key"),
        mount.toml("ca.crt")
    );
    let proof = [
        ("identity.peers.networks", "[]"),
        ("identity.peers.certificates", "[\"spiffe://corp/envoy\"]"),
        ("server.tls", &tls),
    ];
    let (service, _fake) = start_with(&proof).await;
    for (name, believed) in [("spiffe://corp/envoy", true), ("spiffe://corp/other", false)] {
        let client =
            TlsClient::speaking(&[&tokio_rustls::rustls::version::TLS13], &["h2"], &ca.pem, Some(&ca.client(name)));
        let stream = client.connect(address(&service)).await.expect("shakes hands");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let verdict = Check::of(&[ALICE]).ask_over(&Wire::over(stream).await).await.unwrap();
        if believed { assert_session(&verdict, "alice") } else { assert_denied(&verdict, Code::PermissionDenied, 403) }
    }
    let other = TlsClient::speaking(
        &[&tokio_rustls::rustls::version::TLS13],
        &["http/1.1"],
        &ca.pem,
        Some(&ca.client("spiffe://corp/envoy")),
    );
    assert!(other.connect(address(&service)).await.is_err(), "nothing but HTTP/2 is offered");
}

/// A unix socket proves by the user id of the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_proves_by_its_peers_user() {
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("\"unix:{}\"", folder.path().join("grpc.sock").display());
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(folder.path()).unwrap());
    for (uids, believed) in [(format!("[{uid}]"), true), (format!("[{}]", uid + 1), false)] {
        let proof =
            [("grpc.listen", listen.as_str()), ("identity.peers.networks", "[]"), ("identity.peers.unix_uids", &uids)];
        let (service, _fake) = start_with(&proof).await;
        assert!(service.lifecycle.objections().is_empty(), "a peer can be believed");
        let verdict = Check::of(&[ALICE]).ask(&service).await.unwrap();
        if believed {
            assert_session(&verdict, "alice");
        } else {
            assert_denied(&verdict, Code::PermissionDenied, 403);
        }
        service.stop().await;
    }
}

/// T-50: floods on the gRPC listener cost their own connection, and no other anything.
#[tokio::test(flavor = "multi_thread")]
async fn floods_are_ended() {
    let (service, _fake) = start_with(&[("server.idle_timeout", "\"1s\""), ("server.header_timeout", "\"1s\"")]).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut resets = preface.to_vec();
    for stream in (1..4001_u32).step_by(2) {
        // POST / over http, headers from the static table; then a reset.
        resets.extend([0, 0, 3, 1, 4].iter().chain(&stream.to_be_bytes()).chain(&[0x83, 0x86, 0x84]));
        resets.extend([0, 0, 4, 3, 0].iter().chain(&stream.to_be_bytes()).chain(&[0, 0, 0, 8]));
    }
    let mut connection = Connection::open(address(&service)).await;
    connection.try_send(resets).await;
    connection.wait_for_the_end().await;
    let (open, endless) =
        ([0, 0, 3, 1, 4, 0, 0, 0, 1, 0x83, 0x86, 0x84], [0, 0, 3, 1, 0, 0, 0, 0, 1, 0x83, 0x86, 0x84]);
    for (what, first, frame) in [
        ("empty CONTINUATION", &endless[..], vec![0, 0, 0, 9, 0, 0, 0, 0, 1]),
        ("empty DATA", &open[..], vec![0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("PING", &[], vec![0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("SETTINGS", &[], vec![0, 0, 0, 4, 0, 0, 0, 0, 0]),
    ] {
        let mut connection = Connection::open(address(&service)).await;
        connection.send([&preface[..], first].concat()).await;
        let batch = frame.repeat(2000);
        let flood = async { while connection.try_send(&batch).await {} };
        tokio::time::timeout(Duration::from_mins(1), flood).await.unwrap_or_else(|_| panic!("{what} goes on for ever"));
        assert_session(&Check::of(&[ALICE]).ask(&service).await.unwrap(), "alice");
    }
    assert_eq!(service.session("alice").await.status, 200);
}

/// T-33: nothing of a check is logged or counted by name.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_check_is_logged() {
    let traces = Traces::capture();
    let (service, _fake) = start().await;
    let headers =
        [("X-Forwarded-User", "CANARYsubject"), ("X-Forwarded-Name", "CANARYname"), ("Cookie", "CANARYcookie")];
    let told = serde_json::json!({ "sub": "CANARYclaim" });
    let check = || {
        Check::of(&headers).principal("CANARYprincipal").own("x-own", "CANARYmetadata").metadata(
            "a",
            "CANARYkey",
            &told,
        )
    };
    assert_eq!(check().ask(&service).await.unwrap().status, 200);
    assert_eq!(check().raw("x-CANARYname b", b"1").ask(&service).await.unwrap().status, 401);
    assert!(check().route("/CANARYroute").ask(&service).await.is_err());
    assert_eq!(check().raw("x-large", &vec![b'a'; 300 * 1024]).ask(&service).await.unwrap().status, 401);
    service.log_lines(2).await;
    assert_clean("request lines", &service.log());
    assert_clean("metrics", service.ops("/metrics").await.text());
    assert_clean("traces", &traces.text());
}
