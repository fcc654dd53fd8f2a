//! One session of the cache: what a mint brought and how long it is good for, and the answer that is made of it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::clock::{Moment, Timestamp};
use crate::pacing::jitter;
use crate::provider::Minted;
use crate::session::key::Question;
use crate::session::{Answer, Plan};
use crate::telemetry::UserTag;

/// Share of a session's usable life after which it is renewed, before jitter.
const RENEW_AFTER: f64 = 0.80;
/// Jitter: this share of the usable life, either way. Sessions that were minted together are renewed apart.
const RENEW_JITTER: f64 = 0.04;

/// What a mint brought, and how long it is good for. It says nothing of how a route answers.
pub(in crate::session) struct Cached {
    minted: Minted,
    usable_until: Moment,
    ends: Option<Timestamp>,
    renew_at: Moment,
}

impl Cached {
    /// Decides how long a fresh token is handed out and when it is renewed.
    ///
    /// Life is a span from the moment at which the mint `began`, so that a wall clock that is set does not make it longer
    /// (T-65); and it ends when the wall clock says so as well.
    pub(in crate::session) fn of(plan: &Plan, minted: Minted, began: Moment) -> Self {
        let margin = plan.provider.lifetime().margin; // T-38: margin
        // The wall clock may have been set while the mint was under way: no life is longer than what was asked for.
        let life = minted
            .expires
            .map_or(plan.ttl, |expires| expires.since(minted.minted).min(plan.ttl).saturating_sub(margin));
        let share = RENEW_AFTER + RENEW_JITTER * (2.0 * jitter::fraction() - 1.0);
        Self {
            usable_until: began.plus(life),
            ends: minted.expires.map(|expires| expires.minus(margin)),
            renew_at: began.plus(life.mul_f64(share)),
            minted,
        }
    }

    /// Renders the answer once, so that handing it out costs nothing more.
    pub(in crate::session) fn render(self, plan: &Plan, question: &Question<'_>, used: bool) -> Arc<Entry> {
        let Self { minted, usable_until, ends, renew_at } = self;
        let answer = Answer::render(&plan.form, &minted, plan.provider.api_url(), &question.profile, &question.inputs);
        Arc::new(Entry {
            answer,
            user: OnceLock::new(),
            usable_until,
            ends,
            renew_at,
            used: AtomicBool::new(used),
            failures: AtomicU32::new(0),
        })
    }
}

/// A session in service.
#[derive(Debug)]
#[expect(clippy::partial_pub_fields, reason = "a record that handlers read, and marks that only this room sets")]
pub struct Entry {
    /// The finished answer.
    pub answer: Answer,
    /// The user, for request lines; made when the first line wants it.
    pub(in crate::session) user: OnceLock<Option<UserTag>>,
    /// Handed out strictly before this point, so that what is handed out outlives the client's margin.
    pub usable_until: Moment,
    /// Nor when the wall clock says so much: the provider knows no other.
    pub ends: Option<Timestamp>,
    /// Renewed at this point.
    pub renew_at: Moment,
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
        now >= self.renew_at
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
