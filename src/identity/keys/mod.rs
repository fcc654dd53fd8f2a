//! Keys that verify tokens: read ([`public`], [`jwks`], [`local`]), fetched ([`fetch`]) when the time has come
//! ([`schedule`]) or a token asks for one that is not here ([`negative_cache`]), and kept ([`set`]).
//!
//! A [`KeySet`] is where the keys of one source come from, which is settled, and the keys that are here, which may change.
//! Reading them never waits.

mod algorithm;
mod client;
mod fetch;
pub(super) mod jwks;
mod local;
mod negative_cache;
mod public;
mod readiness;
mod schedule;
mod set;
mod task;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::Guard;
use parking_lot::Mutex;
use serde::Serialize;

use self::task::Remote;
use super::definition::{KeyPlace, KeyPlan};
use crate::clock::{Clock, Timestamp};
use crate::definition::{self, Mistakes};
use crate::lifecycle::Lifecycle;
use crate::metrics::KeySetMetrics;
use crate::outbound::Services;
use crate::secrets::{News, Reload, Reloaded, Reports, SecretSource};

pub(super) use algorithm::{Algorithm, Family};
pub(super) use public::{Key, MOST_KID_BYTES};
pub(super) use readiness::KeyReadiness;
pub(super) use set::{Found, Keys};

/// How the keys of one source are doing.
#[derive(Clone, Debug, Serialize)]
pub struct KeySetStatus {
    /// Name of the source.
    pub source: String,
    /// Keys in use.
    pub keys: usize,
    /// When the source last told its keys; `None` before the first time.
    pub fetched: Option<Timestamp>,
}

/// A key set in use.
#[derive(Debug)]
pub(super) struct KeySet {
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
        read: Mutex<Timestamp>,
    },
    Remote(Box<Remote>),
}

impl KeySet {
    /// Keys that never change.
    #[cfg(test)]
    pub(super) fn of(keys: Keys) -> Self {
        Self { keys: Reloaded::of(keys), origin: Origin::Fixed, place: String::new() }
    }

    /// The key set of `source`. Files are read now, so that a mistake in them shows; nothing else is asked before
    /// [`KeySet::start`].
    pub(super) fn configure(source: &str, plan: &KeyPlan, services: &Services) -> Result<Self, Mistakes> {
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
        let keys = Reloaded::open_one(key, file, reports, |file| local::read(&plan.place, file).map(Keys::new))?;
        metrics.fetched();
        let (clock, read) = (Arc::clone(&services.clock), Mutex::new(services.clock.now()));
        let origin = Origin::File { place: plan.place.clone(), metrics, clock, read };
        Ok(Self { keys, origin, place: plan.to_string() })
    }

    /// Where the keys come from, for people.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The keys that are here; never waits.
    pub(super) fn current(&self) -> Guard<Arc<Keys>> {
        self.keys.current()
    }

    /// Fetches the keys, now and whenever it is time, until the service drains.
    pub(super) fn start(self: &Arc<Self>, lifecycle: &Lifecycle, readiness: &Arc<KeyReadiness>) {
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
    pub(super) async fn look_for(&self, kid: Option<&str>) -> Found {
        let Origin::Remote(remote) = &self.origin else { return Found::Nothing };
        remote.look_for(kid, &self.keys).await
    }

    /// How the keys of `source` are doing.
    pub(super) fn status(&self, source: &str) -> KeySetStatus {
        let fetched = match &self.origin {
            #[cfg(test)]
            Origin::Fixed => None,
            Origin::File { read, .. } => Some(*read.lock()),
            Origin::Remote(remote) => remote.fetched(),
        };
        KeySetStatus { source: source.to_owned(), keys: self.current().all().len(), fetched }
    }
}

impl Reload for KeySet {
    fn files(&self) -> Vec<PathBuf> {
        self.keys.files().collect()
    }

    fn reload(&self) {
        let Origin::File { place, metrics, clock, read } = &self.origin else { return };
        if self.keys.reload_one(|file, _old| local::read(place, file).map(Keys::new)) == News::New {
            *read.lock() = clock.now();
            metrics.fetched();
        }
    }
}
