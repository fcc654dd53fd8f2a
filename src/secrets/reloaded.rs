//! What is made of files and made anew when they change. What is new and good replaces what was as a whole; anything
//! else is counted and logged once, and the last good one stays (T-58).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use super::{SIGNING, Secret, SecretSet, SecretSource};
use crate::definition::{Key, Mistake, Mistakes};
use crate::metrics::{Counter, Gauge};

/// Something that is made of files, and is told when they may have changed.
pub trait Reload: fmt::Debug + Send + Sync {
    /// The files.
    fn files(&self) -> Vec<PathBuf>;

    /// Reads them again.
    fn reload(&self);
}

/// How changes are logged and counted.
#[derive(Clone, Debug)]
pub struct Reports {
    /// What is made of the files, as the log calls it, such as "certificates".
    pub what: &'static str,
    /// Key of the configuration that the names of the sources stand below.
    pub key: Key,
    /// Grows with each change that is taken.
    pub generation: Option<Gauge>,
    /// Grows with each change that is refused.
    pub rejected: Option<Counter>,
}

impl Reports {
    /// Log lines alone.
    pub fn new(what: &'static str, key: impl Into<Key>) -> Self {
        Self { what, key: key.into(), generation: None, rejected: None }
    }

    /// The same for a key below.
    #[must_use]
    pub fn below(&self, key: &str) -> Self {
        Self { key: self.key.below(key), ..self.clone() }
    }
}

/// What a look at the files brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// All is as it was.
    Nothing,
    /// Something new is in service.
    New,
    /// The files are not usable; the last good ones stay.
    Unusable(Mistakes),
}

/// What is made of files.
pub struct Reloaded<T> {
    sources: BTreeMap<String, SecretSource>,
    current: ArcSwap<T>,
    /// Held while the sources are read, so that two readers do not publish in the wrong order.
    state: Mutex<State>,
    /// Keyed anew for each: what is remembered tells nothing of a secret.
    hasher: ahash::RandomState,
    reports: Reports,
}

/// What the last look left.
#[derive(Debug)]
struct State {
    /// What is in service is made of these.
    good: Arc<SecretSet>,
    /// Hash of what was refused, if the last look was. Files are looked at for many reasons, such as a change beside them,
    /// so the same content or error comes again and again.
    refused: Option<u64>,
}

impl<T> Reloaded<T> {
    /// Reads the sources for the first time.
    pub fn open(
        sources: BTreeMap<String, SecretSource>,
        reports: Reports,
        make: impl FnOnce(&Arc<SecretSet>) -> Result<T, Mistakes>,
    ) -> Result<Self, Mistakes> {
        let good = Arc::new(SecretSet::read(&sources).map_err(Mistakes::from)?);
        let first = make(&good)?;
        if let Some(generation) = &reports.generation {
            generation.set(1);
        }
        let state = Mutex::new(State { good, refused: None });
        Ok(Self { sources, current: ArcSwap::from_pointee(first), state, hasher: ahash::RandomState::new(), reports })
    }

    /// The same for one source, whose name is known to the caller.
    pub fn open_one(
        name: &str,
        source: SecretSource,
        reports: Reports,
        make: impl FnOnce(&Secret) -> Result<T, Mistake>,
    ) -> Result<Self, Mistakes> {
        Self::open(BTreeMap::from([(name.to_owned(), source)]), reports, |set| one(set, make))
    }

    /// Made of no files; what replaces it comes by [`Reloaded::replace`].
    pub fn of(first: T) -> Self {
        let (current, state) =
            (ArcSwap::from_pointee(first), Mutex::new(State { good: Arc::default(), refused: None }));
        let hasher = ahash::RandomState::new();
        Self { sources: BTreeMap::new(), current, state, hasher, reports: Reports::new("", Key::default()) }
    }

    /// Puts something else in service.
    pub fn replace(&self, new: T) {
        self.current.store(Arc::new(new));
    }

    /// What is in service; never waits.
    pub fn current(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    /// Where each source is.
    pub fn sources(&self) -> &BTreeMap<String, SecretSource> {
        &self.sources
    }

    /// Files to watch.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.sources.values().filter_map(|source| match source {
            SecretSource::File(path) | SecretSource::Text { path, .. } | SecretSource::Lines(path) => {
                Some(path.clone())
            }
            // Any file stands for its folder.
            SecretSource::Folder(folder) | SecretSource::Values(folder) => Some(folder.join(SIGNING)),
            SecretSource::Variable { .. } | SecretSource::Made(_) => None,
        })
    }

    /// Reads the sources again. Where they are others, `make` makes of them, and of what was, what replaces it.
    pub fn reload(&self, make: impl FnOnce(&Arc<SecretSet>, &T) -> Result<T, Mistakes>) -> News {
        self.look(|set, changed, old| if changed { make(set, old).map(Some) } else { Ok(None) })
    }

    /// The same for one source.
    pub fn reload_one(&self, make: impl FnOnce(&Secret, &T) -> Result<T, Mistake>) -> News {
        self.reload(|set, old| one(set, |secret| make(secret, old)))
    }

    /// The same where time alone may change what is made of sources that stay as they are: `make` is told whether they are
    /// others, and may make nothing.
    pub fn look(&self, make: impl FnOnce(&Arc<SecretSet>, bool, &T) -> Result<Option<T>, Mistakes>) -> News {
        let mut state = self.state.lock();
        let read = SecretSet::read_again(&self.sources, &state.good);
        let look = self.hasher.hash_one(&read);
        let made = read.map_err(Mistakes::from).and_then(|set| {
            let set = Arc::new(set);
            let changed = !set.same_as(&state.good);
            let made = make(&set, changed, &self.current.load())?;
            Ok((set, changed, made))
        });
        let refused = made.is_err().then_some(look);
        let is_news = std::mem::replace(&mut state.refused, refused) != refused;
        match made {
            Ok((set, changed, made)) => {
                state.good = set;
                let Some(new) = made else { return News::Nothing };
                self.replace(new);
                if changed {
                    self.taken();
                }
                News::New
            }
            Err(mistakes) => {
                if is_news {
                    self.refused(&mistakes);
                }
                News::Unusable(mistakes)
            }
        }
    }

    fn taken(&self) {
        let Reports { what, key, generation, .. } = &self.reports;
        generation.iter().for_each(Gauge::inc);
        tracing::info!(%key, "new {what} are in use");
    }

    fn refused(&self, mistakes: &Mistakes) {
        let Reports { what, key, rejected, .. } = &self.reports;
        rejected.iter().for_each(Counter::inc); // T-58: refused change counted
        for Mistake { key: name, problem } in mistakes {
            let key = name.clone().within(key);
            tracing::error!(%key, problem, "new {what} are unusable; the last good ones stay");
        }
    }
}

/// What is made of secrets may be one.
impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloaded").field("reports", &self.reports).finish_non_exhaustive()
    }
}

/// What is made of the one secret of `set`.
fn one<T>(set: &SecretSet, make: impl FnOnce(&Secret) -> Result<T, Mistake>) -> Result<T, Mistakes> {
    let (name, secret) = set.all().next().ok_or_else(Mistakes::default)?;
    make(secret).map_err(|mistake| mistake.within(Key::of(name)).into())
}
