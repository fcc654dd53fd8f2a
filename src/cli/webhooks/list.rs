//! `sidemint webhooks list`.

use clap::Args;

use super::queue::{self, Chosen};
use crate::cli::{Failure, print};
use crate::config::{Environment, Sources};

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    chosen: Chosen,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let operator = queue::open(sources, environment)?;
    let rows = queue::some(operator.list(&options.chosen.filter())?)?;
    let line = if options.json { queue::json } else { queue::line };
    print(&rows.iter().map(line).collect::<String>())
}
