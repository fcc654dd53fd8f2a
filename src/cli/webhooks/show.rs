//! `sidemint webhooks show`.

use clap::Args;

use super::queue;
use crate::cli::{Failure, print, print_bytes};
use crate::config::{Environment, Sources};

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The id that the application knows the event by (evt_…)
    id: String,
    /// Print the body, and nothing else; it may hold messages and addresses of users
    #[arg(long)]
    body: bool,
}

pub(super) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let operator = queue::open(sources, environment)?;
    let rows = queue::some(queue::by_id(&operator, std::slice::from_ref(&options.id))?)?;
    // The same event may be there twice: its repeats were forgotten when it came again.
    for row in rows {
        let Some(shown) = operator.show(&row)? else { continue };
        if options.body {
            return print_bytes(&shown.body);
        }
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        print(&format!(
            "id            {}\nwebhook       {}\nstate         {}\nreason        {}\nreceived      {}\n{}         {}\n\
             attempts      {}\nevent         {}\ncontent type  {}\nbody          {} bytes\n",
            row.webhook_id,
            row.name,
            queue::state(&row),
            or_none(row.reason.clone()),
            row.received.to_rfc3339(),
            if row.is_dead { "since" } else { "due  " },
            row.due.to_rfc3339(),
            row.attempts,
            or_none(shown.event),
            or_none(shown.content_type),
            shown.body.len(),
        ))?;
    }
    Ok(())
}
