//! One request as the handlers see it.

pub(super) mod body;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, header};
use hyper::body::{Body as _, Incoming};

use body::{Body, BodyLimits, Unread};

use crate::clock::Stopwatch;
use crate::identity::{ConnectionProof, Evidence, Relayed};
use crate::inbound::connection::Phase;
use crate::pacing::jitter;
use crate::trace::{Origin, TraceContext};

/// One request. The headers are taken out of it, so that a handler can look at all of them without a copy.
pub(super) struct Request {
    /// What the connection proves.
    pub(super) connection: ConnectionProof,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    /// Path and query.
    target: Option<PathAndQuery>,
    /// The body, if there is one.
    unread: Option<Arc<Unread>>,
    /// What came beside it over gRPC.
    relayed: Option<Box<Relayed>>,
    pub(super) id: RequestId,
    pub(super) watch: Stopwatch,
}

impl std::fmt::Debug for Request {
    /// Headers are full of secrets and personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Request {
    /// Takes a request apart.
    pub(super) fn of(incoming: http::Request<Incoming>, connection: ConnectionProof, phase: &Phase) -> Self {
        let watch = Stopwatch::start();
        let (Parts { method, uri, mut headers, .. }, body) = incoming.into_parts();
        // The authority of the target counts, and not `Host` (RFC 9112, 3.2.2). HTTP/2 says it in any case.
        if let Some(host) = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
            headers.insert(header::HOST, host);
        }
        Self {
            connection,
            method,
            target: uri.into_parts().path_and_query,
            // T-42: own request id
            headers,
            unread: (!body.is_end_stream()).then(|| Arc::new(Unread::new(body, phase.room()))),
            relayed: None,
            id: RequestId::next(),
            watch,
        }
    }

    /// A request that a proxy asks about over gRPC, and what it relays beside it.
    pub(super) fn of_check(
        connection: ConnectionProof,
        method: Method,
        target: Option<PathAndQuery>,
        headers: HeaderMap,
        relayed: Relayed,
    ) -> Self {
        let relayed = Some(Box::new(relayed));
        Self {
            connection,
            method,
            headers,
            target,
            unread: None,
            relayed,
            id: RequestId::next(),
            watch: Stopwatch::start(),
        }
    }

    /// A request with these headers, of a peer that proves nothing.
    #[cfg(any(test, fuzzing))]
    pub(super) fn for_fuzzing(headers: HeaderMap) -> Self {
        Self {
            connection: crate::identity::Peers::default().assess(crate::identity::Peer::Unix { uid: 0 }, &[]),
            method: Method::GET,
            headers,
            target: None,
            unread: None,
            relayed: None,
            id: RequestId::next(),
            watch: Stopwatch::start(),
        }
    }

    /// Reads the body, within its limits. A second reader finds it empty.
    pub(super) async fn body(&self, limits: BodyLimits) -> Body {
        match &self.unread {
            None => Body::Empty,
            Some(unread) => unread.read(limits).await,
        }
    }

    /// The body, to be ended with the request.
    pub(super) fn unread(&self) -> Option<Arc<Unread>> {
        self.unread.clone()
    }

    /// What of it may tell identity, with the body that was read.
    pub(super) fn asking<'r>(&'r self, body: Option<&'r [u8]>) -> Evidence<'r> {
        let target = self.target.as_ref().map_or("", PathAndQuery::as_str);
        let relayed = self.relayed.as_deref();
        Evidence { connection: self.connection, method: &self.method, target, headers: &self.headers, body, relayed }
    }

    /// What our own calls say of the request that they are made for.
    pub(super) fn origin(&self) -> Origin {
        Origin { request_id: Some(self.id.as_str().to_owned()), trace: TraceContext::of(&self.headers) }
    }

    /// The path, as sent.
    pub(super) fn path(&self) -> &str {
        self.target.as_ref().map_or("", PathAndQuery::path)
    }

    /// The query as sent, where there is something in it.
    pub(super) fn query(&self) -> Option<&str> {
        self.target.as_ref()?.query().filter(|query| says_something(query))
    }

    /// The value of a header that must not come twice; `None` when it is absent or not text.
    pub(super) fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok() // T-57: header that is not text
    }

    /// The host that was asked for, lower case, without port.
    pub(super) fn host(&self) -> Option<String> {
        let host = self.header(&header::HOST)?;
        let authority: http::uri::Authority = host.parse().ok()?;
        Some(authority.host().to_ascii_lowercase())
    }
}

/// `/path?` has a query that says nothing.
fn says_something(query: &str) -> bool {
    !query.is_empty()
}

/// 16 hexadecimal digits, ours: what a client sends is never reflected (T-42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestId([[u8; 2]; 8]);

/// Where the numbers of this process begin.
static START: LazyLock<u64> = LazyLock::new(jitter::number);
static COUNT: AtomicU64 = AtomicU64::new(0);

impl RequestId {
    pub(super) fn next() -> Self {
        // An odd multiplier visits every number once (Weyl sequence), and looks unordered.
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let number = START.wrapping_add(count.wrapping_mul(STEP));
        let digit = |nibble: u8| b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or(b'0');
        let mut text = [[0_u8; 2]; 8];
        for (digits, byte) in text.iter_mut().zip(number.to_le_bytes()) {
            *digits = [digit(byte & 15), digit(byte >> 4)];
        }
        Self(text)
    }

    /// The digits.
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_flattened()).unwrap_or_default()
    }

    /// The digits as a header.
    pub(super) fn header(self) -> HeaderValue {
        HeaderValue::from_bytes(self.0.as_flattened()).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn request_ids_are_hexadecimal_and_differ() {
        let ids: HashSet<String> = (0..10_000).map(|_| RequestId::next().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
