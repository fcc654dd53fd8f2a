//! The tokens of callers' own that a request brings: each is verified once, however many callers it could be of.

use std::collections::BTreeMap;

use crate::config::CallerToken;
use crate::identity::Refusal;

/// How far a request came before it failed, and why.
pub(super) type Failed = (u8, Refusal);

/// What the tokens of one request say, by the source that verifies them. A good token is remembered by its source, a bad
/// one is not: it would cost a signature for each of 63 callers (T-24). Each source reads a header of its own, so a
/// request costs one verification for each such header that it brings.
pub(super) struct Tokens<'t> {
    verify: &'t dyn Fn(&str) -> Result<String, Refusal>,
    told: BTreeMap<&'t str, Result<String, Refusal>>,
}

impl<'t> Tokens<'t> {
    /// Nothing is verified yet. `verify` tells the subject of the token that the source of this name verifies.
    pub(super) fn new(verify: &'t dyn Fn(&str) -> Result<String, Refusal>) -> Self {
        Self { verify, told: BTreeMap::new() }
    }

    /// Whether the request brings the token that is asked for.
    pub(super) fn check(&mut self, asked: &'t CallerToken) -> Result<(), Failed> {
        let verify = self.verify;
        // T-24: verified once
        let told = self.told.entry(&asked.source).or_insert_with(|| verify(&asked.source));
        match told {
            Ok(subject) if asked.subjects.contains(subject) => Ok(()), // T-01: subject of the caller
            Ok(_) => Err((4, Refusal::PeerWorkload)),
            // It would read as "no user is signed in", and the next source would be asked.
            Err(Refusal::Absent) => Err((1, Refusal::PeerUntrusted)),
            Err(other) => Err((4, *other)),
        }
    }
}
