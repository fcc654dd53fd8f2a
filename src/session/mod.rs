//! Sessions: cache, upsert, mint, renewal. The promises of the service are kept here.
//!
//! A request asks [`Sessions::warm`] first, which never waits. Only where that has nothing does it go on to
//! [`Sessions::cold`], which mints: in place where tokens are signed here, by single flight where a provider is asked.
//! Behind both, [`Sessions::run_renewals`] renews by the clock what is in use.

mod answer;
mod cache;
mod error;
mod fleet;
mod flight;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod key;
mod limit;
mod plan;
mod renewal;
mod sign_out;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio::sync::Semaphore;

pub use answer::{Answer, ENVOY_REMOVE, Form, SESSION_HEADERS, STATUS, left_empty};
pub use cache::Entry;
pub use error::SessionError;
pub use fleet::SignedOut;
pub use key::{RouteId, SessionKey};
pub use plan::Plan;

use cache::{Cached, Store};
use fleet::{Fleet, Next, UserNames};
use flight::{Begun, Flights, Join, Mission, Outcome};
use key::Question;
use limit::UserRate;
use renewal::Renewals;

use crate::clock::Clock;
use crate::config;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::provider::{Explanation, Order};
use crate::shared::{Fence, Shared};
use crate::trace::Origin;

/// Renewals under way at once.
const RENEWALS_AT_ONCE: usize = 64;
/// Flights that one request waits for at most.
const MOST_FLIGHTS: usize = 3;
/// Locks that local mints are spread over.
const STRIPES: usize = 64;

/// How a session came to be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// From the cache.
    Hit,
    /// From the cache, and a refresh has begun behind it.
    Stale,
    /// Taken over from another replica.
    Shared,
    /// Minted while the request waited.
    Minted,
}

/// How many sessions there are.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsStatus {
    /// Sessions in the cache.
    pub cached: u64,
    /// Bytes of memory that they take, keys included.
    pub bytes: u64,
    /// Sessions that wait for their point of renewal or removal.
    pub renewals_pending: usize,
}

/// The service.
#[derive(Debug)]
pub struct Sessions {
    plans: Vec<Arc<Plan>>,
    by_route: HashMap<RouteId, Arc<Plan>>,
    names: UserNames,
    store: Store,
    flights: Arc<Flights>,
    renewals: Renewals,
    renewing: Arc<Semaphore>,
    stripes: Vec<Mutex<()>>,
    user_rate: Option<UserRate>,
    /// What is shared with other replicas, if anything is.
    fleet: Option<Fleet>,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
    /// The service whose place this one took: its mints may still be under way.
    before: OnceLock<Weak<Self>>,
}

impl Sessions {
    /// A service for `plans`, alone or as one of those that share a tier.
    pub fn new(
        (plans, shared): (Vec<Arc<Plan>>, Option<&Arc<Shared>>),
        (cache, limits): (config::Cache, config::UserLimits),
        clock: Arc<dyn Clock>,
        lifecycle: Lifecycle,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let by_route = plans.iter().map(|plan| (plan.id, Arc::clone(plan))).collect();
        let names = UserNames::new(shared);
        let fleet = shared
            .map(|shared| Fleet::new(Arc::clone(shared), (&plans, limits.user_rate), Arc::clone(&clock), metrics));
        Arc::new(Self {
            plans,
            by_route,
            store: Store::new(cache, names.clone(), metrics),
            names,
            flights: Arc::default(),
            renewals: Renewals::new(cache.max_entries),
            renewing: Arc::new(Semaphore::new(RENEWALS_AT_ONCE)),
            stripes: std::iter::repeat_with(Mutex::default).take(STRIPES).collect(),
            user_rate: limits.user_rate.map(UserRate::new),
            fleet,
            clock,
            lifecycle,
            before: OnceLock::new(),
        })
    }

    /// Takes the place of `before`. Who signs out here or is denied loses what is still under way there.
    pub fn follow(&self, before: &Arc<Self>) {
        // One that follows already stays behind the first.
        let _first = self.before.set(Arc::downgrade(before));
    }

