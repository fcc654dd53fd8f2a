//! Sessions of a fleet: what replicas share through the tier, and what they tell each other. Nothing here exists where no
//! tier is configured.
//!
//! The cold path asks the tier before it mints ([`fetch`]), by a [`question`] that means the same in every replica. A
//! sign-out is marked there and told to all ([`sign_out`]); each hears of those of others, and doubts what it has where it
//! may have missed one ([`hearing`]). Without an answer of the tier, a replica works on alone.

mod denied;
mod fetch;
mod hearing;
mod marks;
mod names;
mod question;
mod sign_out;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) use fetch::Next;
pub(super) use names::UserNames;
pub use sign_out::SignedOut;

use denied::Denied;
use marks::Marks;
use names::NO_TEAM;
use question::Asked;
use sign_out::SignOuts;

use super::key::{Question, RouteId};
use super::{Entry, Plan, SessionError, Sessions};
use crate::clock::{Clock, Moment};
use crate::metrics::{Counter, Metrics};
use crate::pacing::Rate;
use crate::shared::{Fence, Place, ProfileName, QuestionName, SessionName, Shared, Slots, TierTime, UserName};

/// A replica that is cut off, and should be strict then, hands out sessions of this age at most.
const STRICT_AGE: Duration = Duration::from_mins(1);
/// A mark outlives the longest session by this.
const HOLD: Duration = Duration::from_mins(1);

/// What the sessions of one replica know of the fleet.
#[derive(Debug)]
pub(super) struct Fleet {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// The rate of a user in all replicas.
    rate: Option<Slots>,
    /// How long a mark stays.
    hold: Duration,
    /// Whether old sessions are not handed out while the tier is away.
    strict: bool,
    /// Sign-outs.
    marks: Marks<UserName>,
    /// Tokens that a later one of the same account has ended.
    replaced: Marks<SessionName>,
    denied: Denied,
    sign_outs: SignOuts,
    /// Gaps so far.
    gaps: AtomicU64,
    /// Mints that waited for another replica.
    waited: Counter,
    /// Sessions of other replicas that were handed out, by route.
    adopted: HashMap<RouteId, Counter>,
}

/// A session's place in the tier, and what its upsert sends.
struct Spot {
    place: Place,
    profile: ProfileName,
}

impl Fleet {
    pub(super) fn new(
        shared: Arc<Shared>,
        (plans, rate): (&[Arc<Plan>], Option<Rate>),
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Self {
        let longest = plans.iter().map(|plan| plan.ttl).max().unwrap_or_default();
        let adopted = plans.iter().map(|plan| (plan.id, metrics.session.sessions(&plan.route.path, "shared")));
        Self {
            strict: shared.is_strict(),
            // Half of it at once, as each replica has it.
            rate: rate.map(|rate| Slots::new(rate, rate.count().div_ceil(2))),
            hold: longest.saturating_add(HOLD),
            marks: Marks::default(),
            replaced: Marks::default(),
            denied: Denied::default(),
            sign_outs: SignOuts::new(metrics),
            gaps: AtomicU64::new(0),
            waited: metrics.shared.waited(),
            adopted: adopted.collect(),
            shared,
            clock,
        }
    }

    /// What the tier calls a user.
    fn user(&self, chat_subject: &str) -> UserName {
        self.shared.names().user(NO_TEAM, chat_subject)
    }

    fn spot(&self, plan: &Plan, question: &Question<'_>) -> Spot {
        let account = plan.provider.account();
        let asked = Asked {
            team: NO_TEAM,
            account,
            ttl: plan.ttl,
            uses: plan.provider.uses(),
            profile: &question.profile,
            inputs: &question.inputs,
        };
        let user = self.user(question.profile.chat_subject());
        Spot {
            place: self.shared.place(user, &account.0, &asked.question()),
            profile: self.shared.names().profile(&asked.sent_profile()),
        }
    }

    /// Whether the operator denied the user through the tier.
    pub(super) fn admit(&self, chat_subject: &str) -> Result<(), SessionError> {
        // T-37: denied in the fleet
        if self.denied.holds(&self.user(chat_subject), self.shared.time()) {
            return Err(SessionError::Denied);
        }
        Ok(())
    }

    /// Whether a session is handed out although a sign-out of its user may have gone unheard: the tier cannot be asked now.
    pub(super) fn trusts(&self, entry: &Entry, now: Moment) -> bool {
        !self.shared.is_up() && self.is_young(entry, now)
    }

    fn is_young(&self, entry: &Entry, now: Moment) -> bool {
        !self.strict || now < entry.began.plus(STRICT_AGE)
    }

    /// Gaps so far: what began before the last one may have missed a sign-out.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::SeqCst)
    }

    /// What begins now for a user, without a place in the tier.
    pub(super) fn begin(&self, chat_subject: &str) -> (UserName, Fence) {
        (self.user(chat_subject), self.fence_alone())
    }

    /// Whether a sign-out elsewhere ended what began so.
    pub(super) fn has_ended(&self, (user, fence): &(UserName, Fence)) -> bool {
        self.marks.end(user, *fence)
    }

    /// The fence of a session that is minted without the tier.
    fn fence_alone(&self) -> Fence {
        // Told apart from sessions that are signed here, which have none.
        self.shared.fence_alone().max(Fence::NONE.next())
    }

    /// What all sessions of a user at one account are called, where a new one ends the others.
    fn exclusive(&self, plan: &Plan, place: &Place) -> SessionName {
        SessionName { user: place.name().user.clone(), question: self.exclusive_question(plan) }
    }

    fn exclusive_question(&self, plan: &Plan) -> QuestionName {
        self.shared.names().question(&[&b"exclusive"[..], &plan.provider.account().0].concat())
    }

    /// Notes that a token with this fence has ended those before it.
    fn note_replaced(&self, name: &SessionName, fence: Fence) {
        let last = Fence::at(TierTime::from_micros(fence.time().as_micros().saturating_sub(1)));
        self.replaced.note(name, last, self.clock.moment());
    }

    /// Counts a session of another replica.
    pub(super) fn count_adopted(&self, plan: &Plan) {
        self.adopted.get(&plan.id).into_iter().for_each(Counter::inc);
    }
}

impl Sessions {
    /// Hears of other replicas and tells them what is due, until the service drains.
    pub fn start_fleet(self: &Arc<Self>) {
        let Some(fleet) = &self.fleet else { return };
        let listener = Arc::new(hearing::Hearing(Arc::clone(self)));
        self.lifecycle.spawn(Arc::clone(&fleet.shared).run(listener, self.lifecycle.clone()));
        self.lifecycle.spawn(Arc::clone(self).tell_again());
    }
}
