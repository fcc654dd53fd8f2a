//! What can go wrong at a provider: whose fault it is, and whether to try again.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

/// Class of a failure. Labels, answers and retries follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
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
    /// Every class, for metrics that exist from the start.
    pub const ALL: [Self; 7] = [
        Self::Rejected,
        Self::CredentialRejected,
        Self::UserMissing,
        Self::SessionLost,
        Self::RateLimited,
        Self::Unavailable,
        Self::BadResponse,
    ];

    /// Stable label for metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::CredentialRejected => "credential_rejected",
            Self::UserMissing => "user_missing",
            Self::SessionLost => "session_lost",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::BadResponse => "bad_response",
        }
    }

    /// What a status means where the definition says nothing.
    pub(super) const fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::CredentialRejected,
            429 => Self::RateLimited,
            408 | 500..=599 => Self::Unavailable,
            400..=499 => Self::Rejected,
            _ => Self::BadResponse,
        }
    }
}

/// What a provider answered. It may hold personal data and secrets, so nothing shows it but a call of `expose`.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer(Bytes);

impl Answer {
    /// The body.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(…)")
    }
}

/// A failed mint or upsert. Its words hold nothing of the provider's answer, so nothing of it can leak.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {} ({detail}{})", class.label(), status.map(|status| format!(" {status}")).unwrap_or_default())]
pub struct ProviderError {
    /// Class of the failure.
    pub class: Class,
    /// Step of the definition that failed.
    pub step: String,
    /// What happened, in words of ours.
    pub detail: &'static str,
    /// Status of the provider's answer, where there was one.
    pub status: Option<u16>,
    /// The answer itself, for the author of a definition at the command line.
    pub answer: Option<Answer>,
    /// Advice of the provider, or of our breaker, on when to come back.
    pub retry_after: Option<Duration>,
}

/// Our own limit refused the call.
const LIMITED: &str = "our own limit for this provider";
/// A template needs a value that is not there.
const MISSING: &str = "a required value is missing";
/// No rule makes a user id of the subject.
const UNFIT: &str = "the subject cannot be a user id here";

impl ProviderError {
    pub(super) fn new(class: Class, step: &str, detail: &'static str) -> Self {
        Self { class, step: step.to_owned(), detail, status: None, answer: None, retry_after: None }
    }

    /// Our own limit for the provider leaves no room; `wait` is when it does again.
    pub(super) fn limited_here(wait: Duration) -> Self {
        Self::new(Class::RateLimited, "limiter", LIMITED).retry_after(Some(wait))
    }

    /// A value that `step` needs is not there.
    pub(super) fn missing(step: &str) -> Self {
        Self::new(Class::Rejected, step, MISSING)
    }

    /// The subject cannot be a user.
    pub(super) fn unfit() -> Self {
        Self::new(Class::Rejected, "user", UNFIT)
    }

    /// Whether the subject cannot be a user.
    pub fn is_unfit(&self) -> bool {
        self.detail == UNFIT
    }

    /// Whether the provider was not asked, so that this says nothing about it. Told by words that are ours alone: steps
    /// are called as their definitions like.
    pub(super) fn is_ours(&self) -> bool {
        [LIMITED, MISSING, UNFIT].contains(&self.detail)
    }

    #[must_use]
    pub(super) fn status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    #[must_use]
    pub(super) fn answer(self, body: Bytes) -> Self {
        Self { answer: Some(Answer(body)), ..self }
    }

    #[must_use]
    pub(super) fn retry_after(mut self, span: Option<Duration>) -> Self {
        self.retry_after = span;
        self
    }
}
