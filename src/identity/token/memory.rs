//! Tokens that held a moment ago: a bounded memory, so that a browser's every request costs a digest, not a signature.
//!
//! Each entry is found by the SHA-256 of the whole token, belongs to one source, holds only while the key set that
//! verified it is in use, and is checked against the clock each time it is found. Reading takes no lock.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};

use super::Verified;
use crate::identity::claims::Window;
use crate::identity::keys::Keys;
use crate::identity::user::profile::Profile;

/// Sets of entries, and entries of a set. A token has its place in one set, and there it replaces the least useful entry.
const SETS: usize = 2048;
const WAYS: usize = 4;
/// Bytes of a profile that is worth keeping, so that 8,192 of them are 16 MiB at worst. Longer ones are verified anew.
const MOST_BYTES: usize = 2048;

/// The digest of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(token: &[u8]) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest(&SHA256, token).as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// Two bytes of it, as a number.
    fn number(&self, at: usize) -> usize {
        let byte = |at| self.0.get(at).copied().map_or(0, usize::from);
        byte(at) << 8 | byte(at + 1)
    }
}

/// A token that held.
struct Entry {
    digest: Digest,
    /// The set that verified it. It is not kept alive, and no other takes its address while this is here.
    keys: Weak<Keys>,
    window: Window,
    profile: Arc<Profile>,
}

/// Tokens that held.
pub(super) struct Memory {
    places: Vec<ArcSwapOption<Entry>>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { places: std::iter::repeat_with(ArcSwapOption::empty).take(SETS * WAYS).collect() }
    }

    /// The user of the token with this digest, if `keys` verified it.
    pub(super) fn recall(&self, digest: &Digest, keys: &Arc<Keys>) -> Option<Verified> {
        self.set(digest).iter().find_map(|place| {
            let entry = place.load();
            // T-32: keys of a remembered token
            let entry = entry.as_ref().filter(|entry| entry.digest == *digest && entry.is_of(keys))?;
            Some(Verified { profile: Arc::clone(&entry.profile), window: entry.window })
        })
    }

    /// Keeps the user of the token with this digest.
    pub(super) fn keep(&self, digest: Digest, keys: &Arc<Keys>, verified: &Verified) {
        if bytes(&verified.profile) > MOST_BYTES {
            return;
        }
        let set = self.set(&digest);
        // Best of all is its own old place, then an empty one, one of keys that are gone, and else any.
        let worth = |place: &&ArcSwapOption<Entry>| match place.load().as_ref() {
            Some(entry) if entry.digest == digest => 0,
            None => 1,
            Some(entry) if !entry.is_of(keys) => 2,
            Some(_) => 3,
        };
        let turned = set.iter().cycle().skip(digest.number(2) % WAYS).take(WAYS);
        if let Some(place) = turned.min_by_key(worth) {
            let (window, profile) = (verified.window, Arc::clone(&verified.profile));
            place.store(Some(Arc::new(Entry { digest, keys: Arc::downgrade(keys), window, profile })));
        }
    }

    fn set(&self, digest: &Digest) -> &[ArcSwapOption<Entry>] {
        let first = digest.number(0) % SETS * WAYS;
        self.places.get(first..first + WAYS).unwrap_or_default()
    }
}

impl Entry {
    fn is_of(&self, keys: &Arc<Keys>) -> bool {
        std::ptr::eq(self.keys.as_ptr(), Arc::as_ptr(keys))
    }
}

impl std::fmt::Debug for Memory {
    /// Entries are personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

/// Bytes of all texts of a profile.
fn bytes(profile: &Profile) -> usize {
    let optional = [&profile.issuer, &profile.name, &profile.email, &profile.avatar];
    let optional: usize = optional.into_iter().flatten().map(String::len).sum();
    let groups: usize = profile.groups.iter().map(|group| group.len() + size_of::<String>()).sum();
    profile.subject.len() + optional + groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn verified(subject: &str) -> Verified {
        let profile = Profile { subject: subject.to_owned(), ..Profile::default() };
        let window = Window::new(Timestamp::from_seconds(0), Timestamp::from_seconds(1));
        Verified { profile: Arc::new(profile), window }
    }

    fn recalled(memory: &Memory, token: &str, keys: &Arc<Keys>) -> Option<String> {
        memory.recall(&Digest::of(token.as_bytes()), keys).map(|verified| verified.profile.subject.clone())
    }

    /// T-32: only the very same token under the very same keys is found.
    #[test]
    fn a_token_is_found_by_all_of_it_and_its_keys() {
        let (memory, keys, others) = (Memory::new(), Arc::new(Keys::default()), Arc::new(Keys::default()));
        memory.keep(Digest::of(b"a.b.c"), &keys, &verified("alice"));
        assert_eq!(recalled(&memory, "a.b.c", &keys).as_deref(), Some("alice"));
        for other in ["a.b.d", "a.b.c ", "a.b", ""] {
            assert_eq!(recalled(&memory, other, &keys), None, "{other}");
        }
        assert_eq!(recalled(&memory, "a.b.c", &others), None);
        // Whatever comes to lie where the old keys were is not them.
        drop(keys);
        for _ in 0..100 {
            assert_eq!(recalled(&memory, "a.b.c", &Arc::new(Keys::default())), None);
        }
    }

    #[test]
    fn it_holds_many_and_never_more_than_its_places() {
        let (memory, keys) = (Memory::new(), Arc::new(Keys::default()));
        let tokens: Vec<String> = (0..20_000).map(|n| format!("token-{n}")).collect();
        let found = |upto: usize| {
            let held = |token: &&String| {
                let subject = recalled(&memory, token, &keys);
                assert!(subject.as_ref().is_none_or(|subject| subject == *token), "the subject of another token");
                subject.is_some()
            };
            tokens.iter().take(upto).filter(held).count()
        };
        for (n, token) in tokens.iter().enumerate() {
            memory.keep(Digest::of(token.as_bytes()), &keys, &verified(token));
            if n + 1 == 1_000 {
                assert!(found(1_000) > 995, "{}", found(1_000));
            }
        }
        let held = found(tokens.len());
        assert!((7_000..=SETS * WAYS).contains(&held), "{held}");
    }

    #[test]
    fn a_long_profile_is_not_kept_and_a_token_has_one_place() {
        let (memory, keys) = (Memory::new(), Arc::new(Keys::default()));
        memory.keep(Digest::of(b"long"), &keys, &verified(&"x".repeat(MOST_BYTES + 1)));
        assert_eq!(recalled(&memory, "long", &keys), None);
        memory.keep(Digest::of(b"t"), &keys, &verified("old"));
        memory.keep(Digest::of(b"t"), &keys, &verified("new"));
        assert_eq!(recalled(&memory, "t", &keys).as_deref(), Some("new"));
        assert_eq!(memory.places.iter().filter(|place| place.load().is_some()).count(), 1);
    }
}
