//! Patience with a connection: a request head has seconds, an idle connection has minutes, a stalled answer is cut.
//!
//! hyper's own header timer starts when a connection falls idle, so one number would have to serve both; and it makes a
//! new timer for each request. [`Patient`] knows in which phase a connection is and keeps one timer for all of them.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::streams::Streams;
use crate::clock::Stopwatch;
use crate::lifecycle::Lifecycle;
use crate::metrics::{Counter, Metrics};

/// What a listener, or a connection of it, speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/1.1, or HTTP/2 with prior knowledge: the first bytes tell.
    Either,
    /// HTTP/2 alone, as gRPC is.
    Http2,
}

/// How a connection of HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Where a connection is between two requests, and the head that it read last.
pub struct Phase {
    now: AtomicU8,
    /// As it was sent: hyper drops a length beside an encoding, and with it the sign that two hops may disagree.
    head: Mutex<Vec<u8>>,
    lifecycle: Lifecycle,
    /// Where there may be many requests at once, and some never end by themselves.
    streams: Option<Streams>,
}

impl std::fmt::Debug for Phase {
    /// A head is full of personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Phase").field("now", &self.now).finish_non_exhaustive()
    }
}

/// No byte of the next request is here.
const IDLE: u8 = 0;
/// Some bytes of a head are here, but not all.
const HEAD: u8 = 1;
/// A request is being answered.
const SERVING: u8 = 2;
/// The client does not take the answer; never stored, only waited for.
const WRITING: u8 = 3;

const LENGTH: &[u8] = b"content-length";

impl Phase {
    /// The phase of a new connection, and whether there may be many requests at once on it.
    pub(super) fn new(lifecycle: &Lifecycle, has_streams: bool) -> Self {
        Self {
            now: AtomicU8::new(IDLE),
            head: Mutex::default(),
            lifecycle: lifecycle.clone(),
            streams: has_streams.then(Streams::default),
        }
    }

    /// One in which a request is in hand.
    #[cfg(test)]
    pub(super) fn busy_for_test() -> Arc<Self> {
        let phase = Self::new(&Lifecycle::default(), false);
        phase.serving();
        Arc::new(phase)
    }

    /// Whether a request is in hand.
    pub(super) fn is_busy(&self) -> bool {
        self.streams.as_ref().map_or_else(|| self.now() == SERVING, Streams::is_busy)
    }

    /// Holds a call to be under way until this is dropped.
    pub(super) fn under_way(&self) -> Option<TaskTrackerToken> {
        self.streams.as_ref().map(Streams::call)
    }

    /// Holds an answer to go on until this is dropped.
    pub(super) fn answering(&self) -> Option<TaskTrackerToken> {
        self.streams.as_ref().map(Streams::answer)
    }

    /// Completes once there was no stream for this long; never where there are none.
    pub(super) async fn unused(&self, span: Duration) {
        match &self.streams {
            None => std::future::pending().await,
            Some(streams) => streams.unused(span).await,
        }
    }

    /// Completes once no call is under way; never where they are not told apart.
    pub(super) async fn all_answered(&self) {
        match &self.streams {
            None => std::future::pending().await,
            Some(streams) => streams.all_answered().await,
        }
    }

    /// Whether the answer in hand is the last one of this connection: proxies that are told so let go of it, and have no
    /// request under way on it when it closes.
    pub(super) fn is_last(&self) -> bool {
        self.lifecycle.is_leaving()
    }

    /// The head is complete.
    pub(super) fn serving(&self) {
        self.now.store(SERVING, Ordering::Relaxed);
    }

    /// The answer is ready; the next head may come.
    pub(super) fn answered(&self) {
        self.now.store(IDLE, Ordering::Relaxed);
    }

    /// Whether the head told a length. A request that came in one piece with the one before it is not seen; hyper then
    /// goes by the encoding and ends the connection after the answer (RFC 9112, 6.1).
    pub(super) fn told_a_length(&self) -> bool {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let mut lines = lines.skip(1).take_while(|line| !line.is_empty());
        lines.any(|line| {
            line.split_at_checked(LENGTH.len())
                .is_some_and(|(name, rest)| name.eq_ignore_ascii_case(LENGTH) && rest.starts_with(b":"))
        })
    }

    fn bytes_came(&self, bytes: &[u8]) {
        let now = self.now();
        if now != IDLE && now != HEAD {
            return;
        }
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if now == IDLE {
            self.now.store(HEAD, Ordering::Relaxed);
            head.clear();
        }
        head.extend_from_slice(bytes);
    }

    /// What the first bytes say is spoken. While they could become either they are a head, which has its time.
    fn spoken(&self) -> Protocol {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if head.starts_with(PREFACE) {
            *head = Vec::new();
            self.now.store(IDLE, Ordering::Relaxed);
            return Protocol::Http2;
        }
        if PREFACE.starts_with(&head) { Protocol::Either } else { Protocol::Http1 }
    }

    fn now(&self) -> u8 {
        self.now.load(Ordering::Relaxed)
    }
}

/// How long to wait in which phase, and where cuts are counted.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    pub(super) head: Duration,
    pub(super) idle: Duration,
    head_cuts: Counter,
    idle_cuts: Counter,
    stalled_cuts: Counter,
}

impl Patience {
    pub(super) fn new(head: Duration, idle: Duration, metrics: &Metrics) -> Self {
        let cuts = |reason| metrics.connections_closed(reason);
        let (head_cuts, idle_cuts, stalled_cuts) = (cuts("header_timeout"), cuts("idle_timeout"), cuts("stalled"));
        Self { head, idle, head_cuts, idle_cuts, stalled_cuts }
    }
}

