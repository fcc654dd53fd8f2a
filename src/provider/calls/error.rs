//! What can go wrong at a provider: whose fault it is, and whether to try again.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use strum::{IntoStaticStr, VariantArray};

use crate::metrics::Label as _;
use crate::outbound::ConnectError;
use crate::pacing::{Failure, Fault, Refusal};
use crate::provider::definition::{Blame, Class};

/// What went wrong on the way, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Cause {
    /// The name of the host leads nowhere.
    Dns,
    /// The port is closed.
    Refused,
    /// No connection in time.
    ConnectTimeout,
    /// No encrypted connection.
    Tls,
    /// The proxy makes no connection.
    Proxy,
    /// No connection for another reason.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The connection broke.
    Broken,
    /// The status of the answer.
    Status,
    /// The answer makes no sense.
    Shape,
    /// Nothing was sent.
    Own,
}

impl Cause {
    /// Whether no connection was made. That does not depend on the user of the call.
    const fn is_connecting(self) -> bool {
        matches!(self, Self::Dns | Self::Refused | Self::ConnectTimeout | Self::Tls | Self::Proxy | Self::Unreachable)
    }
}

impl From<ConnectError> for Cause {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Dns => Self::Dns,
            ConnectError::Refused => Self::Refused,
            ConnectError::Timeout => Self::ConnectTimeout,
            ConnectError::TlsAuthority | ConnectError::TlsExpired | ConnectError::TlsName | ConnectError::Tls => {
                Self::Tls
            }
            ConnectError::Proxy | ConnectError::ProxyAuth | ConnectError::ProxyRefused => Self::Proxy,
            ConnectError::NotGranted | ConnectError::Unreachable => Self::Unreachable,
        }
    }
}

/// What a provider answered. It may hold personal data and secrets, so nothing shows it but a call of `expose`.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer(Box<[u8]>);

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
#[error(
    "{step}: {} ({detail}{}){}",
    class.label(),
    status.filter(|_| *cause == Cause::Status).map(|status| format!(" {status}")).unwrap_or_default(),
    host.as_ref().map(|host| format!(" at {host}")).unwrap_or_default()
)]
pub struct ProviderError {
    /// Class of the failure.
    pub class: Class,
    /// Step of the definition that failed.
    pub step: Box<str>,
    /// Host that the step calls.
    pub host: Option<Box<str>>,
    /// What went wrong on the way.
    pub cause: Cause,
    /// What happened, in words of ours.
    pub detail: &'static str,
    /// Status of the provider's answer, where there was one.
    pub status: Option<u16>,
    /// Whom the answer is about, where the definition says so.
    pub blame: Option<Blame>,
    /// The answer itself, for the author of a definition at the command line.
    pub answer: Option<Answer>,
    /// Advice of the provider, or of our breaker, on when to come back.
    pub retry_after: Option<Duration>,
}

/// Our own limit refused the call.
const LIMITED: &str = "our own limit for this provider";
/// As many calls as there may be are under way.
const BUSY: &str = "as many calls as calls_at_once allows are under way";
/// A template needs a value that is not there.
const MISSING: &str = "a required value is missing";
/// No rule makes a user id of the subject.
const UNFIT: &str = "the subject cannot be a user id here";
/// When to come back then.
const UNTIL_A_CALL_ENDS: Duration = Duration::from_secs(1);

impl ProviderError {
    pub(in crate::provider) fn new(class: Class, step: &str, detail: &'static str) -> Self {
        let cause = if class == Class::BadResponse { Cause::Shape } else { Cause::Own };
        let (host, status, blame, answer, retry_after) = (None, None, None, None, None);
        Self { class, step: Box::from(step), host, cause, detail, status, blame, answer, retry_after }
    }

    /// Our own limit for the provider leaves no room; `wait` is when it does again.
    pub(in crate::provider) fn limited_here(wait: Duration) -> Self {
        Self::new(Class::RateLimited, "limiter", LIMITED).retry_after(Some(wait))
    }

    /// A value that `step` needs is not there.
    pub(in crate::provider) fn missing(step: &str) -> Self {
        Self::new(Class::Rejected, step, MISSING)
    }

