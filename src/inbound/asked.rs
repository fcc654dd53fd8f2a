//! One request as the handlers see it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};

use crate::clock::Stopwatch;
use crate::identity::PeerProof;
use crate::jitter;

/// One request. The headers are taken out of it, so that a handler can look at all of them without a copy.
#[derive(Debug)]
pub(super) struct Asked {
    /// Whether the peer may tell identity; decided once per connection.
    pub(super) proof: Option<PeerProof>,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    /// Whether the address has a query with something in it.
    pub(super) has_query: bool,
    pub(super) body: Body,
    pub(super) id: RequestId,
    pub(super) watch: Stopwatch,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// None, or an empty one.
    Empty,
    /// All of it.
    Whole(Bytes),
    /// More than the limit; the rest is not read, and the connection ends after the answer.
    TooLarge,
    /// It did not come to its end in time.
    Broken,
}

impl Asked {
    /// Takes a request apart. Reads the body, if there is one, up to `max_body` bytes and for `patience`.
    pub(super) async fn of(
        request: &mut Request<Incoming>,
        proof: Option<PeerProof>,
        max_body: usize,
        patience: Duration,
    ) -> Self {
        let watch = Stopwatch::start();
        let body = if request.body().is_end_stream() {
            Body::Empty
        } else {
            read(request.body_mut(), max_body, patience).await
        };
        Self {
            proof,
            method: request.method().clone(),
            has_query: request.uri().query().is_some_and(|query| !query.is_empty()),
            headers: std::mem::take(request.headers_mut()),
            body,
            id: RequestId::next(),
            watch,
        }
    }

    /// The value of a header that must not come twice; `None` when it is absent or not text.
    pub(super) fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The host that was asked for, lower case, without port.
    pub(super) fn host(&self) -> Option<String> {
        let host = self.header(&header::HOST)?;
        let authority: http::uri::Authority = host.parse().ok()?;
        Some(authority.host().to_ascii_lowercase())
    }
}

async fn read(body: &mut Incoming, max: usize, patience: Duration) -> Body {
    if body.size_hint().lower() > u64::try_from(max).unwrap_or(u64::MAX) {
        return Body::TooLarge;
    }
    match tokio::time::timeout(patience, Limited::new(body, max).collect()).await {
        Ok(Ok(whole)) => {
            let bytes = whole.to_bytes();
            if bytes.is_empty() { Body::Empty } else { Body::Whole(bytes) }
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => Body::TooLarge,
        Ok(Err(_)) | Err(_) => Body::Broken,
    }
}

/// 16 hexadecimal digits, ours: what a client sends is never reflected (T-42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestId([u8; 16]);

/// Where the numbers of this process begin.
static START: LazyLock<u64> = LazyLock::new(jitter::number);
static COUNT: AtomicU64 = AtomicU64::new(0);

impl RequestId {
    fn next() -> Self {
        // An odd multiplier visits every number once (Weyl sequence), and looks unordered.
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut number = START.wrapping_add(count.wrapping_mul(STEP));
        let mut text = [0_u8; 16];
        for digit in &mut text {
            let nibble = u8::try_from(number & 15).unwrap_or(0);
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            number >>= 4;
        }
        Self(text)
    }

    /// The digits.
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The digits as a header.
    pub(super) fn header(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// Requests travel through warp as an extension of this type.
pub(super) type Ask = Arc<Asked>;

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
