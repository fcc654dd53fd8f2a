//! A key set in use: where it comes from is settled, what is in it may change, and reading it never waits.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::Guard;

use super::task::Remote;
use super::{Algorithm, Key, KeyReadiness, local};
use crate::clock::Clock;
use crate::definition::{self, Mistake};
use crate::identity::definition::{KeyPlace, KeyPlan};
use crate::lifecycle::Lifecycle;
use crate::metrics::KeySetMetrics;
use crate::outbound::Services;
use crate::secrets::{News, Reload, Reloaded, Reports, SecretSource};

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

/// A key set in use.
#[derive(Debug)]
pub(in crate::identity) struct KeySet {
    keys: Reloaded<Keys>,
    origin: Origin,
    /// Where they come from, for people.
    place: String,
}

#[derive(Debug)]
enum Origin {
    /// Nowhere; the keys stay as they are.
    #[cfg(test)]
    Fixed,
    File {
        place: KeyPlace,
        metrics: KeySetMetrics,
        clock: Arc<dyn Clock>,
    },
    Remote(Box<Remote>),
}

impl KeySet {
    /// Keys that never change.
    #[cfg(test)]
    pub(in crate::identity) fn of(keys: Keys) -> Self {
        Self { keys: Reloaded::of(keys), origin: Origin::Fixed, place: String::new() }
    }

    /// The key set of `source`. Files are read now, so that a mistake in them shows; nothing else is asked before
    /// [`KeySet::start`].
    pub(in crate::identity) fn configure(source: &str, plan: &KeyPlan, services: &Services) -> Result<Self, Mistake> {
        let (key, path) = match &plan.place {
            KeyPlace::File(path) => ("keys.file", path),
            KeyPlace::SecretFile(path) => ("keys.secret_file", path),
            KeyPlace::Url(_) | KeyPlace::Discovery { .. } | KeyPlace::PemUrl(_) => {
                let remote = Remote::new(source, plan, services)?;
                let keys = Reloaded::of(remote.first());
                return Ok(Self { keys, origin: Origin::Remote(Box::new(remote)), place: plan.to_string() });
            }
        };
        let metrics = services.metrics.identity.key_set(source, ["file"]);
        let reports = Reports {
            rejected: metrics.of("file").cloned(),
            ..Reports::new("keys", definition::Key::from("identity.sources").below(source))
        };
        let file = SecretSource::File(path.clone());
        let keys = Reloaded::open_one(key, file, reports, |file| local::read(&plan.place, file).map(Keys::new));
        let keys = keys.map_err(|problem| Mistake::new(key, problem))?;
        let origin = Origin::File { place: plan.place.clone(), metrics, clock: Arc::clone(&services.clock) };
        let set = Self { keys, origin, place: plan.to_string() };
        set.show();
        Ok(set)
    }

    /// Where the keys come from, for people.
    pub(in crate::identity) fn place(&self) -> &str {
        &self.place
    }

    /// The keys that are here; never waits.
    pub(in crate::identity) fn current(&self) -> Guard<Arc<Keys>> {
        self.keys.current()
    }

    /// Fetches the keys, now and whenever it is time, until the service drains.
    pub(in crate::identity) fn start(self: &Arc<Self>, lifecycle: &Lifecycle, readiness: &Arc<KeyReadiness>) {
        let Origin::Remote(remote) = &self.origin else { return };
        remote.prepare(readiness);
        let (own, stop, readiness) = (Arc::clone(self), lifecycle.draining().clone(), Arc::clone(readiness));
        lifecycle.spawn(async move {
            if let Origin::Remote(remote) = &own.origin {
                remote.run(&own.keys, &stop, &readiness).await;
            }
        });
    }

    /// Asks the source for a key that is not here, unless it was asked a moment ago. Waits for one look at most.
    pub(in crate::identity) async fn look_for(&self, kid: Option<&str>) -> Found {
        let Origin::Remote(remote) = &self.origin else { return Found::Nothing };
        remote.look_for(kid, &self.keys).await
    }

    fn show(&self) {
        if let Origin::File { metrics, clock, .. } = &self.origin {
            metrics.fetched(clock.now().as_seconds(), self.current().all.len());
        }
    }
}

impl Reload for KeySet {
    fn files(&self) -> Vec<PathBuf> {
        self.keys.files().collect()
    }

    fn reload(&self) {
        let Origin::File { place, .. } = &self.origin else { return };
        if self.keys.reload_one(|file, _old| local::read(place, file).map(Keys::new)) == News::New {
            self.show();
        }
    }
}
