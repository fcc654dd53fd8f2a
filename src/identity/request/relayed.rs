//! What a proxy that asks over gRPC tells beside the headers of the request that it asks about.
//!
//! None of it is ever a header of that request: a client that writes the same words in a header has told nothing. And
//! what proves the proxy is taken from here alone, never from its client's headers.

use http::header::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

use super::ambiguity;
use crate::identity::Refusal;

/// What a filter of the proxy found out.
struct Verified {
    filter: String,
    key: String,
    /// `None` for a value that is no set of claims.
    claims: Option<Map<String, Value>>,
}

/// What came beside a request, from the proxy itself.
#[derive(Default)]
pub struct Relayed {
    metadata: HeaderMap,
    principal: String,
    verified: Vec<Verified>,
    joined: bool,
}

impl Relayed {
    /// `metadata` are the header lines of the proxy's own call, `principal` is what it calls its client; empty for none.
    pub fn new(metadata: HeaderMap, principal: String) -> Self {
        Self { metadata, principal, ..Self::default() }
    }

    /// Adds what a filter of the proxy found out: a set of claims, or a value that is none.
    pub fn tell(&mut self, filter: &str, key: String, value: Value) {
        let claims = if let Value::Object(claims) = value { Some(claims) } else { None };
        self.verified.push(Verified { filter: filter.to_owned(), key, claims });
    }

    /// Says that the proxy joined the lines of each header into one, and wrote `!` for bytes that are not text.
    pub fn mark_joined(&mut self) {
        self.joined = true;
    }

    /// Whether one of these headers could be two, joined.
    pub(super) fn joins<'n, I: Iterator<Item = &'n HeaderName>>(&self, headers: &HeaderMap, mut names: I) -> bool {
        // T-09: joined by the hop
        self.joined && names.any(|name| headers.get_all(name).iter().any(ambiguity::may_be_joined))
    }

    /// The header lines of the proxy's own call.
    pub(super) const fn metadata(&self) -> &HeaderMap {
        &self.metadata
    }

    /// What the proxy calls its client, if it calls it anything.
    pub(in crate::identity) fn principal(&self) -> Option<&str> {
        Some(self.principal.as_str()).filter(|principal| !principal.is_empty())
    }

    /// The claims in this place. A value that is no set of claims is wrong, not absent.
    pub(in crate::identity) fn claims(&self, filter: &str, key: &str) -> Result<&Map<String, Value>, Refusal> {
        // T-01: filter of the metadata
        let found = self.verified.iter().find(|own| own.filter == filter && own.key == key);
        found.ok_or(Refusal::Absent)?.claims.as_ref().ok_or(Refusal::Claim)
    }
}

impl std::fmt::Debug for Relayed {
    /// Secrets of the proxy, and personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relayed").finish_non_exhaustive()
    }
}
