//! Verifies signed tokens: form, header, key, signature, then claims, in this order, each failure with its own reason.
//!
//! The verification is our own, on the same primitives that the well-known library for such tokens uses. That library
//! reads the key anew for each token, takes the time from the machine instead of a [`Clock`](crate::clock::Clock), checks issuer and audience
//! only where the claims are there, and cannot read what load balancers send.

mod claims;
mod compact;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod header;
mod memory;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use compact::Parts;
use header::Header;
use memory::{Digest, Memory};

use super::claims::{Groups, Validity, Window, object};
use super::definition::TokenRules;
use super::keys::{Found, KeySet, Keys};
use super::request::ambiguity;
use super::user::profile::Profile;
use super::user::text::{Medium, SubjectRules};
use super::{Evidence, PeerProof, Refusal};

/// Verifies the tokens of one source.
#[derive(Debug)]
pub(super) struct Verifier {
    rules: TokenRules,
    keys: Arc<KeySet>,
    validity: Validity,
    memory: Memory,
}

/// A token that held.
struct Verified {
    profile: Arc<Profile>,
    window: Window,
}

impl Verifier {
    pub(super) fn new(rules: TokenRules, keys: Arc<KeySet>, validity: Validity) -> Self {
        Self { rules, keys, validity, memory: Memory::new() }
    }

    /// The header that the token comes in.
    pub(super) fn header(&self) -> &HeaderName {
        &self.rules.header
    }

    /// The line of that header which holds `token`.
    pub(super) fn line_of(&self, token: &str) -> Option<HeaderValue> {
        let line = self.rules.scheme.as_ref().map_or_else(|| token.to_owned(), |scheme| format!("{scheme} {token}"));
        HeaderValue::try_from(line).ok()
    }

    /// Whether a token is worth nothing unless a proven peer sends it.
    pub(super) fn requires_peer(&self) -> bool {
        self.rules.require_peer
    }

    /// The user whom the token of a request stands for. It never waits: a key that is not here is
    /// [`Refusal::KeyUnknown`] or [`Refusal::KeysUnavailable`], and [`Verifier::look_for_key`] may change that.
    pub(super) fn read(
        &self,
        evidence: &Evidence<'_>,
        proof: impl FnOnce() -> Result<PeerProof, Refusal>,
    ) -> Result<Arc<Profile>, Refusal> {
        let token = self.token(evidence)?;
        if self.rules.require_peer {
            proof()?;
        }
        let parts = Parts::of(token, self.rules.form)?;
        let (digest, keys) = (Digest::of(token), self.keys.current());
        if let Some(known) = self.memory.recall(&digest, &keys) {
            known.window.check(self.validity.clock.now())?; // T-29: remembered token
            return Ok(known.profile);
        }
        let verified = self.verify(&parts, &keys)?;
        // Kept only once it holds: what has expired, or is not good yet, would take the place of another.
        verified.window.check(self.validity.clock.now())?;
        self.memory.keep(digest, &keys, &verified);
        Ok(verified.profile)
    }

    /// What the subjects of its tokens are like.
    pub(super) fn subject_rules(&self) -> SubjectRules {
        // Behind what a subject is unique within stands the claim that has the beginning.
        let prefixes = if self.rules.claims.subject_within.is_empty() { &*self.rules.subject_prefixes } else { &[] };
        SubjectRules { prefixes: prefixes.to_vec(), ..SubjectRules::of(Medium::Signed) }
    }

    /// The keys.
    pub(super) fn keys(&self) -> &Arc<KeySet> {
        &self.keys
    }

    /// Looks for the key that the token of a request needs; `None` where it needs none that is not here.
    pub(super) async fn look_for_key(&self, evidence: &Evidence<'_>, refusal: Refusal) -> Option<Found> {
        let mut room = Vec::new();
        let parts = Parts::of(self.token(evidence).ok()?, self.rules.form).ok()?;
        let decoded = parts.decode(&mut room).ok()?;
        let members = header::members(decoded.header).ok()?;
        let header = Header::of(&members, &self.rules).ok()?;
        if header.kid.is_some() && self.keys.current().candidates(header.kid, header.algorithm).next().is_some() {
            // It came meanwhile; a signature that is wrong by the right key stays wrong.
            return (refusal != Refusal::Signature).then_some(Found::Here);
        }
        // A token that names no key may be of one that is new.
        Some(self.keys.look_for(header.kid).await)
    }

    /// The token as it stands in the header, after the scheme.
    fn token<'r>(&self, evidence: &Evidence<'r>) -> Result<&'r [u8], Refusal> {
        let value = ambiguity::only(evidence.headers, &self.rules.header)?.ok_or(Refusal::Absent)?;
        let value = value.as_bytes().trim_ascii();
        let token = match &self.rules.scheme {
            None => value,
            Some(scheme) => {
                let end = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
                let (said, rest) = value.split_at_checked(end).unwrap_or_default();
                // Another scheme is for another reader: Apache forwards what its users signed in with.
                if said.eq_ignore_ascii_case(scheme.as_bytes()) { rest.trim_ascii_start() } else { &[] }
            }
        };
        if token.is_empty() { Err(Refusal::Absent) } else { Ok(token) }
    }

    /// Everything but the time.
    fn verify(&self, parts: &Parts<'_>, keys: &Keys) -> Result<Verified, Refusal> {
        let mut room = Vec::new();
        let decoded = parts.decode(&mut room)?;
        let members = header::members(decoded.header)?;
        let header = Header::of(&members, &self.rules)?;
        let mut candidates = keys.candidates(header.kid, header.algorithm).peekable();
        if candidates.peek().is_none() {
            return Err(if keys.is_empty() { Refusal::KeysUnavailable } else { Refusal::KeyUnknown });
        }
        // T-26: every candidate
        if !candidates.any(|key| key.verifies(header.algorithm, parts.signed(), decoded.signature)) {
            return Err(Refusal::Signature);
        }
        let claims = object(decoded.payload).ok_or(Refusal::TokenMalformed)?;
        let window = self.rules.check_claims(&claims, header.exp, self.validity.leeway)?;
        let names = &self.rules.claims;
        let profile = names.profile(&claims, names.signed_subject(&claims)?, Groups::One);
        Ok(Verified { profile: Arc::new(profile), window })
    }
}

#[cfg(test)]
mod tests;
