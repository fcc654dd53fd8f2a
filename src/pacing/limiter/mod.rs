//! A limit of our own on the calls to one service, so that its limit is never met.
//!
//! **What holds:** of calls that passed, at most the [`Rate`]'s number lie in any span of its period, wherever the span
//! begins (both counted by the clock, the span without its end). A burst of calls passes at once and is taken from that
//! number; the rest of it refills evenly. With `90/min` and a burst of 9, the tenth call of a sudden crowd waits 732 ms,
//! and 82 a minute pass for as long as the crowd lasts. With a burst of one, the milliseconds by which a timer is late are
//! lost at each call; any larger burst makes up for them.
//!
//! **Which calls wait:** calls pass in the order they came. A call that would wait too long, or finds too many before it,
//! is refused at once with the time after which it would pass if no other came. A place in the queue is no reservation:
//! the call at its head takes its slot when it passes, so a cancelled call costs the others nothing, and a late one moves
//! those behind it rather than crowding them together.
//!
//! **Which calls give way:** a secondary call passes only where no other waits and a quarter of the burst is left. What one
//! of the others waits because of them is one slot at most, whatever they bring (G-23).
//!
//! The limit is that of one process. Where several processes keep to one together, the line stays that of each, and the
//! call at its head asks for slots where all of them do: [`FleetPace`]. What is told of a wait is then the shortest that it
//! may be, since the calls of the others are not known.

mod fleet;
#[cfg(test)]
mod fleet_tests;
mod share;
mod slots;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use fleet::{Asking, Fleet};
use share::Kind;

pub use slots::{FleetPace, SlotAnswer, SlotOrder, Standing, Taking};

use super::{Pace, Rate};
use crate::clock::{Clock, Moment};
use crate::metrics::Counter;

/// Smallest step of the clock.
const TICK: Duration = Duration::from_millis(1);

/// The limit, and the calls that wait for it.
#[derive(Debug)]
pub struct Limiter {
    rate: Rate,
    /// As it was asked for.
    burst: Option<u32>,
    pace: Pace,
    /// The pace of calls that give way.
    secondary: Pace,
    queue: usize,
    longest_wait: Duration,
    state: Mutex<State>,
    /// Held by the call at the head of the queue; tokio's lock lets the others have it in the order they came.
    head: tokio::sync::Mutex<Option<Asking>>,
    /// The same for calls that give way.
    secondary_head: tokio::sync::Mutex<Option<Asking>>,
    /// Where others keep to the same limit.
    fleet: OnceLock<Fleet>,
    /// Counts the calls that are refused.
    refused: Option<Counter>,
}

#[derive(Debug)]
struct State {
    /// When the next call is due, as [`Pace`] counts it.
    due: i128,
    waiting: usize,
}

/// A place in the queue, until this is dropped.
struct Place<'l>(&'l Limiter);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.waiting = state.waiting.saturating_sub(1);
    }
}

impl Limiter {
    /// A limit of `rate`. `burst` calls may pass at once: between one and all of the rate, a tenth by default.
    /// `queue` calls may wait, each for `longest_wait`.
    pub fn new(rate: Rate, burst: Option<u32>, queue: usize, longest_wait: Duration) -> Self {
        let asked = burst;
        let burst = burst.unwrap_or_else(|| rate.count().div_ceil(10)).clamp(1, rate.count());
        let pace = Pace::new(rate, burst);
        Self {
            rate,
            burst: asked,
            pace,
            secondary: pace.keeping(burst / 4), // G-23: kept burst
            queue,
            longest_wait,
            state: Mutex::new(State { due: Pace::UNUSED, waiting: 0 }),
            head: tokio::sync::Mutex::default(),
            secondary_head: tokio::sync::Mutex::default(),
            fleet: OnceLock::new(),
            refused: None,
        }
    }

    /// Counts in `refused` the calls that are refused.
    #[must_use]
    pub fn counted(mut self, refused: Counter) -> Self {
        self.refused = Some(refused);
        self
    }

    /// From now on keeps to the limit together with all others that take their slots from `pace`; for good.
    pub fn share(&self, pace: Arc<dyn FleetPace>) {
        self.fleet.get_or_init(|| Fleet::new(pace, self.rate, self.burst));
    }

    /// Tells the others of the fleet that the service wants no calls for `span`.
    pub async fn pause_fleet(&self, span: Duration) {
        if let Some(fleet) = self.fleet.get() {
            fleet.pause(span).await;
        }
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.state.lock().waiting
    }

