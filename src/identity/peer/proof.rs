//! A proof: one way in which a peer is believed, with every kind of evidence that it takes.

use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

use super::certificate::Names;
use super::position::Position;
use super::secret::Secrets;
use super::signature::{self, Signatures};
use super::token::{Failed, Tokens};
use super::workload::Workloads;
use super::{Gate, Peer, Rank};
use crate::clock::Clock;
use crate::config::{self, CallerToken, Listen};
use crate::definition::{Key, Mistakes};
use crate::identity::{Evidence, Refusal, Worth};
use crate::secrets::Reports;

/// What is asked of a peer.
#[derive(Debug)]
pub(super) struct Proof {
    /// Its table, for messages.
    key: Key,
    position: Option<Position>,
    names: Option<Names>,
    secrets: Option<Secrets>,
    signatures: Option<Signatures>,
    workloads: Vec<Workloads>,
    token: Option<CallerToken>,
    /// Names of the routes that it is good for; empty means all.
    routes: Vec<String>,
}

impl Proof {
    /// Reads its secrets; the key of `reports` is that of its table.
    pub(super) fn configure(
        reports: Reports,
        caller: config::Caller,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Mistakes> {
        let configured = &caller.proof;
        let mut mistakes = Mistakes::default();
        let secrets = mistakes.note(Secrets::configure(&reports, configured)).flatten();
        let signatures = mistakes.note(Signatures::configure(&reports, configured, clock)).flatten();
        mistakes.or(Self {
            position: Position::of(configured),
            names: Names::of(&configured.certificates),
            secrets,
            signatures,
            workloads: [Workloads::of_envoy(configured), Workloads::of_linkerd(configured)]
                .into_iter()
                .flatten()
                .collect(),
            token: caller.token,
            routes: caller.routes,
            key: reports.key,
        })
    }

    /// Whether nothing is asked of a request once the connection has been looked at.
    pub(super) fn is_of_connection(&self) -> bool {
        self.secrets.is_none() && self.signatures.is_none() && self.workloads.is_empty() && self.token.is_none()
    }

    /// The rank of a connection that meets its demands. Every connection meets a proof without demands.
    pub(super) fn rank(&self) -> Rank {
        if self.position.is_some() || self.names.is_some() { Rank::Known } else { Rank::Open }
    }

    /// Whether networks beyond this machine are enough.
    pub(super) fn is_position_only(&self) -> bool {
        self.is_of_connection() && self.names.is_none() && self.position.as_ref().is_some_and(Position::reaches_out)
    }

    /// Whether it is good for the route of this name.
    pub(super) fn serves(&self, route: &str) -> bool {
        self.routes.is_empty() || self.routes.iter().any(|own| own == route)
    }

    /// Whether a peer that connects to `listen` could hold it.
    pub(super) fn can_hold(&self, listen: &Listen) -> bool {
        self.position.as_ref().is_none_or(|position| position.can_hold(listen))
    }

    /// The headers that it looks at, and what each is worth.
    pub(super) fn headers_with_worth(&self) -> impl Iterator<Item = (&HeaderName, Worth)> {
        let secret = self.secrets.iter().map(|secrets| (&secrets.header, Worth::Proven));
        let signature = self.signatures.iter().map(|_| (&signature::HEADER, Worth::Proven));
        secret.chain(signature).chain(self.workloads.iter().map(|workloads| (&workloads.header, Worth::Asserted)))
    }

    /// The headers that it looks at.
    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.headers_with_worth().map(|(name, _)| name)
    }

    /// Name of the source that verifies its token, and the key that names it.
    pub(super) fn token_source(&self) -> Option<(String, &str)> {
        self.token.as_ref().map(|token| (format!("{}.token.source", self.key), token.source.as_str()))
    }

    /// Whether a request is signed as a whole.
    pub(super) fn reads_body(&self) -> bool {
        self.signatures.is_some()
    }

    /// Files to watch.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let secrets = self.secrets.iter().flat_map(|secrets| secrets.valid.files());
        secrets.chain(self.signatures.iter().flat_map(|signatures| signatures.valid.files()))
    }

    /// Reads them again.
    pub(super) fn reload(&self) {
        self.secrets.iter().for_each(|secrets| secrets.valid.reload());
        self.signatures.iter().for_each(|signatures| signatures.valid.reload());
    }

    /// Whether a connection is as it should be.
    pub(super) fn is_met_by(&self, peer: Peer, names: &[String]) -> bool {
        self.position.as_ref().is_none_or(|position| position.holds(peer))
            && self.names.as_ref().is_none_or(|own| own.holds(names))
    }

    /// Whether the request shows the secret, where one is asked for.
    pub(super) fn is_secret_shown(&self, evidence: &Evidence<'_>) -> bool {
        self.secrets.as_ref().is_none_or(|secrets| secrets.holds(evidence))
    }

    /// Whether a request on a connection that is as it should be is so as well.
    pub(super) fn examine<'p>(
        &'p self,
        evidence: &Evidence<'_>,
        gate: &Gate,
        secret_shown: bool,
        tokens: &mut Tokens<'p>,
    ) -> Result<(), Failed> {
        // T-01: shared secret
        if !secret_shown {
            return Err((1, Refusal::PeerSecret)); // T-53: one refusal
        }
        if let Some(signatures) = &self.signatures {
            signatures.check(evidence, &gate.signed).map_err(|refusal| (2, refusal))?;
        }
        for workloads in &self.workloads {
            workloads.check(evidence).map_err(|refusal| (3, refusal))?;
        }
        if let Some(token) = &self.token {
            tokens.check(token)?;
        }
        // Last: an unproven peer does not learn which routes there are.
        // T-01: routes of the caller
        if self.serves(&gate.route) { Ok(()) } else { Err((5, Refusal::CallerRoute)) }
    }
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |what: &str, n: usize| if n == 1 { what.to_owned() } else { format!("{what} (one of {n})") };
        let all = [
            self.position.as_ref().map(ToString::to_string),
            self.names.as_ref().map(ToString::to_string),
            self.secrets.as_ref().map(|own| count(&format!("secret in {}", own.header), own.valid.len())),
            self.signatures.as_ref().map(|own| count("signed request", own.valid.len())),
        ];
        let workloads = self.workloads.iter().map(ToString::to_string);
        let token =
            self.token.as_ref().map(|token| format!("token of {} for {}", token.source, token.subjects.join(" or ")));
        let parts: Vec<String> = all.into_iter().flatten().chain(workloads).chain(token).collect();
        if let Some(name) = self.key.to_string().strip_prefix("identity.callers.") {
            write!(f, "caller {name}: ")?;
        }
        f.write_str(&parts.join(" + "))?;
        if !self.routes.is_empty() {
            write!(f, ", on {}", self.routes.join(", "))?;
        }
        Ok(())
    }
}
