//! The stream that hyper reads: the socket, with the head reader and a patience before it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::farewell::Farewell;
use super::head::Reader;
use super::patience::{Patience, Wait, Waiting};
use super::phase::{GIVEN, IDLE, SERVING};
use super::{HeadFault, HeadLimits, Phase, Protocol, Share};
use crate::identity::Peer;
use crate::inbound::reply::observe::HeadObserver;

/// How a connection of HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inbound) enum Spoken {
    /// A whole head of HTTP/1 is here.
    Http1,
    /// HTTP/2.
    Http2,
    /// Nothing that will be answered as a request.
    Nothing,
}

/// What all connections of a listener share about heads.
#[derive(Clone, Debug)]
pub(in crate::inbound) struct HeadRules {
    pub(in crate::inbound) limits: HeadLimits,
    pub(in crate::inbound) patience: Arc<Patience>,
    pub(in crate::inbound) observer: Arc<HeadObserver>,
}

/// A stream that hands over whole heads, and loses patience.
#[derive(Debug)]
pub(in crate::inbound) struct Guarded<S> {
    stream: S,
    reader: Reader,
    phase: Arc<Phase>,
    waiting: Waiting,
    observer: Arc<HeadObserver>,
    peer: Peer,
    /// What is spoken, as far as it is known. Frames of HTTP/2 come at any time: there is no «between the first byte of
    /// a head and its end», and pings find out who is gone.
    protocol: Protocol,
    /// Whether anything came. Before, a connection has no more time than a head.
    has_begun: bool,
    /// hyper has bytes of an answer that the socket did not take yet.
    owes: bool,
    /// A head is here whose turn has not come: the handler of the one before wakes us.
    withholds: bool,
    farewell: Option<Box<Farewell>>,
}

impl<S> Guarded<S> {
    pub(in crate::inbound) fn new(
        stream: S,
        protocol: Protocol,
        phase: Arc<Phase>,
        peer: Peer,
        share: &Share,
        rules: &HeadRules,
    ) -> Self {
        Self {
            stream,
            reader: Reader::new(rules.limits, share),
            phase,
            waiting: Waiting::new(Arc::clone(&rules.patience)),
            observer: Arc::clone(&rules.observer),
            peer,
            protocol,
            has_begun: false,
            owes: false,
            withholds: false,
            farewell: None,
        }
    }

    /// Whether a part of a head is here.
    pub(in crate::inbound) fn is_in_head(&self) -> bool {
        self.reader.is_waiting()
    }

    /// Whether a head was refused, and its client has not been told.
    pub(in crate::inbound) fn is_refused(&self) -> bool {
        self.reader.fault().is_some()
    }

    /// One head at a time: the next is handed over when the answer to the last is out. So whatever hyper writes without
    /// having asked a handler is its own refusal of the head that it has.
    fn may_begin(&self) -> bool {
        // T-68: nothing owed
        !self.owes && self.phase.now() != SERVING
    }

    /// What is waited for while nothing comes.
    fn wait(&self) -> Wait {
        match self.phase.now() {
            SERVING => Wait::Answer,
            _ if !self.has_begun || self.reader.is_waiting() => Wait::Head, // T-68: first byte
            _ => Wait::Request,
        }
    }

    /// Notes that hyper is handed a head, if it is.
    fn begin(&mut self) {
        if self.reader.begins() {
            self.waiting.is_over(Wait::Head);
            self.has_begun = true;
            self.phase.given();
        }
    }
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// Finds out what is spoken, before there is a hyper with its buffers: who sends no whole head has none. May be
    /// dropped, and called again.
    pub(in crate::inbound) async fn first(&mut self) -> Spoken {
        if self.protocol == Protocol::Http2 {
            return Spoken::Http2;
        }
        std::future::poll_fn(|cx| self.poll_first(cx)).await
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Spoken> {
        let mut room = [MaybeUninit::uninit(); 8192];
        loop {
            // T-50: one protocol
            if self.protocol == Protocol::Either {
                // T-49: preface
                if self.reader.waiting().starts_with(PREFACE) {
                    self.reader.let_all_pass();
                    self.protocol = Protocol::Http2;
                    self.has_begun = true;
                    return Poll::Ready(Spoken::Http2);
                }
                // T-50: not a preface
                if !PREFACE.starts_with(self.reader.waiting()) {
                    self.protocol = Protocol::Http1;
                }
            }
            if self.protocol == Protocol::Http1 && (self.reader.is_ready() || self.reader.advance(true)) {
                self.begin();
                return Poll::Ready(Spoken::Http1);
            }
            if self.is_refused() {
                return Poll::Ready(Spoken::Nothing);
            }
            let mut buffer = ReadBuf::uninit(&mut room);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.came_first(buffer.filled()),
                Poll::Ready(_) => return Poll::Ready(Spoken::Nothing),
                Poll::Pending => {
                    ready!(self.waiting.poll(Wait::Head, cx)); // T-68: request or head
                    return Poll::Ready(Spoken::Nothing);
                }
            }
        }
    }

