//! `sidemint users`: denies a user on all replicas that share a tier, for a time, or allows the user again.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Failure, blueprint, print, runtime};
use crate::clock::SystemClock;
use crate::config::{Environment, Sources};
use crate::identity::Identity;
use crate::shared::Away;

/// The longest denial: the tier may lose it, so that one for good belongs into a file.
const LONGEST: Duration = Duration::from_hours(366 * 24);

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Deny a user on every replica that shares the tier, for a time, and forget the user's sessions
    Deny(Deny),
    /// Allow a user again who was denied through the tier
    Allow(Allow),
}

#[derive(Debug, Args)]
pub(super) struct Deny {
    /// Subject of the user, as an entry of identity.deny names it
    #[arg(value_name = "ID")]
    user: String,
    /// For how long, at most 366d
    #[arg(long = "for", value_name = "SPAN", value_parser = humantime::parse_duration)]
    span: Duration,
}

#[derive(Debug, Args)]
pub(super) struct Allow {
    /// Subject of the user, as it was denied
    #[arg(value_name = "ID")]
    user: String,
}

pub(super) fn run(verb: &Verb, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let (user, span, done) = match verb {
        Verb::Deny(own) if own.span.is_zero() || own.span > LONGEST => {
            let text = "--for: write a span of more than nothing and of 366d at most; who is denied for good belongs into \
                        identity.deny_file";
            return Err(Failure::Usage(text.to_owned()));
        }
        Verb::Deny(own) => {
            let done = format!("denied for {}", humantime::format_duration(own.span));
            (&own.user, Some(own.span), done)
        }
        Verb::Allow(own) => (&own.user, None, "allowed, where no list denies the user".to_owned()),
    };
    let identity = Identity::of_operator(user, None).map_err(|refusal| Failure::Usage(format!("ID: {refusal}")))?;
    let blueprint = blueprint(sources, environment)?;
    let told = runtime(Some(1))?.block_on(blueprint.deny(&identity.chat_subject(), span, Arc::new(SystemClock)));
    match told {
        None => Err(Failure::Usage(
            "cache.shared: is missing, so this command reaches no replica; write the user into identity.deny_file, which every \
             replica reads again by itself"
                .to_owned(),
        )),
        Some(Ok(())) => print(&format!("{done}: every replica that reaches the tier knows within a second\n")),
        Some(Err(Away::Refused)) => Err(Failure::Running(
            "the shared tier refuses it: it is full, or its user lacks a right of docs/fleet.md".to_owned(),
        )),
        Some(Err(Away::Lost | Away::Timeout)) => Err(Failure::Running(
            "the shared tier does not answer; what replicas know is not certain, so run this again".to_owned(),
        )),
    }
}
