//! Logging: events through `tracing`, request lines through a [`RequestLog`] of their own, because a line per request is
//! the dearest thing that a warm request can do.

mod request_log;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

pub use request_log::{RequestLine, RequestLog, UserTag};

use crate::config::{Log, LogFormat};

/// Installs the subscriber for the process. Fails with a sentence when the filter cannot be read.
pub fn install(log: &Log) -> Result<(), String> {
    let filter = filter(&log.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stdout);
    let installed = if is_json(log) {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        builder.with_ansi(std::io::stdout().is_terminal()).try_init()
    };
    // Another subscriber is there already: in tests, where one process runs many services.
    let _again = installed;
    Ok(())
}

/// Reads a level or filter.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(text).map_err(|error| {
        format!("\"{text}\" is not a level (error, warn, info, debug, trace) nor a filter such as \"info,sidemint=debug\": {error}")
    })
}

/// Whether lines are JSON.
pub fn is_json(log: &Log) -> bool {
    match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stdout().is_terminal(),
    }
}
