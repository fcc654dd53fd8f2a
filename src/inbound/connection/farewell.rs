//! Closes a connection that still holds unread bytes, so that the client gets its answer.
//!
//! A socket that is closed with such bytes resets the connection, and the reset may overtake the answer. So the answer goes
//! out first, then our end of the connection is closed, and what still comes is dropped for a moment (RFC 9112, 9.6).

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Time for all of it.
const MOST_TIME: Duration = Duration::from_secs(1);
/// Bytes that are dropped.
const MOST_BYTES: usize = 1024 * 1024;

/// The last words, and how far they came.
#[derive(Debug)]
pub(super) struct Farewell {
    answer: Vec<u8>,
    sent: usize,
    is_shut: bool,
    dropped: usize,
    timer: Pin<Box<Sleep>>,
}

impl Farewell {
    /// `answer` is empty where there was one.
    pub(super) fn new(answer: Vec<u8>) -> Self {
        Self { answer, sent: 0, is_shut: false, dropped: 0, timer: Box::pin(sleep(MOST_TIME)) }
    }

    /// Ready once the stream may be closed.
    pub(super) fn poll<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while let Some(rest) = self.answer.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *stream).poll_write(cx, rest)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(sent) => self.sent += sent,
            }
        }
        if !self.is_shut {
            let flushed = ready!(Pin::new(&mut *stream).poll_flush(cx));
            if flushed.is_err() || ready!(Pin::new(&mut *stream).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            self.is_shut = true;
        }
        let mut room = [MaybeUninit::uninit(); 4096];
        loop {
            let mut buffer = ReadBuf::uninit(&mut room);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            self.dropped += buffer.filled().len();
            if read.is_err() || buffer.filled().is_empty() || self.dropped > MOST_BYTES {
                return Poll::Ready(());
            }
        }
    }
}
