//! Which sessions belong to one user, so that a sign-out finds them without a look at those of other users.
//!
//! Signing out could walk the whole cache instead; but then every `DELETE` of one user would cost as much as all users
//! have sessions. The index lists exactly what the cache holds: sessions are listed before they are inserted, and the
//! cache tells what it drops. So its memory is bounded as the cache's is.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::session::fleet::UserNames;
use crate::session::key::SessionKey;

/// Lists by user. Users are kept as keyed hashes, and told apart by the keys themselves.
#[derive(Default)]
pub(in crate::session) struct Index {
    users: Mutex<HashMap<u64, Vec<Item>, ahash::RandomState>>,
    hasher: ahash::RandomState,
    names: UserNames,
}

/// One session. Its address tells it from the one that replaces it under the same key.
struct Item {
    key: SessionKey,
    address: usize,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}

impl Index {
    /// Sessions of one user at most: for as many rooms as a page could show, and too few to push out those of others.
    pub(in crate::session) const MOST: usize = 256;

    /// An index in which users are called so.
    pub(in crate::session) fn new(names: UserNames) -> Self {
        Self { names, ..Self::default() }
    }

    /// Lists a session. Tells which one is the oldest of this user, where there are more than may be.
    pub(in crate::session) fn add<T>(&self, key: &SessionKey, entry: &Arc<T>) -> Option<SessionKey> {
        let item = Item { key: key.clone(), address: address(entry) };
        let hash = self.hash(&self.names.of(key.chat_subject()));
        let mut users = self.users.lock();
        let own = users.entry(hash).or_insert_with(|| Vec::with_capacity(1));
        own.push(item);
        // T-54: sessions of one user
        let surplus = own.first().filter(|oldest| own.len() > Self::MOST && oldest.key != *key);
        surplus.map(|oldest| oldest.key.clone())
    }

    /// Strikes a session off that the cache no longer holds.
    pub(in crate::session) fn remove<T>(&self, key: &SessionKey, entry: &Arc<T>) {
        let hash = self.hash(&self.names.of(key.chat_subject()));
        let mut users = self.users.lock();
        if let Some(own) = users.get_mut(&hash) {
            own.retain(|item| item.address != address(entry));
            if own.is_empty() {
                users.remove(&hash);
            }
        }
    }

    /// The sessions of the user who is called so.
    pub(in crate::session) fn of(&self, user: &str) -> Vec<SessionKey> {
        let users = self.users.lock();
        let own = users.get(&self.hash(user)).into_iter().flatten().map(|item| item.key.clone()).collect::<Vec<_>>();
        drop(users);
        own.into_iter().filter(|key| self.names.of(key.chat_subject()) == user).collect()
    }

    #[cfg(test)]
    pub(in crate::session) fn len(&self) -> usize {
        self.users.lock().values().map(Vec::len).sum()
    }

    fn hash(&self, user: &str) -> u64 {
        self.hasher.hash_one(user)
    }
}

/// Two sessions that are there at one time have different ones.
fn address<T>(entry: &Arc<T>) -> usize {
    Arc::as_ptr(entry).addr()
}
