//! Where identity comes from: the definitions in use, compiled.

pub(super) mod headers;

use http::HeaderName;

use super::definition::{self, Definition, HeaderNames};
use super::{Asking, PeerProof, Refusal, Told};

/// A user as a source told it, decoded and owned.
#[derive(Default)]
pub(super) struct Profile {
    /// Who vouches for the subject.
    pub(super) issuer: Option<String>,
    /// The subject; checked by [`super::text::subject`].
    pub(super) subject: String,
    /// Cleaned by [`super::text::display_name`].
    pub(super) name: Option<String>,
    /// Checked by [`super::text::email`]; verified where the source says so.
    pub(super) email: Option<String>,
    /// Checked by [`super::text::avatar`].
    pub(super) avatar: Option<String>,
    /// At most 256.
    pub(super) groups: Vec<String>,
}

/// A source in use.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    /// What keeps its subjects apart from those of other sources.
    pub(super) namespace: String,
    pub(super) kind: Kind,
}

/// How a source tells identity.
#[derive(Debug)]
pub(super) enum Kind {
    /// In headers, which only a proven peer may send.
    Headers(HeaderNames),
}

impl Source {
    pub(super) fn new(name: &str, definition: Definition) -> Self {
        let kind = match definition.kind {
            definition::Kind::Headers(names) => Kind::Headers(names),
        };
        Self { name: name.to_owned(), namespace: definition.namespace.unwrap_or_default(), kind }
    }

    /// The headers that it looks at.
    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        match &self.kind {
            Kind::Headers(names) => names.all(),
        }
    }

    /// Whether it believes nothing but signatures.
    pub(super) fn is_signed(&self) -> bool {
        match &self.kind {
            Kind::Headers(_) => false,
        }
    }

    /// What it tells of a request. [`Refusal::Absent`] means that it tells nothing, so the next source is asked.
    pub(super) fn read<'r>(
        &'r self,
        asking: &Asking<'r>,
        proof: impl FnOnce() -> Result<PeerProof, Refusal>,
    ) -> Result<Told<'r>, Refusal> {
        match &self.kind {
            Kind::Headers(names) => headers::read(names, proof()?, asking.headers).map(Told::Lines),
        }
    }
}

impl std::fmt::Debug for Profile {
    /// Personal data stays out of panics and logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").finish_non_exhaustive()
    }
}
