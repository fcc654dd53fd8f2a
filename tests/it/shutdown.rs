//! Stopping: readiness drops first, what is in flight is finished, what is stuck is cut, and nothing is left behind.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;

use sidemint::app::Ended;
use sidemint::config::{Environment, Listen};
use tokio::net::{TcpStream, UnixStream};

use crate::client::{Connection, request};
use crate::eventually::eventually;
use crate::fakes::http::Wire;
use crate::harness::{LOCAL, SESSION, Service, clock, config};

const ALICE: [(&str, &str); 2] = [("X-Forwarded-User", "alice"), ("X-Forwarded-Name", "alice")];

/// Waits until nothing listens at `address` any more.
async fn closed(address: SocketAddr) {
    eventually("it is closed", async || TcpStream::connect(address).await.is_err()).await;
}

async fn open(front: &Listen) -> Connection<Box<dyn Wire>> {
    let stream: Box<dyn Wire> = match front {
        Listen::Tcp(address) => Box::new(TcpStream::connect(address).await.unwrap()),
        Listen::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
    };
    Connection::over(stream)
}

async fn readiness(service: &Service) -> (u16, Vec<String>) {
    let answer = service.ops("/readyz").await;
    let json = answer.json();
    let codes = json["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap().to_owned());
    (answer.status, codes.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_drops_first_and_requests_are_served_as_before() {
    let (service, _fake) = Service::sendsar_with("", &[("server.drain_delay", "\"10m\"")]).await;
    assert_eq!(readiness(&service).await, (200, Vec::new()));
    let mut kept = service.connect().await;
    service.begin_stop();
    eventually("not ready", async || !service.lifecycle.objections().is_empty()).await;
    assert_eq!(readiness(&service).await, (503, vec!["draining".to_owned()]));
    assert_eq!(service.ops("/livez").await.status, 200);
    for user in ["alice", "bob", "alice"] {
        let answer = service.session(user).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    }
    let last = kept.ask("GET", SESSION, &[("X-Forwarded-User", "alice")]).await;
    assert_eq!((last.status, last.header("connection")), (200, Some("close")), "a kept connection is let go of");
    assert!(kept.is_closed().await);
    assert!(service.metric("sidemint_ready").await.abs() < 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_finished_and_new_ones_are_not_accepted() {
    let (service, fake) = Service::sendsar().await;
    let (front, ops) = (service.address(), service.ops);
    let gate = fake.hold().await;
    let mut waiting = service.connect().await;
    waiting.send(request("GET", SESSION, &ALICE, b"")).await;
    fake.until(|fake| fake.mints() == 1).await;
    service.begin_stop();
    closed(front).await;
    assert_eq!(readiness(&service).await, (503, vec!["draining".to_owned()]), "probes are answered to the end");
    drop(gate);
    let answer = waiting.answer().await.expect("an answer");
    assert_eq!((answer.status, &answer.json()["chatUserId"]), (200, &serde_json::json!("alice")));
    assert!(waiting.is_closed().await, "and no further request on that connection");
    assert_eq!(service.stop().await, Ended::Drained);
    closed(ops).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed_and_hold_nothing_up() {
    let service = Service::local().await;
    let (mut fresh, mut used) = (service.connect().await, service.connect().await);
    assert_eq!(used.ask("GET", SESSION, &ALICE).await.status, 200);
    service.metric_reaches("sidemint_connections", 2.0).await;
    service.begin_stop();
    assert!(used.is_closed().await);
    assert!(fresh.is_closed().await);
    assert_eq!(service.stop().await, Ended::Drained);
}

/// A proxy cannot know that we stop: what it has sent by then is answered, and told to be the last. One thread, so that
/// nothing is read between the end of the service and the request.
#[tokio::test]
async fn a_request_that_is_on_its_way_when_the_drain_begins_is_answered() {
    let service = Service::local().await;
    let mut socket = std::net::TcpStream::connect(service.address()).unwrap();
    let own = socket.try_clone().unwrap();
    own.set_nonblocking(true).unwrap();
    let mut kept = Connection::over(TcpStream::from_std(own).unwrap());
    assert_eq!(kept.ask("GET", SESSION, &ALICE).await.header("connection"), None);
    service.begin_stop();
    service.lifecycle.draining().cancelled().await;
    socket.write_all(&request("GET", SESSION, &ALICE, b"")).unwrap();
    let answer = kept.answer().await.expect("an answer, not a broken connection");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(kept.is_closed().await);
    assert_eq!(service.stop().await, Ended::Drained);
}

/// The kernel takes connections for us, and requests on them: they are answered, and not reset with the socket.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_wait_to_be_accepted_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("\"unix:{}\"", folder.path().join("front.sock").display());
    let uids = format!("[{}]", folder.path().metadata().unwrap().uid());
    for listen in ["\"127.0.0.1:0\"", &unix] {
        // As many as there is room for; the rest wait in the kernel.
        let overrides =
            [("server.listen", listen), ("server.max_connections", "1"), ("identity.peers.unix_uids", uids.as_str())];
        let service = Service::start(&config(LOCAL, &overrides), &Environment::default(), clock()).await;
        let mut first = open(&service.front).await;
        assert_eq!(first.ask("GET", SESSION, &ALICE).await.status, 200);
        let mut queued = [open(&service.front).await, open(&service.front).await];
        for connection in &mut queued {
            connection.send(request("GET", SESSION, &ALICE, b"")).await;
        }
        service.begin_stop();
        for connection in &mut queued {
            let answer = connection.answer().await.expect("an answer, not a broken connection");
            assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{listen}");
            assert!(connection.is_closed().await);
        }
        assert_eq!(service.stop().await, Ended::Drained);
    }
}

/// T-49: connections that wait for room do not keep the process either.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_behind_a_stuck_client_is_cut_with_it() {
    let overrides = [("server.drain_timeout", "\"200ms\""), ("server.max_connections", "1")];
    let service = Service::start(&config(LOCAL, &overrides), &Environment::default(), clock()).await;
    let mut stuck = service.connect().await;
    stuck
        .send("POST /api/chat/session HTTP/1.1\r\nHost: x\r\nX-Forwarded-User: alice\r\nContent-Length: 9\r\n\r\n")
        .await;
    service.metric_reaches("sidemint_connections", 1.0).await;
    let mut queued = service.connect().await;
    queued.send(request("GET", SESSION, &ALICE, b"")).await;
    let ended = service.stop().await;
    assert!(matches!(ended, Ended::Cut(left) if left > 1), "{ended:?}");
    assert!(queued.is_closed().await);
}

/// T-49: a client that does not come to an end does not keep the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_client_is_cut_at_the_deadline() {
    let overrides = [("server.drain_timeout", "\"200ms\""), ("server.header_timeout", "\"10m\"")];
    let service = Service::start(&config(LOCAL, &overrides), &Environment::default(), clock()).await;
    let mut stuck = service.connect().await;
    assert_eq!(stuck.ask("GET", SESSION, &ALICE).await.status, 200);
    // A body that never comes to its end. The interim answer shows that the request is in hand.
    let head = "POST /api/chat/session HTTP/1.1\r\nHost: x\r\nX-Forwarded-User: alice\r\nExpect: 100-continue\r\n";
    stuck.send(format!("{head}Content-Length: 9\r\n\r\n")).await;
    assert_eq!(stuck.answer().await.expect("an interim answer").status, 100);
    let ended = service.stop().await;
    assert!(matches!(ended, Ended::Cut(left) if left > 0), "{ended:?}");
    assert!(stuck.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_still_waits_at_the_deadline_is_told_so() {
    let (service, fake) = Service::sendsar_with("", &[("server.drain_timeout", "\"200ms\"")]).await;
    let _gate = fake.hold().await;
    let mut waiting = service.connect().await;
    waiting.send(request("GET", SESSION, &ALICE, b"")).await;
    fake.until(|fake| fake.mints() == 1).await;
    let (ended, answer) = tokio::join!(service.stop(), waiting.answer());
    let answer = answer.expect("an answer, not a broken connection");
    assert_eq!((answer.status, answer.code().as_str()), (503, "draining"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.json()["error"], "Chat unavailable");
    assert!(waiting.is_closed().await);
    assert!(matches!(ended, Ended::Cut(left) if left > 0), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_the_last_request_is_written() {
    let (service, fake) = Service::sendsar().await;
    let gate = fake.hold().await;
    let mut waiting = service.connect().await;
    waiting.send(request("GET", SESSION, &ALICE, b"")).await;
    fake.until(|fake| fake.mints() == 1).await;
    service.begin_stop();
    closed(service.address()).await;
    drop(gate);
    assert_eq!(waiting.answer().await.expect("an answer").status, 200);
    let (ended, mut lines) = service.stop_and_log().await;
    let line = lines.pop().expect("a line");
    assert_eq!((ended, lines.len()), (Ended::Drained, 0));
    assert_eq!((&line["status"], &line["outcome"]), (&serde_json::json!(200), &serde_json::json!("ok")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_file_is_used_by_the_proxy_s_user_alone_and_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("front.sock");
    let uid = folder.path().metadata().unwrap().uid();
    let (listen, uids) = (format!("\"unix:{}\"", socket.display()), format!("[{uid}]"));
    let overrides = [("server.listen", listen.as_str()), ("identity.peers.unix_uids", &uids)];
    let service = Service::start(&config(LOCAL, &overrides), &Environment::default(), clock()).await;
    assert_eq!(service.front, Listen::Unix(socket.clone()));
    assert_eq!(readiness(&service).await.0, 200);
    let mut connection = Connection::over(UnixStream::connect(&socket).await.unwrap());
    assert_eq!(connection.ask("GET", SESSION, &ALICE).await.status, 200);
    assert_eq!(socket.metadata().unwrap().mode() & 0o777, 0o660);
    assert_eq!(service.stop().await, Ended::Drained);
    assert!(!socket.exists());
}

/// A process that was killed leaves its socket file; the next one takes its place, but never that of a living one.
#[tokio::test(flavor = "multi_thread")]
async fn a_left_over_socket_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("front.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let listen = format!("\"unix:{}\"", socket.display());
    let overrides = [("server.listen", listen.as_str()), ("identity.peers.unix_uids", "[0]")];
    let service = Service::start(&config(LOCAL, &overrides), &Environment::default(), clock()).await;
    assert!(UnixStream::connect(&socket).await.is_ok());
    let second = sidemint::inbound::Bound::bind(&service.front, 0o660);
    assert_eq!(second.expect_err("in use").kind(), std::io::ErrorKind::AddrInUse);
    assert!(UnixStream::connect(&socket).await.is_ok(), "the living one is untouched");
    // Nor that of what is no socket: a mistake in the configuration costs no file.
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "precious").unwrap();
    let third = sidemint::inbound::Bound::bind(&Listen::Unix(file.clone()), 0o660);
    assert_eq!(third.expect_err("in use").kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}
