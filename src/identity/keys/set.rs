//! The keys of one moment, which of them may verify a token, and what comes of looking for one that is missing.

use std::sync::Arc;

use super::{Algorithm, Key};

/// Keys tried for one token at most.
const MOST_TRIED: usize = 4;

/// The keys of one moment.
#[derive(Debug, Default)]
pub(in crate::identity) struct Keys {
    all: Vec<Arc<Key>>,
    /// Whether no key has an id, so that ids do not matter: keys in PEM, and shared secrets.
    nameless: bool,
    /// Whether the source has answered; it may have no keys.
    is_answered: bool,
}

impl Keys {
    /// These.
    pub(in crate::identity) fn new(keys: Vec<Key>) -> Self {
        Self::of(keys.into_iter().map(Arc::new).collect())
    }

    pub(super) fn of(keys: Vec<Arc<Key>>) -> Self {
        Self { nameless: keys.iter().all(|key| key.kid.is_none()), all: keys, is_answered: true }
    }

    /// Whether the source has never answered, or not for so long that its keys count no more.
    pub(in crate::identity) fn is_empty(&self) -> bool {
        !self.is_answered
    }

    /// Every key.
    pub(super) fn all(&self) -> &[Arc<Key>] {
        &self.all
    }

    /// Whether there is a key of this id.
    pub(super) fn has(&self, kid: &str) -> bool {
        self.all.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The keys that a token with this `kid` and algorithm may be verified with: those of the same id; or, where token
    /// or set give none, the first few that fit.
    pub(in crate::identity) fn candidates<'k>(
        &'k self,
        kid: Option<&'k str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'k Key> {
        let any = self.nameless || kid.is_none();
        let own = move |key: &&Arc<Key>| (any || key.kid.as_deref() == kid) && key.fits(algorithm);
        self.all.iter().filter(own).take(MOST_TRIED).map(AsRef::as_ref)
    }
}

/// What came of looking for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Found {
    /// Look again: a key of this id is here, without a word from the source.
    Here,
    /// Look again: the source has answered.
    Changed,
    /// The source has no such key, as far as is known.
    Nothing,
    /// The source cannot be asked now, so it is unknown whether the token is good.
    Unreachable,
}
