//! How much each webhook holds in the file, and whether there is room for another event.

use std::collections::HashMap;
use std::sync::Arc;

use crate::webhook::store::listing::Limits;

/// Events of one webhook, and what they count in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Those that were put aside as well.
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// Those that were put aside.
    pub(super) aside: usize,
}

/// What all webhooks hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Holdings(HashMap<Arc<str>, Held>);

impl Holdings {
    /// What one webhook holds.
    pub(super) fn of(&self, webhook: &str) -> Held {
        self.0.get(webhook).copied().unwrap_or_default()
    }

    /// What all of them hold.
    pub(super) fn all(&self) -> Held {
        self.0.values().fold(Held::default(), |all, held| Held {
            events: all.events.saturating_add(held.events),
            bytes: all.bytes.saturating_add(held.bytes),
            aside: all.aside.saturating_add(held.aside),
        })
    }

    pub(super) fn set(&mut self, webhook: Arc<str>, held: Held) {
        self.0.insert(webhook, held);
    }

    pub(super) fn add(&mut self, webhook: &Arc<str>, bytes: usize) {
        let held = self.0.entry(Arc::clone(webhook)).or_default();
        held.events = held.events.saturating_add(1);
        held.bytes = held.bytes.saturating_add(bytes);
    }

    pub(super) fn remove(&mut self, webhook: &str, bytes: usize) {
        if let Some(held) = self.0.get_mut(webhook) {
            held.events = held.events.saturating_sub(1);
            held.bytes = held.bytes.saturating_sub(bytes);
        }
    }

    /// Whether an event of so many bytes has room.
    pub(super) fn has_room(&self, limits: &Limits, webhook: &str, bytes: usize) -> bool {
        let fits =
            |held: Held, events: usize, most: usize| held.events < events && held.bytes.saturating_add(bytes) <= most;
        let own = fits(self.of(webhook), limits.part(limits.events), limits.part(limits.bytes));
        own && fits(self.all(), limits.events, limits.bytes)
    }
}
