//! Why there is no session: whose fault it is, and when to come back.

use std::time::Duration;

use crate::metrics::Label as _;
use crate::provider::ProviderError;

/// Longest advice that is passed on: the provider may have meant another unit.
const LONGEST_ADVICE: Duration = Duration::from_secs(60);

/// When to come back where mints of the same user are under way.
const UNTIL_A_MINT_ENDS: Duration = Duration::from_secs(1);

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The subject cannot be a user id at this provider.
    #[error("the subject cannot be a user id at this provider")]
    UserId,
    /// The operator does not allow this user what the request asks for.
    #[error("the operator does not allow this input")]
    Input,
    /// The user has made us work too often; there is room again after this time.
    #[error("more of this user than the configured rate")]
    Rate(Duration),
    /// The user has too many mints under way.
    #[error("too many mints of this user are under way")]
    Busy,
    /// The user signed out, or was denied, while the session was minted.
    #[error("the user signed out meanwhile")]
    SignedOut,
    /// The operator denied the user in all replicas.
    #[error("the user is denied")]
    Denied,
    /// The session that was to be renewed has ended meanwhile. A request that waits for the renewal tries anew.
    #[error("the session has ended")]
    Gone,
    /// The provider failed.
    #[error(transparent)]
    Provider(ProviderError),
    /// The answer does not fit into headers.
    #[error("the session does not fit into a proxy's headers")]
    TooLarge,
    /// The answer lacks what the provider's client library must be told.
    #[error("the session lacks a value that the definition's [client] needs")]
    Incomplete,
    /// The route's deadline passed; the mint goes on.
    #[error("no session within the route's deadline")]
    Deadline,
    /// The process is stopping.
    #[error("the service is stopping")]
    Draining,
    /// A defect of ours.
    #[error("internal error")]
    Internal,
}

impl From<ProviderError> for SessionError {
    fn from(error: ProviderError) -> Self {
        if error.is_unfit() { Self::UserId } else { Self::Provider(error) }
    }
}

impl SessionError {
    /// Class of the failure, for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UserId => "user_id",
            Self::Input => "input_refused",
            Self::Rate(_) => "user_rate",
            Self::Busy => "user_busy",
            Self::SignedOut => "signed_out",
            Self::Denied => "denied",
            Self::Gone => "gone",
            Self::Provider(error) => error.class.label(),
            Self::TooLarge => "too_large",
            Self::Incomplete => "incomplete",
            Self::Deadline => "deadline",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }

    /// Advice on when to come back. The provider's own is passed on within reason: it may have meant another unit.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Provider(error) => error.retry_after.map(|advice| advice.min(LONGEST_ADVICE)),
            // Our own advice is exact, so it is given whole.
            Self::Rate(wait) => Some(*wait),
            Self::Busy => Some(UNTIL_A_MINT_ENDS),
            _ => None,
        }
    }
}
