//! Peers: which one is at the other end of a connection, and whether that is proof enough to tell identity (threats
//! section 1).
//!
//! A [`Proof`] is one way to be believed: `[identity.peers]`, or one of `[identity.callers]`. Every kind of evidence that
//! it names must hold, and within a kind any value will do. What a connection shows is looked at once, when it is
//! accepted ([`Peers::assess`]); what a request shows, each time ([`Gate::prove`]).

mod certificate;
mod connection;
mod position;
mod proof;
mod secret;
mod secret_files;
mod signature;
mod token;
mod workload;

use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

use super::request::ambiguity;
use super::{Evidence, Refusal, Worth};
use crate::clock::Clock;
use crate::config;
use crate::definition::{Key, Mistakes};
use crate::metrics::Metrics;
use crate::secrets::{Reload, Reports};

pub use connection::{ConnectionProof, Peer, Rank};
use proof::Proof;
use token::Tokens;
#[cfg(any(test, fuzzing))]
pub(super) use workload::immediate_uris;

/// Proof that a peer may tell identity. Only [`Gate::prove`] makes one, so code that reads identity without proof does
/// not compile.
#[derive(Clone, Copy, Debug)]
pub struct PeerProof(());

/// Who may tell identity.
#[derive(Debug, Default)]
pub struct Peers {
    /// `[identity.peers]`, where it says anything, then the callers in the order of their names. At most 64.
    proofs: Vec<Proof>,
    /// Headers that prove something: they come once, under their own name, and no hop is told to drop them.
    guarded: Vec<HeaderName>,
    /// Whether users come with tokens that are proof, no matter which peer sends them.
    takes_tokens: bool,
}

