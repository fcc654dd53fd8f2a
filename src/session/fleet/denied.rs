//! Users whom an operator denied through the tier, each until a point of the tier's time. The deny file stays the lasting
//! truth: these are gone with the tier.

use std::collections::HashMap;

use parking_lot::RwLock;

use crate::shared::{TierTime, UserName};

/// Users at most.
const MOST: usize = 100_000;

/// The list, as last heard.
#[derive(Debug, Default)]
pub(super) struct Denied(RwLock<HashMap<UserName, TierTime>>);

impl Denied {
    /// Whether the user is denied. Where the tier's time is not known, every one of the list is.
    pub(super) fn holds(&self, user: &UserName, now: Option<TierTime>) -> bool {
        let until = self.0.read().get(user).copied();
        until.is_some_and(|until| now.is_none_or(|now| now < until))
    }

    /// Takes in what was told of one user.
    pub(super) fn note(&self, user: &UserName, until: TierTime, now: Option<TierTime>) {
        let mut all = self.0.write();
        if now.is_some_and(|now| until <= now) {
            all.remove(user);
            return;
        }
        if let Some(now) = now.filter(|_| all.len() >= MOST) {
            all.retain(|_, until| *until > now);
        }
        if all.len() < MOST || all.contains_key(user) {
            all.insert(user.clone(), until);
        }
    }

    /// Takes over the whole list. Returns who was not on it before.
    pub(super) fn replace(&self, listed: Vec<(UserName, TierTime)>) -> Vec<UserName> {
        let listed: HashMap<_, _> = listed.into_iter().take(MOST).collect();
        let before = std::mem::replace(&mut *self.0.write(), listed.clone());
        listed.into_keys().filter(|user| !before.contains_key(user)).collect()
    }
}
