//! One line a request, written into a shared buffer and flushed in batches.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::clock::{Clock, Timestamp};
use crate::config::{RequestLines, UserLines};
use crate::lifecycle::Lifecycle;

/// Bytes after which the buffer is written by whoever fills it.
const BATCH: usize = 16 * 1024;
/// A line waits this long at most.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// Characters of a user shown in plain, at most.
const MAX_USER_CHARS: usize = 128;

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
}

/// A user as it appears in lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserTag(Box<str>);

/// Writes request lines.
#[derive(Clone)]
pub struct RequestLog {
    shared: Arc<Shared>,
}

struct Shared {
    which: RequestLines,
    users: UserLines,
    json: bool,
    key: hmac::Key,
    clock: Arc<dyn Clock>,
    buffer: Mutex<Buffer>,
    out: Mutex<Box<dyn std::io::Write + Send>>,
}

#[derive(Default)]
struct Buffer {
    text: String,
    /// Text of the second of the last line; lines of one second share it.
    second: (i64, String),
}

impl std::fmt::Debug for RequestLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestLog").field("which", &self.shared.which).finish_non_exhaustive()
    }
}

impl RequestLog {
    /// A log that writes to `out`. User hashes are keyed anew for each process: equal within it, meaningless outside.
    pub fn new(
        which: RequestLines,
        users: UserLines,
        json: bool,
        clock: Arc<dyn Clock>,
        out: Box<dyn std::io::Write + Send>,
    ) -> Self {
        let mut key = [0_u8; 32];
        // From the system: the crypto library's own generator takes tens of milliseconds to start.
        if getrandom::fill(&mut key).is_err() {
            // Without randomness nothing will work; hashes of an unknown key are still no plain text.
            tracing::error!("no randomness for the key of user hashes");
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let shared = Shared { which, users, json, key, clock, buffer: Mutex::default(), out: Mutex::new(out) };
        Self { shared: Arc::new(shared) }
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
        let mut buffer = self.shared.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let _infallible = if self.shared.json { buffer.json(now, line) } else { buffer.plain(now, line) };
        if buffer.text.len() >= BATCH {
            let batch = std::mem::replace(&mut buffer.text, String::with_capacity(BATCH + 1024));
            drop(buffer);
            self.put(&batch);
        }
    }

    /// Writes out what is waiting.
    pub fn flush(&self) {
        let batch = std::mem::take(&mut self.shared.buffer.lock().unwrap_or_else(PoisonError::into_inner).text);
        if !batch.is_empty() {
            self.put(&batch);
        }
    }

    fn put(&self, batch: &str) {
        let mut out = self.shared.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A closed standard output is no reason to stop serving.
        let _closed = out.write_all(batch.as_bytes()).and_then(|()| out.flush());
    }

    /// Flushes regularly until the service has drained.
    pub fn start(&self, lifecycle: &Lifecycle) {
        let log = self.clone();
        let stop = lifecycle.draining().clone();
        lifecycle.spawn(async move {
            let mut every = tokio::time::interval(FLUSH_EVERY);
            loop {
                tokio::select! {
                    _ = every.tick() => log.flush(),
                    () = stop.cancelled() => break,
                }
            }
        });
    }
}

impl Buffer {
    fn json(&mut self, now: Timestamp, line: &RequestLine<'_>) -> std::fmt::Result {
        self.text.push_str("{\"timestamp\":\"");
        self.time(now)?;
        // What is written without escaping is ours: configured paths are plain, codes are constants, ids are hex.
        write!(
            self.text,
            "\",\"level\":\"INFO\",\"message\":\"request\",\"target\":\"sidemint::request\",\"request_id\":\"{}\",\"route\":\"{}\",\
             \"method\":\"{}\",\"status\":{},\"outcome\":\"{}\",\"duration_us\":{}",
            line.request_id,
            line.route,
            line.method,
            line.status,
            line.outcome,
            line.took.as_micros()
        )?;
        if let Some(reason) = line.reason {
            write!(self.text, ",\"reason\":\"{reason}\"")?;
        }
        if let Some(UserTag(user)) = line.user {
            self.text.push_str(",\"user\":");
            self.text.push_str(&escaped(user));
        }
        if let Some(peer) = line.peer {
            write!(self.text, ",\"peer\":\"{peer}\"")?;
        }
        if let Some(origin) = line.origin {
            write!(self.text, ",\"origin\":{}", escaped(origin))?;
        }
        if let Some(trace_id) = line.trace_id {
            write!(self.text, ",\"trace_id\":\"{trace_id}\"")?;
        }
        self.text.push_str("}\n");
        Ok(())
    }

    fn plain(&mut self, now: Timestamp, line: &RequestLine<'_>) -> std::fmt::Result {
        self.time(now)?;
        write!(
            self.text,
            "  INFO request {} {} {} {} {}us id={}",
            line.method,
            line.route,
            line.status,
            line.outcome,
            line.took.as_micros(),
            line.request_id
        )?;
        if let Some(reason) = line.reason {
            write!(self.text, " reason={reason}")?;
        }
        if let Some(UserTag(user)) = line.user {
            write!(self.text, " user={}", escaped(user))?;
        }
        if let Some(peer) = line.peer {
            write!(self.text, " peer={peer}")?;
        }
        if let Some(origin) = line.origin {
            write!(self.text, " origin={}", escaped(origin))?;
        }
        if let Some(trace_id) = line.trace_id {
            write!(self.text, " trace={trace_id}")?;
        }
        self.text.push('\n');
        Ok(())
    }

    fn time(&mut self, now: Timestamp) -> std::fmt::Result {
        let second = now.as_seconds();
        if self.second.0 != second || self.second.1.is_empty() {
            let text = Timestamp::from_seconds(second).to_rfc3339();
            self.second = (second, text.split('.').next().unwrap_or_default().to_owned());
        }
        let millis = now.as_millis().rem_euclid(1000);
        write!(self.text, "{}.{millis:03}Z", self.second.1)
    }
}

/// JSON text in ASCII: no control, bidi or other character can disturb a terminal or a parser (T-47).
fn escaped(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
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

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(users: UserLines, subject: &str, json: bool) -> String {
        let sink = Sink::default();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_780_142_400_007)));
        let log = RequestLog::new(RequestLines::All, users, json, clock, Box::new(sink.clone()));
        let tag = log.tag(subject);
        log.write(&RequestLine {
            request_id: "0123456789abcdef",
            route: "/api/chat/session",
            method: "GET",
            status: 200,
            outcome: "ok",
            reason: None,
            user: tag.as_ref(),
            took: Duration::from_micros(42),
            trace_id: None,
            peer: None,
            origin: None,
            hit: true,
        });
        log.flush();
        let bytes = sink.0.lock().expect("lock").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_line_is_json_whatever_the_user_is_called() {
        for subject in ["alice", "a\"b\\c", "x\n{\"level\":\"ERROR\"}", "\u{1b}[31m", "\u{202e}😀\u{85}"] {
            let text = lines(UserLines::Plain, subject, true);
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.is_ascii());
            let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(line["user"], subject);
            assert_eq!(line["timestamp"], "2026-05-30T12:00:00.007Z");
            assert_eq!(line["duration_us"], 42);
        }
    }

    #[test]
    fn users_are_hashed_unless_asked_for() {
        assert!(!lines(UserLines::Hashed, "alice", true).contains("alice"));
        assert!(lines(UserLines::Hashed, "alice", true).contains("\"user\":\""));
        assert!(!lines(UserLines::None, "alice", true).contains("\"user\""));
        assert!(lines(UserLines::Plain, "alice", false).contains("user=\"alice\""));
    }
}
