//! The task that fetches the keys of one source. It alone calls the source, so there is never more than one call at a
//! time; requests that miss a key wake it, and wait for the end of the look that could bring the key.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use strum::VariantArray as _;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::fetch::{Fault, Fetched, Fetcher, PATIENCE};
use super::negative_cache::NegativeCache;
use super::schedule::Schedule;
use super::{Found, KeyReadiness, Keys, MOST_KID_BYTES};
use crate::clock::{Clock, Moment, Timestamp};
use crate::definition::Mistakes;
use crate::identity::definition::{KeyPlace, KeyPlan};
use crate::metrics::{KeySetMetrics, Label as _};
use crate::outbound::Services;
use crate::pacing::{Pace, Rate};
use crate::secrets::Reloaded;

/// Looks that unknown key ids may cause at once, and in any such time (T-25).
const LOOKS: u32 = 1;
/// The same where each key has an address of its own.
const LOOKS_BY_KEY: u32 = 4;
const COOL_DOWN: Duration = Duration::from_secs(10);

/// A source that is fetched from.
#[derive(Debug)]
pub(super) struct Remote {
    source: String,
    fetcher: Fetcher,
    /// Whether each key has an address of its own: then nothing is fetched before a token names a key.
    by_key: bool,
    max_age: Duration,
    refresh: Duration,
    /// Of looks for unknown keys.
    pace: Pace,
    clock: Arc<dyn Clock>,
    metrics: KeySetMetrics,
    state: Mutex<State>,
    /// A request misses a key.
    demand: Notify,
    /// Looks so far.
    finished: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    running: bool,
    /// The look that is under way, or about to be.
    look: Option<Look>,
    /// When the next look for an unknown key is due, for `pace`.
    due: i128,
    unknown: NegativeCache,
    /// Whether the last look brought an answer.
    answers: bool,
    /// When the last answer came.
    fetched: Option<Timestamp>,
    /// The last answer: the same again means the same keys.
    text: Option<Bytes>,
}

/// What a look is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    Everything,
    One(Option<String>),
}

/// What is done for a request that misses a key.
enum KeyLookup {
    /// The key has come meanwhile.
    Here,
    /// No look will help.
    Refused(Found),
    /// A look is under way, or begins now.
    Wait {
        end: watch::Receiver<u64>,
        /// Whether it is one that could bring the key.
        helps: bool,
    },
}

/// When what happens next.
struct Times {
    schedule: Schedule,
    next: Moment,
    /// The last good keys may be used until then.
    good_until: Option<Moment>,
}

impl Remote {
    pub(super) fn new(source: &str, plan: &KeyPlan, services: &Services) -> Result<Self, Mistakes> {
        let by_key = matches!(plan.place, KeyPlace::PemUrl(_));
        let looks = if by_key { LOOKS_BY_KEY } else { LOOKS };
        let metrics = services.metrics.identity.key_set(source, Fault::VARIANTS.iter().map(|fault| fault.label()));
        Ok(Self {
            source: source.to_owned(),
            fetcher: Fetcher::new(source, plan, services, &metrics)?,
            by_key,
            max_age: plan.max_age,
            refresh: plan.refresh,
            pace: Pace::new(Rate::new(looks, COOL_DOWN), looks),
            clock: Arc::clone(&services.clock),
            metrics,
            state: Mutex::new(State {
                running: false,
                look: None,
                due: Pace::UNUSED,
                unknown: NegativeCache::default(),
                answers: by_key,
                fetched: None,
                text: None,
            }),
            demand: Notify::new(),
            finished: watch::Sender::new(0),
        })
    }

    /// When the source last told its keys.
    pub(super) fn fetched(&self) -> Option<Timestamp> {
        self.state.lock().fetched
    }

    /// The keys before the first look.
    pub(super) fn first(&self) -> Keys {
        if self.by_key { Keys::new(Vec::new()) } else { Keys::default() }
    }

    /// Says that [`Remote::run`] is about to begin, so that requests wait for its first look.
    pub(super) fn prepare(&self, readiness: &KeyReadiness) {
        let mut state = self.state.lock();
        state.running = true;
        if !self.by_key {
            state.look = Some(Look::Everything);
            readiness.add(&self.source); // T-27: readiness names the source
        }
    }

