//! What the tier can be asked: each question is answered as a whole, or the tier is away.
//!
//! All times in the tier are its own, in whole microseconds; replicas' clocks are never compared. Whoever implements
//! [`Tier`] keeps its timeout: no answer is waited for any longer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::names::{AccountName, BudgetName, LeaseToken, ProfileName, SessionName, UserName};
use crate::pacing::Rate;

/// Bytes of one answer at most (F-06).
pub const MAX_VALUE: usize = 64 * 1024;
/// How long a lease is good for after it was taken or kept.
pub const LEASE: Duration = Duration::from_secs(3);
/// How long a fence that was raised above the tier's time is remembered: any clock is right again after that.
pub(super) const RAISED: Duration = Duration::from_hours(24);
/// Events that one beat brings at most.
pub(super) const EVENTS_A_BEAT: u64 = 256;
/// Events that the tier keeps, about.
pub(super) const EVENTS_KEPT: u64 = 4096;
/// A replica that has not beaten for so long is not counted.
pub(super) const SEEN: Duration = Duration::from_secs(5);
/// Calls that one `take` can be given.
pub const CALLS_A_TAKE: u32 = 16;

/// A point of the tier's time, in microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TierTime(u64);

impl TierTime {
    /// The last one: the scripts count in floating point, which is exact up to here.
    pub const LAST: Self = Self((1 << 53) - 1);

    /// The point `micros` after the beginning of 1970; [`TierTime::LAST`] at most.
    pub const fn from_micros(micros: u64) -> Self {
        if micros > Self::LAST.0 { Self::LAST } else { Self(micros) }
    }

    /// Microseconds since the beginning of 1970.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This point moved later by `span`.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(micros(span)))
    }

    /// Time from `earlier` to this point; zero when `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Whole microseconds of a span.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// When a session was begun, or when its user signed out: the tier's time, raised where that alone would not be later than
/// all before. A session is good while its fence is above the mark of its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(TierTime);

impl Fence {
    /// Below every other: any mark ends it.
    pub const NONE: Self = Self(TierTime::from_micros(0));
    /// Digits of its text.
    pub const DIGITS: usize = 16;

    /// The fence at `time`.
    pub const fn at(time: TierTime) -> Self {
        Self(time)
    }

    /// Its point in the tier's time.
    pub const fn time(self) -> TierTime {
        self.0
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(TierTime::from_micros(self.0.as_micros().saturating_add(1)))
    }

    /// From 16 digits, as the tier keeps it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.len() == Self::DIGITS && text.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()?;
        (number <= TierTime::LAST.as_micros()).then(|| Self(TierTime::from_micros(number)))
    }
}

/// Sixteen digits, so that text compares as numbers do.
impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}", self.0.as_micros())
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    /// None came within the timeout.
    #[error("no answer within the timeout")]
    Timeout,
    /// There is no connection, or it broke.
    #[error("no connection")]
    Lost,
    /// The tier answered, and not with what was asked for: it is loading, read-only, full, or permits too little.
    #[error("the tier refuses")]
    Refused,
}

/// An answer to come.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, Away>> + Send + 'a>>;

/// A rate as the tier keeps it: a generic cell rate in whole microseconds, the interval rounded up.
///
/// Of calls that pass, at most the rate's number lie in any span of its period, as [`Pace`](crate::pacing::Pace) counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// From one slot to the next.
    pub interval: u64,
    /// How much earlier than evenly spaced a call may come.
    pub tolerance: u64,
    /// The rate's period: what is further ahead than two of them was not put there by us (F-08).
    pub period: u64,
}

impl Slots {
    /// Slots of `rate`; `burst` calls may pass at once, between one and all of the rate.
    pub fn new(rate: Rate, burst: u32) -> Self {
        let burst = burst.clamp(1, rate.count());
        let refill = u64::from(rate.count() - burst + 1);
        let period = micros(rate.period());
        let interval = period.div_ceil(refill);
        Self { interval, tolerance: u64::from(burst - 1).saturating_mul(interval), period }
    }
}

/// Asks for a session, and for the right to mint one where there is none.
#[derive(Clone, Debug)]
pub struct Enter {
    /// Whose session, and which.
    pub name: SessionName,
    /// Whose upsert memory is wanted.
    pub account: AccountName,
    /// What the lease is taken with; `None` only looks.
    pub lease: Option<LeaseToken>,
    /// A session up to this fence is none: the one that is to be renewed.
    pub known: Fence,
    /// The rate of the user, counted where the lease is taken; half of it may come at once.
    pub rate: Option<Slots>,
}

/// The answer to [`Enter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The tier's time.
    pub time: TierTime,
    /// When the user signed out; [`Fence::NONE`] where the tier knows of nothing.
    pub mark: Fence,
    /// The profile that was last sent to the provider.
    pub sent: Option<ProfileName>,
    /// What there is, or what is to be done.
    pub outcome: Outcome,
}

