//! What must hold for any bytes of a connection, however they are cut.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::ReadBuf;

use super::budget::Budget;
use super::head::{HeadFault, HeadLimits, Reader};

const LIMITS: HeadLimits = HeadLimits { bytes: 600, lines: 8 };

/// What became of a connection: the heads and bodies that were handed over, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    passed: Vec<u8>,
    heads: usize,
    fault: Option<HeadFault>,
    is_lost: bool,
}

/// Reads a connection in pieces of these sizes, again and again. hyper asks for the next head at once.
fn read(bytes: &[u8], pieces: &[usize]) -> Seen {
    let budget = Budget::new(1 << 20);
    let mut reader = Reader::new(LIMITS, &budget.share(false));
    let mut seen = Seen { passed: Vec::new(), heads: 0, fault: None, is_lost: false };
    let mut left = bytes;
    for size in pieces.iter().cycle() {
        let Some((piece, rest)) = left.split_at_checked(*size) else {
            feed(&mut reader, left, &mut seen);
            break;
        };
        feed(&mut reader, piece, &mut seen);
        left = rest;
    }
    seen.fault = reader.fault();
    seen.is_lost = reader.is_lost();
    drop(reader);
    assert!(budget.share(false).nothing().set(1 << 20), "all memory was given back");
    seen
}

fn feed(reader: &mut Reader, piece: &[u8], seen: &mut Seen) {
    if piece.is_empty() || reader.fault().is_some() || reader.is_lost() {
        return;
    }
    let passed = reader.take(piece, true);
    seen.passed.extend_from_slice(piece.get(..passed).unwrap_or_default());
    seen.heads += usize::from(reader.begins());
    loop {
        let mut room = [0; 97];
        let mut buffer = ReadBuf::new(&mut room);
        if reader.is_ready() {
            reader.give(&mut buffer);
            seen.passed.extend_from_slice(buffer.filled());
        } else if !reader.advance(true) {
            break;
        }
        seen.heads += usize::from(reader.begins());
    }
}

/// How many requests hyper sees in these bytes.
fn hyper_sees(bytes: &[u8]) -> usize {
    let seen = Cell::new(0);
    let service = service_fn(|request: http::Request<Incoming>| {
        seen.set(seen.get() + 1);
        async move {
            let _whole = request.into_body().collect().await;
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    let io = TokioIo::new(tokio::io::join(bytes, tokio::io::sink()));
    let mut connection = pin!(http1::Builder::new().header_read_timeout(None).serve_connection(io, service));
    let mut context = Context::from_waker(Waker::noop());
    // It never waits for anything but its own turn.
    let _ended = (0..10_000).any(|_| connection.as_mut().poll(&mut context).is_ready());
    seen.get()
}

/// The first byte says how the rest is cut: it makes no difference.
pub(crate) fn heads(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let whole = read(bytes, &[bytes.len().max(1)]);
    let cut = usize::from(*cut);
    for pieces in [&[1][..], &[1 + cut % 16, 1 + cut / 16], &[1 + cut]] {
        assert_eq!(read(bytes, pieces), whole, "in pieces of {pieces:?}");
    }
    assert!(whole.heads == 0 || !whole.passed.is_empty(), "a head is some bytes");
    assert!(whole.heads > 0 || whole.passed.is_empty(), "nothing is handed over before a whole head");
    // Fewer where hyper refuses one, or is told to end the connection.
    assert!(hyper_sees(&whole.passed) <= whole.heads, "hyper sees requests that were not looked at");
    if whole.heads == 1 && whole.fault.is_none() {
        let text = String::from_utf8_lossy(&whole.passed).to_ascii_lowercase();
        let (head, _body) = text.trim_start_matches("\r\n").split_once("\r\n\r\n").unwrap_or_default();
        assert!(!head.is_empty(), "a head ends with an empty line");
        let lines = |name: &str| head.split("\r\n").skip(1).filter(|line| line.starts_with(name)).count();
        assert!(lines("host:") <= 1 && lines("content-length:") + lines("transfer-encoding:") <= 1);
    }
}