impl Peers {
    /// Those that are configured, with their secrets read.
    pub(super) fn configure(
        identity: &config::Identity,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, Mistakes> {
        let peers = (!identity.peers.is_empty()).then(|| {
            let caller = config::Caller { proof: identity.peers.clone(), ..config::Caller::default() };
            (Key::from("identity.peers"), caller)
        });
        let named =
            |(name, caller): (&String, &config::Caller)| (Key::from("identity.callers").below(name), caller.clone());
        Self::of_proofs(peers.into_iter().chain(identity.callers.iter().map(named)), clock, metrics)
    }

    /// Those that services of the application prove themselves by, in the order given: each with the key of its table.
    /// `takes_keys` says that some prove themselves by something else that any connection may bring.
    pub fn of_callers(
        callers: impl Iterator<Item = (Key, config::Peers)>,
        takes_keys: bool,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, Mistakes> {
        let caller = |(key, proof): (Key, config::Peers)| (key, config::Caller { proof, ..Default::default() });
        Self::of_proofs(callers.map(caller), clock, metrics).map(|peers| peers.taking_tokens(takes_keys))
    }

    fn of_proofs(
        all: impl Iterator<Item = (Key, config::Caller)>,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, Mistakes> {
        let reports = Reports {
            generation: Some(metrics.identity.peer_secrets_generation()),
            rejected: Some(metrics.identity.peer_secrets_rejected()),
            ..Reports::new("secrets of a peer", Key::default())
        };
        let mut mistakes = Mistakes::default();
        let mut proofs = Vec::new();
        for (key, caller) in all {
            proofs.extend(mistakes.note(Proof::configure(Reports { key, ..reports.clone() }, caller, clock)));
        }
        let mut guarded: Vec<HeaderName> = proofs.iter().flat_map(Proof::headers).cloned().collect();
        guarded.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        guarded.dedup();
        mistakes.or(Self { proofs, guarded, takes_tokens: false })
    }

    /// Those of `[identity.peers]` alone, at a time of no meaning.
    #[cfg(test)]
    pub(super) fn for_test(configured: &config::Peers) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(crate::clock::ManualClock::new(crate::clock::Timestamp::from_seconds(0)));
        let caller = config::Caller { proof: configured.clone(), ..config::Caller::default() };
        let proofs: Vec<Proof> =
            Proof::configure(Reports::new("", "identity.peers"), caller, &clock).into_iter().collect();
        let guarded = proofs.iter().flat_map(Proof::headers).cloned().collect();
        Self { proofs, guarded, takes_tokens: false }
    }

    /// Whether a peer could be believed on a listener of this kind.
    pub fn can_hold(&self, listen: &config::Listen) -> bool {
        self.proofs.iter().any(|proof| proof.can_hold(listen)) // T-02: readiness of peers
    }

    /// Whether networks beyond this machine are believed for nothing but their addresses: the weakest kind of proof, worth
    /// a warning.
    pub fn is_position_only(&self) -> bool {
        self.proofs.iter().any(Proof::is_position_only)
    }

    /// What proves a peer, one line for each way, for people.
    pub fn describe(&self) -> impl Iterator<Item = String> {
        self.proofs.iter().map(ToString::to_string)
    }

    /// The headers that prove something, and what each is worth. One that several proofs look at comes several times.
    pub fn headers_with_worth(&self) -> impl Iterator<Item = (&HeaderName, Worth)> {
        self.proofs.iter().flat_map(Proof::headers_with_worth)
    }

    /// The same headers, each once.
    pub(super) fn headers(&self) -> &[HeaderName] {
        &self.guarded
    }

    /// Names of the sources that verify callers' tokens, each with the key that names it.
    pub(super) fn token_sources(&self) -> impl Iterator<Item = (String, &str)> {
        self.proofs.iter().filter_map(Proof::token_source)
    }

    /// Whether a request is signed as a whole, so that its body must be read first.
    pub fn reads_body(&self) -> bool {
        self.proofs.iter().any(Proof::reads_body)
    }

    /// Whether a request with these headers may be signed as a whole.
    pub fn reads_body_of(&self, headers: &http::HeaderMap) -> bool {
        self.reads_body() && headers.contains_key(&signature::HEADER)
    }

    /// Those peers, where users may come with tokens that are proof, no matter which peer sends them.
    pub(super) fn taking_tokens(self, takes_tokens: bool) -> Self {
        Self { takes_tokens, ..self }
    }

    /// What a new connection proves. `names` are those in its verified client certificate.
    pub fn assess(&self, peer: Peer, names: &[String]) -> ConnectionProof {
        let rank = if self.takes_tokens { Rank::Open } else { Rank::Unproven };
        let mut assessed = ConnectionProof { peer, met: 0, rank };
        for (bit, proof) in self.with_bits().filter(|(_, proof)| proof.is_met_by(peer, names)) {
            assessed.met |= bit;
            assessed.rank = assessed.rank.max(proof.rank());
        }
        assessed
    }

    /// What the route of this name asks for. `signed` are the headers that a signature over a request covers.
    pub(super) fn gate<'h, I: Iterator<Item = &'h HeaderName>>(self: &Arc<Self>, route: &str, signed: I) -> Gate {
        let open = self.with_bits().filter(|(_, proof)| proof.is_of_connection() && proof.serves(route));
        let settled = open.fold(0, |bits, (bit, _)| bits | bit);
        let gate = Gate { peers: Arc::clone(self), route: route.to_owned(), settled, signed: Vec::new() };
        gate.covering(signed)
    }

    /// Who asks which of its proofs a request meets. `signed` are the headers that a signature over a request covers.
    pub fn callers<'h, I: Iterator<Item = &'h HeaderName>>(self: &Arc<Self>, signed: I) -> CallerGate {
        CallerGate(self.gate("", signed))
    }

    fn with_bits(&self) -> impl Iterator<Item = (u64, &Proof)> {
        std::iter::successors(Some(1_u64), |bit| bit.checked_mul(2)).zip(&self.proofs)
    }
}

impl Reload for Peers {
    fn files(&self) -> Vec<PathBuf> {
        self.proofs.iter().flat_map(Proof::files).collect()
    }

    fn reload(&self) {
        self.proofs.iter().for_each(Proof::reload);
    }
}

/// Asks the requests of one route for proof.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    peers: Arc<Peers>,
    /// Its name.
    route: String,
    /// Proofs that a connection alone decides, on this route.
    settled: u64,
    /// What a signature covers, sorted by name.
    signed: Vec<HeaderName>,
}

impl Gate {
    /// Has signatures cover these headers as well.
    pub(super) fn covering<'h, I: Iterator<Item = &'h HeaderName>>(mut self, headers: I) -> Self {
        self.signed.extend(headers.cloned());
        self.signed.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        self.signed.dedup();
        self
    }

