//! `sidemint gateway key`: a new key for a caller, and how its SDK takes it.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::cli::{Failure, print, say};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigErrors, Environment, Sources, did_you_mean};
use crate::definition::Mistake;
use crate::gateway::caller;
use crate::metrics::Metrics;
use crate::outbound::{Outbound, Services};
use crate::provider::{self, Definitions, Wanted};
use crate::secrets::{Secret, read_secret};

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Who calls, as in [gateway.callers.NAME]; it need not be there yet
    #[arg(long, value_name = "NAME")]
    caller: String,
    /// The mount whose SDK takes the key
    #[arg(long, value_name = "NAME")]
    provider: String,
    /// New file for the key, mode 0600; an existing file is never replaced. Without it the key is printed first
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// File of a key that the caller has, to see how another SDK takes it; no key is made
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    from: Option<PathBuf>,
}

pub(in crate::cli) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let config = Config::load(sources, environment)?;
    let provider = provider(options, &config, environment)?;
    let secret = match &options.from {
        Some(path) => read_secret(path).map_err(|error| Failure::Usage(format!("--from: {error}")))?,
        None => caller::new_key().ok_or_else(|| Failure::Running("no key: no randomness".to_owned()))?,
    };
    let key = caller::key_text(&secret).map_err(|problem| Failure::Usage(format!("--from: {problem}")))?;
    let scheme = provider.virtual_key();
    scheme.fit(&options.caller, key).map_err(|problem| {
        Failure::Running(format!("provider {} cannot take a key of this kind: it {problem}", options.provider))
    })?;
    if let Some(path) = &options.out {
        write(path, &secret)?;
    }
    let is_new = options.out.is_none() && options.from.is_none();
    let new = if is_new { format!("key      {key}\n") } else { String::new() };
    let id = scheme.printed_id(&options.caller).map(|id| format!("SDK id   {id}\n")).unwrap_or_default();
    print(&format!("{new}SDK key  {}\n{id}", scheme.printed(&options.caller, key)))?;
    if options.from.is_none() {
        say(&where_it_goes(options, &config));
    }
    Ok(())
}

/// The provider, without the files of callers: the key that is made here may be the one that is missing.
fn provider(options: &Options, config: &Config, environment: &Environment) -> Result<Arc<provider::Gateway>, Failure> {
    let name = &options.provider;
    let mounts = config.gateway.iter().flat_map(|gateway| &gateway.mounts).map(|mount| mount.provider.as_str());
    let known: Vec<&str> = mounts.collect();
    let table = config.providers.get(name).filter(|_| known.contains(&name.as_str())).ok_or_else(|| {
        let all = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Failure::Usage(format!("--provider: no mount \"{name}\"; configured: {all}{}", did_you_mean(name, &known)))
    })?;
    let failed = |mistake: Mistake| Failure::Running(mistake.to_string());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new().map_err(|error| failed(error.to_string().into()))?);
    let outbound = Outbound::new(Arc::clone(&clock)).map_err(failed)?;
    let (definitions, mistakes) = Definitions::read(config.definitions.as_deref());
    let services = Services { outbound, clock, metrics };
    let wanted = Wanted { sessions: false, gateway: true };
    let configured = provider::configure(name, table, environment, &definitions, &services, wanted);
    let configured = configured.map_err(|errors| ConfigErrors(mistakes.into_iter().chain(errors).collect()))?;
    configured.gateway.ok_or_else(|| Failure::Running(format!("provider {name} makes no calls")))
}

fn write(path: &PathBuf, secret: &Secret) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Running(format!("no key: {}: {error}", path.display()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(secret.expose()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Where an operator puts the key.
fn where_it_goes(options: &Options, config: &Config) -> String {
    let name = &options.caller;
    let known = config.gateway.as_ref().and_then(|gateway| gateway.callers.get(name));
    let files = known.map(|caller| caller.key_files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>());
    match files.filter(|files| !files.is_empty()) {
        Some(files) => format!(
            "The key is the content of a file of gateway.callers.{name}.key_files ({}); during a change the caller has two. \
             Its SDK takes the SDK key, in place of the provider's.\n",
            files.join(", ")
        ),
        None => format!(
            "The key is the content of a file, which [gateway.callers.{name}] names: key_files = [\"/path\"]. Its SDK takes \
             the SDK key, in place of the provider's.\n"
        ),
    }
}
