//! How lines look: JSON, or columns for people. Events and request lines look alike.

use std::fmt::{self, Write as _};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::{Environment, Log, LogFormat};

/// The form of every line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// JSON, not text.
    pub json: bool,
    /// Text in colours.
    pub colour: bool,
}

/// Levels of the lines that are written without `tracing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// As it should be.
    Info,
    /// The service could not do its part.
    Warn,
}

impl Level {
    /// In a column of five characters.
    fn name(self) -> &'static str {
        match self {
            Self::Info => " INFO",
            Self::Warn => " WARN",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Info => "\u{1b}[32m",
            Self::Warn => "\u{1b}[33m",
        }
    }
}

impl Format {
    /// The form that the configuration wants. Colours are for terminals, and not for those who set `NO_COLOR`.
    pub fn of(log: &Log, is_terminal: bool, environment: &Environment) -> Self {
        let json = match log.format {
            LogFormat::Json => true,
            LogFormat::Text => false,
            LogFormat::Auto => !is_terminal,
        };
        Self { json, colour: !json && is_terminal && environment.get("NO_COLOR").is_none() }
    }

    /// The beginning of a line: everything before its message.
    pub(super) fn head(self, out: &mut String, time: &str, level: Level, target: &str) {
        let column = level.name();
        let pieces = if self.json {
            [
                "{\"timestamp\":\"",
                time,
                "\",\"level\":\"",
                column.trim_start(),
                "\",\"target\":\"",
                target,
                "\",\"message\":\"",
                "",
            ]
        } else if self.colour {
            [
                "\u{1b}[2m",
                time,
                "\u{1b}[0m ",
                level.colour(),
                column,
                "\u{1b}[0m \u{1b}[2m",
                target,
                "\u{1b}[0m\u{1b}[2m:\u{1b}[0m ",
            ]
        } else {
            ["", time, " ", "", column, " ", target, ": "]
        };
        out.extend(pieces);
    }

    /// The end of a message.
    pub(super) fn message(self, out: &mut String) {
        if self.json {
            out.push('"');
        }
    }

    /// One more field whose value is text without a character that needs escaping.
    pub(super) fn text(self, out: &mut String, name: &str, value: &str) {
        self.name(out, name);
        let quote = if self.json { "\"" } else { "" };
        out.extend([quote, value, quote]);
    }

    /// One more field whose value is written as it is: a number, or what is quoted already.
    pub(super) fn raw(self, out: &mut String, name: &str, value: impl fmt::Display) {
        self.name(out, name);
        let _infallible = write!(out, "{value}");
    }

    fn name(self, out: &mut String, name: &str) {
        let pieces = if self.json {
            [",\"", name, "\":"]
        } else if self.colour {
            [" \u{1b}[3m", name, "\u{1b}[0m\u{1b}[2m=\u{1b}[0m"]
        } else {
            [" ", name, "="]
        };
        out.extend(pieces);
    }

    /// The end of a line.
    pub(super) fn end(self, out: &mut String) {
        out.push_str(if self.json { "}\n" } else { "\n" });
    }

    /// A whole line with one number.
    pub(super) fn event(self, now: Timestamp, target: &str, message: &str, (name, value): (&str, u64)) -> String {
        let mut line = String::new();
        self.head(&mut line, &now.to_rfc3339(), Level::Warn, target);
        line.push_str(message);
        self.message(&mut line);
        self.raw(&mut line, name, value);
        self.end(&mut line);
        line
    }
}

/// The time of events: as in every other line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        to.write_str(&SystemClock.now().to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RequestLines, UserLines};

    #[test]
    fn colours_are_for_terminals_of_those_who_want_them() {
        let (auto, text, json) = (LogFormat::Auto, LogFormat::Text, LogFormat::Json);
        for (format, is_terminal, no_color, expected) in [
            (auto, true, None, (false, true)),
            (auto, true, Some(""), (false, true)),
            (auto, true, Some("1"), (false, false)),
            (auto, false, None, (true, false)),
            (text, true, None, (false, true)),
            (text, true, Some("0"), (false, false)),
            (text, false, None, (false, false)),
            (json, true, None, (true, false)),
        ] {
            let (requests, users) = (RequestLines::All, UserLines::None);
            let log =
                Log { format, level: String::new(), requests, users, gateway_params: false, origin: String::new() };
            let environment =
                no_color.map_or_else(Environment::default, |value| Environment::of([("NO_COLOR", value)]));
            let Format { json, colour } = Format::of(&log, is_terminal, &environment);
            assert_eq!((json, colour), expected, "{format:?} {is_terminal} {no_color:?}");
        }
    }
}
