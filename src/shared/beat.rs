//! The beat: four times a second this replica says that it lives, and hears of what the others did.
//!
//! Events are numbered. Where the number jumped or fell, or could not be read for two seconds, some may have been missed: a
//! gap (F-09). The listener is told of it, and looks at what it has.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use super::counters::Op;
use super::tier::{Beat, Beaten, Event, TierTime};
use crate::clock::Moment;
use crate::lifecycle::Lifecycle;
use crate::pacing::jitter;

/// From one beat to the next, and how much more or less.
const BEAT: Duration = Duration::from_millis(250);
const JITTER: f64 = 0.2;
/// From one beat to the next where the tier was never heard, or was heard once: the second good one brings it up.
const FIRST: Duration = Duration::from_millis(50);
/// Without a beat for so long, events may have been missed.
const GAP: Duration = Duration::from_secs(2);

/// What hears of other replicas. It must not wait.
pub trait Listener: Send + Sync {
    /// Another replica, or this one, told all.
    fn event(&self, event: &Event);
    /// Some events may have been missed: nothing of the cache is certain until it is confirmed.
    fn gap(&self);
    /// The tier answers again, or for the first time.
    fn up(&self) {}
}

/// What the events that were heard tell of those that were not.
#[derive(Debug)]
struct Ear {
    /// Number of the last event that was heard.
    seen: Option<u64>,
    /// When that was last known to be the last.
    at: Moment,
    /// Whether the silence was told.
    silent: bool,
}

/// What a beat brought.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    /// Some events are missing.
    gap: bool,
    /// More are there.
    more: bool,
}

impl Ear {
    const fn new(now: Moment) -> Self {
        Self { seen: None, at: now, silent: false }
    }

    /// Takes in what a beat brought.
    fn hear(&mut self, beaten: &Beaten, now: Moment) -> Heard {
        (self.at, self.silent) = (now, false);
        let Some(seen) = self.seen else {
            // Nothing was heard before, so nothing was missed that mattered.
            self.seen = Some(beaten.number);
            return Heard { gap: false, more: false };
        };
        let mut last = seen;
        let mut gap = beaten.number < seen;
        for (number, event) in &beaten.events {
            gap |= *number != last.saturating_add(1) || event.is_none();
            last = *number;
        }
        let full = u64::try_from(beaten.events.len()).is_ok_and(|length| length >= super::tier::EVENTS_A_BEAT);
        let more = full && last < beaten.number;
        gap |= !more && last != beaten.number;
        self.seen = Some(if more { last } else { beaten.number });
        Heard { gap, more }
    }

    /// No beat came; says whether that is a gap now.
    fn miss(&mut self, now: Moment) -> bool {
        let silent = now.since(self.at) >= GAP && self.seen.is_some();
        silent && !std::mem::replace(&mut self.silent, true)
    }
}

