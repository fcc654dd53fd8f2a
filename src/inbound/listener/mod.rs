//! The accept loop: limits, timeouts, peer proof and a drain with a deadline, which warp's own server does not have.

mod answers;
mod limits;
mod minute;
mod places;
mod socket;
mod tls;
mod woken;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

pub(super) use answers::{Answers, Content};
pub use limits::Limits;
pub use socket::Bound;
pub(super) use tls::CertificateStatus;
pub use tls::Tls;

use minute::OnceAMinute;
use places::{Entry, Place, Places, Shares};
use socket::{Stream, is_of_one_connection};
use tls::Handshakes;
use woken::Woken;

use super::connection::{Budget, Guarded, HeadLimits, HeadRules, Patience, Phase, Protocol, Spoken, fault_of_http2};
use crate::identity::{ConnectionProof, Peer, Peers};
use crate::inbound::reply::observe::HeadObserver;
use crate::lifecycle::Lifecycle;
use crate::metrics::{Counter, Gauge, Label as _, Metrics};
use crate::telemetry::RequestLog;

/// Pause after an accept that failed for want of file descriptors or memory.
const BREATHER: Duration = Duration::from_millis(50);
/// While draining: how long a handshake may still take, and an idle connection still takes a request. One may be on its
/// way, or here and not yet read.
const LAST_CALL: Duration = Duration::from_millis(100);
/// Header lines for which hyper has room without asking for memory.
const USUAL_HEADERS: usize = 100;
/// HTTP/2: streams of one connection at once, and streams that clients may reset before the connection is given up.
const MAX_STREAMS: u32 = 100;
const MAX_RESET_STREAMS: usize = 20; // T-50: reset streams
/// HTTP/2: bytes of bodies that a client may send before they are read, on one stream and on all.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// HTTP/2: bytes of a header list.
const MAX_HEADER_LIST: u32 = 16 * 1024;

/// Who may come in, and how.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// Whom to believe.
    pub peers: Arc<Peers>,
    /// TLS, where it is spoken.
    pub tls: Option<Arc<Tls>>,
    /// Where requests are told that no route sees.
    pub log: RequestLog,
}

/// Everything that connections share.
struct Shared<R> {
    routes: Arc<R>,
    peers: Arc<Peers>,
    handshakes: Option<Handshakes>,
    limits: Limits,
    heads: HeadRules,
    budget: Arc<Budget>,
    lifecycle: Lifecycle,
    open: Option<Gauge>,
    places: Arc<Places>,
    refusals: Mutex<OnceAMinute>,
    cut: Counter,
    idle: Counter,
    retired: Counter,
}

/// Why a connection takes no further request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The service drains.
    Drained,
    /// What the client has proven is worth nothing any more.
    Retired,
    /// Another connection needs the place.
    Displaced,
    /// No stream was open for too long.
    Unused,
}

/// Accepts and serves connections until the lifecycle drains. Connections are tracked by `lifecycle`.
pub(super) async fn serve<R: Answers>(
    bound: Bound,
    routes: R,
    limits: Limits,
    entrance: Entrance,
    lifecycle: Lifecycle,
    metrics: &Metrics,
) {
    let all = limits.connections; // T-49: most connections
    let shares = if limits.of_identity { Shares::by_rank(all) } else { Shares::alike(all) };
    if limits.of_identity {
        metrics.inbound.connections_limit().add(i64::try_from(all).unwrap_or(i64::MAX));
    }
    let heads = HeadRules {
        limits: HeadLimits { bytes: limits.head_bytes, lines: limits.headers },
        patience: Arc::new(Patience::new(limits.header_timeout, limits.idle_timeout, metrics)),
        observer: Arc::new(HeadObserver::new(metrics, Some(entrance.log)).marking(R::MARKS_REFUSALS)),
    };
    let shared = Arc::new(Shared {
        routes: Arc::new(routes),
        peers: entrance.peers,
        handshakes: entrance
            .tls
            .map(|tls| Handshakes::new(tls, limits.protocol == Protocol::Http2, limits.header_timeout, metrics)),
        limits,
        heads,
        budget: Budget::new(limits.unfinished_bytes),
        lifecycle,
        open: limits.of_identity.then(|| metrics.inbound.connections()),
        places: Places::new(shares, metrics),
        refusals: Mutex::default(),
        cut: metrics.inbound.connections_closed("drain_timeout"),
        idle: metrics.inbound.connections_closed("idle_timeout"),
        retired: metrics.inbound.connections_closed("retired"),
    });
    let mut unacceptable = OnceAMinute::default();
    let mut in_hand = None;
    loop {
        let incoming = tokio::select! {
            incoming = bound.accept() => incoming,
            () = shared.lifecycle.draining().cancelled() => break,
        };
        let (stream, peer) = match incoming {
            Ok(incoming) => incoming,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    if let Some(count) = unacceptable.count() {
                        tracing::error!(%error, count, "cannot accept connections");
                    }
                    tokio::time::sleep(BREATHER).await;
                }
                continue;
            }
        };
        // Where every place is taken by peers that are known, the rest waits in the kernel's queue and costs us nothing.
        let accepted = shared.accept(peer);
        let place = tokio::select! {
            place = shared.place(&accepted) => place,
            () = shared.lifecycle.draining().cancelled() => {
                in_hand = Some((stream, peer));
                break;
            }
        };
        if let Some(place) = place {
            shared.begin(stream, accepted, place);
        }
    }
    let queued = bound.queued();
    let lifecycle = shared.lifecycle.clone();
    lifecycle.spawn(async move {
        // drain: accepted connections
        for (stream, peer) in in_hand.into_iter().chain(queued) {
            let accepted = shared.accept(peer);
            // There may be no room until others have ended.
            let place = tokio::select! {
                biased;
                () = shared.lifecycle.cut().cancelled() => return, // T-49: cut listener
                place = shared.place(&accepted) => place,
            };
            if let Some(place) = place {
                shared.begin(stream, accepted, place);
            }
        }
    });
}

