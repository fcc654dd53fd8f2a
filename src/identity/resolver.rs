//! Resolves the requests of a route: asks its sources in order, and whether the user whom one names is served.

use std::sync::Arc;

use http::HeaderName;

use super::keys::Found;
use super::peer::Gate;
use super::source::{Source, body};
use super::user::users::Users;
use super::{ConnectionProof, Evidence, Identity, Rank, Refusal, Worth};

/// Resolves the requests of one route.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    pub(super) sources: Vec<Arc<Source>>,
    pub(super) gate: Gate,
    /// Sources that verify the tokens of callers.
    pub(super) callers: Vec<Arc<Source>>,
    /// Whether a body names the user.
    pub(super) names_in_body: bool,
    pub(super) users: Option<Arc<Users>>,
}

impl Resolver {
    #[cfg(test)]
    pub(super) fn for_test(name: &str, definition: super::definition::Definition, network: &str) -> Self {
        let source = Source::new(name, definition, std::time::Duration::ZERO, &crate::outbound::Services::for_test())
            .expect("a source");
        let networks = vec![network.parse().expect("a network")];
        let peers =
            Arc::new(super::Peers::for_test(&crate::config::Peers { networks, ..crate::config::Peers::default() }));
        Self { gate: peers.gate("/", source.headers()), sources: vec![Arc::new(source)], ..Self::default() }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn peers(&self) -> &super::Peers {
        self.gate.peers()
    }

    /// The same, for a route that reads these headers as well: a signature over a request covers them.
    #[must_use]
    pub fn covering<'h, I: Iterator<Item = &'h HeaderName>>(self, headers: I) -> Self {
        Self { gate: self.gate.covering(headers), ..self }
    }

    /// The headers that are read, for `Vary`.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.sources.iter().flat_map(|source| source.headers())
    }

    /// Those of them that clients may write: what they hold is proof by itself, from any sender.
    pub fn page_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.sources.iter().filter(|source| source.stands_alone()).flat_map(|source| source.headers())
    }

    /// The same headers, and what each is worth.
    pub fn headers_with_worth(&self) -> impl Iterator<Item = (&HeaderName, Worth)> {
        self.sources.iter().flat_map(|source| {
            let worth = if source.proves_itself() { Worth::Proven } else { Worth::Asserted };
            source.headers().map(move |name| (name, worth))
        })
    }

    /// Whether a body may name the user or is signed, so that it must be read first.
    pub fn reads_body(&self) -> bool {
        self.names_in_body || self.gate.peers().reads_body()
    }

    /// Whether this peer may need the body to prove itself, because it signs requests as a whole.
    pub fn proves_by_body(&self, connection: ConnectionProof) -> bool {
        connection.rank() != Rank::Unproven && self.gate.peers().reads_body()
    }

    /// The member of a body that names the user, where one does: it is no input then.
    pub fn user_member(&self) -> Option<&'static str> {
        self.names_in_body.then_some(body::MEMBER)
    }

    /// The identity that a request carries, once the source of a missing key was asked for it.
    ///
    /// The second look is boxed: it is rare and its future is large, and without the box every request would carry that
    /// room. Whatever else is off the warm path and large is boxed for the same reason.
    pub async fn identify<'r>(&'r self, evidence: Evidence<'r>) -> Result<Identity<'r>, Refusal> {
        match self.resolve(&evidence) {
            Err(refusal) if refusal.may_want_a_key() => Box::pin(self.resolve_again(&evidence, refusal)).await,
            resolved => resolved,
        }
    }

    /// The identity that a request carries: that of the first source that tells anything. A source that tells something
    /// wrong ends it; the next is not asked (threats, section 1, rule 4). It never waits: a token whose key is not here is
    /// refused, and [`Resolver::resolve_again`] may find the key.
    pub fn resolve<'r>(&'r self, evidence: &Evidence<'r>) -> Result<Identity<'r>, Refusal> {
        let mut outcome = Refusal::NoSource;
        for source in &self.sources {
            if evidence.joins(source.headers()) {
                return Err(Refusal::Duplicate);
            }
            match source.read(evidence, || self.gate.prove(evidence, |name| self.caller(name, evidence))) {
                Ok(reading) => {
                    let identity = Identity::new(&source.name, source.namespace(), reading);
                    // T-30: reserved subject
                    if source.is_reserved(identity.subject()) {
                        return Err(Refusal::Namespace);
                    }
                    self.admits(&identity)?;
                    return Ok(identity);
                }
                Err(Refusal::Absent) => outcome = Refusal::Absent,
                Err(refusal) => return Err(refusal),
            }
        }
        Err(outcome)
    }

    /// The same once the sources of missing keys were asked, where that can change the refusal. Several tokens may miss
    /// theirs, that of a caller beside that of a user, so none of them ends the search.
    async fn resolve_again<'r>(&'r self, evidence: &Evidence<'r>, refusal: Refusal) -> Result<Identity<'r>, Refusal> {
        let mut refusal = refusal;
        let (mut unreachable, mut looked_again) = (false, false);
        let users = self.sources.iter().map(|source| (source, *evidence));
        let callers = self.callers.iter().map(|source| (source, evidence.as_peer()));
        for (source, asked) in users.chain(callers) {
            if !refusal.may_want_a_key() {
                break;
            }
            match source.look_for_key(&asked, refusal).await {
                None | Some(Found::Nothing) => continue,
                Some(Found::Unreachable) => {
                    unreachable = true;
                    continue;
                }
                // One more try is for all keys that came meanwhile: else each bad token would have all of them verified
                // again.
                Some(Found::Here) if looked_again => continue,
                Some(Found::Here | Found::Changed) => looked_again = true,
            }
            match self.resolve(evidence) {
                Ok(identity) => return Ok(identity),
                Err(again) => refusal = again,
            }
        }
        // Whether the token is good cannot be known: that is no fault of its sender (T-27).
        let is_unknown = unreachable && matches!(refusal, Refusal::KeyUnknown | Refusal::KeysUnavailable);
        Err(if is_unknown { Refusal::KeysUnavailable } else { refusal })
    }

    /// Whether a user who was found before is still served.
    pub fn admits(&self, identity: &Identity<'_>) -> Result<(), Refusal> {
        self.users.as_ref().map_or(Ok(()), |users| users.admit(identity))
    }

    /// Subject of a caller's own token, which the source called `name` verifies.
    fn caller(&self, name: &str, evidence: &Evidence<'_>) -> Result<String, Refusal> {
        let source = self.callers.iter().find(|source| source.name == name).ok_or(Refusal::NoSource)?;
        // A token that would need another proof of the peer proves nothing.
        let reading = source.read(&evidence.as_peer(), || Err(Refusal::PeerUntrusted))?;
        Ok(Identity::new(name, "", reading).subject().to_owned())
    }
}
