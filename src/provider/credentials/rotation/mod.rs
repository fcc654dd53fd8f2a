//! The change from one signing key to the next, over days and interruptions: make, register, verify, switch, wait, retire.
//!
//! Each [`Rotation::step`] does one thing that may be done twice, and then writes down that it is done. A rotation
//! that is interrupted, at any point, goes on where the last finished step left off.

mod record;
mod registration;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use record::{Stage, Status};

use super::ANNOUNCE;
use crate::clock::Timestamp;
use crate::pacing::Backoff;
use crate::provider::Provider;
use crate::provider::calls::error::ProviderError;
use crate::provider::definition::Class;
use crate::provider::keys::{self, PublicKey};
use crate::secrets::{KEY_ENDS, News, SIGNING, is_key_name, write};
use record::{Date, Record};

/// What is added to the longest life of a token: services notice the switch within half a minute, and clocks differ.
const SLACK: Duration = Duration::from_secs(120);
/// Pauses between two questions whether a key is in service.
const QUESTIONS: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(15), jitter: false };

/// What the operator wants.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long the old key stays after the switch; the longest life of a token where nothing is said.
    pub overlap: Option<Duration>,
    /// Name of the new key; the time where nothing is said.
    pub kid: Option<String>,
    /// Whether a new rotation may begin where none is under way.
    pub may_begin: bool,
    /// Whether the operator has registered the new key by hand, where no calls are configured for that.
    pub by_hand: bool,
    /// How long to wait for the provider to have the new key in service.
    pub patience: Duration,
}

/// Why a rotation does not go on. What is done stays done.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// Something must be written or named differently.
    #[error("{0}")]
    Mistake(String),
    /// A file cannot be read or written.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        cause: String,
    },
    /// A call failed.
    #[error("{what} failed: {error}")]
    Call {
        /// Which part of `[keys]`.
        what: &'static str,
        /// How.
        error: ProviderError,
    },
}

/// How far one step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This stage was reached.
    Reached(Stage),
    /// There is nothing to do before this point.
    Waits(Timestamp),
    /// The old key is gone.
    Done,
}

/// A rotation under way.
#[derive(Debug)]
pub struct Rotation<'p> {
    provider: &'p Provider,
    plan: Plan,
    folder: PathBuf,
    record: Record,
    /// No other process rotates in this folder meanwhile; the system unlocks it when the process ends, however it ends.
    _lock: std::fs::File,
}

fn mistake(text: impl Into<String>) -> RotationError {
    RotationError::Mistake(text.into())
}

fn file(path: &Path) -> impl Fn(std::io::Error) -> RotationError {
    let path = path.display().to_string();
    move |cause| RotationError::File { path: path.clone(), cause: cause.to_string() }
}

impl<'p> Rotation<'p> {
    /// Where the rotation of this provider stands; `None` where there never was one.
    pub fn status(provider: &Provider) -> Result<Option<Status>, RotationError> {
        let record = Record::read(folder(provider)?)?;
        Ok(record.filter(|record| record.provider == provider.name()).map(|record| record.status()))
    }

    /// Takes up the rotation that is under way, or begins one.
    pub fn open(provider: &'p Provider, plan: Plan) -> Result<Self, RotationError> {
        let folder = folder(provider)?.to_owned();
        let lock = lock(&folder)?;
        let under_way = Record::read(&folder)?.filter(|record| record.stage != Stage::Done);
        let record = match under_way {
            Some(record) if record.provider != provider.name() => {
                let other = record.provider;
                return Err(mistake(format!("provider {other} is rotating in the same folder; finish that first")));
            }
            Some(record) => record,
            None if !plan.may_begin => return Err(mistake("no rotation is under way")),
            None => {
                let record = begin(provider, &plan)?;
                record.write(&folder)?;
                record
            }
        };
        Ok(Self { provider, plan, folder, record, _lock: lock })
    }

    /// Where this rotation stands.
    pub fn now_at(&self) -> Status {
        self.record.status()
    }

    /// Does what comes next.
    pub async fn step(&mut self) -> Result<Progress, RotationError> {
        let now = self.provider.access.clock.now();
        let stage = match self.record.stage {
            Stage::Begun => {
                self.make()?;
                self.record.made = Some(Date(now));
                Stage::Made
            }
            Stage::Made => {
                if self.is_manual() && !self.plan.by_hand {
                    return Err(mistake(format!(
                        "register the public key {} with the provider, and run this again with --registered",
                        self.record.new_kid
                    )));
                }
                self.call("register").await?;
                Stage::Registered
            }
            Stage::Registered => {
                if !self.provider.compiled.registers_keys {
                    // Those who verify fetch the set of public keys, and may keep it for a while.
                    let announced = self.record.made.map_or(now, |made| made.0).plus(ANNOUNCE);
                    if now < announced {
                        return Ok(Progress::Waits(announced));
                    }
                }
                self.verify().await?;
                Stage::Verified
            }
            Stage::Verified => {
                self.switch()?;
                let longest = self.provider.access.vault.longest().saturating_add(SLACK);
                let now = self.provider.access.clock.now();
                self.record.retire_at = Some(Date(now.plus(self.plan.overlap.unwrap_or(longest))));
                Stage::Switched
            }
            Stage::Switched => {
                if let Some(at) = self.record.retire_at.map(|at| at.0).filter(|at| now < *at) {
                    return Ok(Progress::Waits(at));
                }
                self.call("retire").await?;
                Stage::Retired
            }
            Stage::Retired => {
                self.remove_old()?;
                Stage::Done
            }
            Stage::Done => return Ok(Progress::Done),
        };
        self.record.stage = stage;
        self.record.write(&self.folder)?;
        Ok(Progress::Reached(stage))
    }

