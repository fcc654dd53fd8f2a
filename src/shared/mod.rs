//! The tier that replicas share: Redis or Valkey. Nothing here exists where `[cache.shared]` is not configured.
//!
//! [`Shared`] is what the rooms above ask. It makes [`names`] that tell nothing and seals values ([`seal`], [`value`]), asks
//! the [`tier`] within its timeout and not at all while it is away ([`health`]), and hears of what other replicas did
//! ([`beat`]). Every answer that does not come, or does not open, is a miss: a replica can always work on alone.

mod beat;
mod counters;
mod health;
mod model;
mod names;
mod place;
mod redis;
mod seal;
mod tier;
mod value;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

#[cfg(test)]
pub(crate) use self::redis::tests::server as test_server;
pub use self::redis::{Call, Client, OnDisk, Redis, Refused, Reply, StoredScript};
pub use beat::Listener;
pub use model::Model;
pub use names::{AccountName, BudgetName, LeaseToken, Names, ProfileName, QuestionName, SessionName, UserName};
pub use place::{Confirmed, Entrance, Found, Hit, Lease, Place};
pub use seal::{Keys, Unopened};
pub use tier::{
    Asked, Away, Beat, Beaten, CALLS_A_TAKE, DeniedPage, End, Enter, Entered, Event, Fence, LEASE, Land, Landed,
    MAX_VALUE, Outcome, Slots, Take, Taken, Tier, TierTime,
};
pub use value::Value;

use counters::{Counters, Ended, Op};
use health::{Change, Health};

use crate::clock::{Clock, Moment, Stopwatch};
use crate::config;
use crate::definition::{Key, Mistakes};
use crate::metrics::Metrics;
use crate::secrets::{Reload, Reloaded, Reports, SecretSet, SecretSource};

/// How long a session may take on its way into the tier, behind the answer.
const LANDING: Duration = Duration::from_millis(250);
/// How long a sign-out may take, mark and event together.
const SIGN_OUT: Duration = Duration::from_millis(50);
/// Name of the keys among the sources, and of the names.
const KEY_DIR: &str = "key_dir";
const NAMES_FILE: &str = "names_file";

/// The tier, as the rooms above ask it.
pub struct Shared {
    tier: Arc<dyn Tier>,
    names: Names,
    keys: Reloaded<Keys>,
    health: Health,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    strict: bool,
    /// The tier's time at a moment of ours, as last seen.
    seen: Mutex<Option<(TierTime, Moment)>>,
    /// Since when the tier answers and has lost nothing.
    whole: Mutex<Option<Moment>>,
    /// Replicas, as last seen; what the configuration expects before.
    replicas: AtomicU64,
    /// This process, for the tier.
    replica: LeaseToken,
    counters: Counters,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("tier", &self.tier).field("up", &self.is_up()).finish_non_exhaustive()
    }
}

