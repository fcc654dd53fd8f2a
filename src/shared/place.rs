//! A session's place in the tier, and what a request finds there.

use std::sync::Arc;
use std::time::Duration;

use super::names::{AccountName, LeaseToken, ProfileName, SessionName};
use super::tier::{Fence, TierTime};
use crate::clock::Moment;

/// A session's place in the tier: its names, and the whole question that it must open for.
#[derive(Clone)]
pub struct Place {
    pub(super) name: SessionName,
    pub(super) account: AccountName,
    pub(super) question: Arc<[u8]>,
}

impl Place {
    /// Whose session, and which.
    pub const fn name(&self) -> &SessionName {
        &self.name
    }
}

/// The question holds personal data.
impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

/// The right to mint a session while others wait for it.
#[derive(Clone, Debug)]
pub struct Lease {
    pub(super) fence: Fence,
    pub(super) token: LeaseToken,
    /// The tier's time when it was taken, and the moment of it.
    pub(super) time: TierTime,
    pub(super) at: Moment,
}

impl Lease {
    /// The fence of the session that will be minted.
    pub const fn fence(&self) -> Fence {
        self.fence
    }
}

/// What a request finds in the tier.
#[derive(Clone, Debug)]
pub struct Found {
    /// What there is, or what is to be done.
    pub entrance: Entrance,
    /// When the user signed out, as far as the tier knows: sessions up to it are over. [`Fence::NONE`] where it knows nothing.
    pub mark: Fence,
    /// The profile that was last sent to the provider for this user.
    pub sent: Option<ProfileName>,
}

/// A session of another replica.
#[derive(Clone)]
pub struct Hit {
    /// As the session room wrote it.
    pub session: Vec<u8>,
    /// Its fence.
    pub fence: Fence,
    /// How long it may still be handed out, by the tier's time. The reader's own clock may say less.
    pub left: Duration,
}

/// It holds a token.
impl std::fmt::Debug for Hit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hit").field("fence", &self.fence).field("left", &self.left).finish_non_exhaustive()
    }
}

/// What there is, or what is to be done.
#[derive(Clone, Debug)]
pub enum Entrance {
    /// A session that is good.
    Hit(Hit),
    /// Another replica mints it: ask again soon. Its lease ends after this time.
    Busy(Duration),
    /// The user has asked too often, and may ask again after this time.
    Limited(Duration),
    /// Mint it, and [`land`](super::Shared::land) it.
    Go(Lease),
    /// Mint it without the tier; this is its fence.
    Alone(Fence),
}

/// Whether a session of the cache is still good, after a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// It is.
    Good,
    /// Its user has signed out since.
    SignedOut,
    /// The tier does not answer: ask again later.
    Unknown,
}
