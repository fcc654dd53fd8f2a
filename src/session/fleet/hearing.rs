//! What other replicas tell, and what becomes of it here.
//!
//! A sign-out that went unheard must not leave a session behind: where some may have been missed, every session is in doubt,
//! and its first use asks the tier. It is never dropped for that alone, because all replicas would ask the provider at once,
//! just when the tier is weak.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::session::Sessions;
use crate::shared::{Event, Fence, Listener, SessionName, TierTime, UserName};

/// Sessions that are doubted before other work has its turn.
const AT_ONCE: usize = 512;
/// Pages of denied users at most.
const PAGES: usize = 1000;

/// Hears for the sessions of this replica.
pub(super) struct Hearing(pub(super) Arc<Sessions>);

impl Listener for Hearing {
    fn event(&self, event: &Event) {
        match event {
            Event::SignedOut(user, mark) => self.0.forget_up_to(user, *mark),
            Event::Replaced(name, fence) => self.0.drop_replaced(name, *fence),
            Event::Denied(user, until) => self.0.deny(user, *until),
        }
    }

    fn gap(&self) {
        let Some(fleet) = &self.0.fleet else { return };
        // First: what lands from now on sees it.
        fleet.gaps.fetch_add(1, Ordering::SeqCst);
        let own = Arc::clone(&self.0);
        self.0.lifecycle.spawn(async move { own.doubt(|_| true).await });
        if fleet.shared.is_up() {
            self.up();
        }
    }

    fn up(&self) {
        let own = Arc::clone(&self.0);
        self.0.lifecycle.spawn(async move {
            let Some(fleet) = &own.fleet else { return };
            // What was minted before the tier's time was known.
            own.doubt(|fence| fence <= Fence::NONE.next()).await;
            fleet.tell_marks().await;
            own.read_denied().await;
        });
    }
}

impl Sessions {
    /// Drops the sessions of a user that a sign-out at `mark` ends; those under way are not handed out.
    fn forget_up_to(&self, user: &UserName, mark: Fence) {
        let Some(fleet) = &self.fleet else { return };
        // Noted first: what lands meanwhile is held against it.
        fleet.marks.note(user, mark, self.clock.moment());
        self.flights.dismiss_up_to(user.as_str(), mark);
        self.store.remove_up_to(user.as_str(), mark);
    }

    /// Drops the user's sessions that a new token of the same account has ended.
    fn drop_replaced(&self, name: &SessionName, fence: Fence) {
        let Some(fleet) = &self.fleet else { return };
        fleet.note_replaced(name, fence);
        for key in self.store.of(name.user.as_str()) {
            let bytes: &[u8] = std::borrow::Borrow::borrow(&key);
            let is_of_it = self.asked_by(&key).is_some_and(|(_, plan)| {
                plan.provider.is_exclusive() && fleet.exclusive_question(plan) == name.question
            });
            if is_of_it && self.store.get(bytes).is_some_and(|entry| entry.fence < fence) {
                self.store.remove(bytes);
            }
        }
    }

    /// Denies a user, or does so no more where `until` has passed.
    fn deny(&self, user: &UserName, until: TierTime) {
        let Some(fleet) = &self.fleet else { return };
        let now = fleet.shared.time();
        fleet.denied.note(user, until, now);
        if fleet.denied.holds(user, now) {
            self.forget_name(user.as_str());
        }
    }

    /// Takes over who is denied.
    async fn read_denied(&self) {
        let Some(fleet) = &self.fleet else { return };
        let (mut listed, mut at) = (Vec::new(), 0);
        for _ in 0..PAGES {
            // An older list is better than a part of one.
            let Ok(page) = fleet.shared.denied(at).await else { return };
            listed.extend(page.users);
            at = page.next;
            if at == 0 {
                break;
            }
        }
        for user in fleet.denied.replace(listed) {
            if fleet.denied.holds(&user, fleet.shared.time()) {
                self.forget_name(user.as_str());
            }
        }
    }

    /// Doubts the sessions of these fences.
    async fn doubt(&self, of: impl Fn(Fence) -> bool) {
        for (at, (_, entry)) in self.store.all().enumerate() {
            if of(entry.fence) {
                self.store.doubt(&entry); // F-09: sessions in doubt after a gap
            }
            if at % AT_ONCE == AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}
