//! The stream that hyper reads, with a pipe for a socket.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::budget::Budget;
use super::phase::{GIVEN, IDLE};
use super::stream::HeadRules;
use super::{Guarded, HeadFault, HeadLimits, Patience, Phase, Protocol, Spoken};
use crate::identity::Peer;
use crate::inbound::reply::observe::HeadObserver;
use crate::lifecycle::Lifecycle;
use crate::metrics::{Label as _, Metrics};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

struct Pipe {
    client: DuplexStream,
    server: Guarded<DuplexStream>,
    phase: Arc<Phase>,
    metrics: Metrics,
}

fn pipe(protocol: Protocol, budget: &Arc<Budget>) -> Pipe {
    let metrics = Metrics::new().expect("metrics");
    let (head, idle) = (Duration::from_millis(50), Duration::from_mins(1));
    let rules = HeadRules {
        limits: HeadLimits { bytes: 1000, lines: 10 },
        patience: Arc::new(Patience::new(head, idle, &metrics)),
        observer: Arc::new(HeadObserver::new(&metrics, None)),
    };
    let share = budget.share(false);
    let phase = Arc::new(Phase::new(&Lifecycle::default(), false, share.clone()));
    let (client, server) = tokio::io::duplex(4096);
    let server = Guarded::new(server, protocol, Arc::clone(&phase), Peer::Unix { uid: 0 }, &share, &rules);
    Pipe { client, server, phase, metrics }
}

/// What is made of the first bytes, in the pieces in which they come.
async fn told(protocol: Protocol, pieces: &[&[u8]]) -> Option<Spoken> {
    let mut pipe = pipe(protocol, &Budget::new(10_000));
    for piece in pieces {
        pipe.client.write_all(piece).await.expect("room");
        tokio::select! {
            biased;
            spoken = pipe.server.first() => return Some(spoken),
            () = tokio::task::yield_now() => {}
        }
    }
    None
}

/// T-49, T-50: a head of HTTP/1 has its time however it begins, and frames of HTTP/2 are never kept as a head.
#[tokio::test]
async fn the_first_bytes_tell_what_is_spoken() {
    for (protocol, pieces, expected) in [
        (Protocol::Either, &[PREFACE][..], Some(Spoken::Http2)),
        (Protocol::Either, &[&PREFACE[..5], &PREFACE[5..]], Some(Spoken::Http2)),
        (Protocol::Either, &[&PREFACE[..5]], None),
        (Protocol::Either, &[HEAD], Some(Spoken::Http1)),
        (Protocol::Either, &[b"P", b"OST / HTTP/1.0\r\n\r\n"], Some(Spoken::Http1)),
        (Protocol::Either, &[b"PRI /x HTTP/1.1\r\n"], None),
        (Protocol::Either, &[b"PRI * HTTP/2.1\r\n"], Some(Spoken::Nothing)),
        (Protocol::Http1, &[PREFACE], Some(Spoken::Nothing)),
        (Protocol::Http1, &[&PREFACE[..5], &PREFACE[5..]], Some(Spoken::Nothing)),
        (Protocol::Http1, &[b"\x16\x03\x01"], Some(Spoken::Nothing)),
        (Protocol::Http2, &[b"P"], Some(Spoken::Http2)),
    ] {
        assert_eq!(told(protocol, pieces).await, expected, "{pieces:?}");
    }
    let mut pipe = pipe(Protocol::Either, &Budget::new(10_000));
    pipe.client.write_all(&[PREFACE, b"frames"].concat()).await.expect("room");
    assert_eq!(pipe.server.first().await, Spoken::Http2);
    let mut all = vec![0; PREFACE.len() + 6];
    pipe.server.read_exact(&mut all).await.expect("bytes");
    assert_eq!(all, [PREFACE, b"frames"].concat(), "hyper begins at the beginning");
    assert_eq!(pipe.phase.now(), IDLE);
}

