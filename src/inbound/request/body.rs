//! Bodies of requests: how one is read, and what becomes of one that is not.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use parking_lot::Mutex;

use crate::inbound::connection::Held;

/// Bytes of an unread body that are dropped to keep a connection.
const MOST_DROPPED: usize = 64 * 1024;
/// How often we look whether more of it is here. hyper reads the next part when it is asked, not when that comes.
const LOOKS: u8 = 3;

/// What a body of a request may be.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes at most.
    pub bytes: usize,
    /// Time for all of it to come.
    pub patience: Duration,
}

/// The body of a request.
pub(crate) enum Body {
    /// None, or an empty one.
    Empty,
    /// All of it.
    Whole(Bytes),
    /// More than the limit; the rest is not read, and the connection ends after the answer.
    TooLarge,
    /// It did not come to its end in time.
    Broken,
    /// The memory for unfinished bodies is used up.
    NoRoom,
}

/// A body until it is read. Most requests have none, and most bodies have no reader.
#[derive(Debug)]
pub(crate) struct Unread(Mutex<State>);

#[derive(Debug)]
enum State {
    /// It was not read.
    Here(Incoming, Held),
    /// It was read to its end.
    Ended,
    /// A part of it was read, or it is being read.
    Left,
}

impl Unread {
    pub(crate) fn new(body: Incoming, room: Held) -> Self {
        Self(Mutex::new(State::Here(body, room)))
    }

    /// Reads it, within its limits. A second reader finds it empty.
    pub(crate) async fn read(&self, limits: BodyLimits) -> Body {
        let State::Here(body, room) = self.become_(State::Left) else { return Body::Empty };
        let read = read(body, limits, room).await;
        if matches!(read, Body::Empty | Body::Whole(_)) {
            let _reading = self.become_(State::Ended);
        }
        read
    }

    /// Takes it, to be read as it comes. What is left of it is the taker's to know.
    pub(crate) fn take(&self) -> Option<Incoming> {
        let State::Here(body, _room) = self.become_(State::Left) else { return None };
        Some(body)
    }

    /// Whether nothing of it is left on the connection, so that another request may follow. What has come is dropped, and
    /// more is not waited for: a proxy that relays the length of a body without the body would wait for us.
    ///
    /// A client that `asks_first` sends its body when we begin to read (RFC 9110, 10.1.1), so we do not.
    pub(crate) async fn is_over(&self, asks_first: bool) -> bool {
        match self.become_(State::Left) {
            State::Ended => true,
            State::Here(body, _room) if !asks_first => is_here(body).await,
            State::Here(..) | State::Left => false,
        }
    }

    fn become_(&self, state: State) -> State {
        std::mem::replace(&mut self.0.lock(), state)
    }
}

/// Drops what has come of a body. Whether that is all of it.
async fn is_here(mut body: Incoming) -> bool {
    let (mut dropped, mut looks) = (0, 0);
    while !body.is_end_stream() {
        match std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await {
            Poll::Ready(None) => return true,
            Poll::Ready(Some(Err(_))) => return false,
            Poll::Ready(Some(Ok(frame))) => {
                dropped += frame.data_ref().map_or(0, Bytes::len);
                looks = 0;
            }
            Poll::Pending => {
                looks += 1;
                tokio::task::yield_now().await;
            }
        }
        if dropped > MOST_DROPPED || looks >= LOOKS {
            return false;
        }
    }
    true
}

/// Reads a body, within its limits, into memory that is counted in `room` until it is whole.
pub(crate) async fn read(mut body: Incoming, limits: BodyLimits, mut room: Held) -> Body {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    // T-48: declared length
    if declared > limits.bytes {
        return Body::TooLarge;
    }
    let reading = async {
        // The system gives memory when it is written to, so a length alone takes none.
        let mut whole = Vec::with_capacity(declared);
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Body::Broken };
            // The rest are trailers, which say nothing to us.
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > limits.bytes - whole.len() {
                return Body::TooLarge;
            }
            if !room.add(data.len()) {
                return Body::NoRoom;
            }
            whole.extend_from_slice(&data);
        }
        if whole.is_empty() { Body::Empty } else { Body::Whole(whole.into()) }
    };
    tokio::time::timeout(limits.patience, reading).await.unwrap_or(Body::Broken)
}
