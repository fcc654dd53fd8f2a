//! One session of the cache: what a mint brought and how long it is good for, and the answer that is made of it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock::{Moment, Timestamp};
use crate::pacing::jitter;
use crate::provider::Minted;
use crate::session::key::Question;
use crate::session::{Answer, Plan};
use crate::shared::Fence;
use crate::telemetry::UserTag;

/// Share of a session's usable life after which it is renewed, before jitter.
const RENEW_AFTER: f64 = 0.80;
/// Jitter: this share of the usable life, either way. Sessions that were minted together are renewed apart.
const RENEW_JITTER: f64 = 0.04;

/// The smaller of two lives counts, less this: the clocks of two replicas round differently.
const LESS: Duration = Duration::from_secs(1);
/// An appointment that is always due: the session is to be confirmed first.
const UNCONFIRMED: i64 = i64::MIN;

/// What a mint brought, and how long it is good for. It says nothing of how a route answers.
pub(in crate::session) struct Cached {
    minted: Minted,
    began: Moment,
    usable_until: Moment,
    ends: Option<Timestamp>,
    renew_at: Moment,
    fence: Fence,
}

impl Cached {
    /// Decides how long a fresh token is handed out and when it is renewed.
    ///
    /// Life is a span from the moment at which the mint `began`, so that a wall clock that is set does not make it longer
    /// (T-65); and it ends when the wall clock says so as well.
    pub(in crate::session) fn of(plan: &Plan, minted: Minted, began: Moment, fence: Fence) -> Self {
        let life = life(plan, &minted);
        Self {
            began,
            usable_until: began.plus(life),
            ends: end(plan, &minted),
            renew_at: began.plus(life.mul_f64(share())),
            minted,
            fence,
        }
    }

    /// The same for a token that another replica got, of whose life so much is `left`. It is renewed when that replica
    /// would do it.
    pub(in crate::session) fn adopted(
        plan: &Plan,
        minted: Minted,
        (left, fence): (Duration, Fence),
        now: Moment,
    ) -> Self {
        let life = life(plan, &minted);
        let left = left.min(life); // F-11: smaller life
        Self {
            began: now,
            usable_until: now.plus(left),
            ends: end(plan, &minted).map(|end| end.minus(LESS)),
            renew_at: now.plus(left.saturating_sub(life.mul_f64(1.0 - share()))),
            minted,
            fence,
        }
    }

    /// Hands it out for so long at most.
    #[must_use]
    pub(in crate::session) fn within(self, most: Duration) -> Self {
        Self { usable_until: self.usable_until.min(self.began.plus(most)), ..self }
    }

    /// Renders the answer once, so that handing it out costs nothing more.
    pub(in crate::session) fn render(self, plan: &Plan, question: &Question<'_>, used: bool) -> Arc<Entry> {
        let Self { minted, began, usable_until, ends, renew_at, fence } = self;
        let answer = Answer::render(&plan.form, &minted, plan.provider.api_url(), &question.profile, &question.inputs);
        Arc::new(Entry {
            answer,
            user: OnceLock::new(),
            began,
            usable_until,
            ends,
            renew_at,
            due: AtomicI64::new(renew_at.as_millis()),
            fence,
            used: AtomicBool::new(used),
            failures: AtomicU32::new(0),
        })
    }
}

/// How long a fresh token is handed out.
fn life(plan: &Plan, minted: &Minted) -> Duration {
    let margin = plan.provider.lifetime().margin; // T-38: margin
    // The wall clock may have been set while the mint was under way: no life is longer than what was asked for.
    minted.expires.map_or(plan.ttl, |expires| expires.since(minted.minted).min(plan.ttl).saturating_sub(margin))
}

fn end(plan: &Plan, minted: &Minted) -> Option<Timestamp> {
    minted.expires.map(|expires| expires.minus(plan.provider.lifetime().margin))
}

fn share() -> f64 {
    RENEW_AFTER + RENEW_JITTER * (2.0 * jitter::fraction() - 1.0)
}

/// A session in service.
#[derive(Debug)]
#[expect(clippy::partial_pub_fields, reason = "a record that handlers read, and marks that only this room sets")]
pub struct Entry {
    /// The finished answer.
    pub answer: Answer,
    /// The user, for request lines; made when the first line wants it.
    pub(in crate::session) user: OnceLock<Option<UserTag>>,
    /// When it was minted, or taken over from another replica.
    pub began: Moment,
    /// Handed out strictly before this point, so that what is handed out outlives the client's margin.
    pub usable_until: Moment,
    /// Nor when the wall clock says so much: the provider knows no other.
    pub ends: Option<Timestamp>,
    /// Renewed at this point.
    pub renew_at: Moment,
    /// The same in milliseconds, or [`UNCONFIRMED`].
    pub(in crate::session) due: AtomicI64,
    /// Sign-outs up to here end it.
    pub fence: Fence,
    /// Whether it was handed out since it was minted.
    pub(in crate::session) used: AtomicBool,
    /// Failed renewals in a row.
    pub(in crate::session) failures: AtomicU32,
}

impl Entry {
    /// Whether it may be handed out now.
    pub fn is_usable(&self, now: Moment, time: Timestamp) -> bool {
        now < self.usable_until && self.ends.is_none_or(|end| time < end) // T-65: both clocks
    }

    /// Whether its time to be renewed has come.
    pub fn is_due(&self, now: Moment) -> bool {
        now.as_millis() >= self.due.load(Ordering::Relaxed)
    }

    /// A sign-out of its user may have gone unheard: the tier is asked before it is handed out again. It is taken for due,
    /// so that sessions that are not pay nothing for the question.
    ///
    /// Says whether it was certain before.
    pub(super) fn doubt(&self) -> bool {
        self.due.swap(UNCONFIRMED, Ordering::Relaxed) != UNCONFIRMED
    }

    /// It is good: there was no sign-out. Says whether it was in doubt before.
    pub(super) fn confirm(&self) -> bool {
        self.due.swap(self.renew_at.as_millis(), Ordering::Relaxed) == UNCONFIRMED
    }

    /// Whether it may be handed out without a question.
    pub(in crate::session) fn is_confirmed(&self) -> bool {
        self.due.load(Ordering::Relaxed) != UNCONFIRMED
    }

    /// The user as request lines show it.
    pub fn user_tag(&self, make: impl FnOnce() -> Option<UserTag>) -> Option<&UserTag> {
        self.user.get_or_init(make).as_ref()
    }

    /// Notes that it was handed out. Written once per renewal, so that hot entries are not fought over.
    pub(in crate::session) fn mark_used(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    pub(in crate::session) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}