/// A connection that was accepted: what it proves so far, and its entry in the list of places.
struct Accepted {
    proof: ConnectionProof,
    entry: Arc<Entry>,
}

impl<R: Answers> Shared<R> {
    fn accept(&self, peer: Peer) -> Accepted {
        Accepted { proof: self.peers.assess(peer, &[]), entry: Entry::new(peer, self.lifecycle.draining()) }
    }

    /// A place for a connection; none where it is refused, which is told once a minute.
    async fn place(&self, accepted: &Accepted) -> Option<Place> {
        let refused = match self.places.take(&accepted.entry, self.routes.rank(accepted.proof)).await {
            Ok(place) => return Some(place),
            Err(refused) => refused,
        };
        let count = self.refusals.lock().count();
        let count = count?;
        let reason = refused.label();
        tracing::warn!(
            reason,
            count,
            "connections are refused: peers that can prove nothing have all the places that they get. If your proxy is among \
             them, list it in identity.peers"
        );
        None
    }

    /// Serves a connection in the background.
    fn begin(self: &Arc<Self>, stream: Stream, accepted: Accepted, place: Place) {
        let connection = Arc::clone(self);
        self.lifecycle.spawn(async move {
            connection.open.iter().for_each(Gauge::inc);
            match stream {
                Stream::Tcp(stream) => connection.handshake_then_serve(stream, accepted, place).await,
                Stream::Unix(stream) => connection.handshake_then_serve(stream, accepted, place).await,
            }
            connection.open.iter().for_each(Gauge::dec);
        });
    }

    /// Does the handshake of a connection where the listener has TLS, assesses its certificate, and serves it.
    async fn handshake_then_serve<S>(&self, stream: S, accepted: Accepted, mut place: Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Accepted { proof, entry } = accepted;
        let over = async {
            entry.end().cancelled().await;
            if self.lifecycle.draining().is_cancelled() { End::Drained } else { End::Displaced }
        };
        let Some(handshakes) = &self.handshakes else {
            return self.serve(stream, proof, &entry, over).await;
        };
        let last_call = async {
            entry.end().cancelled().await;
            if self.lifecycle.draining().is_cancelled() {
                tokio::time::sleep(LAST_CALL).await; // drain: time for the last call
            }
        };
        // Boxed off the warm path: it is over before the first request.
        let secured = tokio::select! {
            secured = Box::pin(handshakes.accept(stream)) => secured,
            () = last_call => None,
        };
        let Some(secured) = secured else { return };
        let (stream, names, retired) = secured.into_parts();
        let finish = async {
            tokio::select! {
                () = retired => End::Retired,
                end = over => end,
            }
        };
        let proof = self.peers.assess(proof.peer(), &names);
        place.rise(self.routes.rank(proof));
        self.serve(stream, proof, &entry, finish).await;
    }

