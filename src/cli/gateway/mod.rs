//! `sidemint gateway`: for operators of the gateway.

mod key;

use clap::Subcommand;

use super::Failure;
use crate::config::{Environment, Sources};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a key for a caller, in the shape that the SDK of a provider takes
    Key(key::Options),
}

pub(super) fn run(verb: &Verb, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    match verb {
        Verb::Key(options) => key::run(options, sources, environment),
    }
}