    /// The plans, in order.
    pub fn plans(&self) -> &[Arc<Plan>] {
        &self.plans
    }

    /// A session that can be handed out at once.
    pub fn warm(self: &Arc<Self>, plan: &Plan, key: &[u8]) -> Option<(Arc<Entry>, How)> {
        let entry = self.store.get(key)?;
        let now = self.clock.moment();
        if !entry.is_usable(now, self.clock.now()) {
            return None;
        }
        entry.mark_used();
        if !entry.is_due(now) {
            plan.counters.hit.inc();
            return Some((entry, How::Hit));
        }
        // F-09: doubted sessions
        if !entry.is_confirmed() {
            let trusted = self.fleet.as_ref().is_none_or(|fleet| fleet.trusts(&entry, now));
            return trusted.then(|| {
                plan.counters.hit.inc();
                (entry, How::Hit)
            });
        }
        // After a failure the clock says when to try again; a request does not hurry it.
        if entry.failures.load(Ordering::Relaxed) == 0 {
            self.renew(&SessionKey::from(key), &entry, None);
        }
        plan.counters.stale.inc();
        Some((entry, How::Stale))
    }

    /// Mints a session, or joins the mint that is under way.
    pub async fn cold(
        self: &Arc<Self>,
        plan: &Plan,
        key: &[u8],
        origin: Origin,
    ) -> Result<(Arc<Entry>, How), SessionError> {
        let key = SessionKey::from(key);
        if let Some(fleet) = &self.fleet {
            fleet.admit(key.chat_subject())?;
        }
        if plan.provider.is_local() {
            return self.mint_here(plan, &key);
        }
        if !plan.provider.may_be_cached() {
            self.count(key.chat_subject())?;
            let running = self.flights.pass(&self.names.of(key.chat_subject()))?;
            let begun = self.fleet.as_ref().map(|fleet| (fleet, fleet.begin(key.chat_subject())));
            // Good for one request: no other request waits for this mint, and its result is not kept.
            // Boxed: the future of a mint by calls is large, and the future of every local mint would be as large.
            let entry = self.within(plan, Box::pin(self.mint(&key, origin, true))).await?;
            // T-66: dismissed flight
            if running.is_dismissed() || begun.is_some_and(|(fleet, begun)| fleet.has_ended(&begun)) {
                let own = Arc::clone(self);
                self.lifecycle.spawn(async move { own.take_back(&key).await });
                return Err(SessionError::SignedOut);
            }
            plan.counters.minted.inc();
            return Ok((entry, How::Minted));
        }
        let (entry, how) = self.within(plan, self.fly(&key, origin)).await.map_err(|error| match &self.fleet {
            // Who was denied has left as well.
            Some(fleet) if error == SessionError::SignedOut => fleet.admit(key.chat_subject()).err().unwrap_or(error),
            _ => error,
        })?;
        match (how, &self.fleet) {
            (How::Minted, _) => plan.counters.minted.inc(),
            (How::Shared, Some(fleet)) => fleet.count_adopted(plan),
            _ => {}
        }
        Ok((entry, how))
    }

    /// The outcome of the flight for `key`. A renewal that is under way may have nothing for a request: then the request has
    /// a flight of its own.
    async fn fly(self: &Arc<Self>, key: &SessionKey, origin: Origin) -> Outcome {
        for _ in 0..MOST_FLIGHTS {
            let waiter = match self.join(key, origin.clone(), true, || self.usable(key)) {
                Join::Cached(entry) => return Ok((entry, How::Hit)),
                Join::Waits(waiter) | Join::Began(waiter) => waiter,
                Join::Refused(error) => return Err(error),
            };
            match flight::wait(waiter).await {
                Err(SessionError::Gone) => {}
                Ok((entry, How::Hit)) if !self.is_usable(&entry) => {}
                outcome => return outcome,
            }
        }
        Err(SessionError::Gone)
    }