/// T-68: hyper is handed nothing of a head before its end, one head at a time, and what is kept is counted.
#[tokio::test]
async fn heads_are_handed_over_whole_and_one_by_one() {
    let budget = Budget::new(10_000);
    let mut pipe = pipe(Protocol::Http1, &budget);
    let (first, rest) = HEAD.split_at(9);
    pipe.client.write_all(first).await.expect("room");
    let mut taken = [0; 4096];
    tokio::select! {
        biased;
        spoken = pipe.server.first() => panic!("{spoken:?}"),
        () = tokio::task::yield_now() => {}
    }
    assert!(!budget.share(false).nothing().set(10_000 - 8), "it is counted");
    pipe.client.write_all(&[rest, HEAD, b"GET"].concat()).await.expect("room");
    assert_eq!(pipe.server.first().await, Spoken::Http1);
    assert_eq!(pipe.server.read(&mut taken).await.expect("bytes"), HEAD.len());
    assert_eq!((&taken[..HEAD.len()], pipe.phase.now()), (HEAD, GIVEN));
    pipe.phase.serving();
    tokio::select! {
        biased;
        more = pipe.server.read(&mut taken) => panic!("{more:?}: the first is not answered"),
        () = tokio::task::yield_now() => {}
    }
    pipe.phase.answered();
    pipe.server.write_all(b"answer").await.expect("room");
    pipe.server.flush().await.expect("flushed");
    assert_eq!(pipe.server.read(&mut taken).await.expect("bytes"), HEAD.len());
    pipe.phase.answered();
    tokio::select! {
        biased;
        more = pipe.server.read(&mut taken) => panic!("{more:?}: a part of the third"),
        () = tokio::task::yield_now() => {}
    }
    drop(pipe);
    assert!(budget.share(false).nothing().set(10_000), "all of it was given back");
}

/// T-68: also over HTTP/2, where nothing is looked at. Once something came, the connection has the time of an idle one.
#[tokio::test]
async fn the_first_byte_of_frames_has_the_time_of_a_head() {
    let mut silent = pipe(Protocol::Http2, &Budget::new(10_000));
    let error = silent.server.read(&mut [0; 9]).await.expect_err("cut");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(silent.metrics.render().contains("sidemint_connections_closed_total{reason=\"header_timeout\"} 1"));
    let mut quiet = pipe(Protocol::Http2, &Budget::new(10_000));
    quiet.client.write_all(b"x").await.expect("room");
    assert_eq!(quiet.server.read(&mut [0; 9]).await.expect("a byte"), 1);
    let mut witness = pipe(Protocol::Http2, &Budget::new(10_000));
    let (mut room, mut other) = ([0; 9], [0; 9]);
    tokio::select! {
        biased;
        more = quiet.server.read(&mut room) => panic!("{more:?}: it has a minute"),
        cut = witness.server.read(&mut other) => assert!(cut.is_err(), "the time of a head has passed"),
    }
}

/// T-68: what hyper writes before a route was asked is its own refusal; the client gets ours.
#[tokio::test]
async fn a_refusal_by_hyper_is_replaced_by_ours_and_counted() {
    let mut pipe = pipe(Protocol::Http1, &Budget::new(10_000));
    pipe.client.write_all(HEAD).await.expect("room");
    assert_eq!(pipe.server.first().await, Spoken::Http1);
    let mut taken = [0; 4096];
    assert_eq!(pipe.server.read(&mut taken).await.expect("bytes"), HEAD.len());
    pipe.server.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("taken");
    let mut answer = String::new();
    let (shut, read) = tokio::join!(pipe.server.shutdown(), async {
        let read = pipe.client.read_to_string(&mut answer).await;
        drop(pipe.client);
        read
    });
    shut.expect("shut down");
    read.expect("text");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"request_malformed\""), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    let counted = pipe.metrics.render();
    let line = format!("sidemint_head_refusals_total{{reason=\"{}\"}} 1", HeadFault::Malformed.label());
    assert!(counted.contains(&line), "{counted}");
}
