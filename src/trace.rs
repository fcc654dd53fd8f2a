//! W3C Trace Context: taken from the request, written to the log, carried on to the provider.

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Bytes of `tracestate` that must be carried at least (Trace Context, 3.3.1.5); longer ones are dropped.
const MAX_STATE_BYTES: usize = 512;

/// The request that something is done for; empty where we do it by ourselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Its id, for the log.
    pub request_id: Option<String>,
    /// Its trace.
    pub trace: Option<TraceContext>,
}

/// The trace that a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 lower-case hexadecimal digits.
    trace_id: String,
    flags: String,
    state: Option<HeaderValue>,
}

impl TraceContext {
    /// The trace named by `traceparent`, if it is there once and well formed (Trace Context, 3.2).
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let (line, None) = (lines.next()?, lines.next()) else { return None };
        let mut parts = line.to_str().ok()?.split('-');
        let (version, trace_id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Version 00 has exactly four parts; later ones may have more; ff is forbidden.
        let version_fits = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        let fits = version_fits && is_id(trace_id, 32) && is_id(parent, 16) && is_hex(flags, 2);
        let state = headers.get(TRACESTATE).filter(|state| state.len() <= MAX_STATE_BYTES).cloned();
        fits.then(|| Self { trace_id: trace_id.to_owned(), flags: flags.to_owned(), state })
    }

    /// The trace id, for the log.
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// Writes the headers of a call that belongs to this trace. The parent id is `span`, ours.
    pub fn write(&self, span: u64, headers: &mut HeaderMap) {
        let line = format!("00-{}-{:016x}-{}", self.trace_id, span.max(1), self.flags);
        if let Ok(line) = HeaderValue::try_from(line) {
            headers.insert(TRACEPARENT, line);
            if let Some(state) = &self.state {
                headers.insert(TRACESTATE, state.clone());
            }
        }
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_id(text: &str, length: usize) -> bool {
    is_hex(text, length) && text.bytes().any(|b| b != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACEPARENT, HeaderValue::from_str(line).expect("a value"));
        }
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        TraceContext::of(&headers)
    }

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_carried_on_with_a_new_parent() {
        let trace = of(&[GOOD]).expect("a trace");
        assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let mut headers = HeaderMap::new();
        trace.write(7, &mut headers);
        assert_eq!(headers["traceparent"], "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01");
        assert_eq!(headers["tracestate"], "vendor=1");
    }

    #[test]
    fn malformed_traces_are_ignored() {
        for bad in [
            "",
            "00",
            "00-0-0-0",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
        assert_eq!(of(&[GOOD, GOOD]), None);
        assert!(of(&["01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"]).is_some());
    }
}
