//! The cold path: a session of another replica, or the right to mint one while the others wait for it.
//!
//! The lease is for economy, not for correctness: where it is lost two tokens are minted, both good, and the fence decides
//! which is kept.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::{Fleet, STRICT_AGE, Spot};
use crate::clock::Moment;
use crate::pacing::jitter;
use crate::provider::{Minted, Order};
use crate::session::cache::Cached;
use crate::session::flight::Outcome;
use crate::session::key::Question;
use crate::session::{Entry, How, Mint, Plan, SessionError, Sessions};
use crate::shared::{Confirmed, Entrance, Event, Fence, Hit, Landed, Lease, Place, ProfileName};

/// Between two looks for a session that another replica mints: the first wait, its growth, the longest, and how much more or
/// less each is.
const FIRST_LOOK: Duration = Duration::from_millis(15);
const GROWTH: f64 = 1.6;
const LONGEST_LOOK: Duration = Duration::from_millis(120);
const SPREAD: f64 = 0.25;
/// A lease is kept each second, so often. It ends three seconds after the last.
const KEEP_EACH: Duration = Duration::from_secs(1);
const KEPT: u32 = 12; // F-07: longest lease
/// Longer than any lease is kept by us: whoever holds one so long is not waited for (F-07).
const PATIENCE: Duration = Duration::from_secs(18);

/// What is left to be done behind the answer.
pub(in crate::session) enum Next {
    /// The session goes into the tier.
    Land(Box<Landing>),
    /// There is none, and the lease goes back.
    Abandon(Place, Lease),
    /// The same, and the provider takes back what it minted.
    TakeBack(Option<(Place, Lease)>),
}

/// A session on its way into the tier.
pub(in crate::session) struct Landing {
    place: Place,
    lease: Lease,
    session: Vec<u8>,
    sent: Option<(ProfileName, Duration)>,
    entry: Arc<Entry>,
}

impl std::fmt::Debug for Next {
    /// It holds a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Land(_) => "Land(…)",
            Self::Abandon(..) => "Abandon(…)",
            Self::TakeBack(_) => "TakeBack(…)",
        })
    }
}

/// What a mint may go by.
struct Leave {
    fence: Fence,
    lease: Option<Lease>,
    /// The profile that the fleet last sent.
    sent: Option<ProfileName>,
}

impl Fleet {
    /// The session that `mint` wants: confirmed, taken over, or minted.
    pub(in crate::session) async fn fetch(&self, mint: &Mint) -> Outcome {
        let (question, plan) = mint.sessions.asked_by(&mint.key).ok_or(SessionError::Internal)?;
        let spot = self.spot(plan, &question);
        let former = mint.sessions.former(&mint.key);
        if let Some(entry) = former.as_ref().filter(|entry| !entry.is_confirmed()) {
            let good = self.reassure(mint, &spot.place, entry).await;
            if good == Some(false) {
                mint.sessions.drop_entry(&mint.key, entry);
            } else if mint.used && (good.is_some() || self.is_young(entry, self.clock.moment())) {
                return Ok((Arc::clone(entry), How::Hit));
            }
        }
        if mint.used {
            return self.look(mint, plan, (&question, &spot), None).await;
        }
        // A renewal goes by the session that it renews. That may have ended meanwhile.
        let renewed = former.filter(|entry| mint.sessions.holds(&mint.key, entry)).ok_or(SessionError::Gone)?;
        self.look(mint, plan, (&question, &spot), Some(&renewed)).await
    }