/// What [`Enter`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A session; still sealed, and not yet proven to be one.
    Hit {
        /// Its fence.
        fence: Fence,
        /// What stands behind the fence.
        value: Vec<u8>,
    },
    /// Another replica mints it. Its lease ends after this time.
    Busy(Duration),
    /// The user has asked too often, and may ask again after this time.
    Limited(Duration),
    /// The lease is ours.
    Go(Fence),
    /// There is none, and no room for the lease.
    Alone(Fence),
    /// There is none, and no lease was asked for.
    Nothing,
}

/// Puts a session into the tier, and gives the lease back.
#[derive(Clone, Debug)]
pub struct Land {
    /// Whose session, and which.
    pub name: SessionName,
    /// What the lease was taken with.
    pub lease: LeaseToken,
    /// The session's fence.
    pub fence: Fence,
    /// What stands behind the fence, sealed; empty where there is no session to keep, and only the lease goes back.
    pub value: Vec<u8>,
    /// When it is handed out no more.
    pub ends: TierTime,
    /// What was sent to the provider, and how long that is remembered.
    pub sent: Option<(AccountName, ProfileName, Duration)>,
}

/// The answer to [`Land`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed {
    /// It stands there.
    Kept,
    /// The user has signed out since it was begun.
    SignedOut,
    /// A later one stands there, or this one has ended.
    Older,
    /// There was no room.
    Full,
}

/// Marks a user as signed out.
#[derive(Clone, Debug)]
pub struct End {
    /// The user.
    pub user: UserName,
    /// A mark that is known already and told again; `None` is now.
    pub mark: Option<Fence>,
    /// Sessions of the user that are known here; those of others are passed over.
    pub sessions: Vec<SessionName>,
    /// How long the mark stays: longer than any session lives.
    pub hold: Duration,
}

/// What every replica is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A user signed out.
    SignedOut(UserName, Fence),
    /// A session was minted that ended those before it.
    Replaced(SessionName, Fence),
    /// A user is denied until this time, or allowed again where it has passed.
    Denied(UserName, TierTime),
}

/// A budget: what a provider may be called.
#[derive(Clone, Debug)]
pub struct Take {
    /// Whose budget.
    pub budget: BudgetName,
    /// Its rate.
    pub slots: Slots,
    /// Calls that wait now; [`CALLS_A_TAKE`] at most are given.
    pub calls: u32,
    /// The provider asked to be left alone for so long.
    pub pause: Duration,
}

/// The answer to [`Take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Calls that may pass now.
    pub calls: u32,
    /// When to ask again, where that is none.
    pub wait: Duration,
    /// What is left of a pause; nothing passes before.
    pub pause: Duration,
}

/// Says that this replica lives, and asks for what happened.
#[derive(Clone, Debug)]
pub struct Beat {
    /// A name of this process.
    pub replica: LeaseToken,
    /// The last event that was seen; `None` asks for no event, and only for the number.
    pub seen: Option<u64>,
}

/// The answer to [`Beat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beaten {
    /// The tier's time.
    pub time: TierTime,
    /// The number of the last event there is.
    pub number: u64,
    /// Replicas that were seen within [`SEEN`].
    pub replicas: u64,
    /// What happened after the last event that was seen, in order, [`EVENTS_A_BEAT`] at most. What cannot be read has no event.
    pub events: Vec<(u64, Option<Event>)>,
}

/// A page of the users who are denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeniedPage {
    /// Where the next page begins; 0 where this was the last.
    pub next: u64,
    /// Users, and until when.
    pub users: Vec<(UserName, TierTime)>,
}

/// The tier.
pub trait Tier: Send + Sync + fmt::Debug {
    /// Asks for a session, or for the right to mint it.
    fn enter<'a>(&'a self, ask: &'a Enter) -> Asked<'a, Entered>;
    /// Puts a session into the tier.
    fn land<'a>(&'a self, ask: &'a Land) -> Asked<'a, Landed>;
    /// Keeps a lease for another [`LEASE`]; says whether it is still ours.
    fn keep<'a>(&'a self, name: &'a SessionName, lease: &'a LeaseToken) -> Asked<'a, bool>;
    /// Marks a user as signed out; says the mark that stands there then, the larger of old and new.
    fn end<'a>(&'a self, ask: &'a End) -> Asked<'a, Fence>;
    /// Tells every replica; says the number of the event.
    fn tell<'a>(&'a self, event: &'a Event) -> Asked<'a, u64>;
    /// Takes calls from a budget.
    fn take<'a>(&'a self, ask: &'a Take) -> Asked<'a, Taken>;
    /// Says that this replica lives.
    fn beat<'a>(&'a self, ask: &'a Beat) -> Asked<'a, Beaten>;
    /// Users who are denied, from `page` on; 0 is the first.
    fn denied(&self, page: u64) -> Asked<'_, DeniedPage>;
}
