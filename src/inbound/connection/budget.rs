//! Memory for what is not complete: heads and bodies of which a part is here. One budget for all connections of a listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that unfinished heads and bodies may take together.
#[derive(Debug)]
pub(in crate::inbound) struct Budget {
    most: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(in crate::inbound) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, used: AtomicUsize::new(0) })
    }

    /// What one connection may take from it. Strangers, who prove nothing, reach only the first half: however many they
    /// are, the proxy's own requests find room.
    pub(in crate::inbound) fn share(self: &Arc<Self>, is_stranger: bool) -> Share {
        Share { most: if is_stranger { self.most / 2 } else { self.most }, budget: Arc::clone(self) }
    }
}

/// The share of one connection.
#[derive(Clone, Debug)]
pub(in crate::inbound) struct Share {
    budget: Arc<Budget>,
    most: usize,
}

impl Share {
    /// Nothing yet.
    pub(in crate::inbound) fn nothing(&self) -> Held {
        Held { share: self.clone(), bytes: 0 }
    }
}

/// Bytes taken from a budget. They go back when this is dropped.
#[derive(Debug)]
pub(in crate::inbound) struct Held {
    share: Share,
    bytes: usize,
}

impl Held {
    /// Holds as many bytes as this in all, if there is room for them.
    pub(in crate::inbound) fn set(&mut self, bytes: usize) -> bool {
        let used = &self.share.budget.used;
        if let Some(more) = bytes.checked_sub(self.bytes) {
            let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(more).filter(|used| *used <= self.share.most) // T-68: bytes under way
            });
            if taken.is_err() {
                return false;
            }
        } else {
            used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        true
    }

    /// Holds so many bytes more, if there is room for them.
    pub(in crate::inbound) fn add(&mut self, bytes: usize) -> bool {
        self.bytes.checked_add(bytes).is_some_and(|bytes| self.set(bytes))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.share.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T-68: what is taken is given back, and strangers leave half of it to others.
    #[test]
    fn strangers_reach_half_and_everything_comes_back() {
        let budget = Budget::new(100);
        let (mut stranger, mut known) = (budget.share(true).nothing(), budget.share(false).nothing());
        assert!(stranger.set(50) && !stranger.set(51) && !budget.share(true).nothing().add(1));
        assert!(known.add(20) && known.add(30) && !known.add(1));
        assert!(stranger.set(10) && !stranger.add(1), "the others are counted as well");
        drop(known);
        assert!(stranger.add(40));
        drop(stranger);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