    /// Looks for the session until it is there, or until it is on us to mint it.
    async fn look(
        &self,
        mint: &Mint,
        plan: &Plan,
        (question, spot): (&Question<'_>, &Spot),
        renewed: Option<&Arc<Entry>>,
    ) -> Outcome {
        let mut known = renewed.map_or(Fence::NONE, |entry| entry.fence);
        let rate = self.rate.filter(|_| mint.used); // T-54: rate in the fleet
        let until = self.clock.moment().plus(PATIENCE);
        let mut wait = FIRST_LOOK;
        let mut waited = false;
        let leave = loop {
            let found = self.shared.enter(&spot.place, known, rate).await;
            // No request asks for a renewal: where the user has signed out, there is nothing to renew.
            // F-09: renewal after a sign-out
            let ended = renewed.filter(|entry| found.mark >= entry.fence && found.mark > Fence::NONE);
            if let Some(entry) = ended.filter(|_| !matches!(found.entrance, Entrance::Hit(_))) {
                if let Entrance::Go(lease) = found.entrance {
                    mint.then(Next::Abandon(spot.place.clone(), lease));
                }
                mint.sessions.drop_entry(&mint.key, entry);
                return Err(SessionError::Gone);
            }
            match found.entrance {
                Entrance::Hit(hit) => {
                    if let Some(entry) = self.adopt(mint, plan, (question, &spot.place), &hit) {
                        return Ok((entry, How::Shared));
                    }
                    // It is of no use here: once more, as if it were not there.
                    known = known.max(hit.fence);
                    if self.clock.moment() >= until {
                        break Leave { fence: self.fence_alone(), lease: None, sent: None };
                    }
                }
                Entrance::Busy(_) if renewed.is_some() => {
                    return renewed.map(|entry| (Arc::clone(entry), How::Hit)).ok_or(SessionError::Internal);
                }
                // F-07: leases that do not end
                Entrance::Busy(_) if self.clock.moment() < until => {
                    let spread = 1.0 + SPREAD * (2.0 * jitter::fraction() - 1.0);
                    self.clock.sleep_until(self.clock.moment().plus(wait.mul_f64(spread))).await;
                    wait = wait.mul_f64(GROWTH).min(LONGEST_LOOK);
                    if !std::mem::replace(&mut waited, true) {
                        self.waited.inc();
                    }
                }
                Entrance::Busy(_) => break Leave { fence: self.fence_alone(), lease: None, sent: found.sent },
                Entrance::Limited(wait) => return Err(SessionError::Rate(wait)),
                Entrance::Go(lease) => {
                    if mint.used {
                        // Each replica knows what it made the provider do, for the time without the tier.
                        let _counted_by_the_tier = mint.sessions.count(mint.key.chat_subject());
                    }
                    break Leave { fence: lease.fence(), lease: Some(lease), sent: found.sent };
                }
                Entrance::Alone(fence) => {
                    if mint.used {
                        mint.sessions.count(mint.key.chat_subject())?;
                    }
                    // F-09: a renewal without the tier is no sign of the user
                    let fence = renewed.map_or(fence.max(Fence::NONE.next()), |entry| entry.fence);
                    break Leave { fence, lease: None, sent: found.sent };
                }
            }
        };
        self.mint(mint, plan, (question, spot), leave).await
    }

    async fn mint(&self, mint: &Mint, plan: &Plan, (question, spot): (&Question<'_>, &Spot), leave: Leave) -> Outcome {
        let Leave { fence, lease, sent } = leave;
        mint.begun.set(fence);
        let is_known = sent.as_ref() == Some(&spot.profile);
        let made = self.made(mint, plan, question, (&spot.place, lease.as_ref(), is_known)).await;
        let back = lease.map(|lease| (spot.place.clone(), lease));
        let (minted, began) = match made {
            Ok(made) => made,
            Err(error) => {
                if let Some((place, lease)) = back {
                    mint.then(Next::Abandon(place, lease));
                }
                return Err(error);
            }
        };
        // The flight may have had no fence yet when the mark was heard.
        if self.marks.end(&spot.place.name().user, fence) {
            mint.then(Next::TakeBack(back));
            return Err(SessionError::SignedOut);
        }
        let remembered = plan.provider.remembers_users().filter(|_| minted.upserted);
        let session = serde_json::to_vec(&minted).map_err(|_| SessionError::Internal)?;
        let cached = Cached::of(plan, minted, began, fence);
        // Without the tier a sign-out elsewhere would not end it.
        let cached = if self.strict && back.is_none() { cached.within(STRICT_AGE) } else { cached };
        let entry = cached.render(plan, question, mint.used);
        if plan.provider.is_exclusive() {
            self.note_replaced(&self.exclusive(plan, &spot.place), fence);
        }
        if let Some((place, lease)) = back {
            let sent = remembered.map(|memory| (spot.profile.clone(), memory));
            let landing = Landing { place, lease, session, sent, entry: Arc::clone(&entry) };
            mint.then(Next::Land(Box::new(landing)));
        }
        Ok((entry, How::Minted))
    }

    /// What the provider makes, and since when, while the lease is kept.
    async fn made(
        &self,
        mint: &Mint,
        plan: &Plan,
        question: &Question<'_>,
        (place, lease, is_known): (&Place, Option<&Lease>, bool),
    ) -> Result<(Minted, Moment), SessionError> {
        let order = Order { is_known, ..Sessions::order(plan, question, mint.origin.clone())? };
        let began = self.clock.moment();
        let minted = match lease {
            None => plan.provider.mint(&order).await?,
            Some(lease) => tokio::select! {
                minted = plan.provider.mint(&order) => minted?,
                never = self.keep(place, lease) => match never {},
            },
        };
        Ok((minted, began))
    }

    async fn keep(&self, place: &Place, lease: &Lease) -> Infallible {
        for _ in 0..KEPT {
            self.clock.sleep_until(self.clock.moment().plus(KEEP_EACH)).await;
            if self.shared.keep(place, lease).await == Ok(false) {
                break;
            }
        }
        std::future::pending().await
    }

    /// Takes a session of another replica over, where it is one and ended by no sign-out that was heard of here.
    fn adopt(
        &self,
        mint: &Mint,
        plan: &Plan,
        (question, place): (&Question<'_>, &Place),
        hit: &Hit,
    ) -> Option<Arc<Entry>> {
        // F-05: mark that the tier lost
        if self.marks.end(&place.name().user, hit.fence) {
            return None;
        }
        if plan.provider.is_exclusive() && self.replaced.end(&self.exclusive(plan, place), hit.fence) {
            return None;
        }
        let minted: Minted = serde_json::from_slice(&hit.session).ok()?;
        let now = self.clock.moment();
        let cached = Cached::adopted(plan, minted, (hit.left, hit.fence), now);
        let entry = cached.render(plan, question, mint.used);
        mint.begun.set(hit.fence);
        mint.sessions.is_usable(&entry).then_some(entry)
    }

    /// Whether a doubted session is good; `None` where the tier does not say.
    async fn reassure(&self, mint: &Mint, place: &Place, entry: &Entry) -> Option<bool> {
        match self.shared.confirm(place, entry.fence.max(Fence::NONE.next())).await {
            Confirmed::Good => {
                mint.sessions.store.confirm(entry);
                Some(true)
            }
            Confirmed::SignedOut => Some(false),
            Confirmed::Unknown => None,
        }
    }

    /// Does what is left, behind the answer. `landed` says whether what was minted was handed out.
    pub(in crate::session) async fn settle(&self, mint: &Mint, next: Next, landed: bool) {
        match next {
            Next::Land(landing) if landed => self.land(mint, *landing).await,
            Next::Land(landing) => drop(self.shared.abandon(&landing.place, landing.lease).await),
            Next::Abandon(place, lease) => drop(self.shared.abandon(&place, lease).await),
            Next::TakeBack(back) => {
                if let Some((place, lease)) = back {
                    let _it_ends_by_itself = self.shared.abandon(&place, lease).await;
                }
                mint.sessions.take_back(&mint.key).await;
            }
        }
    }

    async fn land(&self, mint: &Mint, landing: Landing) {
        let Landing { place, lease, session, sent, entry } = landing;
        let (fence, left) = (lease.fence(), entry.usable_until.since(self.clock.moment()));
        let landed = self.shared.land(&place, lease, (session, left), sent).await;
        // F-10: refused by the tier
        if landed == Ok(Landed::SignedOut) {
            mint.sessions.drop_entry(&mint.key, &entry);
            return mint.sessions.take_back(&mint.key).await;
        }
        let Some((_, plan)) = mint.sessions.asked_by(&mint.key) else { return };
        if plan.provider.is_exclusive() {
            let name = self.exclusive(plan, &place);
            // Who does not hear of it hands out a token that has ended, until it is renewed.
            let _told = self.shared.tell(&Event::Replaced(name, fence)).await;
        }
    }
}
