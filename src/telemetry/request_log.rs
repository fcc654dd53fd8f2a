//! One line a request, made on the thread that answers it and handed to the queue.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;

use super::failures::{Failure, Failures};
use super::format::{Format, Level};
use super::queue::LogQueue;
use crate::clock::{Clock, Timestamp};
use crate::config::{RequestLines, UserLines};

/// Characters of a user shown in plain, at most.
const MAX_USER_CHARS: usize = 128;
/// Where request lines come from, as events come from modules.
const TARGET: &str = "sidemint::request";

/// What is said about one request. Never a token, a path of the client's choosing or a header value, but for the origin
/// of a page that was refused.
#[derive(Clone, Debug)]
pub struct RequestLine<'l> {
    /// Request id, as in the answer.
    pub request_id: &'l str,
    /// Configured path of the route.
    pub route: &'l str,
    /// Method.
    pub method: &'l str,
    /// Status of the answer.
    pub status: u16,
    /// Stable outcome code.
    pub outcome: &'l str,
    /// Why an identity was refused, or which class of failure it was.
    pub reason: Option<&'l str>,
    /// The user, as the configuration wants it.
    pub user: Option<&'l UserTag>,
    /// Time from the head to the answer.
    pub took: Duration,
    /// Trace id.
    pub trace_id: Option<&'l str>,
    /// Address of the peer, where it matters.
    pub peer: Option<IpAddr>,
    /// Origin of the page that was refused.
    pub origin: Option<&'l str>,
    /// Whether this was a plain cache hit.
    pub hit: bool,
    /// Whether the service could not do its part: then the line is a warning.
    pub failed: bool,
}

/// A user as it appears in lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserTag(Box<str>);

/// Writes request lines.
#[derive(Clone)]
pub struct RequestLog {
    shared: Arc<Shared>,
    /// The team whose requests these are, if it is one.
    team: Option<Arc<str>>,
}

struct Shared {
    which: RequestLines,
    users: UserLines,
    key: hmac::Key,
    clock: Arc<dyn Clock>,
    queue: LogQueue,
    failures: Failures,
}

thread_local! {
    /// The line in the making.
    static DRAFT: RefCell<Draft> = const { RefCell::new(Draft { text: String::new(), second: (i64::MIN, String::new()) }) };
}

struct Draft {
    text: String,
    /// Time of the second of the last line, to the point; lines of one second share it.
    second: (i64, String),
}

impl std::fmt::Debug for RequestLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestLog").field("which", &self.shared.which).finish_non_exhaustive()
    }
}

