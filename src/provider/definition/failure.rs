//! What failures are called in definitions, in metrics and in logs.

use serde::Deserialize;
use strum::{IntoStaticStr, VariantArray};

/// Class of a failure. Labels, answers and retries follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, IntoStaticStr, VariantArray)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// The provider refused what we asked for: bad input.
    Rejected,
    /// The provider refused our credential: the operator's fault.
    CredentialRejected,
    /// The provider does not know the user.
    UserMissing,
    /// A session at the provider that the call built on is gone.
    SessionLost,
    /// The provider, or our own limit for it, asks to slow down.
    RateLimited,
    /// The provider is down, slow or broken.
    Unavailable,
    /// The provider answered something that makes no sense.
    BadResponse,
}

impl Class {
    /// What a status means where the definition says nothing.
    pub(in crate::provider) const fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::CredentialRejected,
            429 => Self::RateLimited,
            408 | 500..=599 => Self::Unavailable,
            400..=499 => Self::Rejected, // T-39: final statuses
            _ => Self::BadResponse,
        }
    }
}

/// Whom an answer is about, where its definition says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The user of the call, and no other.
    User,
    /// The operator's account, so all calls.
    Account,
}
