//! Logging: events through `tracing`, request lines through a [`RequestLog`] of their own.
//!
//! A line per request is the dearest thing that a warm request can do. Both wait in one [`LogQueue`] for the thread that
//! writes.

mod call_log;
mod failures;
mod format;
mod queue;
mod request_log;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::str::FromStr as _;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

pub use call_log::CallLine;
pub use failures::Failure;
pub use format::Format;
pub use queue::{Events, LogQueue};
pub use request_log::{RequestLine, RequestLog, UserTag};

use crate::clock::SystemClock;
use crate::config::{Environment, Log};
use crate::definition::Mistake;
use crate::metrics::Counter;

/// Starts the log of the process on standard output. Lines that are lost are counted in `dropped`.
pub fn start(log: &Log, environment: &Environment, dropped: Counter) -> io::Result<LogQueue> {
    let stdout = io::stdout();
    let format = Format::of(log, stdout.is_terminal(), environment);
    // Not through the buffer of the standard library: its lock would be held for as long as the output is not read.
    let out = File::from(stdout.as_fd().try_clone_to_owned()?);
    let queue = LogQueue::start(Box::new(out), format, Arc::new(SystemClock), dropped)?;
    install(log, queue.clone())?;
    report_panics();
    Ok(queue)
}

/// Installs the subscriber for the process.
fn install(log: &Log, queue: LogQueue) -> io::Result<()> {
    let format = queue.format();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(&log.level).map_err(|mistake| io::Error::other(mistake.to_string()))?)
        .with_timer(format::Milliseconds)
        // It would tell them on standard error, which may be as unread as the log.
        .log_internal_errors(false)
        .with_ansi(format.colour)
        .with_writer(queue);
    let installed = if format.json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        builder.try_init()
    };
    installed.map_err(io::Error::other)
}

/// Panics are told in the log: standard error may be a pipe that is not read, and a worker would wait there for ever.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let problem = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, problem, "panicked");
    }));
}

/// Reads a level or filter.
pub fn filter(text: &str) -> Result<EnvFilter, Mistake> {
    // The parser takes a misspelt level for the name of a module, and then nothing is logged at all.
    let bare = text.split(',').filter(|part| !part.contains(['=', '[']));
    let levels_only = bare.map(str::trim).all(|word| LevelFilter::from_str(word).is_ok());
    let filter = EnvFilter::builder().parse(text).ok().filter(|_| levels_only);
    filter.ok_or_else(|| {
        format!(
            "\"{text}\" is not a level (error, warn, info, debug, trace) nor a filter such as \"info,sidemint=debug\""
        )
        .into()
    })
}