    /// The peers that it asks.
    pub(super) fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// Whether a request may tell identity. `subject_of` verifies the caller's own token by the source of that name.
    pub(super) fn prove(
        &self,
        evidence: &Evidence<'_>,
        subject_of: impl Fn(&str) -> Result<String, Refusal>,
    ) -> Result<PeerProof, Refusal> {
        // T-11, T-58: peer of the connection
        if evidence.connection.met & self.settled != 0 {
            return Ok(PeerProof(()));
        }
        self.prove_by_request(evidence, &subject_of)
    }

    /// Which proofs a request meets, by number, in ascending order.
    fn met(&self, evidence: &Evidence<'_>) -> Result<Vec<usize>, Refusal> {
        ambiguity::guard(evidence.of_peer(), &self.peers.guarded)?;
        let met = |bit: u64| evidence.connection.met & bit != 0;
        let none = |_: &str| Err(Refusal::Absent);
        // Secrets of every proof are compared: which one was right must not show in the time it takes (T-52).
        let asked = self.peers.with_bits().enumerate();
        let shown: Vec<_> = asked.map(|(n, (bit, proof))| (n, bit, proof, proof.is_secret_shown(evidence))).collect();
        let holds = |(n, bit, proof, shown): (usize, u64, &Proof, bool)| {
            // G-14: proof of the connection
            let held = met(bit) && proof.examine(evidence, self, shown, &mut Tokens::new(&none)).is_ok();
            held.then_some(n)
        };
        Ok(shown.into_iter().filter_map(holds).collect())
    }

    #[cold]
    fn prove_by_request(
        &self,
        evidence: &Evidence<'_>,
        subject_of: &dyn Fn(&str) -> Result<String, Refusal>,
    ) -> Result<PeerProof, Refusal> {
        let met = |bit: u64| evidence.connection.met & bit != 0;
        ambiguity::guard(evidence.of_peer(), &self.peers.guarded)?;
        // Secrets first, and those of every proof: which one was right must not show in the time it takes (T-52).
        let secrets = self.peers.with_bits().filter(|(bit, _)| met(*bit));
        let shown =
            secrets.fold(0, |bits, (bit, proof)| if proof.is_secret_shown(evidence) { bits | bit } else { bits });
        let mut tokens = Tokens::new(subject_of);
        let mut nearest = (0, Refusal::PeerUntrusted);
        for (bit, proof) in self.peers.with_bits().filter(|(bit, _)| met(*bit)) {
            match proof.examine(evidence, self, shown & bit != 0, &mut tokens) {
                Ok(()) => return Ok(PeerProof(())),
                // The way that came furthest is the one that was meant.
                Err(failed) if failed.0 > nearest.0 => nearest = failed,
                Err(_) => {}
            }
        }
        Err(nearest.1) // T-01: unproven peer
    }
}

/// Asks requests which services they prove, where it matters which.
#[derive(Clone, Debug)]
pub struct CallerGate(Gate);

impl CallerGate {
    /// Numbers of the proofs that a request meets, in ascending order: those of [`Peers::of_callers`], in its order. A
    /// request whose proof can be read in two ways meets none.
    pub fn met(&self, evidence: &Evidence<'_>) -> Result<Vec<usize>, Refusal> {
        self.0.met(evidence)
    }
}

#[cfg(test)]
mod tests;