    /// Looks whenever it is time, or a request misses a key.
    pub(super) async fn run(&self, current: &Reloaded<Keys>, stop: &CancellationToken, readiness: &KeyReadiness) {
        let now = self.clock.moment();
        let mut times = Times { schedule: Schedule::new(self.refresh), next: now, good_until: None };
        loop {
            let wake = times.good_until.map_or(times.next, |until| until.min(times.next));
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.demand.notified() => {}
                () = self.clock.sleep_until(wake) => {}
            }
            let now = self.clock.moment();
            if times.good_until.is_some_and(|until| until <= now) {
                times.good_until = None;
                self.drop_keys(current);
            }
            let Some(look) = self.begin(times.next <= now) else { continue };
            let known = Arc::clone(&current.current());
            if self.by_key && look == Look::Everything && known.all().is_empty() {
                times.next = now.plus(times.schedule.after_success(None));
                self.finish();
                continue;
            }
            let outcome = tokio::select! {
                () = stop.cancelled() => break,
                outcome = self.fetch(&look, &known) => outcome,
            };
            match outcome {
                Ok(fetched) => {
                    self.take(fetched, &look, &known, current, &mut times);
                    readiness.remove(&self.source);
                }
                Err(fault) => self.fail(fault, &look, &mut times),
            }
            self.finish();
        }
        self.state.lock().running = false;
        self.finish();
    }

    /// Which look comes now; `None` where there is nothing to do.
    fn begin(&self, due: bool) -> Option<Look> {
        let mut state = self.state.lock();
        // Where one look brings every key, a request that misses one gets all of them as well.
        if due && (!self.by_key || state.look.is_none()) {
            state.look = Some(Look::Everything);
        }
        state.look.clone()
    }

    async fn fetch(&self, look: &Look, known: &Keys) -> Result<Fetched, Fault> {
        match look {
            Look::Everything => self.fetcher.everything(known).await,
            Look::One(kid) => self.fetcher.one(kid.as_deref(), known).await,
        }
    }

    fn take(&self, fetched: Fetched, look: &Look, known: &Keys, current: &Reloaded<Keys>, times: &mut Times) {
        let now = self.clock.moment();
        times.good_until = Some(now.plus(self.max_age)); // T-27: keys outlive an outage
        if !self.by_key || *look == Look::Everything {
            // Whatever an answer says of its freshness: before the keys are too old, with time left for a second try.
            let latest = self.max_age.mul_f64(0.8);
            // T-27: keys renewed in time
            times.next = now.plus(times.schedule.after_success(fetched.fresh_for).min(latest));
        }
        let mut state = self.state.lock();
        if !state.answers {
            tracing::info!(source = self.source, keys = fetched.keys.len(), "keys have been fetched");
        }
        state.answers = true;
        state.fetched = Some(self.clock.now());
        let same = match &fetched.text {
            Some(text) => !known.is_empty() && state.text.as_ref() == Some(text),
            None => {
                fetched.keys.len() == known.all().len()
                    && fetched.keys.iter().zip(known.all()).all(|(new, old)| Arc::ptr_eq(new, old))
            }
        };
        if !same {
            state.text = fetched.text;
            state.unknown.clear();
            current.replace(Keys::of(fetched.keys));
        }
        drop(state);
        self.metrics.fetched();
    }

    fn fail(&self, fault: Fault, look: &Look, times: &mut Times) {
        if *look == Look::Everything {
            times.next = self.clock.moment().plus(times.schedule.after_failure());
        }
        self.metrics.failed(fault.label());
        let answered = std::mem::replace(&mut self.state.lock().answers, false);
        if answered || times.good_until.is_none() {
            tracing::warn!(source = self.source, reason = %fault, "keys cannot be fetched; the last good ones stay in use");
        }
    }

    fn drop_keys(&self, current: &Reloaded<Keys>) {
        self.state.lock().text = None;
        current.replace(self.first());
        tracing::error!(source = self.source, "the last good keys are too old to be used any longer");
    }

    /// Tells those who wait that the look is over.
    fn finish(&self) {
        self.state.lock().look = None;
        self.finished.send_modify(|looks| *looks = looks.wrapping_add(1));
    }

    /// Sees to it that the source is asked for `kid`, within the limits, and waits for that.
    pub(super) async fn look_for(&self, kid: Option<&str>, current: &Reloaded<Keys>) -> Found {
        if kid.is_some_and(|kid| kid.len() > MOST_KID_BYTES) || !self.fetcher.could_have(kid) {
            self.metrics.unknown();
            return Found::Nothing;
        }
        // A look for another key may be under way; the one behind it is for ours.
        for _ in 0..2 {
            let (end, helps) = match self.look_up(kid, current) {
                KeyLookup::Here => return Found::Here,
                KeyLookup::Refused(found) => {
                    if found == Found::Nothing {
                        self.metrics.unknown();
                    }
                    return found;
                }
                KeyLookup::Wait { end, helps } => (end, helps),
            };
            self.wait(end).await;
            if helps {
                return self.judge(kid, current);
            }
        }
        Found::Unreachable
    }

    fn look_up(&self, kid: Option<&str>, current: &Reloaded<Keys>) -> KeyLookup {
        let now = self.clock.moment();
        let mut state = self.state.lock();
        // Looked at under the lock: a look that has just ended has published before it let go.
        if kid.is_some_and(|kid| current.current().has(kid)) {
            return KeyLookup::Here;
        }
        let nothing = if state.answers { Found::Nothing } else { Found::Unreachable };
        if !state.running {
            return KeyLookup::Refused(nothing);
        }
        if let Some(look) = &state.look {
            let own = matches!(look, Look::One(wanted) if wanted.as_deref() == kid);
            return KeyLookup::Wait { end: self.finished.subscribe(), helps: !self.by_key || own };
        }
        if kid.is_some_and(|kid| state.unknown.holds(kid, now)) {
            return KeyLookup::Refused(Found::Nothing);
        }
        // T-25: fetches for unknown keys
        if self.pace.take(&mut state.due, now).is_err() {
            return KeyLookup::Refused(nothing);
        }
        state.look = Some(Look::One(kid.map(str::to_owned)));
        let end = self.finished.subscribe();
        drop(state);
        self.demand.notify_one();
        KeyLookup::Wait { end, helps: true }
    }

    /// What the look that has ended says of `kid`.
    fn judge(&self, kid: Option<&str>, current: &Reloaded<Keys>) -> Found {
        let mut state = self.state.lock();
        match kid {
            Some(kid) if current.current().has(kid) => Found::Changed,
            _ if !state.answers => Found::Unreachable,
            Some(kid) => {
                state.unknown.remember(kid, self.clock.moment());
                self.metrics.unknown();
                // The keys are others now; they may be the first, or have no ids.
                Found::Changed
            }
            None => Found::Changed,
        }
    }

    /// Waits for the end of a look, which ends by itself; the limit is for a task that does not.
    async fn wait(&self, mut end: watch::Receiver<u64>) {
        let limit = self.clock.moment().plus(PATIENCE.saturating_mul(2));
        tokio::select! {
            _closed = end.changed() => {}
            () = self.clock.sleep_until(limit) => {}
        }
    }
}
