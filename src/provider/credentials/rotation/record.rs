//! What is written down about a rotation: `rotation.json` beside the keys. It holds nothing secret.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RotationError;
use crate::clock::Timestamp;
use crate::provider::keys::PublicKey;
use crate::secrets::{read_text, write};

/// The file.
const NAME: &str = "rotation.json";
/// Its bytes at most.
const MAX_BYTES: u64 = 1024 * 1024;

/// How far a rotation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Written down; the old key signs.
    Begun,
    /// The new key lies in the folder, and is published.
    Made,
    /// The provider was given the new public key.
    Registered,
    /// The verifier knows the new key.
    Verified,
    /// The new key signs.
    Switched,
    /// The provider does not accept the old key any more.
    Retired,
    /// The old key is removed.
    Done,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begun => "begun",
            Self::Made => "made: the new key is in the folder, the old one signs",
            Self::Registered => "registered: the new key was handed over, the old one signs",
            Self::Verified => "verified: the new key is known, the old one signs",
            Self::Switched => "switched: the new key signs, the old one is still accepted",
            Self::Retired => "retired: the old key is not accepted any more",
            Self::Done => "done: the old key is removed",
        })
    }
}

/// Where a rotation stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How far it has come.
    pub stage: Stage,
    /// Key that signed before.
    pub old: String,
    /// Key that signs afterwards.
    pub new: String,
    /// When it began.
    pub begun: Timestamp,
    /// When the old key may go; known after the switch.
    pub retire_at: Option<Timestamp>,
    /// The new public key as PEM; known once it is made.
    pub pem: Option<String>,
}

/// The file's content.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) provider: String,
    pub(super) stage: Stage,
    pub(super) old: PublicKey,
    pub(super) new_kid: String,
    pub(super) new: Option<PublicKey>,
    pub(super) begun: Date,
    pub(super) made: Option<Date>,
    pub(super) retire_at: Option<Date>,
}

impl Record {
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, RotationError> {
        let path = folder.join(NAME);
        let fault = |cause: String| RotationError::File { path: path.display().to_string(), cause };
        if !path.try_exists().map_err(|error| fault(error.to_string()))? {
            return Ok(None);
        }
        let text = read_text(&path, MAX_BYTES).map_err(|error| fault(error.to_string()))?;
        serde_json::from_str(&text).map(Some).map_err(|error| fault(format!("is no record of a rotation ({error})")))
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), RotationError> {
        let path = folder.join(NAME);
        let fault = |cause: String| RotationError::File { path: path.display().to_string(), cause };
        let text = serde_json::to_vec_pretty(self).map_err(|error| fault(error.to_string()))?;
        write::replace(&path, &text).map_err(|error| fault(error.to_string()))
    }

    pub(super) fn status(&self) -> Status {
        Status {
            stage: self.stage,
            old: self.old.kid.clone(),
            new: self.new_kid.clone(),
            begun: self.begun.0,
            retire_at: self.retire_at.map(|at| at.0),
            pem: self.new.as_ref().map(|key| key.pem.clone()),
        }
    }
}

/// A time, as RFC 3339 text.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Date(pub(super) Timestamp);

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.0.to_rfc3339()
    }
}

impl TryFrom<String> for Date {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Timestamp::parse_rfc3339(&text).map(Self).ok_or("not a time")
    }
}
