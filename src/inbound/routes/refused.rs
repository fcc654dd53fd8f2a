//! Why a request gets no session, with all that its answer and its request line say of it.

use std::time::Duration;

use super::input::Fault;
use crate::identity::Refusal;
use crate::inbound::reply::Outcome;
use crate::metrics::Label as _;
use crate::pacing::TooMuch;
use crate::session::SessionError;

/// Why a request gets no session.
#[derive(Debug)]
pub(super) enum Refused {
    /// Because of the page that asks, its host or the method.
    Browser(Outcome),
    /// Because of the user, or of the peer that names the user.
    Identity(Refusal),
    /// Because of what the request adds.
    Input(Fault),
    /// Because its team asks for more than it is granted.
    Team(TooMuch),
    /// There is none.
    Session(SessionError),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Identity(refusal)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Input(fault)
    }
}

impl From<TooMuch> for Refused {
    fn from(too_much: TooMuch) -> Self {
        Self::Team(too_much)
    }
}

impl From<SessionError> for Refused {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl Refused {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Browser(outcome) => *outcome,
            Self::Identity(refusal) => Outcome::from(*refusal),
            Self::Input(fault) => fault.outcome,
            Self::Team(_) => Outcome::RateLimited,
            Self::Session(error) => Outcome::from(error),
        }
    }

    /// For the request line.
    pub(super) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Browser(_) => None,
            Self::Identity(refusal) => Some(refusal.label()),
            Self::Input(fault) => Some(fault.reason),
            Self::Team(TooMuch::Rate(_)) => Some("team_rate"),
            Self::Team(TooMuch::AtOnce) => Some("team_busy"),
            Self::Session(error) => Some(error.reason()),
        }
    }

    /// Why there is no identity, where that is the reason.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if let Self::Identity(refusal) = self { Some(*refusal) } else { None }
    }

    /// Advice on when to come back.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Session(error) => error.retry_after(),
            Self::Team(too_much) => Some(too_much.retry_after()),
            Self::Browser(_) | Self::Identity(_) | Self::Input(_) => None,
        }
    }

    /// Whether no user is signed in, as far as a proxy needs to know.
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self, Self::Identity(Refusal::Absent) | Self::Session(SessionError::SignedOut))
    }
}