    /// Whether keys are registered, but no calls are configured for it.
    fn is_manual(&self) -> bool {
        self.provider.compiled.registers_keys && self.provider.compiled.registration.is_none()
    }

    /// Pins the key that signs now, so that a running service does not take the new one by itself, and makes the new one.
    fn make(&mut self) -> Result<(), RotationError> {
        self.pin(&self.record.old.kid)?;
        let kid = self.record.new_kid.clone();
        let path = self.folder.join(format!("{kid}.pem"));
        if !path.exists() {
            let secret = keys::generate(self.record.old.alg).map_err(|error| mistake(error.to_string()))?;
            write::create(&path, secret.expose()).map_err(file(&path))?;
        }
        self.record.new = Some(self.read_new()?);
        Ok(())
    }

    /// The public half of the new key, as a service reads it.
    fn read_new(&self) -> Result<PublicKey, RotationError> {
        let kid = &self.record.new_kid;
        if let News::Unusable(mistakes) = self.provider.access.vault.reload() {
            let text: Vec<_> = mistakes.iter().map(|mistake| format!("{} {}", mistake.key, mistake.problem)).collect();
            return Err(mistake(text.join("; ")));
        }
        let signer = self.provider.access.vault.key(kid);
        let public = signer.and_then(|signer| PublicKey::of(&signer.key, &signer.id));
        public.ok_or_else(|| mistake(format!("key {kid} is not in {} any more", self.folder.display())))
    }

    async fn call(&self, what: &'static str) -> Result<(), RotationError> {
        let Some(registration) = &self.provider.compiled.registration else { return Ok(()) };
        let (key, calls) = match what {
            "retire" => (&self.record.old, &registration.retire),
            "verify" => (self.new_key()?, &registration.verify),
            _ => (self.new_key()?, &registration.register),
        };
        self.provider.call_about(key, calls).await.map_err(|error| RotationError::Call { what, error })
    }

    fn new_key(&self) -> Result<&PublicKey, RotationError> {
        self.record.new.as_ref().ok_or_else(|| mistake("the record of this rotation does not hold the new key"))
    }

    /// Asks until the provider has the key in service. Providers take their time; a refused credential is refused again.
    async fn verify(&self) -> Result<(), RotationError> {
        let clock = &self.provider.access.clock;
        let until = clock.moment().plus(self.plan.patience);
        let mut before: u32 = 0;
        loop {
            let pause = QUESTIONS.after(before, None);
            let outcome = self.call("verify").await;
            let hopeless = |error: &RotationError| match error {
                RotationError::Call { error, .. } => error.class == Class::CredentialRejected,
                _ => true,
            };
            match outcome {
                Err(error) if hopeless(&error) || clock.moment().plus(pause) > until => return Err(error),
                Err(_) => clock.sleep_until(clock.moment().plus(pause)).await,
                Ok(()) => return Ok(()),
            }
            before = before.saturating_add(1);
        }
    }

    fn switch(&self) -> Result<(), RotationError> {
        if self.read_new()? != *self.new_key()? {
            return Err(mistake(format!(
                "key {} is another than the one that was registered; remove its file and rotation.json, and begin anew",
                self.record.new_kid
            )));
        }
        self.pin(&self.record.new_kid)
    }

    fn pin(&self, kid: &str) -> Result<(), RotationError> {
        let path = self.folder.join(SIGNING);
        write::replace(&path, format!("{kid}\n").as_bytes()).map_err(file(&path))
    }

    fn remove_old(&self) -> Result<(), RotationError> {
        for end in KEY_ENDS {
            let path = self.folder.join(format!("{}.{end}", self.record.old.kid));
            write::remove(&path).map_err(file(&path))?;
        }
        Ok(())
    }
}

fn folder(provider: &Provider) -> Result<&Path, RotationError> {
    let none = || {
        mistake(format!(
            "provider {} has no folder of keys; write {}_dir in its table, or name one with --dir",
            provider.name(),
            provider.access.vault.key_setting().unwrap_or("key")
        ))
    };
    provider.access.vault.key_folder().map(PathBuf::as_path).ok_or_else(none)
}

fn lock(folder: &Path) -> Result<std::fs::File, RotationError> {
    let path = folder.join(".rotation.lock");
    let lock = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(file(&path))?;
    lock.try_lock().map_err(|_error| mistake(format!("another rotation is at work in {}", folder.display())))?;
    Ok(lock)
}

fn begin(provider: &Provider, plan: &Plan) -> Result<Record, RotationError> {
    let signer = provider.access.vault.current().signer.clone();
    let signer = signer.ok_or_else(|| mistake(format!("provider {} does not sign tokens", provider.name())))?;
    let shared = || {
        mistake(format!(
            "{} has no public key: what verifies its signatures must be given the new secret, so put it there and here by hand",
            signer.key.alg().name()
        ))
    };
    let old = PublicKey::of(&signer.key, &signer.id).ok_or_else(shared)?;
    let now = provider.access.clock.now();
    let digits = |text: String| text.chars().filter(char::is_ascii_digit).take(14).collect::<String>();
    let kid = plan.kid.clone().unwrap_or_else(|| digits(now.to_rfc3339()));
    if !is_key_name(&kid) {
        return Err(mistake(format!("\"{kid}\" cannot be a key id; use letters, digits, dot, dash and underscore")));
    }
    if provider.access.vault.key(&kid).is_some() {
        return Err(mistake(format!("there is a key {kid} already")));
    }
    Ok(Record {
        provider: provider.name().to_owned(),
        stage: Stage::Begun,
        old,
        new_kid: kid,
        new: None,
        begun: Date(now),
        made: None,
        retire_at: None,
    })
}