/// A stream that loses patience.
pub(super) struct Patient<S> {
    stream: S,
    phase: Arc<Phase>,
    patience: Arc<Patience>,
    /// What is spoken, as far as it is known. Frames of HTTP/2 come at any time: there is no «between the first byte of
    /// a head and its end», and pings find out who is gone.
    protocol: Protocol,
    /// What is waited for, and since when, while a head is incomplete or an answer is not taken.
    waiting: Option<(u8, Instant)>,
    /// Quarters of the idle time that went by without a byte.
    quiet: u8,
    /// One timer for the life of the connection. Requests do not touch it: while the connection is idle it ticks four
    /// times in the idle time, and a tick finds out whether anything happened since the last.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Ticks after which the idle time is over for certain; the first may have come at once.
const QUIET_TICKS: u8 = 5;

impl<S> Patient<S> {
    pub(super) fn new(stream: S, protocol: Protocol, phase: Arc<Phase>, patience: Arc<Patience>) -> Self {
        Self { stream, phase, patience, protocol, waiting: None, quiet: 0, timer: None }
    }

    /// Called when nothing moves. Ready when that has lasted too long.
    fn poll_patience(&mut self, phase: u8, cx: &mut Context<'_>) -> Poll<()> {
        match phase {
            // Bodies have their own deadline, and a provider may take its time. The timer ticks all the same: hyper does
            // not read again by itself after an answer that it waited for, so a tick must find the connection idle.
            SERVING => {
                self.quiet = 0;
                let _ticking = self.poll_idle(cx);
                Poll::Pending
            }
            IDLE => self.poll_idle(cx),
            HEAD => self.poll_deadline(phase, self.patience.head, cx),
            _ => self.poll_deadline(phase, self.patience.idle, cx),
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let quarter = self.patience.idle / 4;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(quarter)));
        while timer.as_mut().poll(cx).is_ready() {
            self.quiet += 1;
            if self.quiet >= QUIET_TICKS {
                return Poll::Ready(());
            }
            // From now, not from the last deadline: that may be long past, after a slow answer.
            timer.as_mut().reset(now() + quarter);
        }
        Poll::Pending
    }

    fn poll_deadline(&mut self, phase: u8, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let since = match self.waiting {
            Some((own, since)) if own == phase => since,
            _ => {
                let since = now();
                self.waiting = Some((phase, since));
                since
            }
        };
        let deadline = since + patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
}

fn now() -> Instant {
    Instant::from_std(Stopwatch::start().started())
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(outcome) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            self.quiet = 0;
            let came = buffer.filled().get(before..).unwrap_or_default();
            // A wait goes on only while one and the same head trickles in.
            if self.phase.now() != HEAD {
                self.waiting = None;
            }
            if !came.is_empty() && self.protocol != Protocol::Http2 {
                self.phase.bytes_came(came);
                if self.protocol == Protocol::Either {
                    self.protocol = self.phase.spoken();
                }
            }
            return Poll::Ready(outcome);
        }
        let phase = self.phase.now();
        ready!(self.poll_patience(phase, cx));
        let cuts = if phase == HEAD { &self.patience.head_cuts } else { &self.patience.idle_cuts };
        cuts.inc();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    /// An answer that the client does not take is given up after the time of an idle connection.
    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            if self.waiting.is_some_and(|(phase, _)| phase == WRITING) {
                self.waiting = None;
            }
            return progress;
        }
        ready!(self.poll_patience(WRITING, cx));
        self.patience.stalled_cuts.inc();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_stalled(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.poll_stalled(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What is made of the first bytes, in the pieces in which they come.
    async fn told(protocol: Protocol, pieces: &[&[u8]]) -> (Protocol, u8, usize) {
        let phase = Arc::new(Phase::new(&Lifecycle::default(), false));
        let patience =
            Patience::new(Duration::from_secs(60), Duration::from_secs(60), &Metrics::new().expect("metrics"));
        let (mut client, server) = tokio::io::duplex(1024);
        let mut server = Patient::new(server, protocol, Arc::clone(&phase), Arc::new(patience));
        for piece in pieces {
            client.write_all(piece).await.expect("room");
            let mut taken = vec![0; piece.len()];
            server.read_exact(&mut taken).await.expect("bytes");
        }
        let head = phase.head.lock().expect("whole").len();
        (server.protocol, phase.now(), head)
    }

    /// T-49, T-50: a head of HTTP/1 has its time however it begins, and frames of HTTP/2 are never kept as a head.
    #[tokio::test]
    async fn the_first_bytes_tell_what_is_spoken() {
        let (frames, begin) = (&[0_u8; 900][..], &PREFACE[..5]);
        for (protocol, pieces, expected) in [
            (Protocol::Either, &[PREFACE, frames][..], (Protocol::Http2, IDLE, 0)),
            (Protocol::Either, &[begin, &PREFACE[5..], frames], (Protocol::Http2, IDLE, 0)),
            (Protocol::Either, &[begin], (Protocol::Either, HEAD, 5)),
            (Protocol::Either, &[b"PRI /x HTTP/1.1\r\n"], (Protocol::Http1, HEAD, 17)),
            (Protocol::Either, &[b"P", b"OST /"], (Protocol::Http1, HEAD, 6)),
            (Protocol::Http1, &[PREFACE], (Protocol::Http1, HEAD, 24)),
            (Protocol::Http2, &[b"P", &PREFACE[1..], frames], (Protocol::Http2, IDLE, 0)),
        ] {
            assert_eq!(told(protocol, pieces).await, expected, "{pieces:?}");
        }
    }
}
