//! What was refused last. Files are looked at for many reasons, such as a change beside them, so the same content or error
//! comes again and again; it is told and counted once.

use std::hash::Hash;

use parking_lot::Mutex;

/// Remembers the last refusal of one set of files.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Keyed anew for each: what is remembered tells nothing of a secret.
    hasher: ahash::RandomState,
    last: Mutex<Option<u64>>,
}

/// What a look at files brought, to be recognised.
#[derive(Clone, Copy, Debug)]
pub struct Look(u64);

/// What is wrong with new content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused<P> {
    /// What is wrong.
    pub problem: P,
    /// Whether the last look did not bring the same.
    pub is_news: bool,
}

impl Refusals {
    /// What was read, or why nothing could be.
    pub fn look(&self, read: &impl Hash) -> Look {
        Look(self.hasher.hash_one(read))
    }

    /// Notes what came of a look.
    pub fn note<T, P>(&self, Look(look): Look, outcome: Result<T, P>) -> Result<T, Refused<P>> {
        let now = outcome.is_err().then_some(look);
        let before = std::mem::replace(&mut *self.last.lock(), now);
        outcome.map_err(|problem| Refused { problem, is_news: before != now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_refusal_is_news_once() {
        let refusals = Refusals::default();
        let judge = |read: &str, outcome: Result<(), &'static str>| {
            refusals.note(refusals.look(&read), outcome).map_err(|refused| refused.is_news)
        };
        assert_eq!(judge("bad", Err("no key")), Err(true));
        assert_eq!(judge("bad", Err("no key")), Err(false));
        assert_eq!(judge("worse", Err("no key")), Err(true), "other content with the same fault");
        assert_eq!(judge("good", Ok(())), Ok(()));
        assert_eq!(judge("worse", Err("no key")), Err(true), "it was good in between");
    }
}