    /// Counts what a user makes us do, where the configuration sets a limit.
    fn count(&self, chat_subject: &str) -> Result<(), SessionError> {
        self.user_rate
            .as_ref()
            .map_or(Ok(()), |rate| rate.count(chat_subject, self.clock.moment()).map_err(SessionError::Rate))
    }

    /// The outcome of work, as long as the request may wait for it.
    async fn within<T>(
        &self,
        plan: &Plan,
        work: impl Future<Output = Result<T, SessionError>>,
    ) -> Result<T, SessionError> {
        let deadline = self.clock.moment().plus(plan.deadline);
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = self.clock.sleep_until(deadline) => Err(SessionError::Deadline),
            () = self.lifecycle.cut().cancelled() => Err(SessionError::Draining),
        }
    }

    /// A local signature takes microseconds: it is made in place, once per key even when several threads want it.
    fn mint_here(self: &Arc<Self>, plan: &Plan, key: &SessionKey) -> Result<(Arc<Entry>, How), SessionError> {
        if !plan.provider.may_be_cached() {
            self.count(key.chat_subject())?;
            let entry = self.sign(plan, key, true)?;
            plan.counters.minted.inc();
            return Ok((entry, How::Minted));
        }
        let _turn = (!self.store.is_off()).then(|| self.turn(key));
        if let Some(entry) = self.usable(key) {
            plan.counters.hit.inc();
            return Ok((entry, How::Hit));
        }
        // One that is only in doubt is signed anew, which is no doing of the user.
        if self.former(key).is_none() {
            self.count(key.chat_subject())?;
        }
        let entry = self.sign(plan, key, true)?;
        self.land(key, &entry);
        plan.counters.minted.inc();
        Ok((entry, How::Minted))
    }

    fn turn(&self, key: &SessionKey) -> Option<MutexGuard<'_, ()>> {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let stripe = usize::try_from(hasher.finish()).unwrap_or(0) % STRIPES;
        self.stripes.get(stripe).map(Mutex::lock)
    }

    fn sign(&self, plan: &Plan, key: &SessionKey, used: bool) -> Result<Arc<Entry>, SessionError> {
        let question = key.question().ok_or(SessionError::Internal)?;
        let order = Self::order(plan, &question, Origin::default())?;
        let began = self.clock.moment();
        let minted = plan.provider.mint_here(&order)?;
        Ok(Cached::of(plan, minted, began, Fence::NONE).render(plan, &question, used))
    }

    fn is_usable(&self, entry: &Entry) -> bool {
        entry.is_usable(self.clock.moment(), self.clock.now())
    }

    fn usable(&self, key: &SessionKey) -> Option<Arc<Entry>> {
        self.former(key).filter(|entry| entry.is_confirmed())
    }

    /// A session of the cache, whether it is in doubt or not.
    fn former(&self, key: &SessionKey) -> Option<Arc<Entry>> {
        self.store.get(std::borrow::Borrow::borrow(key)).filter(|entry| self.is_usable(entry))
    }

    /// Whether the cache has this one, and no other in its place.
    fn holds(&self, key: &SessionKey, entry: &Arc<Entry>) -> bool {
        self.store.get(std::borrow::Borrow::borrow(key)).is_some_and(|current| Arc::ptr_eq(&current, entry))
    }

    /// Drops it, where no other has taken its place.
    fn drop_entry(&self, key: &SessionKey, entry: &Arc<Entry>) {
        if self.holds(key, entry) {
            self.store.remove(std::borrow::Borrow::borrow(key));
        }
    }

    /// Joins the flight for `key`, and begins one where there is none.
    fn join(
        self: &Arc<Self>,
        key: &SessionKey,
        origin: Origin,
        used: bool,
        cached: impl FnOnce() -> Option<Arc<Entry>>,
    ) -> Join {
        // What is used from the start is wanted by a request; renewals are our own doing, and do not count. In a fleet it is
        // the mint that counts, and not the look for one of another replica.
        let may_begin = || if used && self.fleet.is_none() { self.count(key.chat_subject()) } else { Ok(()) };
        let mission = |begun| Mint {
            sessions: Arc::clone(self),
            key: key.clone(),
            origin,
            used,
            begun,
            gaps: self.gaps(),
            next: Mutex::default(),
        };
        let user = self.names.of(key.chat_subject());
        self.flights.join((key, &user), &self.lifecycle, cached, may_begin, mission)
    }

    fn gaps(&self) -> u64 {
        self.fleet.as_ref().map_or(0, Fleet::gaps)
    }

    async fn mint(&self, key: &SessionKey, origin: Origin, used: bool) -> Result<Arc<Entry>, SessionError> {
        let question = key.question().ok_or(SessionError::Internal)?;
        let plan = self.by_route.get(&question.route).ok_or(SessionError::Internal)?;
        let order = Self::order(plan, &question, origin)?;
        let began = self.clock.moment();
        let minted = plan.provider.mint(&order).await?;
        Ok(Cached::of(plan, minted, began, Fence::NONE).render(plan, &question, used))
    }

    fn order<'q>(plan: &Plan, question: &Question<'q>, origin: Origin) -> Result<Order<'q>, SessionError> {
        let order = Order {
            profile: question.profile.clone(),
            inputs: question.inputs.clone(),
            ttl: plan.ttl,
            is_known: false,
            origin,
        };
        if plan.provider.permits(&order) { Ok(order) } else { Err(SessionError::Input) }
    }

    fn land(&self, key: &SessionKey, entry: &Arc<Entry>) {
        if self.store.is_off() {
            return;
        }
        self.store.insert(key.clone(), Arc::clone(entry));
        self.renewals.schedule(entry.renew_at, key.clone(), entry);
        if let Some((_, plan)) = self.asked_by(key).filter(|(_, plan)| plan.provider.is_exclusive()) {
            self.drop_others(key, plan);
        }
    }

    fn asked_by<'k>(&self, key: &'k SessionKey) -> Option<(Question<'k>, &Arc<Plan>)> {
        let question = key.question()?;
        let plan = self.by_route.get(&question.route)?;
        Some((question, plan))
    }

    /// What a mint would do, without doing it.
    pub fn explain(&self, plan: &Plan, key: &[u8]) -> Result<Explanation, SessionError> {
        let key = SessionKey::from(key);
        let question = key.question().ok_or(SessionError::Internal)?;
        let order = Self::order(plan, &question, Origin::default())?;
        Ok(plan.provider.explain(&order)?)
    }

    /// How many sessions there are now.
    pub fn status(&self) -> SessionsStatus {
        let (cached, bytes) = self.store.size();
        SessionsStatus { cached, bytes, renewals_pending: self.renewals.pending() }
    }
}

