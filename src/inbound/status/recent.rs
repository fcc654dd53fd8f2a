//! What happened in the last hour: readings of the counters, each minute, and for the last minute each ten seconds. Requests do
//! nothing for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use crate::clock::{Clock, Moment};
use crate::inbound::reply::Outcome;
use crate::lifecycle::Lifecycle;
use crate::metrics::{Counts, Metrics};

/// From one look at the counters to the next, and how many of them are a minute.
const STEP: Duration = Duration::from_secs(10);
const STEPS: usize = 6;
/// Readings that are kept: those of an hour.
const KEPT: usize = 60;
/// Steps of more than an hour: all that is kept is the same then.
const MOST_STEPS: u64 = 6 * 61;
/// The spans that are told, in minutes.
const SPANS: [usize; 3] = [1, 15, 60];
/// Families and the labels that are told apart: requests by route, sessions by route, calls by provider.
const COUNTED: [(&str, [&str; 2]); 3] = [
    ("sidemint_requests_total", ["route", "outcome"]),
    ("sidemint_sessions_total", ["route", "how"]),
    ("sidemint_provider_calls_total", ["provider", "outcome"]),
];

/// Readings of the counters.
#[derive(Debug)]
pub struct Recent {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    started: Moment,
    readings: Mutex<Readings>,
}

/// The newest last.
#[derive(Debug, Default)]
struct Readings {
    /// Of the last minute.
    steps: VecDeque<Reading>,
    /// Of the last hour.
    minutes: VecDeque<Reading>,
    /// How many there were.
    count: usize,
}

#[derive(Clone, Debug, Default)]
struct Reading {
    requests: Counts,
    sessions: Counts,
    calls: Counts,
}

/// What a route did in a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lately {
    pub(super) minutes: usize,
    pub(super) requests: u64,
    /// Answered from the cache.
    pub(super) warm: u64,
    /// Sessions handed out.
    pub(super) sessions: u64,
    /// Answers that say that the request may not have what it asks for.
    pub(super) refusals: u64,
    /// Answers that say that something does not work.
    pub(super) failures: u64,
}

/// How calls to a provider ended.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Calls {
    pub(super) provider: String,
    /// Calls of the last hour that succeeded, and those that failed.
    pub(super) ok: u64,
    pub(super) failed: u64,
    /// Minutes since the last call that succeeded, where there was one in this hour.
    pub(super) last_ok_minutes: Option<usize>,
    /// The class of the last failure, and the minutes since.
    pub(super) last_failure: Option<LastFailure>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LastFailure {
    pub(super) class: String,
    pub(super) minutes: usize,
}

impl Recent {
    /// Begins to read.
    pub fn start(metrics: &Arc<Metrics>, clock: &Arc<dyn Clock>, lifecycle: &Lifecycle) -> Arc<Self> {
        let own = Arc::new(Self {
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
            started: clock.moment(),
            readings: Mutex::default(),
        });
        let (recent, draining) = (Arc::clone(&own), lifecycle.draining().clone());
        lifecycle.spawn(async move {
            let mut next = recent.started;
            loop {
                next = next.plus(STEP);
                tokio::select! {
                    () = draining.cancelled() => return,
                    () = recent.clock.sleep_until(next) => {}
                }
                // A machine that slept makes up for all its steps at once.
                let missed = recent.clock.moment().since(next).as_secs() / STEP.as_secs();
                next = next.plus(STEP * u32::try_from(missed).unwrap_or(u32::MAX));
                recent.note(missed + 1);
            }
        });
        own
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Time since the start.
    pub(super) fn uptime(&self) -> Duration {
        self.clock.moment().since(self.started)
    }

    fn read(&self) -> Reading {
        let [requests, sessions, calls] = self.metrics.counts(COUNTED);
        Reading { requests, sessions, calls }
    }

    /// One reading, for so many steps.
    fn note(&self, times: u64) {
        let reading = self.read();
        let Readings { steps, minutes, count } = &mut *self.readings.lock();
        for _ in 0..times.min(MOST_STEPS) {
            *count += 1;
            if count.is_multiple_of(STEPS) {
                keep(minutes, KEPT, reading.clone());
            }
            keep(steps, STEPS, reading.clone());
        }
    }

    /// What there is to tell of now.
    pub(super) fn look(&self) -> Look {
        let now = self.read();
        let readings = self.readings.lock();
        let a_minute_ago = readings.steps.front().filter(|_| readings.steps.len() == STEPS).cloned();
        let readings = readings.minutes.iter().cloned().chain([now]).collect();
        Look { readings, a_minute_ago }
    }
}

fn keep(readings: &mut VecDeque<Reading>, most: usize, reading: Reading) {
    if readings.len() == most {
        readings.pop_front();
    }
    readings.push_back(reading);
}

/// The readings, with one of now as the last.
pub(super) struct Look {
    readings: Vec<Reading>,
    a_minute_ago: Option<Reading>,
}

impl Look {
    /// The counters as they were so many minutes before; at the start there was nothing.
    fn before(&self, minutes: usize) -> Option<&Reading> {
        self.readings.len().checked_sub(minutes + 1).and_then(|at| self.readings.get(at))
    }

