//! The command line: one verb, one function. Errors are one sentence each; exit codes are part of the contract.

mod completions;
mod doctor;
mod gateway;
mod healthcheck;
mod init;
mod keys;
mod mint;
mod presets;
mod serve;
mod webhooks;

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::app::{Blueprint, raise_descriptor_limit};
use crate::clock::SystemClock;
use crate::config::{ConfigErrors, Environment, Sources};

/// A session-token sidecar: it learns who the user is, and hands out short-lived chat tokens.
#[derive(Debug, Parser)]
#[command(
    name = "sidemint",
    version,
    about,
    after_help = "Exit codes: 0 success; 1 failed while running (also: healthcheck found the service not ready, mint found \
                  no session, doctor found a hole); 2 mistake in the command line or the configuration.\n\nStart without an account:  \
                  sidemint --config config.toml\nEvery key:                 config.toml in the repository\n"
)]
pub struct Cli {
    #[command(flatten)]
    sources: SourceArgs,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// Where configuration is read from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
struct SourceArgs {
    /// Configuration file; may be given several times, later ones win [default: config.toml]
    #[arg(long, short, global = true, value_name = "FILE", env = "SIDEMINT_CONFIG", value_delimiter = ':')]
    config: Vec<PathBuf>,
    /// Folder whose .toml files are read after the configuration files, in name order
    #[arg(long, global = true, value_name = "DIR", env = "SIDEMINT_CONFIG_DIR")]
    config_dir: Option<PathBuf>,
    /// Folder with provider definitions of your own (NAME.toml); they add to those that ship, or replace them
    #[arg(long, global = true, value_name = "DIR", env = "SIDEMINT_DEFINITIONS")]
    definitions: Option<PathBuf>,
    /// Address of the front listener, instead of server.listen
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
}

/// Options that clap offers to every verb, not shown by those that read no configuration.
#[derive(Debug, Args)]
struct NoConfiguration {
    #[arg(long, short, hide = true, value_delimiter = ':')]
    config: Vec<PathBuf>,
    #[arg(long, hide = true)]
    config_dir: Option<PathBuf>,
    #[arg(long, hide = true)]
    listen: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve (the default)
    Serve(serve::Options),
    /// Write a configuration to begin with, for a chat provider and for what tells the user
    Init(init::Options),
    /// Load everything, compile every definition, read every secret and key, and print what would be served
    Check,
    /// Print one session, as a request of this user would get it
    Mint(mint::Options),
    /// Make a signing key: the private half on standard output, or in a new file with mode 0600
    Keygen(keys::keygen::Options),
    /// Rotate signing keys
    #[command(subcommand)]
    Keys(keys::Verb),
    /// List the definitions that ship with the binary, or print one
    Presets(presets::Options),
    /// See and change the queue of webhook events, beside a running service or without one
    #[command(subcommand)]
    Webhooks(webhooks::Verb),
    /// See what services of the application may call, and why a call is refused
    #[command(subcommand)]
    Gateway(gateway::Verb),
    /// Send what attackers send through your own reverse proxy, and report what got through
    Doctor(doctor::Options),
    /// Ask a running service whether it is ready; for images without a shell
    Healthcheck(healthcheck::Options),
    /// Print the script with which a shell completes this command line
    Completions(completions::Options),
}

/// How a verb failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Mistakes in the configuration or the command line: exit 2.
    Usage(String),
    /// Something went wrong while running: exit 1.
    Running(String),
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Usage(errors.to_string())
    }
}

impl Cli {
    /// Runs the verb and says how the process ends.
    pub fn run(self, environment: &Environment) -> ExitCode {
        let sources = self.sources.resolve();
        let outcome = match self.verb.unwrap_or(Verb::Serve(serve::Options::default())) {
            Verb::Serve(options) => serve::run(&options, &sources, environment),
            Verb::Init(options) => init::run(&options, &sources),
            Verb::Check => check(&sources, environment),
            Verb::Mint(options) => mint::run(&options, &sources, environment),
            Verb::Keygen(options) => keys::keygen::run(&options),
            Verb::Keys(verb) => keys::run(&verb, &sources, environment),
            Verb::Presets(options) => presets::run(&options, &sources),
            Verb::Webhooks(verb) => webhooks::run(&verb, &sources, environment),
            Verb::Gateway(verb) => gateway::run(&verb, &sources, environment),
            Verb::Doctor(options) => doctor::run(&options, &sources, environment),
            Verb::Healthcheck(options) => healthcheck::run(&options, &sources, environment),
            Verb::Completions(options) => completions::run(&options),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure::Usage(text)) => complain(&text, 2),
            Err(Failure::Running(text)) => complain(&text, 1),
        }
    }
}

fn complain(text: &str, code: u8) -> ExitCode {
    for line in text.lines() {
        say(&format!("sidemint: {line}\n"));
    }
    ExitCode::from(code)
}

/// Errors and asides of a command line go to standard error. Where that is closed, there is no reader to tell.
pub(crate) fn say(text: &str) {
    let _closed = std::io::stderr().write_all(text.as_bytes());
}

/// Results of a command line go to standard output. A reader that closed it has read enough; a full disk has lost the result.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// The same for results that need not be text.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Running(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

impl SourceArgs {
    fn resolve(self) -> Sources {
        let files = if self.config.is_empty() { vec![PathBuf::from("config.toml")] } else { self.config };
        let overrides = self.listen.map(|listen| ("server.listen".to_owned(), listen)).into_iter().collect();
        Sources { files, folder: self.config_dir, definitions: self.definitions, overrides }
    }
}

/// Reads and checks everything.
pub(crate) fn blueprint(sources: &Sources, environment: &Environment) -> Result<Blueprint, Failure> {
    Ok(Blueprint::load(sources, environment, Arc::new(SystemClock))?)
}

/// The same, where mistakes in the files of teams count as well.
pub(crate) fn blueprint_with_all_teams(sources: &Sources, environment: &Environment) -> Result<Blueprint, Failure> {
    let blueprint = blueprint(sources, environment)?;
    let mistakes = blueprint.mistakes_of_teams();
    if mistakes.is_empty() { Ok(blueprint) } else { Err(ConfigErrors(mistakes).into()) }
}

fn check(sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    // As the service itself would do.
    raise_descriptor_limit();
    let blueprint = blueprint_with_all_teams(sources, environment)?;
    print(&format!("{blueprint}configuration is good\n"))
}

/// A runtime for verbs that need one.
pub(crate) fn runtime(workers: Option<usize>) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().map_err(|error| Failure::Running(format!("cannot start worker threads: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