/// One mint by calls.
struct Mint {
    sessions: Arc<Sessions>,
    key: SessionKey,
    origin: Origin,
    /// Whether a request wants it.
    used: bool,
    /// From when on what it brings counts.
    begun: Begun,
    /// Gaps before it began.
    gaps: u64,
    /// What is left to be done behind the answer.
    next: Mutex<Option<Next>>,
}

impl Mint {
    /// Leaves something to be done behind the answer.
    fn then(&self, next: Next) {
        *self.next.lock() = Some(next);
    }
}

impl Mission for Mint {
    async fn mint(&self) -> Outcome {
        let Some(fleet) = &self.sessions.fleet else {
            let minted = self.sessions.mint(&self.key, self.origin.clone(), self.used).await;
            return minted.map(|entry| (entry, How::Minted));
        };
        fleet.fetch(self).await
    }

    fn land(&self, entry: &Arc<Entry>) {
        if self.sessions.holds(&self.key, entry) {
            return;
        }
        self.sessions.land(&self.key, entry);
        // A sign-out may have gone unheard while it was on its way.
        if self.sessions.gaps() != self.gaps {
            self.sessions.store.doubt(entry);
        }
    }

    async fn settle(&self, landed: bool) {
        let next = self.next.lock().take();
        if let (Some(next), Some(fleet)) = (next, &self.sessions.fleet) {
            fleet.settle(self, next, landed).await;
        }
    }

    async fn take_back(&self) {
        self.sessions.take_back(&self.key).await;
    }
}
