//! `mode = "through"`: the application is asked at once, and its answer is the provider's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use tokio::sync::watch;

use super::ended::{Ended, Refused, Taken};
use super::memory::Remembered;
use crate::clock::{Clock, Moment};
use crate::lifecycle::Lifecycle;
use crate::webhook::delivery::{Class, Target};
use crate::webhook::event::{Event, EventKey, ProofKey};
use crate::webhook::store::{Counted, Memory};

/// Time for the application's answer.
const DEADLINE: Duration = Duration::from_secs(3);
/// Keys, and as many proofs, that are remembered.
const REMEMBERED: usize = 200_000;
/// Bytes of an answer that the provider gets.
const MOST_ANSWER: usize = 64 * 1024;
/// The last answers, for those who ask again because the first answer did not reach them: their bytes, and their number.
const ANSWER_BYTES: usize = 1024 * 1024;
const ANSWERS: usize = 1024;

/// Asks the application about the events of one webhook.
#[derive(Clone, Debug)]
pub struct Through {
    target: Arc<Target>,
    /// Whether the provider gets the application's answer.
    relay: bool,
    known: Arc<Mutex<Known>>,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
}

#[derive(Debug)]
struct Known {
    keys: Remembered<EventKey>,
    proofs: Remembered<ProofKey>,
    flights: Vec<Flight>,
    answers: VecDeque<(EventKey, ProofKey, Bytes)>,
    answer_bytes: usize,
}

/// An event that the application is being asked about.
#[derive(Debug)]
struct Flight {
    key: EventKey,
    proof: ProofKey,
    outcome: watch::Receiver<Option<Asked>>,
}

/// What the application says.
#[derive(Clone, Debug)]
enum Asked {
    /// It took the event, and answered this.
    Took(Bytes),
    /// It did not.
    NotTaken,
}

/// What is known of an event that comes.
enum Found {
    /// It was taken before, with this answer where it is still there.
    Before(Bytes),
    /// The application is being asked; this is the first to ask, or not.
    Flight(watch::Receiver<Option<Asked>>, Taken),
}

impl Through {
    /// Asks `target`.
    pub fn new(target: Target, relay: bool, clock: &Arc<dyn Clock>, lifecycle: &Lifecycle) -> Self {
        let known = Known {
            keys: Remembered::new(REMEMBERED),
            proofs: Remembered::new(REMEMBERED),
            flights: Vec::new(),
            answers: VecDeque::new(),
            answer_bytes: 0,
        };
        Self {
            target: Arc::new(target),
            relay,
            known: Arc::new(Mutex::new(known)),
            clock: Arc::clone(clock),
            lifecycle: lifecycle.clone(),
        }
    }

    /// Asks about `event`, unless it was taken before or is being asked about: a repeat joins the flight.
    pub(super) async fn ask(&self, event: Event, memory: Memory, counted: Counted) -> Ended {
        let deadline = self.clock.moment().plus(DEADLINE);
        let (mut flight, taken) = match self.find(event, memory, counted, deadline) {
            Found::Before(answer) => return self.ended(answer, Taken::Duplicate),
            Found::Flight(flight, taken) => (flight, taken),
        };
        let asked = tokio::select! {
            asked = flight.wait_for(Option::is_some) => asked.map(|asked| asked.clone()).ok().flatten(),
            () = self.clock.sleep_until(deadline) => None,
        };
        match asked {
            Some(Asked::Took(answer)) => self.ended(answer, taken),
            Some(Asked::NotTaken) | None => Ended::Refused(Refused::NotTaken),
        }
    }

    fn ended(&self, answer: Bytes, taken: Taken) -> Ended {
        if self.relay && !answer.is_empty() { Ended::Relayed(answer) } else { Ended::Taken(taken) }
    }

    fn find(&self, event: Event, memory: Memory, counted: Counted, deadline: Moment) -> Found {
        let now = self.clock.moment();
        let mut known = self.known.lock();
        let (key, proof) = (event.key, event.proof);
        // W-03: taken before
        if known.keys.holds(&key, now) || known.proofs.holds(&proof, now) {
            let mut answers = known.answers.iter();
            let answer = answers.find(|(own, by, _)| *own == key || *by == proof).map(|(_, _, answer)| answer.clone());
            return Found::Before(answer.unwrap_or_default());
        }
        // W-03: joined flight
        if let Some(flight) = known.flights.iter().find(|own| own.key == key || own.proof == proof) {
            return Found::Flight(flight.outcome.clone(), Taken::Duplicate);
        }
        let (told, outcome) = watch::channel(None);
        known.flights.push(Flight { key, proof, outcome: outcome.clone() });
        drop(known);
        let own = self.clone();
        // The provider may hang up; what the application took is remembered anyway.
        self.lifecycle.spawn(async move {
            let asked = own.send(&event, deadline).await;
            drop((event, counted));
            own.land(key, proof, &asked, memory);
            // The one who asked may be gone.
            let _told = told.send(Some(asked));
        });
        Found::Flight(outcome, Taken::Accepted)
    }

    async fn send(&self, event: &Event, deadline: Moment) -> Asked {
        let most = if self.relay { MOST_ANSWER } else { 0 };
        let Ok(outcome) = self.target.send(event, deadline, most).await else { return Asked::NotTaken };
        if outcome.class != Class::Delivered {
            return Asked::NotTaken;
        }
        if !self.relay {
            return Asked::Took(Bytes::new());
        }
        let is_good = |answer: &Bytes| answer.is_empty() || serde_json::from_slice::<IgnoredAny>(answer).is_ok();
        outcome.answer.filter(is_good).map_or(Asked::NotTaken, Asked::Took)
    }

    /// The flight is over.
    fn land(&self, key: EventKey, proof: ProofKey, asked: &Asked, memory: Memory) {
        let now = self.clock.moment();
        let mut known = self.known.lock();
        known.flights.retain(|own| own.key != key);
        let Asked::Took(answer) = asked else { return };
        known.keys.remember(key, now, memory.key);
        known.proofs.remember(proof, now, memory.proof);
        if !answer.is_empty() {
            known.answers.push_back((key, proof, answer.clone()));
        }
        known.answer_bytes = known.answer_bytes.saturating_add(answer.len());
        while known.answer_bytes > ANSWER_BYTES || known.answers.len() > ANSWERS {
            let Some((_, _, oldest)) = known.answers.pop_front() else { break };
            known.answer_bytes = known.answer_bytes.saturating_sub(oldest.len());
        }
    }
}
