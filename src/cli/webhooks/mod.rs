//! `sidemint webhooks`: the queue of events, seen and changed beside a running server or without one.

mod list;
mod queue;
mod remove;
mod replay;
mod show;

use clap::Subcommand;

use super::Failure;
use crate::config::{Environment, Sources};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the events that wait, and those that were put aside
    List(list::Options),
    /// Show one event; its body only where that is asked for
    Show(show::Options),
    /// Deliver events once more, under their old ids
    Replay(replay::Options),
    /// Delete events for good
    Drop(remove::Options),
}

pub(super) fn run(verb: &Verb, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    match verb {
        Verb::List(options) => list::run(options, sources, environment),
        Verb::Show(options) => show::run(options, sources, environment),
        Verb::Replay(options) => replay::run(options, sources, environment),
        Verb::Drop(options) => remove::run(options, sources, environment),
    }
}
