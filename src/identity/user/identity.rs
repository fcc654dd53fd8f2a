//! A proven user, and what the rest of the service may ask of one.

use std::borrow::Cow;
use std::sync::Arc;

use super::profile::{HeaderLines, Profile};
use super::text;
use crate::identity::Refusal;

/// A proven user. Private fields and two makers: `Resolver` for requests, and [`Identity::of_operator`] for
/// the operator's own command line.
#[derive(Clone)]
pub struct Identity<'r> {
    source: &'r str,
    namespace: &'r str,
    reading: Reading<'r>,
}

/// What a source read of the user.
#[derive(Clone)]
pub(in crate::identity) enum Reading<'r> {
    /// Plain header lines, borrowed from the request.
    Lines(HeaderLines<'r>),
    /// Whatever had to be decoded, or was verified and kept.
    Profile(Arc<Profile>),
}

impl<'r> Identity<'r> {
    /// The user that a source read.
    pub(in crate::identity) const fn new(source: &'r str, namespace: &'r str, reading: Reading<'r>) -> Self {
        Self { source, namespace, reading }
    }

    /// The user that the operator names on the command line; a process that can read our secrets may do that. The subject
    /// passes the same checks as one from a header.
    pub fn of_operator(subject: &'r str, name: Option<&'r str>) -> Result<Self, Refusal> {
        let subject = text::subject(subject, text::Medium::Signed)?;
        let name = name.and_then(text::display_name);
        let reading = Reading::Lines(HeaderLines { subject, name, ..HeaderLines::default() });
        Ok(Self { source: "operator", namespace: "", reading })
    }

    /// The same user with what else the operator says of it. Groups are separated by commas.
    #[must_use]
    pub fn with(self, email: Option<&'r str>, groups: &'r str) -> Self {
        let groups = (!groups.is_empty()).then_some((groups.as_bytes(), ','));
        let reading = match self.reading {
            Reading::Lines(lines) => Reading::Lines(HeaderLines { email: email.map(str::as_bytes), groups, ..lines }),
            profile @ Reading::Profile(_) => profile,
        };
        Self { reading, ..self }
    }

    /// Name of the source that the user comes from.
    pub fn source(&self) -> &str {
        self.source
    }

    /// What keeps the subjects of this source apart from those of others; empty where there is one source.
    pub fn namespace(&self) -> &str {
        self.namespace
    }

    /// Who vouches for the subject, where the source knows.
    pub fn issuer(&self) -> Option<&str> {
        match &self.reading {
            Reading::Lines(_) => None,
            Reading::Profile(profile) => profile.issuer.as_deref(),
        }
    }

    /// The subject, byte for byte as the source sent it.
    pub fn subject(&self) -> &str {
        match &self.reading {
            Reading::Lines(lines) => lines.subject,
            Reading::Profile(profile) => &profile.subject,
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
        match &self.reading {
            Reading::Lines(lines) => lines.name.as_deref(),
            Reading::Profile(profile) => profile.name.as_deref(),
        }
    }

    /// E-mail address.
    pub fn email(&self) -> Option<&str> {
        match &self.reading {
            Reading::Lines(lines) => lines.email.and_then(text::email),
            Reading::Profile(profile) => profile.email.as_deref(),
        }
    }

    /// Address of a picture; https only.
    pub fn avatar(&self) -> Option<&str> {
        match &self.reading {
            Reading::Lines(lines) => lines.avatar.and_then(text::avatar),
            Reading::Profile(profile) => profile.avatar.as_deref(),
        }
    }

    /// Groups, in the order sent.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let (lines, profile) = match &self.reading {
            Reading::Lines(lines) => (lines.groups, None),
            Reading::Profile(profile) => (None, Some(profile)),
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
