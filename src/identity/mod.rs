//! Who is asking. Turns proof into the one [`Identity`] type, or a [`Refusal`] with a reason.
//!
//! A [`Resolver`] holds the configured source and the peers that may speak for it. `inbound` asks it once per request;
//! nothing else can make an [`Identity`].

mod definition;
mod headers;
mod peer;
mod text;

use std::borrow::Cow;

use http::header::HeaderMap;

pub use definition::{HeaderNames, PRESETS, summary};
pub use peer::{Peer, PeerPolicy, PeerProof};

use crate::config;
use crate::config::ConfigError;

/// A proven user. Private fields and two makers: [`Resolver::resolve`] for requests, and [`Identity::of_operator`] for
/// the operator's own command line.
#[derive(Clone)]
pub struct Identity<'r> {
    source: &'r str,
    issuer: Option<&'r str>,
    subject: &'r str,
    name: Option<Cow<'r, str>>,
    /// As sent; read when somebody asks.
    email: Option<&'r [u8]>,
    avatar: Option<&'r str>,
    /// As sent, and the separator; taken apart when somebody asks.
    groups: Option<(&'r [u8], char)>,
}

impl<'r> Identity<'r> {
    /// The user that the operator names on the command line; whoever can read our secrets may do that. The subject
    /// passes the same checks as one from a header.
    pub fn of_operator(subject: &'r str, name: Option<&'r str>) -> Result<Self, Refusal> {
        let subject = text::subject(subject.as_bytes(), true)?;
        let name = name.and_then(|name| text::display_name(name.as_bytes()));
        Ok(Self { source: "operator", issuer: None, subject, name, email: None, avatar: None, groups: None })
    }

    /// The same user with what else the operator says of it. Groups are separated by commas.
    #[must_use]
    pub fn with(self, email: Option<&'r str>, groups: &'r str) -> Self {
        let groups = (!groups.is_empty()).then_some((groups.as_bytes(), ','));
        Self { email: email.map(str::as_bytes), groups, ..self }
    }

    /// Name of the source that told this identity.
    pub fn source(&self) -> &str {
        self.source
    }

    /// Who vouches for the subject, where the source knows.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer
    }

    /// The subject, byte for byte as the source sent it.
    pub fn subject(&self) -> &str {
        self.subject
    }

    /// Name to show to people; cleaned.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// E-mail address.
    pub fn email(&self) -> Option<&str> {
        self.email.and_then(text::email)
    }

    /// Address of a picture.
    pub fn avatar(&self) -> Option<&str> {
        self.avatar
    }

    /// Groups, in the order sent.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.into_iter().flat_map(|(bytes, separator)| headers::split(bytes, separator))
    }
}

impl std::fmt::Debug for Identity<'_> {
    /// Personal data stays out of panics and logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Why a request has no identity. The reason goes to log and metric; outside, all look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// No source is configured.
    #[error("no identity source is configured")]
    NoSource,
    /// The peer may not tell identity.
    #[error("the peer may not tell identity")]
    PeerUntrusted,
    /// Nobody is signed in.
    #[error("the subject header is absent, empty, or names nobody")]
    Absent,
    /// Other identity headers are there, but not the subject.
    #[error("identity headers came without the subject")]
    SubjectMissing,
    /// A header came twice, or two values were joined by a comma.
    #[error("an identity header came more than once")]
    Duplicate,
    /// A header came under a name that some hop reads as one of ours.
    #[error("an alias of an identity header is present")]
    Alias,
    /// `Connection` lists one of our headers.
    #[error("an identity header is listed in Connection")]
    ListedInConnection,
    /// A placeholder of the proxy that was never filled in.
    #[error("the subject is an unresolved template")]
    Template,
    /// Not UTF-8.
    #[error("the subject is not UTF-8")]
    Encoding,
    /// Control, invisible, unassigned or compatibility characters.
    #[error("the subject holds characters that can be mistaken or hide")]
    Character,
    /// Longer than allowed.
    #[error("an identity value is too long")]
    TooLong,
}

impl Refusal {
    /// Every reason, for metrics that exist from the start.
    pub const ALL: [Self; 11] = [
        Self::NoSource,
        Self::PeerUntrusted,
        Self::Absent,
        Self::SubjectMissing,
        Self::Duplicate,
        Self::Alias,
        Self::ListedInConnection,
        Self::Template,
        Self::Encoding,
        Self::Character,
        Self::TooLong,
    ];

    /// Stable label for metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoSource => "no_source",
            Self::PeerUntrusted => "peer_untrusted",
            Self::Absent => "absent",
            Self::SubjectMissing => "subject_missing",
            Self::Duplicate => "duplicate",
            Self::Alias => "alias",
            Self::ListedInConnection => "listed_in_connection",
            Self::Template => "template",
            Self::Encoding => "encoding",
            Self::Character => "character",
            Self::TooLong => "too_long",
        }
    }
}

/// The configured source of identity and the peers that may speak for it.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    source: Option<(String, HeaderNames)>,
    peers: PeerPolicy,
}

impl Resolver {
    /// Checks the `[identity]` section against the presets and the operator's own definitions.
    pub fn configure(identity: &config::Identity) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut refuse = |key: String, problem: String| {
            errors.push(ConfigError::new(identity.origin.clone(), key, problem));
        };
        for (name, value) in &identity.sources {
            if let Err(problem) = definition::custom(value) {
                refuse(format!("identity.sources.{name}"), problem);
            }
            if PRESETS.iter().any(|(preset, _)| preset == name) {
                refuse(format!("identity.sources.{name}"), "is the name of a preset; choose another".to_owned());
            }
        }
        let source = identity.source.as_ref().and_then(|name| {
            let own = identity.sources.get(name).map(definition::custom);
            match definition::preset(name).or(own) {
                Some(Ok(names)) => Some((name.clone(), names)),
                Some(Err(_)) => None,
                None => {
                    let presets: Vec<_> = PRESETS.iter().map(|(preset, _)| *preset).collect();
                    let problem = format!(
                        "no source \"{name}\"; presets: {}; or define identity.sources.{name}",
                        presets.join(", ")
                    );
                    refuse("identity.source".to_owned(), problem);
                    None
                }
            }
        });
        let peers = PeerPolicy::new(identity.networks.clone(), identity.unix_uids.clone());
        if errors.is_empty() { Ok(Self { source, peers }) } else { Err(errors) }
    }

    /// Which peers may tell identity.
    pub fn peers(&self) -> &PeerPolicy {
        &self.peers
    }

    /// The headers that are read, for `Vary`.
    pub fn header_names(&self) -> Option<&HeaderNames> {
        self.source.as_ref().map(|(_, names)| names)
    }

    /// Name of the source.
    pub fn source(&self) -> Option<&str> {
        self.source.as_ref().map(|(name, _)| name.as_str())
    }

    /// The identity that a request carries. `proof` was made when the connection was accepted.
    pub fn resolve<'r>(&'r self, proof: Option<PeerProof>, headers: &'r HeaderMap) -> Result<Identity<'r>, Refusal> {
        let (source, names) = self.source.as_ref().ok_or(Refusal::NoSource)?;
        let proof = proof.ok_or(Refusal::PeerUntrusted)?;
        headers::read(names, source, proof, headers)
    }
}

#[cfg(test)]
mod tests;