impl Shared {
    /// The tier of the section `[cache.shared]`: `tier` is what answers. Reads names and keys.
    pub fn new(
        own: &config::Shared,
        tier: Arc<dyn Tier>,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, Mistakes> {
        let source = [(NAMES_FILE.to_owned(), SecretSource::File(own.names_file.clone()))].into();
        let secrets = SecretSet::read(&source).map_err(Mistakes::from);
        let names = secrets.and_then(|set| {
            let secret = set.get(NAMES_FILE).cloned();
            let names = secret.map(|secret| Names::new(&secret)).transpose();
            names.map_err(|mistake| Mistakes::from(mistake.within(NAMES_FILE)))
        });
        let reports = Reports::new("keys of the shared tier", Key::of("cache").below("shared"));
        let source = [(KEY_DIR.to_owned(), SecretSource::Folder(own.key_dir.clone()))].into();
        let now = clock.moment();
        let keys = Reloaded::open(source, reports, |set| keys(set, None, now));
        let replica = LeaseToken::draw();
        match (names, keys, replica) {
            (Ok(Some(names)), Ok(keys), Some(replica)) => Ok(Arc::new(Self {
                tier,
                names,
                keys,
                health: Health::default(),
                clock,
                timeout: own.timeout,
                strict: own.cut_off == config::CutOff::Strict,
                seen: Mutex::default(),
                whole: Mutex::default(),
                replicas: AtomicU64::new(own.expect_replicas.unwrap_or(1).max(1)),
                replica,
                counters: Counters::new(metrics),
            })),
            (names, keys, _) => {
                let mut all = Mistakes::default();
                all.extend(names.err().into_iter().flatten());
                all.extend(keys.err().into_iter().flatten());
                Err(all)
            }
        }
    }

    /// Makes names.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Whether the tier is asked. While it is not, each question has its answer at once.
    pub fn is_up(&self) -> bool {
        self.health.is_up()
    }

    /// Whether old sessions are not handed out while the tier is away.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Replicas that share a budget: one at least.
    pub fn replicas(&self) -> u64 {
        self.replicas.load(Ordering::Relaxed)
    }

    /// Since when the tier answers without having lost what was written to it; `None` while it is away.
    pub fn whole_since(&self) -> Option<Moment> {
        if self.is_up() { *self.whole.lock() } else { None }
    }

    /// The longest time of one question.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The tier's time now, as far as it is known.
    pub fn time(&self) -> Option<TierTime> {
        let now = self.clock.moment();
        self.seen.lock().map(|(time, at)| time.plus(now.since(at)))
    }

    /// The fence of a session that is minted without the tier: where the tier's time was never known, any mark ends it.
    pub fn fence_alone(&self) -> Fence {
        self.time().map_or(Fence::NONE, Fence::at)
    }

    /// The place of a session. `account` and `question` are written alike by all replicas; the question holds the account.
    pub fn place(&self, user: UserName, account: &[u8], question: &[u8]) -> Place {
        let name = SessionName { user, question: self.names.question(question) };
        Place { name, account: self.names.account(account), question: Arc::from(question) }
    }

    /// Asks for a session, and for the right to mint it. One up to the fence `known` is none: it is what is to be renewed. With
    /// `rate`, the user's rate is counted where the lease is ours. Waits twice the timeout at most, and not at all while the tier is away.
    pub async fn enter(&self, place: &Place, known: Fence, rate: Option<Slots>) -> Found {
        let Some(token) = LeaseToken::draw() else { return self.alone() };
        let (name, account) = (place.name.clone(), place.account.clone());
        let mut ask = Enter { name, account, lease: Some(token.clone()), known, rate };
        for _ in 0..2 {
            let Ok(entered) = self.ask(Op::Enter, self.timeout, self.tier.enter(&ask)).await else {
                return self.alone();
            };
            let at = self.note_time(entered.time);
            let entrance = match entered.outcome {
                Outcome::Hit { fence, value } => {
                    if let Some(hit) = self.open(place, fence, &value, entered.time) {
                        Entrance::Hit(hit)
                    } else {
                        // What stands there is of no use: once more, as if it were not there.
                        ask.known = fence;
                        continue;
                    }
                }
                Outcome::Busy(rest) => Entrance::Busy(rest),
                Outcome::Limited(wait) => Entrance::Limited(wait),
                Outcome::Go(fence) => Entrance::Go(Lease { fence, token, time: entered.time, at }),
                Outcome::Alone(fence) => Entrance::Alone(fence),
                Outcome::Nothing => return self.alone(),
            };
            return Found { entrance, mark: entered.mark, sent: entered.sent };
        }
        self.alone()
    }

    fn alone(&self) -> Found {
        Found { entrance: Entrance::Alone(self.fence_alone()), mark: Fence::NONE, sent: None }
    }

    fn open(&self, place: &Place, fence: Fence, value: &[u8], time: TierTime) -> Option<Hit> {
        let opened = self.keys.current().open(fence, &place.question, value);
        let plain = opened.map_err(|reason| self.counters.unopened.inc(reason)).ok()?;
        let value = Value::decode(&plain)?;
        let left = value.left(time);
        (!left.is_zero()).then_some(Hit { session: value.session, fence, left })
    }

    /// Whether a session of the cache is still good.
    pub async fn confirm(&self, place: &Place, fence: Fence) -> Confirmed {
        let (name, account) = (place.name.clone(), place.account.clone());
        let ask = Enter { name, account, lease: None, known: fence, rate: None };
        match self.ask(Op::Enter, self.timeout, self.tier.enter(&ask)).await {
            Ok(entered) if entered.mark >= fence => Confirmed::SignedOut, // F-09: mark above an unconfirmed session
            Ok(_) => Confirmed::Good,
            Err(_) => Confirmed::Unknown,
        }
    }

    /// Puts a session that was minted with `lease` into the tier, and gives the lease back: behind the answer. `left` is how
    /// long it may be handed out from now on, `sent` what was sent to the provider, and for how long that is remembered.
    pub async fn land(
        &self,
        place: &Place,
        lease: Lease,
        (session, left): (Vec<u8>, Duration),
        sent: Option<(ProfileName, Duration)>,
    ) -> Result<Landed, Away> {
        let now = self.clock.moment();
        let ends = lease.time.plus(now.since(lease.at)).plus(left);
        let plain = Value { ends, session }.encode();
        // F-04: sealed
        let value = self.keys.current().seal(lease.fence, &place.question, &plain, now);
        let value = value.filter(|value| value.len() <= MAX_VALUE).unwrap_or_default();
        self.give_back(place, lease, value, ends, sent).await
    }

    /// Gives a lease back without a session: the mint failed.
    pub async fn abandon(&self, place: &Place, lease: Lease) -> Result<Landed, Away> {
        let ends = lease.time;
        self.give_back(place, lease, Vec::new(), ends, None).await
    }

    async fn give_back(
        &self,
        place: &Place,
        lease: Lease,
        value: Vec<u8>,
        ends: TierTime,
        sent: Option<(ProfileName, Duration)>,
    ) -> Result<Landed, Away> {
        let sent = sent.map(|(profile, memory)| (place.account.clone(), profile, memory));
        let ask = Land { name: place.name.clone(), lease: lease.token, fence: lease.fence, value, ends, sent };
        self.ask(Op::Land, LANDING, self.tier.land(&ask)).await
    }

    /// Keeps a lease while the mint goes on; says whether it is still ours.
    pub async fn keep(&self, place: &Place, lease: &Lease) -> Result<bool, Away> {
        self.ask(Op::Keep, LANDING, self.tier.keep(&place.name, &lease.token)).await
    }

    /// Marks a user as signed out, now or as `mark` says. Sessions of the user that are known here go.
    pub async fn end(&self, ask: &End) -> Result<Fence, Away> {
        self.ask(Op::End, SIGN_OUT, self.tier.end(ask)).await
    }

    /// Tells every replica.
    pub async fn tell(&self, event: &Event) -> Result<(), Away> {
        self.ask(Op::Tell, SIGN_OUT, self.tier.tell(event)).await.map(drop)
    }

    /// Takes calls from the budget of the fleet.
    pub async fn take(&self, ask: &Take) -> Result<Taken, Away> {
        self.ask(Op::Take, self.timeout, self.tier.take(ask)).await
    }

    /// Users who are denied, from `page` on; 0 is the first.
    pub async fn denied(&self, page: u64) -> Result<DeniedPage, Away> {
        self.ask(Op::Denied, LANDING, self.tier.denied(page)).await
    }

    /// Waits for an answer as long as it may take, unless the tier is away.
    async fn ask<T>(&self, op: Op, patience: Duration, asked: Asked<'_, T>) -> Result<T, Away> {
        if !self.is_up() {
            self.counters.ended(op, Ended::Down);
            return Err(Away::Lost);
        }
        self.wait(op, patience, asked).await
    }

    async fn wait<T>(&self, op: Op, patience: Duration, asked: Asked<'_, T>) -> Result<T, Away> {
        let watch = Stopwatch::start();
        let deadline = self.clock.moment().plus(patience);
        let answer = tokio::select! {
            biased;
            answer = asked => answer,
            () = self.clock.sleep_until(deadline) => Err(Away::Timeout),
        };
        self.counters.seconds.get(op).iter().for_each(|seconds| seconds.observe(watch.elapsed().as_secs_f64()));
        self.counters.ended(op, answer.as_ref().err().map_or(Ended::Ok, |away| Ended::from(*away)));
        if let Err(away) = &answer {
            self.changed(self.health.failed(*away, self.clock.moment()));
        }
        answer
    }

    fn changed(&self, change: Change) {
        match change {
            Change::None => {}
            Change::Up => {
                *self.whole.lock() = Some(self.clock.moment());
                self.counters.up.set(1);
                tracing::info!("the shared tier answers");
            }
            Change::Down => {
                self.counters.up.set(0);
                tracing::warn!("the shared tier is away; this replica works on alone");
            }
        }
    }

    /// Notes the tier's time, and says at which moment.
    fn note_time(&self, time: TierTime) -> Moment {
        let now = self.clock.moment();
        *self.seen.lock() = Some((time, now));
        now
    }
}

/// The keys in service, made of what was read.
fn keys(set: &SecretSet, before: Option<&Keys>, now: Moment) -> Result<Keys, Mistakes> {
    let folder = set.folder(KEY_DIR).cloned().unwrap_or_default();
    Keys::read(&folder, before, now).map_err(|mistake| Mistakes::from(mistake.within(KEY_DIR)))
}

impl Reload for Shared {
    fn files(&self) -> Vec<PathBuf> {
        self.keys.files().collect()
    }

    fn reload(&self) {
        let now = self.clock.moment();
        self.keys.reload(|set, before| keys(set, Some(before), now));
    }
}

#[cfg(test)]
mod tests;