impl Shared {
    /// Beats until the service drains.
    pub async fn run(self: Arc<Self>, listener: Arc<dyn Listener>, lifecycle: Lifecycle) {
        let stop = lifecycle.draining().clone();
        let mut ear = Ear::new(self.clock.moment());
        loop {
            let wait = self.beat(&mut ear, listener.as_ref()).await;
            let wait = wait.mul_f64(1.0 + JITTER * (2.0 * jitter::fraction() - 1.0));
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep_until(self.clock.moment().plus(wait)) => {}
            }
        }
    }

    /// One beat; says when the next is due.
    async fn beat(&self, ear: &mut Ear, listener: &dyn Listener) -> Duration {
        let ask = Beat { replica: self.replica.clone(), seen: ear.seen };
        let answer = self.wait(Op::Beat, self.timeout, self.tier.beat(&ask)).await;
        let now = self.clock.moment();
        let Ok(beaten) = answer else {
            if ear.miss(now) {
                self.counters.gaps.inc();
                listener.gap();
            }
            return if ear.seen.is_some() { BEAT } else { FIRST };
        };
        self.note_time(beaten.time);
        self.note_replicas(&beaten);
        let heard = ear.hear(&beaten, now);
        beaten.events.iter().filter_map(|(_, event)| event.as_ref()).for_each(|event| listener.event(event));
        if heard.gap {
            self.counters.gaps.inc();
            listener.gap();
        }
        let was_up = self.is_up();
        self.changed(self.health.beat());
        if !was_up && self.is_up() {
            listener.up();
        }
        match heard.more {
            true => Duration::ZERO,
            false if self.is_up() => BEAT,
            false => FIRST,
        }
    }

    fn note_replicas(&self, beaten: &Beaten) {
        // None is what a tier says that cannot count: this replica is there.
        let replicas = beaten.replicas.max(1);
        self.replicas.store(replicas, Ordering::Relaxed);
        self.counters.replicas.set(i64::try_from(replicas).unwrap_or(i64::MAX));
        let ours = u64::try_from(self.clock.now().as_millis()).unwrap_or(0).saturating_mul(1000);
        let ours = TierTime::from_micros(ours);
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        self.counters.offset.set(seconds(beaten.time.since(ours)) - seconds(ours.since(beaten.time)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::names::Names;
    use crate::shared::tier::{EVENTS_A_BEAT, Fence};

    fn at(millis: i64) -> Moment {
        Moment::from_millis(millis)
    }

    fn beaten(number: u64, events: impl IntoIterator<Item = u64>) -> Beaten {
        let secret = crate::secrets::Secret::new("07".repeat(32).into_bytes());
        let event = Event::SignedOut(Names::new(&secret).unwrap().user("", "ada"), Fence::NONE);
        let events = events.into_iter().map(|number| (number, Some(event.clone()))).collect();
        Beaten { time: TierTime::default(), number, replicas: 1, events }
    }

    #[test]
    fn a_number_that_jumps_or_falls_is_a_gap() {
        let hear = |seen: u64, beaten: &Beaten| {
            let mut ear = Ear { seen: Some(seen), ..Ear::new(at(0)) };
            (ear.hear(beaten, at(1)), ear.seen)
        };
        let heard = |gap, more| Heard { gap, more };
        assert_eq!(hear(7, &beaten(7, [])), (heard(false, false), Some(7)));
        assert_eq!(hear(7, &beaten(9, [8, 9])), (heard(false, false), Some(9)));
        assert_eq!(hear(7, &beaten(9, [9])), (heard(true, false), Some(9)), "trimmed");
        assert_eq!(hear(7, &beaten(9, [])), (heard(true, false), Some(9)), "the stream is gone");
        assert_eq!(hear(7, &beaten(3, [])), (heard(true, false), Some(3)), "flushed");
        let most = 8..8 + EVENTS_A_BEAT;
        assert_eq!(hear(7, &beaten(900, most)), (heard(false, true), Some(7 + EVENTS_A_BEAT)));
        let mut unreadable = beaten(8, [8]);
        unreadable.events[0].1 = None;
        assert_eq!(hear(7, &unreadable), (heard(true, false), Some(8)));
    }

    #[test]
    fn the_first_beat_is_no_gap() {
        let mut ear = Ear::new(at(0));
        assert!(!ear.miss(at(5000)), "nothing is known that could be wrong");
        assert_eq!(ear.hear(&beaten(900, []), at(6000)), Heard { gap: false, more: false });
        assert_eq!(ear.seen, Some(900));
    }

    #[test]
    fn silence_of_two_seconds_is_one_gap() {
        let mut ear = Ear { seen: Some(1), ..Ear::new(at(0)) };
        assert_eq!([1999, 2000, 2250].map(|millis| ear.miss(at(millis))), [false, true, false]);
        ear.hear(&beaten(1, []), at(2500));
        assert_eq!([4499, 4500].map(|millis| ear.miss(at(millis))), [false, true]);
    }
}