    /// Lets a call pass, now or within its turn before `deadline`. Otherwise says after what time to come back.
    pub async fn pass(&self, clock: &Arc<dyn Clock>, deadline: Moment) -> Result<(), Duration> {
        let now = clock.moment();
        // At its deadline a call is no longer sent.
        let until = now.plus(self.longest_wait).min(deadline.minus(TICK));
        let outcome = match self.enter(now, until) {
            Ok(None) => Ok(()),
            Ok(Some(place)) => self.wait(place, clock, until).await,
            Err(wait) => Err(wait),
        };
        if outcome.is_err() {
            self.refused.iter().for_each(Counter::inc);
        }
        outcome
    }

    /// Lets a call pass that gives way to all others, now or before `until`. Otherwise says after what time to come back.
    pub async fn pass_secondary(&self, clock: &Arc<dyn Clock>, until: Moment) -> Result<(), Duration> {
        let now = clock.moment();
        match self.look_secondary(now) {
            Ok(()) => return Ok(()),
            Err(slot) if slot > until => return Err(slot.since(now)),
            Err(_) => {}
        }
        let mut turn = tokio::select! {
            biased;
            turn = self.secondary_head.lock() => turn,
            () = clock.sleep_until(until.plus(TICK)) => return Err(TICK),
        };
        loop {
            let outcome = self.take_secondary(clock, &mut turn).await;
            match outcome {
                Ok(()) => return Ok(()),
                Err(slot) if slot > until => return Err(slot.since(clock.moment())),
                Err(slot) => clock.sleep_until(slot).await,
            }
        }
    }

    /// Takes a slot without waiting for anything, if there is one for a call that gives way; otherwise tells when to look
    /// again.
    fn look_secondary(&self, now: Moment) -> Result<(), Moment> {
        let mut state = self.state.lock();
        // G-23: others first
        if state.waiting > 0 {
            return Err(self.slot(Kind::Secondary, &state, now, state.waiting).max(now.plus(TICK)));
        }
        match self.fleet.get() {
            Some(fleet) => Err(fleet.estimate(Kind::Secondary, 0, now)),
            None => self.secondary.take(&mut state.due, now),
        }
    }

    async fn take_secondary(&self, clock: &Arc<dyn Clock>, turn: &mut Option<Asking>) -> Result<(), Moment> {
        let now = clock.moment();
        match (self.look_secondary(now), self.fleet.get()) {
            (Err(slot), Some(fleet)) if slot <= now => fleet.take(Kind::Secondary, 1, clock, turn).await,
            (outcome, _) => outcome,
        }
    }

    /// Passes at once, or takes a place in the queue.
    fn enter(&self, now: Moment, until: Moment) -> Result<Option<Place<'_>>, Duration> {
        let mut state = self.state.lock();
        // T-54: line of arrival
        if state.waiting == 0 && self.fleet.get().is_none() && self.pace.take(&mut state.due, now).is_ok() {
            return Ok(None);
        }
        // One at least asks whether the fleet has a slot.
        let queue = self.queue.max(usize::from(self.fleet.get().is_some()));
        let slot = self.slot(Kind::Ordinary, &state, now, state.waiting);
        if state.waiting >= queue || slot > until {
            return Err(slot.since(now));
        }
        state.waiting += 1;
        Ok(Some(Place(self)))
    }

    async fn wait(&self, _place: Place<'_>, clock: &Arc<dyn Clock>, until: Moment) -> Result<(), Duration> {
        let mut turn = tokio::select! {
            biased;
            turn = self.head.lock() => turn,
            // Those before were late; that is rare, and the call is refused like one that found too many before it.
            () = clock.sleep_until(until.plus(TICK)) => {
                let (state, now) = (self.state.lock(), clock.moment());
                return Err(self.slot(Kind::Ordinary, &state, now, state.waiting.saturating_sub(1)).since(now));
            }
        };
        loop {
            let outcome = match self.fleet.get() {
                Some(fleet) => fleet.take(Kind::Ordinary, self.waiting(), clock, &mut turn).await,
                None => self.pace.take(&mut self.state.lock().due, clock.moment()),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(slot) if slot > until => return Err(slot.since(clock.moment())),
                Err(slot) => clock.sleep_until(slot).await,
            }
        }
    }

    /// When a call with `before` others before it will pass; with a fleet, when it may.
    fn slot(&self, kind: Kind, state: &State, now: Moment, before: usize) -> Moment {
        let pace = if kind == Kind::Secondary { &self.secondary } else { &self.pace };
        self.fleet.get().map_or_else(|| pace.slot(state.due, now, before), |fleet| fleet.estimate(kind, before, now))
    }
}
