//! `sidemint webhooks replay`.

use std::time::Duration;

use clap::Args;

use super::queue::{self, Chosen};
use crate::cli::{Failure, print};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Environment, Sources};
use crate::pacing::Rate;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(true).args(["ids", "name", "state", "since"])))]
pub(in crate::cli) struct Options {
    /// Ids that the application knows the events by (evt_…)
    #[arg(value_name = "ID", conflicts_with_all = ["name", "state", "since"])]
    ids: Vec<String>,
    #[command(flatten)]
    chosen: Chosen,
    /// Only say which events are meant
    #[arg(long)]
    dry_run: bool,
    /// How fast they go, such as 10/s [default: as fast as the application takes them]
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
}

pub(super) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let mut operator = queue::open(sources, environment)?;
    let rows = match &options.ids[..] {
        [] => operator.list(&options.chosen.filter())?,
        ids => queue::by_id(&operator, ids)?,
    };
    let rows = queue::some(rows)?;
    if options.dry_run {
        return print(&rows.iter().map(queue::line).collect::<String>());
    }
    let gap = options.rate.map_or(Duration::ZERO, Rate::gap);
    let count = operator.replay(&rows, SystemClock.now(), gap)?;
    print(&if count == 1 { "1 event goes out again\n".to_owned() } else { format!("{count} events go out again\n") })
}
