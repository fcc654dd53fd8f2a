//! Peers of the gRPC listener that can prove nothing.

use std::time::Duration;

use http_body_util::{BodyExt as _, StreamBody};
use sidemint::config::Listen;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::client::{Check, Wire, origin};
use super::{ALICE, assert_denied, assert_session, start_with};
use crate::harness::Service;
use crate::places::{stranger, strangers};

const ONE: (&str, &str) = ("identity.peers.networks", "[\"127.0.0.1/32\"]");

fn address(service: &Service) -> std::net::SocketAddr {
    match service.grpc.as_ref().unwrap() {
        Listen::Tcp(address) => *address,
        Listen::Unix(_) => panic!("gRPC on a unix socket"),
    }
}

/// A call whose body never comes.
fn endless(path: &str) -> http::Request<tonic::body::Body> {
    let never = StreamBody::new(tokio_stream::pending::<Result<hyper::body::Frame<bytes::Bytes>, Status>>());
    http::Request::post(format!("http://sidemint.test{path}"))
        .header("content-type", "application/grpc")
        .body(tonic::body::Body::new(never))
        .unwrap()
}

/// T-70: a stranger's call is not read: it is answered before its body has come, a check with a denial.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_call_is_not_read() {
    let (service, fake) = start_with(&[ONE, ("server.header_timeout", "\"10m\"")]).await;
    let wire = Wire::over(stranger(address(&service), 9).await).await;
    assert_denied(&Check::of(&[ALICE]).ask_over(&wire).await.unwrap(), Code::PermissionDenied, 403);
    for path in ["/envoy.service.auth.v3.Authorization/Check", "/grpc.health.v1.Health/Check"] {
        let mut own = wire.clone();
        let answer = tonic::codegen::Service::call(&mut own, endless(path));
        let answer = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("at once").expect("an answer");
        let whole = answer.into_body().collect().await.expect("to its end");
        let status = Status::from_header_map(whole.trailers().expect("trailers")).expect("a status");
        assert_eq!(status.code(), Code::Ok, "{path}");
    }
    assert!(fake.calls().is_empty());
    assert!((service.metric("sidemint_identity_refusals_total{reason=\"peer_untrusted\"}").await - 2.0).abs() < 0.1);
    assert_session(&Check::of(&[ALICE]).ask(&service).await.unwrap(), "alice");
}

/// A probe from elsewhere learns whether the service is ready, whichever service it names.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_probe_is_told_of_the_whole_service() {
    let (service, _fake) = start_with(&[ONE]).await;
    let wire = Wire::over(stranger(address(&service), 9).await).await;
    let mut client = HealthClient::with_origin(wire, origin());
    for name in ["", "envoy.service.auth.v3.Authorization", "other"] {
        let told = client.check(HealthCheckRequest { service: name.to_owned() }).await.unwrap();
        assert_eq!(told.into_inner().status(), ServingStatus::Serving, "{name}");
    }
}

/// T-70: connections of strangers keep no Envoy out.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_keep_no_envoy_out() {
    let limits = [ONE, ("server.max_connections", "1"), ("server.header_timeout", "\"10m\"")];
    let (service, _fake) = start_with(&limits).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let held = strangers(address(&service), 30, preface).await;
    assert_session(&Check::of(&[ALICE]).ask(&service).await.unwrap(), "alice");
    drop(held);
}

/// T-70: a connection without a stream ends, and one on which a client watches does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_not_idle() {
    let (service, _fake) = start_with(&[("server.idle_timeout", "\"400ms\"")]).await;
    let mut watcher = HealthClient::with_origin(Wire::to(&service).await, origin());
    let mut watch = watcher.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut next = async || watch.next().await.map(|told| told.as_ref().map(HealthCheckResponse::status).ok());
    assert_eq!(next().await, Some(Some(ServingStatus::Serving)));
    for ended in [1.0, 2.0] {
        let _unused = Wire::to(&service).await;
        service.metric_reaches("sidemint_connections_closed_total{reason=\"idle_timeout\"}", ended).await;
    }
    service.lifecycle.object("a_test", "says so");
    assert_eq!(next().await, Some(Some(ServingStatus::NotServing)), "still there");
    // One that ends finishes its streams, and takes no other.
    assert!(watcher.check(HealthCheckRequest::default()).await.is_ok(), "still open");
}
