//! A key set in use: where it comes from is settled, what is in it may change, and reading it never waits.

use std::path::Path;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use super::task::Remote;
use super::{Algorithm, Key, Waiting, local};
use crate::identity::Around;
use crate::identity::definition::{KeyPlace, KeyPlan};
use crate::lifecycle::Lifecycle;
use crate::metrics::KeySetMetrics;
use crate::secrets::{Refusals, Refused, Secret};

/// Keys tried for one token at most.
const MOST_TRIED: usize = 4;

/// The keys of one moment.
#[derive(Debug, Default)]
pub(in crate::identity) struct Keys {
    all: Vec<Arc<Key>>,
    /// Whether no key has an id, so that ids do not matter: keys in PEM, and shared secrets.
    nameless: bool,
    /// Whether the source has told its keys; it may have none.
    told: bool,
}

impl Keys {
    /// These.
    pub(in crate::identity) fn new(keys: Vec<Key>) -> Self {
        Self::of(keys.into_iter().map(Arc::new).collect())
    }

    pub(super) fn of(keys: Vec<Arc<Key>>) -> Self {
        Self { nameless: keys.iter().all(|key| key.kid.is_none()), all: keys, told: true }
    }

    /// Whether the source has never told any, or not for so long that they count no more.
    pub(in crate::identity) fn is_empty(&self) -> bool {
        !self.told
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
    /// The source cannot be asked now, so nobody can say whether the token is good.
    Unreachable,
}

/// A key set in use.
#[derive(Debug, Default)]
pub(in crate::identity) struct KeySet {
    current: ArcSwap<Keys>,
    origin: Origin,
    refusals: Refusals,
    /// Where they come from, for people.
    place: String,
}

#[derive(Debug, Default)]
enum Origin {
    /// Nowhere; the keys stay as they are.
    #[default]
    Fixed,
    File {
        source: String,
        place: KeyPlace,
        /// What was read last, good or not.
        last: Mutex<Option<Secret>>,
        metrics: KeySetMetrics,
    },
    Remote(Box<Remote>),
}

impl KeySet {
    /// Keys that never change.
    #[cfg(test)]
    pub(in crate::identity) fn of(keys: Keys) -> Self {
        Self { current: ArcSwap::from_pointee(keys), ..Self::default() }
    }

    /// The key set of `source`. Files are read now, so that a mistake in them shows; nothing else is asked before
    /// [`KeySet::start`]. `Err` is what is wrong: key below the definition, and the rest of a sentence.
    pub(in crate::identity) fn configure(
        source: &str,
        plan: &KeyPlan,
        around: &Around,
    ) -> Result<Self, (&'static str, String)> {
        let shown = plan.to_string();
        let key = match &plan.place {
            KeyPlace::File(_) => "keys.file",
            KeyPlace::SecretFile(_) => "keys.secret_file",
            KeyPlace::Url(_) | KeyPlace::Discovery { .. } | KeyPlace::PemUrl(_) => {
                let remote = Remote::new(source, plan, around)?;
                let current = ArcSwap::from_pointee(remote.first());
                return Ok(Self { current, origin: Origin::Remote(Box::new(remote)), place: shown, ..Self::default() });
            }
        };
        let metrics = around.metrics.key_set(source, ["file"]);
        let (source, place) = (source.to_owned(), plan.place.clone());
        let origin = Origin::File { source, place, last: Mutex::default(), metrics };
        let set = Self { origin, place: shown, ..Self::default() };
        set.read_file(around.clock.now().as_seconds()).map_err(|problem| (key, problem))?;
        Ok(set)
    }

    /// Where the keys come from, for people.
    pub(in crate::identity) fn place(&self) -> &str {
        &self.place
    }

    /// The keys that are here; never waits.
    pub(in crate::identity) fn current(&self) -> Guard<Arc<Keys>> {
        self.current.load()
    }

    /// Fetches the keys, now and whenever it is time, until the service drains.
    pub(in crate::identity) fn start(self: &Arc<Self>, lifecycle: &Lifecycle, waiting: &Arc<Waiting>) {
        let Origin::Remote(remote) = &self.origin else { return };
        remote.prepare(waiting);
        let (own, stop, waiting) = (Arc::clone(self), lifecycle.draining().clone(), Arc::clone(waiting));
        lifecycle.spawn(async move {
            if let Origin::Remote(remote) = &own.origin {
                remote.run(&own.current, &stop, &waiting).await;
            }
        });
    }

    /// Asks the source for a key that is not here, unless it was asked a moment ago. Waits for one look at most.
    pub(in crate::identity) async fn look_for(&self, kid: Option<&str>) -> Found {
        match &self.origin {
            Origin::Remote(remote) => remote.look_for(kid, &self.current).await,
            Origin::Fixed | Origin::File { .. } => Found::Nothing,
        }
    }

    /// The file whose changes matter.
    pub(in crate::identity) fn file(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File { place: KeyPlace::File(path) | KeyPlace::SecretFile(path), .. } => Some(path),
            _ => None,
        }
    }

    /// Reads the file again. What is not usable is told, and the last good keys stay.
    pub(in crate::identity) fn reload(&self, now: i64) {
        let Origin::File { source, metrics, .. } = &self.origin else { return };
        let outcome = self.read_file(now);
        let look = self.refusals.look(&outcome);
        if let Err(Refused { problem, is_news: true }) = self.refusals.note(look, outcome) {
            metrics.failed("file");
            tracing::error!(source, %problem, "keys are not usable; the last good ones stay in service");
        }
    }

    fn read_file(&self, now: i64) -> Result<(), String> {
        let Origin::File { place, last, metrics, .. } = &self.origin else { return Ok(()) };
        let Some(path) = self.file() else { return Ok(()) };
        let content = local::content(path)?;
        let mut last = last.lock();
        if last.as_ref().is_some_and(|last| last.same_as(&content)) {
            return Ok(());
        }
        // Remembered even where it is of no use: that is told once.
        let keys = local::read(place, last.insert(content))?;
        metrics.fetched(now, keys.len());
        self.current.store(Arc::new(Keys::new(keys)));
        drop(last);
        Ok(())
    }
}