impl RequestLog {
    /// A log that writes to `queue`. User hashes are keyed anew for each process: equal within it, meaningless outside.
    pub fn new(which: RequestLines, users: UserLines, clock: Arc<dyn Clock>, queue: LogQueue) -> Self {
        let mut key = [0_u8; 32];
        // From the system: the crypto library's own generator takes tens of milliseconds to start.
        if getrandom::fill(&mut key).is_err() {
            // Without randomness nothing will work; hashes of an unknown key are still no plain text.
            tracing::error!("no randomness for the key of user hashes");
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Self { shared: Arc::new(Shared { which, users, key, clock, queue, failures: Failures::default() }), team: None }
    }

    /// The same log, whose lines name this team.
    #[must_use]
    pub fn for_team(&self, name: &str) -> Self {
        Self { shared: Arc::clone(&self.shared), team: Some(name.into()) }
    }

    /// Keeps a failed request among the last ones, whether it gets a line or not.
    pub fn note_failure(&self, route: &str, outcome: &'static str, reason: Option<&str>, request_id: &str) {
        self.shared.failures.note(Failure {
            at: self.shared.clock.now(),
            team: self.team.as_deref().map(str::to_owned),
            route: route.to_owned(),
            outcome,
            reason: reason.map(str::to_owned),
            request_id: request_id.to_owned(),
        });
    }

    /// The last requests that failed, the newest first, of the platform and of all teams.
    pub fn last_failures(&self) -> Vec<Failure> {
        self.shared.failures.last()
    }

    /// Whether a request gets a line.
    pub fn wants(&self, hit: bool) -> bool {
        match self.shared.which {
            RequestLines::None => false,
            RequestLines::Changes => !hit,
            RequestLines::All => true,
        }
    }

    /// The user as it will appear in lines; made once per session, not per request.
    pub fn tag(&self, subject: &str) -> Option<UserTag> {
        match (self.shared.which, self.shared.users) {
            (RequestLines::None, _) | (_, UserLines::None) => None,
            // T-33: users in the log
            (_, UserLines::Plain) => Some(UserTag(subject.chars().take(MAX_USER_CHARS).collect::<String>().into())),
            (_, UserLines::Hashed) => {
                let hash = hmac::sign(&self.shared.key, subject.as_bytes());
                let mut text = String::with_capacity(16);
                for byte in hash.as_ref().iter().take(8) {
                    let _infallible = write!(text, "{byte:02x}");
                }
                Some(UserTag(text.into()))
            }
        }
    }

    /// Writes a line, if the configuration wants one.
    pub fn write(&self, line: &RequestLine<'_>) {
        if !self.wants(line.hit) {
            return;
        }
        let now = self.shared.clock.now();
        DRAFT.with_borrow_mut(|draft| {
            draft.line(self.shared.queue.format(), now, self.team.as_deref(), line);
            self.shared.queue.push(draft.text.as_bytes(), false);
        });
    }

    /// Writes a line of another kind. `rest` writes its message and its fields.
    pub(super) fn draft(&self, target: &str, level: Level, rest: impl FnOnce(Format, &mut String)) {
        let (now, format) = (self.shared.clock.now(), self.shared.queue.format());
        DRAFT.with_borrow_mut(|Draft { text, second }| {
            text.clear();
            format.head(text, time(second, now), level, target);
            rest(format, text);
            format.end(text);
            self.shared.queue.push(text.as_bytes(), false);
        });
    }
}

impl UserTag {
    /// The text of it.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Draft {
    fn line(&mut self, format: Format, now: Timestamp, team: Option<&str>, line: &RequestLine<'_>) {
        let Self { text, second } = self;
        text.clear();
        let level = if line.failed { Level::Warn } else { Level::Info };
        format.head(text, time(second, now), level, TARGET);
        // What is written without escaping is ours: configured paths are plain, codes are constants, ids are hex.
        if format.json {
            text.push_str("request");
            format.message(text);
            format.text(text, "request_id", line.request_id);
            format.text(text, "route", line.route);
            format.text(text, "method", line.method);
            format.raw(text, "status", line.status);
            format.text(text, "outcome", line.outcome);
            format.raw(text, "duration_us", line.took.as_micros());
        } else {
            let _infallible = write!(text, "{} {} {} {}", line.method, line.route, line.status, line.outcome);
            format.message(text);
            let micros = line.took.as_micros();
            format.raw(text, "duration_ms", format_args!("{}.{:03}", micros / 1000, micros % 1000));
            format.text(text, "id", line.request_id);
        }
        if let Some(team) = team {
            format.text(text, "team", team);
        }
        if let Some(reason) = line.reason {
            format.text(text, "reason", reason);
        }
        if let Some(UserTag(user)) = line.user {
            format.raw(text, "user", escaped(user));
        }
        if let Some(peer) = line.peer {
            format.text(text, "peer", &peer.to_string());
        }
        if let Some(origin) = line.origin {
            format.raw(text, "origin", escaped(origin));
        }
        if let Some(trace_id) = line.trace_id {
            format.text(text, if format.json { "trace_id" } else { "trace" }, trace_id);
        }
        format.end(text);
    }
}

/// RFC 3339 in UTC with milliseconds.
fn time(second: &mut (i64, String), now: Timestamp) -> &str {
    const TO_THE_POINT: usize = "2026-05-30T12:00:00.".len();
    let (last, text) = second;
    if *last != now.as_seconds() {
        *last = now.as_seconds();
        *text = now.to_rfc3339();
    }
    text.truncate(TO_THE_POINT);
    let _infallible = write!(text, "{:03}Z", now.as_millis().rem_euclid(1000));
    text
}

/// JSON text in ASCII: no control, bidi or other character can disturb a terminal or a parser (T-47).
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c), // T-47: escaped log text
            _ => {
                let mut units = [0_u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _infallible = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::telemetry::queue;

    const JSON: Format = Format { json: true, colour: false };
    const TEXT: Format = Format { json: false, colour: false };

    fn line(users: UserLines, subject: &str, format: Format) -> String {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_780_142_400_007)));
        let (queue, written) = queue::for_test(format);
        let log = RequestLog::new(RequestLines::All, users, clock, queue.clone());
        let tag = log.tag(subject);
        log.write(&RequestLine {
            request_id: "0123456789abcdef",
            route: "/api/chat/session",
            method: "GET",
            status: 503,
            outcome: "draining",
            reason: Some("draining"),
            user: tag.as_ref(),
            took: Duration::from_micros(5_002_236),
            trace_id: None,
            peer: Some(IpAddr::from([127, 0, 0, 1])),
            origin: None,
            hit: false,
            failed: true,
        });
        queue.flush(Duration::MAX);
        written.text()
    }

    #[test]
    fn a_line_is_json_whatever_the_user_is_called() {
        for subject in ["alice", "a\"b\\c", "x\n{\"level\":\"ERROR\"}", "\u{1b}[31m", "\u{202e}😀\u{85}"] {
            let text = line(UserLines::Plain, subject, JSON);
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.is_ascii());
            let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(line["user"], subject);
            assert_eq!(line["timestamp"], "2026-05-30T12:00:00.007Z");
            assert_eq!(line["level"], "WARN");
            assert_eq!(line["duration_us"], 5_002_236);
        }
    }

    #[test]
    fn users_are_hashed_unless_asked_for() {
        assert!(!line(UserLines::Hashed, "alice", JSON).contains("alice"));
        assert!(line(UserLines::Hashed, "alice", JSON).contains("\"user\":\""));
        assert!(!line(UserLines::None, "alice", JSON).contains("\"user\""));
        assert!(line(UserLines::Plain, "alice", TEXT).contains("user=\"alice\""));
    }

    /// The columns of `tracing`'s own text, in the colours of its own.
    #[test]
    fn people_read_columns_and_milliseconds() {
        let plain = "2026-05-30T12:00:00.007Z  WARN sidemint::request: GET /api/chat/session 503 draining \
                     duration_ms=5002.236 id=0123456789abcdef reason=draining peer=127.0.0.1\n";
        assert_eq!(line(UserLines::None, "alice", TEXT), plain);
        let coloured = line(UserLines::None, "alice", Format { json: false, colour: true });
        assert!(
            coloured.starts_with("\u{1b}[2m2026-05-30T12:00:00.007Z\u{1b}[0m \u{1b}[33m WARN\u{1b}[0m "),
            "{coloured:?}"
        );
        let letters: String =
            coloured.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
        assert_eq!(letters, plain);
    }
}
