//! The turns of a fleet: several processes keep to one rate together, by slots that they take from where all of them look,
//! and each by its share of the rate where that gives no answer.
//!
//! **What holds:** while slots are given out, the calls of all processes keep to the rate as those of one do. Without that
//! place each keeps to `rate ÷ replicas`, together again the rate; both may come together in the one period in which the
//! place is lost. When it is back, it may not know what was called meanwhile. For a whole period after that a call needs
//! both, a slot and room in the share, so no span holds more than the rate then either.
//!
//! **A slot is used at once or lost.** A call passes within twice the time limit of the question, and the period that slots
//! are counted in is longer by that, so a slot that was taken early lets no other call pass too late.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::TICK;
use super::share::{Kind, Share};
use super::slots::{FleetPace, SlotAnswer, SlotOrder, Standing, Taking};
use crate::clock::{Clock, Moment};
use crate::pacing::{Rate, jitter};

/// Slots of one question at most.
const BATCH: u32 = 16;
/// Processes notice within this time of each other that slots are given out again: a lost connection is made anew within
/// five seconds.
const APART: Duration = Duration::from_secs(6);
/// How much later a process comes back for each process of the fleet, on average half of it: all of them ask 2,000 times a
/// second at most, however many there are.
const LATER: Duration = Duration::from_millis(1);
/// Longest pause that is believed; what asks for more may have meant another unit.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What the call at the head of a line is to do.
enum Next {
    Pass,
    Wait(Moment),
    Ask(Asking),
}

/// A question under way. It belongs to the line: where the call at its head leaves, the next one waits for the answer.
pub(super) struct Asking {
    answer: Taking,
    asked: Moment,
    wanted: u32,
    /// Whether a slot of the share was taken with it.
    by_share: bool,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("asked", &self.asked).finish_non_exhaustive()
    }
}

/// The turns of one service.
#[derive(Debug)]
pub(super) struct Fleet {
    pace: Arc<dyn FleetPace>,
    /// The rate, with a period that is longer by the time in which a slot is used.
    rate: Rate,
    burst: u32,
    /// Microseconds of its period, or of its burst where that is longer; and from one slot to the next.
    period: u64,
    interval: u64,
    /// A slot is good for so long after it was asked for.
    good_for: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    share: Share,
    ordinary: Given,
    secondary: Given,
}

/// What the last answers left.
#[derive(Clone, Copy, Debug)]
struct Given {
    slots: u32,
    /// They are lost after that.
    until: Moment,
    /// No question before that.
    next: Moment,
}

impl Fleet {
    /// Turns of `rate` that all processes take from `pace`. After a rest `burst` calls may pass at once; a twentieth of the
    /// rate by default, since a burst is taken from what a crowd gets.
    pub(super) fn new(pace: Arc<dyn FleetPace>, rate: Rate, burst: Option<u32>) -> Self {
        let burst = burst.unwrap_or_else(|| rate.count().div_ceil(20)).clamp(1, rate.count());
        let good_for = pace.time_limit().saturating_mul(2);
        let rate = Rate::new(rate.count(), rate.period().saturating_add(good_for));
        let period = u64::try_from(rate.period().as_micros()).unwrap_or(u64::MAX);
        let interval = period.div_ceil(u64::from(rate.count() - burst + 1));
        // A large burst reaches further ahead than that.
        let period = period.max(interval.saturating_mul(u64::from(burst)));
        let start = Moment::from_millis(i64::MIN);
        let given = Given { slots: 0, until: start, next: start };
        let share = Share::of(rate, burst, 1);
        let state = Mutex::new(State { share, ordinary: given, secondary: given });
        Self { pace, rate, burst, period, interval, good_for, state }
    }

    /// Takes a slot for the call at the head of a line with `waiting` calls; otherwise tells when to look again. `asking` is
    /// the line's: what one call has asked is answered to the next one where it leaves.
    pub(super) async fn take(
        &self,
        kind: Kind,
        waiting: usize,
        clock: &Arc<dyn Clock>,
        asking: &mut Option<Asking>,
    ) -> Result<(), Moment> {
        if asking.is_none() {
            match self.next(kind, waiting, clock.moment()) {
                Next::Pass => return Ok(()),
                Next::Wait(slot) => return Err(slot),
                Next::Ask(asked) => *asking = Some(asked),
            }
        }
        let answer = match asking {
            Some(asked) => asked.answer.as_mut().await,
            None => None,
        };
        match asking.take() {
            Some(asked) => self.answered(kind, answer, &asked, clock.moment()),
            None => Err(clock.moment()),
        }
    }

