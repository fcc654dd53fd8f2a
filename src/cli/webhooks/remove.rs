//! `sidemint webhooks drop`.

use clap::Args;

use super::queue;
use crate::cli::{Failure, print};
use crate::config::{Environment, Sources};

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Ids that the application knows the events by (evt_…)
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Why: a running server writes it into its log
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let mut operator = queue::open(sources, environment)?;
    let rows = queue::some(queue::by_id(&operator, &options.ids)?)?;
    let count = operator.drop_events(&rows, &options.reason)?;
    print(&if count == 1 { "1 event is deleted\n".to_owned() } else { format!("{count} events are deleted\n") })
}
