//! Secrets from files, several valid at once: a new one is added, then the old one is taken away, and nobody is locked
//! out in between.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::secrets::{Refusals, Refused, Secret, SecretSet, SecretSource};

/// What is wrong: key of the configuration, and the rest of a sentence.
pub(super) type Problem = (String, String);

/// Makes of a secret what it is compared by. `Err` says what is wrong with it, as the rest of a sentence.
type Make<T> = fn(&Secret) -> Result<T, &'static str>;

/// The secrets of one list of files.
pub(super) struct Rotation<T> {
    /// Key of the list, for messages.
    key: String,
    sources: BTreeMap<String, SecretSource>,
    make: Make<T>,
    current: ArcSwap<Generation<T>>,
    refusals: Refusals,
}

/// Secrets from one moment.
struct Generation<T> {
    set: SecretSet,
    made: Vec<T>,
}

impl<T> Rotation<T> {
    /// Reads `files`; `None` where there are none.
    pub(super) fn open(key: String, files: &[PathBuf], make: Make<T>) -> Result<Option<Self>, Vec<Problem>> {
        if files.is_empty() {
            return Ok(None);
        }
        let name = |n: usize| format!("{key}[{n}]");
        let sources = files.iter().enumerate().map(|(n, path)| (name(n), SecretSource::File(path.clone())));
        let sources: BTreeMap<String, SecretSource> = sources.collect();
        let wrong = |(key, error): (String, crate::secrets::SecretError)| (key, error.to_string());
        let set = SecretSet::read(&sources).map_err(|errors| errors.into_iter().map(wrong).collect::<Vec<_>>())?;
        let first = Generation::of(set, &sources, make).map_err(|problem| vec![problem])?;
        let (current, refusals) = (ArcSwap::from_pointee(first), Refusals::default());
        Ok(Some(Self { key, sources, make, current, refusals }))
    }

    /// Those that are valid now.
    pub(super) fn current(&self) -> impl std::ops::Deref<Target = [T]> {
        Current(self.current.load())
    }

    /// How many files there are.
    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// Files to watch.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.sources.values().filter_map(|source| match source {
            SecretSource::File(path) => Some(path.clone()),
            SecretSource::Folder(_) | SecretSource::Variable { .. } | SecretSource::Made(_) => None,
        })
    }

    /// Reads the files again, and says whether anything is new.
    pub(super) fn reload(&self) -> Result<bool, Refused<Problem>> {
        let old = self.current.load_full();
        let read = SecretSet::read_again(&self.sources, &old.set);
        let look = self.refusals.look(&read);
        let read = read.map_err(|errors| {
            let first = errors.into_iter().next();
            first.map_or_else(|| (self.key.clone(), String::new()), |(key, error)| (key, error.to_string()))
        });
        self.refusals.note(look, read.and_then(|set| self.take(set, &old)))
    }

    fn take(&self, set: SecretSet, old: &Generation<T>) -> Result<bool, Problem> {
        if set.same_as(&old.set) {
            return Ok(false);
        }
        self.current.store(Arc::new(Generation::of(set, &self.sources, self.make)?));
        Ok(true)
    }
}

impl<T> Generation<T> {
    fn of(set: SecretSet, sources: &BTreeMap<String, SecretSource>, make: Make<T>) -> Result<Self, Problem> {
        let mut made = Vec::new();
        for secret_key in sources.keys() {
            let Some(secret) = set.get(secret_key) else { continue };
            made.push(make(secret).map_err(|problem| (secret_key.clone(), problem.to_owned()))?);
        }
        Ok(Self { set, made })
    }
}

struct Current<T>(Guard<Arc<Generation<T>>>);

impl<T> std::ops::Deref for Current<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0.made
    }
}

impl<T> std::fmt::Debug for Rotation<T> {
    /// Files, never what is in them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rotation").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Whether `same` holds for one of `all`. Every one is asked, whichever was right, so that the time tells nothing (T-52).
pub(super) fn any_without_haste<T>(all: &[T], same: impl Fn(&T) -> bool) -> bool {
    all.iter().fold(false, |held, one| same(one) | held) // T-52: all secrets compared
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// T-52: the number of comparisons depends on the configuration alone.
    #[test]
    fn every_secret_is_compared_whichever_is_right() {
        for right in [Some(0), Some(1), Some(2), None] {
            let asked = Cell::new(0);
            let held = any_without_haste(&[0, 1, 2], |one| {
                asked.set(asked.get() + 1);
                Some(*one) == right
            });
            assert_eq!((held, asked.get()), (right.is_some(), 3));
        }
    }
}
