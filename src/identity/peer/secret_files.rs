//! Secrets from files, several valid at once: a new one is added, then the old one is removed, and no peer is locked
//! out in between.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::Guard;

use crate::definition::{Key, Mistake, Mistakes};
use crate::secrets::{Reloaded, Reports, Secret, SecretSet, SecretSource};

/// Makes of a secret what it is compared by. `Err` says what is wrong with it, as the rest of a sentence.
type Make<T> = fn(&Secret) -> Result<T, &'static str>;

/// The secrets of one list of files.
#[derive(Debug)]
pub(super) struct SecretFiles<T> {
    valid: Reloaded<Box<[T]>>,
    make: Make<T>,
}

impl<T> SecretFiles<T> {
    /// Reads `files`, whose key in the configuration is that of `reports`; `None` where there are none.
    pub(super) fn open(reports: Reports, files: &[PathBuf], make: Make<T>) -> Result<Option<Self>, Mistakes> {
        if files.is_empty() {
            return Ok(None);
        }
        let key = reports.key.clone();
        let source = |(n, path): (usize, &PathBuf)| (format!("[{n}]"), SecretSource::File(path.clone()));
        let valid = Reloaded::open(files.iter().enumerate().map(source).collect(), reports, |set| all(set, make));
        Ok(Some(Self { valid: valid.map_err(|mistakes| mistakes.within(key))?, make }))
    }

    /// Those that are valid now.
    pub(super) fn current(&self) -> Guard<Arc<Box<[T]>>> {
        self.valid.current()
    }

    /// How many files there are.
    pub(super) fn len(&self) -> usize {
        self.valid.sources().len()
    }

    /// Files to watch.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.valid.files()
    }

    /// Reads the files again.
    pub(super) fn reload(&self) {
        self.valid.reload(|set, _old| all(set, self.make));
    }
}

fn all<T>(set: &SecretSet, make: Make<T>) -> Result<Box<[T]>, Mistakes> {
    let one = |(name, secret): (&str, &Secret)| {
        make(secret).map_err(|problem| Mistakes::from(Mistake::new(Key::of(name), problem)))
    };
    set.all().map(one).collect()
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