    /// Serves a connection until it ends; once `finish` completes, no further request is taken.
    async fn serve<S>(&self, stream: S, proof: ConnectionProof, entry: &Entry, finish: impl Future<Output = End>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.limits;
        let share = self.budget.share(proof.meets_no_proof());
        let phase = Arc::new(Phase::new(&self.lifecycle, limits.protocol != Protocol::Http1, share.clone()));
        entry.follow(&phase);
        let mut io = Guarded::new(stream, limits.protocol, Arc::clone(&phase), proof.peer(), &share, &self.heads);
        let finish = std::pin::pin!(finish);
        let mut finish = Woken::new(finish);
        let (spoken, end) = self.first(&mut io, &mut finish).await;
        let finish = async {
            match end {
                Some(end) => end,
                None => finish.await,
            }
        };
        let (routes, served) = (Arc::clone(&self.routes), Arc::clone(&phase));
        let is_front = limits.protocol != Protocol::Http2;
        let service = service_fn(move |request: http::Request<Incoming>| {
            served.serving(); // T-49: places of the ready
            let is_http2 = spoken == Spoken::Http2;
            let fault = if is_http2 && is_front { fault_of_http2(&request) } else { None };
            routes.answer(request, proof, Arc::clone(&served), fault)
        });
        match spoken {
            Spoken::Nothing if io.is_refused() => {
                let _gone = io.shutdown().await;
            }
            Spoken::Nothing => {}
            Spoken::Http1 => {
                let mut builder = http1::Builder::new();
                // Heads were measured before hyper sees them, and a target may have grown to thrice its size.
                builder
                    .timer(TokioTimer::new())
                    .writev(R::ARE_LARGE)
                    .header_read_timeout(None)
                    .max_buf_size(limits.head_bytes.saturating_mul(3));
                if limits.headers > USUAL_HEADERS {
                    builder.max_headers(limits.headers);
                }
                let connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
                self.drive(connection, &phase, finish, http1::Connection::graceful_shutdown).await;
            }
            Spoken::Http2 => {
                let finish = async {
                    tokio::select! {
                        biased;
                        end = finish => end,
                        () = phase.unused(limits.idle_timeout) => End::Unused, // T-70: unused connections
                    }
                };
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(MAX_STREAMS)
                    .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
                    .max_header_list_size(MAX_HEADER_LIST)
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .keep_alive_interval(limits.idle_timeout)
                    .keep_alive_timeout(limits.header_timeout);
                // Boxed off the warm path: few listeners speak it.
                let connection = Box::pin(builder.serve_connection(TokioIo::new(io), service));
                let mut connection = connection;
                self.drive(connection.as_mut(), &phase, finish, http2::Connection::graceful_shutdown).await;
            }
        }
    }

    /// Waits for the first head of a connection, before there is a hyper for it. When `finish` completes in that time, a
    /// head that has begun may still come to its end.
    async fn first<S: AsyncRead + Unpin>(
        &self,
        io: &mut Guarded<S>,
        finish: impl Future<Output = End>,
    ) -> (Spoken, Option<End>) {
        let end = tokio::select! {
            biased;
            spoken = io.first() => return (spoken, None),
            end = finish => end,
        };
        if end == End::Displaced {
            return (Spoken::Nothing, Some(end));
        }
        let last = async {
            tokio::select! {
                biased;
                spoken = io.first() => return spoken,
                () = last_call() => {}
            }
            if io.is_in_head() { io.first().await } else { Spoken::Nothing }
        };
        tokio::select! {
            biased;
            spoken = last => (spoken, Some(end)),
            () = self.lifecycle.cut().cancelled() => {
                self.cut.inc();
                (Spoken::Nothing, Some(end))
            }
        }
    }

    /// Runs a connection to its end. When `finish` completes it ends after the request in hand, and when the drain
    /// deadline has passed, at once. A client that must prove itself anew has as long as a head may take: one that speaks
    /// HTTP/2 could go on for ever by not confirming the end (RFC 9113, 6.8). Over gRPC, one that was given every answer
    /// of a drain has as long to take them: a client that watches and reads nothing would hold up the stop.
    async fn drive<C, E>(
        &self,
        mut connection: std::pin::Pin<&mut C>,
        phase: &Phase,
        finish: impl Future<Output = End>,
        shut_down: impl FnOnce(std::pin::Pin<&mut C>),
    ) where
        C: Future<Output = Result<(), E>>,
        E: std::fmt::Display,
    {
        let end = tokio::select! {
            biased;
            ended = connection.as_mut() => return note(ended),
            end = finish => end,
        };
        match end {
            // An idle client is not told: over HTTP/1.1 there is no way to.
            End::Displaced if !phase.is_busy() => return,
            End::Unused => self.idle.inc(),
            End::Displaced | End::Drained | End::Retired => {}
        }
        // drain: last call
        if end == End::Drained {
            tokio::select! {
                biased;
                ended = connection.as_mut() => return note(ended),
                () = last_call() => {}
            }
        }
        shut_down(connection.as_mut());
        let patience = async {
            match end {
                End::Drained => phase.all_answered().await, // T-49: bounded drain
                End::Retired | End::Displaced | End::Unused => {}
            }
            tokio::time::sleep(self.limits.header_timeout).await; // T-58: connections of the old authority
        };
        tokio::select! {
            biased;
            ended = connection => note(ended),
            () = self.lifecycle.cut().cancelled() => self.cut.inc(), // T-49: cut connections
            () = patience => match end {
                End::Drained => self.cut.inc(),
                End::Retired => self.retired.inc(),
                // Counted already.
                End::Displaced | End::Unused => {}
            },
        }
    }
}

/// The time in which a request that is on its way may still come.
async fn last_call() {
    tokio::time::sleep(LAST_CALL).await;
    // Where all stood still for that long, the time is over before what came is seen: one more look.
    tokio::task::yield_now().await;
}

/// How a connection ended.
fn note<E: std::fmt::Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        // Clients that leave or talk nonsense are everyday life.
        tracing::debug!(%error, "connection ended early");
    }
}