    fn next(&self, kind: Kind, waiting: usize, now: Moment) -> Next {
        let standing = self.pace.standing();
        let mut state = self.state.lock();
        state.share.divide(self.rate, self.burst, standing.replicas, now);
        let given = state.given(kind);
        // Fleet: late slots
        if now <= given.until && given.slots > 0 {
            given.slots -= 1;
            state.share.charge(now);
            return Next::Pass;
        }
        given.slots = 0;
        let next = given.next;
        let by_share = self.is_by_share(standing, now);
        if !by_share && now < next {
            return Next::Wait(next);
        }
        if by_share {
            if let Err(slot) = state.share.take(kind, now) {
                return Next::Wait(slot);
            }
            if standing.since.is_none() {
                return Next::Pass;
            }
            if now < next {
                state.share.give_back();
                return Next::Wait(next);
            }
        }
        let wanted = if by_share || kind == Kind::Secondary { 1 } else { u32::try_from(waiting).unwrap_or(BATCH) };
        let wanted = wanted.clamp(1, BATCH);
        let answer = self.pace.take(self.order(kind, wanted, Duration::ZERO));
        Next::Ask(Asking { answer, asked: now, wanted, by_share })
    }

    fn answered(&self, kind: Kind, answer: Option<SlotAnswer>, asked: &Asking, now: Moment) -> Result<(), Moment> {
        let replicas = self.pace.standing().replicas;
        let mut state = self.state.lock();
        let Some(slots) = answer else {
            // No answer: the call goes by the share alone.
            return if asked.by_share { Ok(()) } else { state.share.take(kind, now) };
        };
        let later = LATER.saturating_mul(replicas).mul_f64(jitter::fraction());
        let next = slots.next.min(self.rate.period()); // F-08: longest wait
        let wait = slots.pause.map_or(next, |pause| pause.min(LONGEST_PAUSE)); // F-08: longest pause
        let given = state.given(kind);
        // Rounded up: the clock has no parts of a millisecond.
        given.next = if wait.is_zero() { now } else { now.plus(wait + later).plus(TICK) };
        let until = asked.asked.plus(self.good_for);
        if slots.taken == 0 || now > until {
            let next = given.next.max(now.plus(TICK));
            if asked.by_share {
                state.share.give_back();
            }
            return Err(next);
        }
        if !asked.by_share {
            (given.slots, given.until) = (slots.taken.min(asked.wanted) - 1, until); // F-08: slots that were wanted
            state.share.charge(now);
        }
        Ok(())
    }

    /// When a call with `before` others before it would pass, if the other processes made none.
    pub(super) fn estimate(&self, kind: Kind, before: usize, now: Moment) -> Moment {
        let standing = self.pace.standing();
        let mut state = self.state.lock();
        state.share.divide(self.rate, self.burst, standing.replicas, now);
        let others = Duration::from_micros(self.interval).saturating_mul(u32::try_from(before).unwrap_or(u32::MAX));
        let slot = state.given(kind).next.max(now).plus(others);
        if self.is_by_share(standing, now) { slot.max(state.share.slot(kind, now, before)) } else { slot }
    }

    /// Tells the others that the service wants no calls for `span`.
    pub(super) async fn pause(&self, span: Duration) {
        // Without an answer each finds out for itself.
        let _told = self.pace.take(self.order(Kind::Ordinary, 0, span.min(LONGEST_PAUSE))).await;
    }

    fn order(&self, kind: Kind, wanted: u32, pause: Duration) -> SlotOrder {
        let kept = if kind == Kind::Secondary { self.burst / 4 } else { 0 }; // G-23: kept burst of a fleet
        let early = u64::from((self.burst - 1).saturating_sub(kept));
        let tolerance = self.interval.saturating_mul(early);
        SlotOrder { wanted, interval: self.interval, tolerance, period: self.period, pause }
    }

    /// Whether the share counts: nothing else does, or did a period ago.
    fn is_by_share(&self, standing: Standing, now: Moment) -> bool {
        // Fleet: share after a return
        standing.since.is_none_or(|since| now < since.plus(self.rate.period()).plus(APART))
    }
}

impl State {
    fn given(&mut self, kind: Kind) -> &mut Given {
        match kind {
            Kind::Ordinary => &mut self.ordinary,
            Kind::Secondary => &mut self.secondary,
        }
    }
}
