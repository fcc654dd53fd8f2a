//! Logging: events through `tracing`, request lines through a [`RequestLog`] of their own, because a line per request is
//! the dearest thing that a warm request can do.

mod request_log;

use std::io::IsTerminal as _;
use std::str::FromStr as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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
    // The parser takes a misspelt level for the name of a module, and then nothing is logged at all.
    let bare = text.split(',').filter(|part| !part.contains(['=', '[']));
    let levels_only = bare.map(str::trim).all(|word| LevelFilter::from_str(word).is_ok());
    let filter = EnvFilter::builder().parse(text).ok().filter(|_| levels_only);
    filter.ok_or_else(|| {
        format!(
            "\"{text}\" is not a level (error, warn, info, debug, trace) nor a filter such as \"info,sidemint=debug\""
        )
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
