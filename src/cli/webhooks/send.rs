//! `sidemint webhooks send`: posts an event as the provider would, signed with the configured secret.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, Method, header};
use url::Url;

use super::wire::Request;
use super::{configured, wire};
use crate::cli::{Failure, blueprint, print, runtime};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Environment, Listen, Sources};
use crate::outbound::{Call, Outbound};

/// The whole question and answer take this long at most.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Name of the webhook in the configuration
    name: String,
    /// The body. - reads standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Where it is posted to, instead of the listener of webhooks
    #[arg(long, value_name = "URL")]
    to: Option<Url>,
    /// Print the request as on the wire, and post nothing; `webhooks verify` reads it
    #[arg(long, conflicts_with = "to")]
    print: bool,
}