    /// The subject cannot be a user.
    pub(in crate::provider) fn unfit() -> Self {
        Self::new(Class::Rejected, "user", UNFIT)
    }

    /// What it says about further calls.
    pub(in crate::provider) fn failure(&self) -> Failure<Class> {
        let (kind, is_limit) = (self.class, self.class == Class::RateLimited);
        Failure { fault: self.fault(), kind, is_limit, retry_after: self.retry_after }
    }

    fn fault(&self) -> Fault {
        match (self.blame, self.class) {
            (Some(Blame::User), _) | (None, Class::Rejected | Class::UserMissing | Class::SessionLost) => Fault::User,
            (Some(Blame::Account), _) => Fault::Account,
            (None, Class::CredentialRejected) => Fault::Credential,
            (None, _) if self.cause.is_connecting() => Fault::Remote,
            // T-63: unclear error
            (None, Class::RateLimited | Class::Unavailable | Class::BadResponse) => Fault::Unclear,
        }
    }

    /// Whether the subject cannot be a user.
    pub fn is_unfit(&self) -> bool {
        self.detail == UNFIT
    }

    /// Whether the provider was not asked, so that this says nothing about it. Our own words show it: a step may have any
    /// name.
    pub(in crate::provider) fn is_ours(&self) -> bool {
        [LIMITED, BUSY, MISSING, UNFIT].contains(&self.detail)
    }

    #[must_use]
    pub(in crate::provider) fn status(self, status: u16) -> Self {
        Self { status: Some(status), cause: Cause::Status, ..self }
    }

    #[must_use]
    pub(in crate::provider) fn cause(self, cause: Cause) -> Self {
        Self { cause, ..self }
    }

    #[must_use]
    pub(in crate::provider) fn at(self, host: &str) -> Self {
        Self { host: Some(Box::from(host)), ..self }
    }

    #[must_use]
    pub(in crate::provider) fn blame(self, blame: Option<Blame>) -> Self {
        Self { blame, ..self }
    }

    #[must_use]
    pub(in crate::provider) fn answer(self, body: Bytes) -> Self {
        Self { answer: Some(Answer(Box::from(&body[..]))), ..self }
    }

    #[must_use]
    pub(in crate::provider) fn retry_after(mut self, span: Option<Duration>) -> Self {
        self.retry_after = span;
        self
    }
}

impl From<Refusal<Class>> for ProviderError {
    fn from(refusal: Refusal<Class>) -> Self {
        let (class, step, detail, wait) = match refusal {
            Refusal::User(class, wait) => (class, "breaker", "this user is paused after failures of its own", wait),
            Refusal::Limited(wait) => (Class::RateLimited, "breaker", "paused by the provider's advice", wait),
            Refusal::Open(wait) => (Class::Unavailable, "breaker", "breaker open", wait),
            Refusal::Busy => (Class::Unavailable, "places", BUSY, UNTIL_A_CALL_ENDS),
        };
        Self::new(class, step, detail).retry_after(Some(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_whose_it_is() {
        let of = |class| ProviderError::new(class, "step", "test");
        for (error, fault) in [
            (of(Class::Rejected), Fault::User),
            (of(Class::UserMissing), Fault::User),
            (of(Class::SessionLost), Fault::User),
            (of(Class::CredentialRejected), Fault::Credential),
            (of(Class::RateLimited), Fault::Unclear),
            (of(Class::Unavailable), Fault::Unclear),
            (of(Class::Unavailable).cause(Cause::Timeout), Fault::Unclear),
            (of(Class::Unavailable).cause(Cause::Refused), Fault::Remote),
            (of(Class::BadResponse), Fault::Unclear),
            (of(Class::RateLimited).blame(Some(Blame::User)), Fault::User),
            (of(Class::Rejected).blame(Some(Blame::Account)), Fault::Account),
        ] {
            let failure = error.failure();
            assert_eq!((failure.fault, failure.kind), (fault, error.class), "{error}");
            assert_eq!(failure.is_limit, error.class == Class::RateLimited);
        }
    }
}