    fn grown(&self, minutes: usize, counts: fn(&Reading) -> &Counts) -> impl Iterator<Item = (&[String; 2], u64)> {
        let before = if minutes == 1 { self.a_minute_ago.as_ref() } else { self.before(minutes) }.map(counts);
        let now = self.readings.last().map(counts).into_iter().flatten();
        now.map(move |(key, value)| (key, value - before.and_then(|own| own.get(key)).unwrap_or(&0)))
    }

    /// What a route did in each of the spans.
    pub(super) fn route(&self, route: &str) -> [Lately; SPANS.len()] {
        SPANS.map(|minutes| {
            let mut own = Lately { minutes, ..Lately::default() };
            for ([_, outcome], count) in self.grown(minutes, |own| &own.requests).filter(|([own, _], _)| own == route) {
                own.requests += count;
                match Outcome::of_code(outcome).map(|outcome| outcome.row().status) {
                    Some(status) if status.is_server_error() => own.failures += count,
                    Some(status) if status.is_client_error() => own.refusals += count,
                    _ => {}
                }
            }
            for ([_, how], count) in self.grown(minutes, |own| &own.sessions).filter(|([own, _], _)| own == route) {
                // Those that the clock renewed or left were handed to nobody.
                match how.as_str() {
                    "hit" | "stale" => (own.warm, own.sessions) = (own.warm + count, own.sessions + count),
                    "minted" | "shared" => own.sessions += count,
                    _ => {}
                }
            }
            own
        })
    }

    /// How calls to a provider ended.
    pub(super) fn calls(&self, provider: &str) -> Calls {
        let mut own = Calls { provider: provider.to_owned(), ..Calls::default() };
        for ([_, class], count) in self.grown(KEPT, |own| &own.calls).filter(|([own, _], _)| own == provider) {
            let minutes = || (0..KEPT).find(|minutes| self.has_grown(provider, class, *minutes));
            if class == "ok" {
                own.ok += count;
                own.last_ok_minutes = minutes();
            } else if count > 0 {
                own.failed += count;
                let is_later = |minutes: usize| own.last_failure.as_ref().is_none_or(|last| minutes < last.minutes);
                if let Some(minutes) = minutes().filter(|minutes| is_later(*minutes)) {
                    own.last_failure = Some(LastFailure { class: class.clone(), minutes });
                }
            }
        }
        own
    }

    /// Whether there was such a call in the minute that ended so many minutes ago.
    fn has_grown(&self, provider: &str, class: &str, minutes: usize) -> bool {
        let key = [provider.to_owned(), class.to_owned()];
        let at = |minutes| self.before(minutes).and_then(|own| own.calls.get(&key)).copied().unwrap_or(0);
        at(minutes) > at(minutes + 1)
    }
}
