//! Who is asking. Turns proof into the one [`Identity`] type, or a [`Refusal`] with a reason.
//!
//! [`Sources`] compiles what is configured: definitions ([`definition`]) become sources ([`source`]), and what proves a
//! peer becomes [`Peers`]. Each route has a [`Resolver`], which `inbound` asks once per request; nothing else can make
//! an [`Identity`].

mod ambiguity;
mod decode;
mod definition;
mod evidence;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod keys;
mod namespace;
mod peer;
mod profile;
mod refusal;
mod relayed;
mod resolver;
mod roles;
mod source;
mod sources;
mod text;
mod token;
mod users;

use std::borrow::Cow;
use std::sync::Arc;

use http::header::HeaderMap;
use http::{HeaderName, Method};

pub use definition::{PRESETS, summary};
pub use evidence::Worth;
pub use peer::{Peer, PeerProof, Peers, Rank, Standing};
pub use refusal::Refusal;
pub use relayed::Relayed;
pub use resolver::Resolver;
pub use roles::Roles;
pub use sources::{Around, Sources};

use profile::Profile;
use source::headers::Told as Lines;

/// What of a request may tell identity.
#[derive(Clone, Copy)]
pub struct Asking<'r> {
    /// What the connection proves.
    pub standing: Standing,
    /// Method.
    pub method: &'r Method,
    /// Path and query, as sent.
    pub target: &'r str,
    /// Every header line.
    pub headers: &'r HeaderMap,
    /// The whole body, where [`Resolver::reads_body`] and there is one.
    pub body: Option<&'r [u8]>,
    /// What the proxy told beside the request, where it asked over gRPC. The headers above are those of its client then.
    pub relayed: Option<&'r Relayed>,
}

impl<'r> Asking<'r> {
    /// The headers of whoever asks: only what the peer itself sent can prove the peer.
    const fn of_peer(&self) -> &'r HeaderMap {
        match self.relayed {
            None => self.headers,
            Some(relayed) => relayed.metadata(), // T-01: relayed headers
        }
    }

    /// Whether one of these headers could be two that the proxy joined into one.
    pub fn joins<'n, I: Iterator<Item = &'n HeaderName>>(&self, names: I) -> bool {
        self.relayed.is_some_and(|relayed| relayed.joins(self.headers, names))
    }

    /// The call of whoever asks, as if it were the request.
    const fn as_peer(&self) -> Self {
        Self { headers: self.of_peer(), relayed: None, ..*self }
    }
}

impl std::fmt::Debug for Asking<'_> {
    /// Headers and bodies are full of secrets and personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("standing", &self.standing).finish_non_exhaustive()
    }
}

/// A proven user. Private fields and two makers: [`Resolver::resolve`] for requests, and [`Identity::of_operator`] for
/// the operator's own command line.
#[derive(Clone)]
pub struct Identity<'r> {
    source: &'r str,
    namespace: &'r str,
    told: Told<'r>,
}

/// What a source told.
#[derive(Clone)]
enum Told<'r> {
    /// Plain header lines, borrowed from the request.
    Lines(Lines<'r>),
    /// Whatever had to be decoded, or was verified and kept.
    Profile(Arc<Profile>),
}

impl<'r> Identity<'r> {
    /// The user that the operator names on the command line; whoever can read our secrets may do that. The subject
    /// passes the same checks as one from a header.
    pub fn of_operator(subject: &'r str, name: Option<&'r str>) -> Result<Self, Refusal> {
        let subject = text::subject(subject.as_bytes(), text::Told::Signed)?;
        let name = name.and_then(|name| text::display_name(name.as_bytes()));
        let told = Told::Lines(Lines { subject, name, ..Lines::default() });
        Ok(Self { source: "operator", namespace: "", told })
    }

    /// The same user with what else the operator says of it. Groups are separated by commas.
    #[must_use]
    pub fn with(self, email: Option<&'r str>, groups: &'r str) -> Self {
        let groups = (!groups.is_empty()).then_some((groups.as_bytes(), ','));
        let told = match self.told {
            Told::Lines(lines) => Told::Lines(Lines { email: email.map(str::as_bytes), groups, ..lines }),
            profile @ Told::Profile(_) => profile,
        };
        Self { told, ..self }
    }

    /// Name of the source that told this identity.
    pub fn source(&self) -> &str {
        self.source
    }

    /// What keeps the subjects of this source apart from those of others; empty where there is one source.
    pub fn namespace(&self) -> &str {
        self.namespace
    }

    /// Who vouches for the subject, where the source knows.
    pub fn issuer(&self) -> Option<&str> {
        match &self.told {
            Told::Lines(_) => None,
            Told::Profile(profile) => profile.issuer.as_deref(),
        }
    }

    /// The subject, byte for byte as the source sent it.
    pub fn subject(&self) -> &str {
        match &self.told {
            Told::Lines(lines) => lines.subject,
            Told::Profile(profile) => &profile.subject,
        }
    }

    /// What chat user ids are made of, and people are told apart by: the subject, behind the namespace of its source
    /// where that has one. Different people have different ones.
    pub fn chat_subject(&self) -> Cow<'_, str> {
        if self.namespace.is_empty() {
            Cow::Borrowed(self.subject())
        } else {
            Cow::Owned(format!("{}-{}", self.namespace, self.subject())) // T-30: namespace in the chat subject
        }
    }

    /// Name to show to people; cleaned.
    pub fn name(&self) -> Option<&str> {
        match &self.told {
            Told::Lines(lines) => lines.name.as_deref(),
            Told::Profile(profile) => profile.name.as_deref(),
        }
    }

    /// E-mail address.
    pub fn email(&self) -> Option<&str> {
        match &self.told {
            Told::Lines(lines) => lines.email.and_then(text::email),
            Told::Profile(profile) => profile.email.as_deref(),
        }
    }

    /// Address of a picture; https only.
    pub fn avatar(&self) -> Option<&str> {
        match &self.told {
            Told::Lines(lines) => lines.avatar.and_then(text::avatar),
            Told::Profile(profile) => profile.avatar.as_deref(),
        }
    }

    /// Groups, in the order sent.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let (lines, profile) = match &self.told {
            Told::Lines(lines) => (lines.groups, None),
            Told::Profile(profile) => (None, Some(profile)),
        };
        let split = lines.into_iter().flat_map(|(bytes, separator)| text::groups(bytes, separator));
        split.chain(profile.into_iter().flat_map(|profile| profile.groups.iter().map(String::as_str)))
    }
}

impl std::fmt::Debug for Identity<'_> {
    /// Personal data stays out of panics and logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("source", &self.source).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
