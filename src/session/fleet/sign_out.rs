//! Signing out everywhere: a mark in the tier that ends what was begun before it, and an event that every replica hears. What
//! the tier does not take now is told again until it does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::Fleet;
use crate::clock::Moment;
use crate::metrics::{Gauge, Metrics};
use crate::session::Sessions;
use crate::shared::{Away, End, Event, Fence, SessionName, UserName};

/// Sign-outs that wait for the tier at most.
const MOST: usize = 10_000;
/// Between two tries.
const AGAIN: Duration = Duration::from_secs(1);
/// Sessions of a user that leave the tier at once; the mark ends the others.
const MOST_UNLINKED: usize = 32;

/// How far a sign-out reaches by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedOut {
    /// To every replica that reaches the tier.
    Everywhere,
    /// To this replica; the others are told when the tier is back.
    Here,
}

/// Sign-outs that the tier has not taken yet.
#[derive(Debug)]
pub(super) struct SignOuts {
    untold: Mutex<HashMap<UserName, Untold>>,
    more: Notify,
    pending: Option<Gauge>,
}

#[derive(Clone, Copy, Debug)]
struct Untold {
    /// When it was, by the tier's time, where that was known.
    mark: Option<Fence>,
    /// All that it could end has ended then.
    until: Moment,
}

impl SignOuts {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self { untold: Mutex::default(), more: Notify::new(), pending: Some(metrics.shared.signouts_pending()) }
    }

    fn keep(&self, user: UserName, untold: Untold) {
        let mut all = self.untold.lock();
        if all.len() < MOST || all.contains_key(&user) {
            all.insert(user, untold);
        } else {
            tracing::error!("a sign-out is lost for other replicas: too many wait for the shared tier");
        }
        self.show(all.len());
        drop(all);
        self.more.notify_one();
    }

    /// Strikes one off that was told, unless the user has signed out again since.
    fn done(&self, user: &UserName, told: Untold) {
        let mut all = self.untold.lock();
        if all.get(user).is_some_and(|untold| untold.mark == told.mark && untold.until == told.until) {
            all.remove(user);
        }
        self.show(all.len());
    }

    fn all(&self, now: Moment) -> Vec<(UserName, Untold)> {
        let mut all = self.untold.lock();
        all.retain(|_, untold| now < untold.until);
        self.show(all.len());
        all.iter().map(|(user, untold)| (user.clone(), *untold)).collect()
    }

    fn show(&self, pending: usize) {
        let pending = i64::try_from(pending).unwrap_or(i64::MAX);
        self.pending.iter().for_each(|gauge| gauge.set(pending));
    }
}

impl Fleet {
    /// Tells of a sign-out that was at `mark`, or is now. Waits 100 ms at most.
    async fn tell_sign_out(
        &self,
        user: &UserName,
        mark: Option<Fence>,
        sessions: Vec<SessionName>,
    ) -> Result<(), Away> {
        let mark = self.shared.end(&End { user: user.clone(), mark, sessions, hold: self.hold }).await?;
        self.marks.note(user, mark, self.clock.moment());
        self.shared.tell(&Event::SignedOut(user.clone(), mark)).await
    }

    fn keep_sign_out(&self, user: UserName, mark: Option<Fence>) {
        self.sign_outs.keep(user, Untold { mark, until: self.clock.moment().plus(self.hold) });
    }

    /// Tells again which sign-outs were heard of lately: the tier may have lost their marks.
    pub(super) async fn tell_marks(&self) {
        for (user, mark) in self.marks.all(self.clock.moment()) {
            let ask = End { user, mark: Some(mark), sessions: Vec::new(), hold: self.hold };
            if self.shared.end(&ask).await.is_err() {
                return;
            }
        }
    }
}

impl Sessions {
    /// Has every replica forget a user. What the tier does not take within 100 ms is told later.
    pub(in crate::session) async fn sign_out_everywhere(self: &Arc<Self>, chat_subject: &str) -> SignedOut {
        let Some(fleet) = &self.fleet else { return SignedOut::Everywhere };
        let user = fleet.user(chat_subject);
        let known = self.store.of(user.as_str());
        let name =
            |key: &_| self.asked_by(key).map(|(question, plan)| fleet.spot(plan, &question).place.name().clone());
        let sessions = known.iter().take(MOST_UNLINKED).filter_map(name).collect();
        let (report, told) = oneshot::channel();
        let own = Arc::clone(self);
        // A client that leaves does not take its sign-out along.
        self.lifecycle.spawn(async move {
            let Some(fleet) = &own.fleet else { return };
            let mark = fleet.shared.time().map(Fence::at);
            let outcome = match fleet.tell_sign_out(&user, None, sessions).await {
                Ok(()) => SignedOut::Everywhere,
                Err(_) => {
                    fleet.keep_sign_out(user, mark);
                    SignedOut::Here
                }
            };
            let _left = report.send(outcome);
        });
        told.await.unwrap_or(SignedOut::Here)
    }

    /// The same for one whom a rate keeps from asking: told once a second, however often it is asked for.
    pub(in crate::session) fn sign_out_later(&self, chat_subject: &str) {
        if let Some(fleet) = &self.fleet {
            fleet.keep_sign_out(fleet.user(chat_subject), fleet.shared.time().map(Fence::at));
        }
    }

    /// Tells what the tier did not take, until the service drains.
    pub(super) async fn tell_again(self: Arc<Self>) {
        let Some(fleet) = &self.fleet else { return };
        let stop = self.lifecycle.draining().clone();
        loop {
            let wait = async {
                if fleet.sign_outs.untold.lock().is_empty() {
                    fleet.sign_outs.more.notified().await;
                }
                self.clock.sleep_until(self.clock.moment().plus(AGAIN)).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = wait => {}
            }
            for (user, untold) in fleet.sign_outs.all(self.clock.moment()) {
                if fleet.tell_sign_out(&user, untold.mark, Vec::new()).await.is_err() {
                    break;
                }
                fleet.sign_outs.done(&user, untold);
            }
        }
    }
}