    /// Takes up bytes before there is a hyper. A whole head needs none of the memory for others.
    fn came_first(&mut self, bytes: &[u8]) {
        let may_be_http2 = self.protocol == Protocol::Either && (self.reader.is_waiting() || bytes.starts_with(b"P"));
        if may_be_http2 {
            self.reader.keep(bytes);
        } else {
            self.protocol = Protocol::Http1;
            self.reader.admit(bytes);
        }
    }

    /// What comes next for hyper over HTTP/1.
    fn poll_next(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.reader.is_ready() {
                self.reader.give(buffer);
                return Poll::Ready(Ok(()));
            }
            let may_begin = self.may_begin();
            if self.reader.advance(may_begin) {
                self.begin();
                continue;
            }
            if !may_begin && self.reader.is_stuck() {
                self.withholds = true;
                return Poll::Pending;
            }
            if self.is_refused() {
                // To hyper it is the end of the connection; the client is told when that is shut down.
                return Poll::Ready(Ok(()));
            }
            if self.reader.is_lost() {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            let came = buffer.filled().get(before..).unwrap_or_default();
            if came.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.waiting.stirred();
            let passed = self.reader.take(came, may_begin);
            buffer.set_filled(before + passed);
            self.begin();
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// The same over HTTP/2, where nothing is looked at.
    fn poll_frames(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.reader.is_ready() {
            self.reader.give(buffer);
            return Poll::Ready(Ok(()));
        }
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.waiting.stirred();
        self.waiting.is_over(Wait::Head);
        self.has_begun = true;
        Poll::Ready(read)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let next = match self.protocol {
            Protocol::Http2 => self.poll_frames(cx, buffer),
            Protocol::Http1 | Protocol::Either => self.poll_next(cx, buffer),
        };
        // The other side of a connection that owes has its own patience.
        if next.is_ready() || self.owes {
            return next;
        }
        let wait = self.wait();
        ready!(self.waiting.poll(wait, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> Guarded<S> {
    /// Whether hyper answers a head by itself, because its parser refuses it. The client is told as in all other cases,
    /// when hyper shuts the connection down, which it does next.
    fn is_refusal(&mut self) -> bool {
        // T-68: answered after the end
        if self.protocol == Protocol::Http2 || self.phase.now() != GIVEN {
            return false;
        }
        self.reader.refuse(HeadFault::Malformed);
        true
    }

    /// An answer that the client does not take is given up after the time of an idle connection.
    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.owes = true;
        if progress.is_ready() {
            self.waiting.is_over(Wait::Taking);
            return progress;
        }
        ready!(self.waiting.poll(Wait::Taking, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_refusal() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let progress = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_stalled(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_refusal() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.poll_stalled(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.owes = false;
            if self.withholds && self.phase.now() == IDLE {
                self.withholds = false;
                cx.waker().wake_by_ref();
            }
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let own = &mut *self;
        if own.farewell.is_none() {
            let has_rest = own.reader.is_waiting() || !own.reader.is_between();
            let answer = match own.reader.fault() {
                Some(fault) => own.observer.refused(fault, own.peer, own.reader.is_of_head()),
                None if own.protocol == Protocol::Http2 || !has_rest => {
                    return Pin::new(&mut own.stream).poll_shutdown(cx);
                }
                None => Vec::new(),
            };
            own.farewell = Some(Box::new(Farewell::new(answer)));
        }
        if let Some(farewell) = &mut own.farewell {
            ready!(farewell.poll(&mut own.stream, cx));
        }
        Poll::Ready(Ok(()))
    }
}
