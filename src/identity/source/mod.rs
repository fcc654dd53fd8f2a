//! Where identity comes from: the definitions in use, compiled.

pub(super) mod body;
mod decoded;
pub(super) mod headers;
mod left_out;
mod lines;
mod metadata;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use left_out::LeftOut;
pub use sources::{Assertions, IdentityStatus, Sources};

use crate::definition::Mistakes;
use crate::identity::claims::Validity;
use crate::identity::definition::{self, Definition, HeaderNames, MetadataRules, PrincipalRules};
use crate::identity::keys::{Found, KeySet};
use crate::identity::token::Verifier;
use crate::identity::user::Reading;
use crate::identity::user::text::{Medium, SubjectRules};
use crate::identity::{Evidence, PeerProof, Refusal};
use crate::outbound::Services;

/// A source in use.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    /// What keeps its subjects apart from those of other sources.
    namespace: Option<String>,
    /// How its subjects must not begin, because those of others do.
    pub(super) reserved: Vec<String>,
    pub(super) envelope: Envelope,
}

/// How a source tells identity.
#[derive(Debug)]
pub(super) enum Envelope {
    /// In headers, which only a proven peer may send.
    Headers {
        names: HeaderNames,
        /// For payloads that end.
        validity: Validity,
        /// What was too long.
        left_out: LeftOut,
    },
    /// In a signed token, which is proof by itself.
    Token(Box<Verifier>),
    /// In a JSON body, which only a proven peer may send.
    Body,
    /// In claims that a proven proxy verified and relays.
    Metadata { rules: Box<MetadataRules>, validity: Validity },
    /// In what a proven proxy calls its client.
    Principal(PrincipalRules),
}

impl Source {
    /// Compiles a definition.
    pub(super) fn new(
        name: &str,
        definition: Definition,
        leeway: Duration,
        services: &Services,
    ) -> Result<Self, Mistakes> {
        let validity = Validity { clock: Arc::clone(&services.clock), leeway };
        let envelope = match definition.kind {
            definition::Kind::Headers(names) => {
                let left_out = LeftOut::new(name, &services.metrics);
                Envelope::Headers { names, validity, left_out }
            }
            definition::Kind::Token(token) => {
                let (rules, plan) = *token;
                let keys = Arc::new(KeySet::configure(name, &plan, services)?);
                Envelope::Token(Box::new(Verifier::new(rules, keys, validity)))
            }
            definition::Kind::Body => Envelope::Body,
            definition::Kind::Metadata(rules) => Envelope::Metadata { rules, validity },
            definition::Kind::Principal(rules) => Envelope::Principal(rules),
        };
        let namespace = definition.namespace;
        Ok(Self { name: name.to_owned(), namespace, reserved: Vec::new(), envelope })
    }

    /// What its subjects are kept apart by, if the operator says.
    pub(super) fn declared_namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// What its subjects are kept apart by; empty for none.
    pub(super) fn namespace(&self) -> &str {
        self.declared_namespace().unwrap_or_default()
    }

    /// What its subjects are like.
    pub(super) fn subject_rules(&self) -> SubjectRules {
        match &self.envelope {
            Envelope::Headers { names, .. } => SubjectRules {
                nobody: names.nobody.clone(),
                lower_case: names.decoding.as_ref().is_some_and(|decoding| decoding.lower_case),
                ..SubjectRules::of(names.subject_medium())
            },
            Envelope::Token(verifier) => verifier.subject_rules(),
            Envelope::Body => SubjectRules::of(Medium::Value),
            Envelope::Metadata { .. } => SubjectRules::of(Medium::Signed),
            Envelope::Principal(rules) => {
                SubjectRules { prefixes: rules.prefixes.clone(), ..SubjectRules::of(Medium::Signed) }
            }
        }
    }

    /// Its keys, where it verifies tokens.
    pub(super) fn key_set(&self) -> Option<&Arc<KeySet>> {
        match &self.envelope {
            Envelope::Token(verifier) => Some(verifier.keys()),
            Envelope::Headers { .. } | Envelope::Body | Envelope::Metadata { .. } | Envelope::Principal(_) => None,
        }
    }

    /// The headers that it looks at.
    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let (names, token) = match &self.envelope {
            Envelope::Headers { names, .. } => (Some(names), None),
            Envelope::Token(verifier) => (None, Some(verifier.header())),
            Envelope::Body | Envelope::Metadata { .. } | Envelope::Principal(_) => (None, None),
        };
        names.into_iter().flat_map(HeaderNames::all).chain(token)
    }

    /// A header line with a token as it reads one, and the name of the header.
    pub(super) fn line_of(&self, token: &str) -> Option<(&HeaderName, HeaderValue)> {
        match &self.envelope {
            Envelope::Token(verifier) => Some((verifier.header(), verifier.line_of(token)?)),
            Envelope::Headers { .. } | Envelope::Body | Envelope::Metadata { .. } | Envelope::Principal(_) => None,
        }
    }

    /// Whether what it reads is proof by itself, and not only as good as the peer that sends it.
    pub(super) fn proves_itself(&self) -> bool {
        matches!(self.envelope, Envelope::Token(_))
    }

    /// Whether what it reads is proof from any sender: no peer has to be proven beside it.
    pub(super) fn stands_alone(&self) -> bool {
        matches!(&self.envelope, Envelope::Token(verifier) if !verifier.requires_peer())
    }

    /// Whether the body of a request may name the user.
    pub(super) const fn reads_body(&self) -> bool {
        matches!(self.envelope, Envelope::Body)
    }

    /// Whether a subject could be taken for one of another source.
    pub(super) fn is_reserved(&self, subject: &str) -> bool {
        self.reserved.iter().any(|beginning| subject.starts_with(beginning))
    }

    /// What it tells of a request. [`Refusal::Absent`] means that it tells nothing, so the next source is asked.
    pub(super) fn read<'r>(
        &'r self,
        evidence: &Evidence<'r>,
        proof: impl FnOnce() -> Result<PeerProof, Refusal>,
    ) -> Result<Reading<'r>, Refusal> {
        match &self.envelope {
            Envelope::Headers { names, validity, left_out } => {
                headers::read(names, validity, left_out, proof()?, evidence.headers)
            }
            Envelope::Token(verifier) => verifier.read(evidence, proof).map(Reading::Profile),
            Envelope::Body => body::read(proof()?, evidence).map(Reading::Profile),
            // A request that no proxy relays tells nothing here, from any sender.
            Envelope::Metadata { rules, validity } => {
                let relayed = evidence.relayed.ok_or(Refusal::Absent)?;
                metadata::of_metadata(rules, validity, proof()?, relayed).map(Reading::Profile)
            }
            Envelope::Principal(rules) => {
                let relayed = evidence.relayed.ok_or(Refusal::Absent)?;
                metadata::of_principal(rules, proof()?, relayed).map(Reading::Lines)
            }
        }
    }

    /// Looks for a key that the request's token needs and that is not here; `None` where there is no such token.
    pub(super) async fn look_for_key(&self, evidence: &Evidence<'_>, refusal: Refusal) -> Option<Found> {
        match &self.envelope {
            Envelope::Token(verifier) => verifier.look_for_key(evidence, refusal).await,
            Envelope::Headers { .. } | Envelope::Body | Envelope::Metadata { .. } | Envelope::Principal(_) => None,
        }
    }
}
