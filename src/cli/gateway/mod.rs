//! `sidemint gateway`: for operators of the gateway.

mod explain;
mod key;

use clap::Subcommand;

use super::Failure;
use crate::config::{Environment, Sources};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Tell rule by rule what the gateway would make of a call, and send nothing: exit 1 where it would be refused
    Explain(explain::Options),
    /// Make a key for a caller, in the shape that the SDK of a provider takes
    Key(key::Options),
}

pub(super) fn run(verb: &Verb, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    match verb {
        Verb::Explain(options) => explain::run(options, sources, environment),
        Verb::Key(options) => key::run(options, sources, environment),
    }
}
