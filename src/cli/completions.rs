//! `sidemint completions`: what a shell needs to complete our command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Failure, NoConfiguration, print_bytes};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The shell
    shell: Shell,
    #[command(flatten)]
    _unread: NoConfiguration,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "sidemint", &mut script);
    print_bytes(&script)
}
