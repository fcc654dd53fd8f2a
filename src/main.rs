//! The binary: arguments in, exit code out. See the library for the rest.

use std::process::ExitCode;

use clap::Parser as _;
use sidemint::cli::Cli;
use sidemint::config::Environment;

fn main() -> ExitCode {
    Cli::parse().run(&Environment::of_process())
}
