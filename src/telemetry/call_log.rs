//! One line for each call of the gateway: who called which operation, and how it ended. It is an audit, so no setting turns it
//! off; it waits in the same queue as all others, so a log that is not read stops no call.

use std::fmt::Write as _;
use std::time::Duration;

use super::format::Level;
use super::request_log::{RequestLog, UserTag, escaped};

/// Where these lines come from, as events come from modules.
const TARGET: &str = "sidemint::gateway";

/// What is said about one call. Never a path, a query, a header or a body.
#[derive(Clone, Debug)]
pub struct CallLine<'l> {
    /// Request id, as in the answer.
    pub request_id: &'l str,
    /// Configured name of the caller, where it is known.
    pub caller: Option<&'l str>,
    /// What proved it.
    pub proof: Option<&'l str>,
    /// Configured name of the provider.
    pub provider: &'l str,
    /// Name of the operation, where one matched.
    pub operation: Option<&'l str>,
    /// As which user, as the configuration wants users.
    pub as_user: Option<&'l UserTag>,
    /// Values of parameters, where the configuration wants them.
    pub parameters: &'l [(String, String)],
    /// Status of the answer.
    pub status: u16,
    /// How it ended.
    pub outcome: &'l str,
    /// Code of an answer of our own.
    pub code: Option<&'l str>,
    /// Why, where the code does not say all of it.
    pub reason: Option<&'l str>,
    /// From the complete head to the end of the answer.
    pub took: Duration,
    /// What of it the provider took, up to the head of its answer, all attempts together.
    pub provider_took: Duration,
    /// What of it was spent waiting for a turn.
    pub waited: Duration,
    /// Bytes of the body that came.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// Passages that were masked.
    pub scrubbed: u64,
    /// Trace id.
    pub trace_id: Option<&'l str>,
    /// Whether the service or the provider could not do its part: then the line is a warning.
    pub failed: bool,
}

impl RequestLog {
    /// Writes the line of a call.
    pub fn write_call(&self, line: &CallLine<'_>) {
        let level = if line.failed { Level::Warn } else { Level::Info };
        self.draft(TARGET, level, |format, text| {
            if format.json {
                text.push_str("call");
            } else {
                let (caller, operation) = (line.caller.unwrap_or("-"), line.operation.unwrap_or("-"));
                let _infallible =
                    write!(text, "{caller} {} {operation} {} {}", line.provider, line.status, line.outcome);
            }
            format.message(text);
            format.text(text, if format.json { "request_id" } else { "id" }, line.request_id);
            if format.json {
                let names = [("caller", line.caller), ("provider", Some(line.provider)), ("operation", line.operation)];
                for (name, value) in names.into_iter().filter_map(|(name, value)| Some((name, value?))) {
                    format.raw(text, name, escaped(value));
                }
                format.raw(text, "status", line.status);
                format.text(text, "outcome", line.outcome);
            }
            for (name, value) in [("proof", line.proof), ("code", line.code), ("reason", line.reason)] {
                if let Some(value) = value {
                    format.text(text, name, value);
                }
            }
            if let Some(user) = line.as_user {
                format.raw(text, "as_user", escaped(user.as_str()));
            }
            if !line.parameters.is_empty() {
                let all: Vec<String> =
                    line.parameters.iter().map(|(name, value)| escaped(&format!("{name}={value}"))).collect();
                format.raw(text, "parameters", format_args!("[{}]", all.join(",")));
            }
            for (name, span) in [("ms", line.took), ("provider_ms", line.provider_took), ("wait_ms", line.waited)] {
                let micros = span.as_micros();
                format.raw(text, name, format_args!("{}.{:03}", micros / 1000, micros % 1000));
            }
            for (name, count) in
                [("bytes_in", line.bytes_in), ("bytes_out", line.bytes_out), ("scrubbed", line.scrubbed)]
            {
                format.raw(text, name, count);
            }
            if let Some(trace_id) = line.trace_id {
                format.text(text, if format.json { "trace_id" } else { "trace" }, trace_id);
            }
        });
    }
}
