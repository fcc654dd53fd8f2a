//! What of a request may tell identity, and what a header of it is worth.

use http::header::HeaderMap;
use http::{HeaderName, Method};

use super::relayed::Relayed;
use crate::identity::ConnectionProof;

/// What of a request can say who the user is.
#[derive(Clone, Copy)]
pub struct Evidence<'r> {
    /// What the connection proves.
    pub connection: ConnectionProof,
    /// Method.
    pub method: &'r Method,
    /// Path and query, as sent.
    pub target: &'r str,
    /// Every header line.
    pub headers: &'r HeaderMap,
    /// The whole body, where [`Resolver::reads_body`](crate::identity::Resolver::reads_body) and there is one.
    pub body: Option<&'r [u8]>,
    /// What the proxy says beside the request, where it asked over gRPC. The headers above are those of its client then.
    pub relayed: Option<&'r Relayed>,
}

impl<'r> Evidence<'r> {
    /// The headers of the peer's own call: only what the peer itself sent can prove it.
    pub(in crate::identity) const fn of_peer(&self) -> &'r HeaderMap {
        match self.relayed {
            None => self.headers,
            Some(relayed) => relayed.metadata(), // T-01: relayed headers
        }
    }

    /// Whether one of these headers could be two that the proxy joined into one.
    pub fn joins<'n, I: Iterator<Item = &'n HeaderName>>(&self, names: I) -> bool {
        self.relayed.is_some_and(|relayed| relayed.joins(self.headers, names))
    }

    /// The peer's own call, as if it were the request.
    pub(in crate::identity) const fn as_peer(&self) -> Self {
        Self { headers: self.of_peer(), relayed: None, ..*self }
    }
}

impl std::fmt::Debug for Evidence<'_> {
    /// Headers and bodies are full of secrets and personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evidence").field("connection", &self.connection).finish_non_exhaustive()
    }
}

/// What a header proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It tells identity, or proves the proxy, by being there: only the proxy may send it.
    Asserted,
    /// It is signed, or a secret: a forgery is refused.
    Proven,
}
