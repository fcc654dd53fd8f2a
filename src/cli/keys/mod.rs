//! `sidemint keys`: rotation of signing keys. [`keygen`] makes new ones.

pub(super) mod keygen;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Failure, blueprint, print, runtime};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Environment, Sources, did_you_mean};
use crate::provider::{Definitions, Progress, Provider, Rotation, RotationError, RotationPlan, RotationStatus, Stage};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Change to a new signing key: make, register, verify, switch, and retire the old one after the overlap. Run it
    /// again to go on; each run does what can be done by now
    Rotate(Rotate),
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(super) struct Rotate {
    /// Name of the provider in the configuration
    provider: String,
    /// Folder of the keys, instead of the one in the provider's table
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How long the old key stays accepted after the switch [default: the longest life of a token, and two minutes]
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    overlap: Option<Duration>,
    /// Id of the new key, which names its file [default: the time]
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
    /// The new public key has been registered by hand; for providers without configured calls for it
    #[arg(long)]
    registered: bool,
    /// How long the provider may take to have the new key in service
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration, default_value = "10m")]
    verify_timeout: Duration,
    /// Stay until all is done, instead of ending where there is something to wait for
    #[arg(long)]
    wait: bool,
    /// Go on with a rotation that is under way, but begin none
    #[arg(long)]
    resume: bool,
    /// Only print the state of the rotation
    #[arg(long, conflicts_with_all = ["overlap", "kid", "registered", "wait", "resume"])]
    status: bool,
}

impl From<RotationError> for Failure {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Mistake(text) => Self::Usage(format!("keys rotate: {text}")),
            other => Self::Running(format!("keys rotate: {other}; run it again to go on")),
        }
    }
}

pub(super) fn run(verb: &Verb, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let Verb::Rotate(options) = verb;
    let mut sources = sources.clone();
    if let Some(folder) = &options.dir {
        sources.overrides.extend(folder_override(&sources, environment, &options.provider, folder));
    }
    let blueprint = blueprint(&sources, environment)?;
    let Some(provider) = blueprint.provider(&options.provider) else {
        let known = blueprint.provider_names();
        let meant = did_you_mean(&options.provider, &known);
        return Err(Failure::Usage(format!(
            "no provider \"{}\"; configured: {}{meant}",
            options.provider,
            known.join(", ")
        )));
    };
    if options.status {
        let status = Rotation::status(provider)?;
        return print(&status.map_or_else(|| "no rotation yet\n".to_owned(), |status| told(&status)));
    }
    runtime(Some(1))?.block_on(rotate(provider, options))
}

/// The key of the configuration that names the folder: the setting is called as the definition wants it. What is wrong
/// elsewhere is told when everything is loaded.
fn folder_override(
    sources: &Sources,
    environment: &Environment,
    provider: &str,
    folder: &Path,
) -> Option<(String, String)> {
    let (config, _) = Config::examine(sources, environment);
    let (definitions, _) = Definitions::read(config.definitions.as_deref());
    let (definition, _) = definitions.get(&config.providers.get(provider)?.preset).ok()?;
    let key = format!("providers.{provider}.{}_dir", definition.token_key()?);
    Some((key, folder.display().to_string()))
}

async fn rotate(provider: &Arc<Provider>, options: &Rotate) -> Result<(), Failure> {
    let plan = RotationPlan {
        overlap: options.overlap,
        kid: options.kid.clone(),
        may_begin: !options.resume,
        by_hand: options.registered,
        patience: options.verify_timeout,
    };
    let mut rotation = Rotation::open(provider, plan)?;
    print(&format!("from key {} to key {}\n", rotation.now_at().old, rotation.now_at().new))?;
    loop {
        match rotation.step().await? {
            Progress::Reached(stage) => {
                print(&format!("{stage}\n"))?;
                if stage == Stage::Made {
                    print(&rotation.now_at().pem.unwrap_or_default())?;
                }
            }
            Progress::Waits(until) if options.wait => {
                print(&format!("waiting until {}\n", until.to_rfc3339()))?;
                SystemClock.sleep_until_time(until).await;
            }
            Progress::Waits(until) => {
                return print(&format!("nothing to do before {}; run it again then\n", until.to_rfc3339()));
            }
            Progress::Done => return Ok(()),
        }
    }
}

fn told(status: &RotationStatus) -> String {
    let mut text = format!(
        "{}\nold key  {}\nnew key  {}\nbegun    {}\n",
        status.stage,
        status.old,
        status.new,
        status.begun.to_rfc3339()
    );
    if let Some(at) = status.retire_at {
        text.push_str("old key until ");
        text.push_str(&at.to_rfc3339());
        text.push('\n');
    }
    text
}
