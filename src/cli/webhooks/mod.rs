//! `sidemint webhooks`: the queue of events, seen and changed beside a running server or without one; and single events,
//! judged or sent.

mod list;
mod queue;
mod remove;
mod replay;
mod send;
mod show;
mod verify;
mod wire;

use std::sync::Arc;

use clap::Subcommand;

use super::Failure;
use crate::app::Blueprint;
use crate::config::{Environment, Sources, did_you_mean};
use crate::webhook::Webhook;

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
    /// Judge a captured request as the service would, and print which check it fails: exit 0 for ok, 1 otherwise
    Verify(verify::Options),
    /// Post an event as the provider would, signed with the configured secret
    Send(send::Options),
}

pub(super) fn run(verb: &Verb, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    match verb {
        Verb::List(options) => list::run(options, sources, environment),
        Verb::Show(options) => show::run(options, sources, environment),
        Verb::Replay(options) => replay::run(options, sources, environment),
        Verb::Drop(options) => remove::run(options, sources, environment),
        Verb::Verify(options) => verify::run(options, sources, environment),
        Verb::Send(options) => send::run(options, sources, environment),
    }
}

/// The configured webhook of this name.
fn configured<'b>(blueprint: &'b Blueprint, name: &str) -> Result<&'b Arc<Webhook>, Failure> {
    let known: Vec<&str> = blueprint.webhooks().iter().map(|own| &*own.config().name).collect();
    blueprint.webhooks().iter().find(|own| &*own.config().name == name).ok_or_else(|| {
        let meant = did_you_mean(name, &known);
        Failure::Usage(format!("no webhook \"{name}\"; configured: {}{meant}", known.join(", ")))
    })
}
