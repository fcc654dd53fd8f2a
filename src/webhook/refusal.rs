//! Why an event is not proven. A caller sees one answer for all; the reason stands in the log and in a metric.

use strum::{Display, IntoStaticStr, VariantArray};

/// Why an event is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// The header with the signature is missing or stands there twice.
    MissingSignature,
    /// The time that the scheme signs is missing or stands there twice.
    MissingTimestamp,
    /// The credentials in `Authorization` are missing or stand there twice.
    MissingAuthorization,
    /// The signature is not written as the scheme writes it.
    BadFormat,
    /// The time is not written as the scheme writes it.
    BadTimestamp,
    /// The time is before the window.
    Stale,
    /// The time is behind the window.
    Future,
    /// No secret makes this signature of these bytes.
    Mismatch,
    /// The hash of the body is another than the proven one.
    HashMismatch,
    /// The proof says nothing of the body.
    HashMissing,
    /// The signature of the JWT is wrong.
    BadSignature,
    /// The key that the request names is not configured.
    UnknownKey,
    /// The JWT has ended.
    Expired,
    /// The JWT is not valid yet.
    NotYetValid,
    /// The JWT has no end.
    ExpMissing,
    /// The algorithm is another than that of the scheme.
    BadAlgorithm,
    /// The JWT is none.
    Malformed,
    /// The id of the event stands there twice, or is not one.
    BadId,
    /// The body does not unpack, or is not what its content type says.
    BadBody,
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not proven.
    Unproven(Reason),
    /// What its body unpacks to is larger than a body may be.
    TooLarge,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::Unproven(reason)
    }
}

impl Reason {
    /// Whether a secret that is newer than ours may be the cause.
    pub fn may_be_a_new_secret(self) -> bool {
        matches!(self, Self::Mismatch | Self::BadSignature | Self::UnknownKey)
    }
}
