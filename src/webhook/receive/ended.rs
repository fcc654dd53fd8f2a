//! How a request ends: for the answer, the metric and the log.

use bytes::Bytes;
use strum::{IntoStaticStr, VariantArray};

use crate::webhook::refusal::Reason;
use crate::webhook::scheme::Answer;

/// How a request ends.
#[derive(Debug)]
pub enum Ended {
    /// The provider has what it wants.
    Taken(Taken),
    /// A question of the provider is answered.
    Challenge(Answer),
    /// The provider gets what the application answered: JSON.
    Relayed(Bytes),
    /// Nothing proves it.
    Unproven(Reason),
    /// It is not taken, for another reason.
    Refused(Refused),
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Taken {
    /// It is kept, or the application has it.
    Accepted,
    /// It was there before.
    Duplicate,
    /// The operator does not want its kind.
    Filtered,
    /// It is a question that was answered.
    Challenge,
}

/// Why a request is not taken, whatever it proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Refused {
    /// Its method is not one of ours.
    Method,
    /// Its content type, its coding, or a body that is not text.
    Unsupported,
    /// Its body is larger than the limit.
    TooLarge,
    /// Its body did not come in time, or not to its end.
    Slow,
    /// All places are taken, or all memory for bodies.
    Busy,
    /// The queue is full.
    Full,
    /// The disk does not take it.
    StoreError,
    /// The application did not take it.
    NotTaken,
    /// The service is stopping.
    Draining,
}

impl From<Refused> for Ended {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Ended {
    /// Stable text for the metric.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Taken(taken) => taken.into(),
            Self::Challenge(_) => Taken::Challenge.into(),
            Self::Relayed(_) => Taken::Accepted.into(),
            Self::Unproven(reason) => reason.into(),
            Self::Refused(refused) => refused.into(),
        }
    }
}
