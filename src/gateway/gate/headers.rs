//! Headers of requests that pass: an allow list, one line each.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, USER_AGENT,
};

use crate::definition::Mistake;
use crate::gateway::refusal::Refusal;

/// Those that pass everywhere. `Range` does so only where a definition lists it: a secret that an answer repeats could be
/// asked for in parts, each too short to be found and masked.
const USUAL: [HeaderName; 8] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    USER_AGENT,
];

/// Those that no definition lets pass, by what they begin with: what belongs to one hop, proves somebody, says where a request
/// came from or goes to, or changes its path or method.
const NEVER: [&str; 38] = [
    "accept-encoding",
    "authorization",
    "baggage",
    "cdn-",
    "cf-",
    "client-ip",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "expect",
    "fastly-",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "origin",
    "proxy-",
    "referer",
    "sec-",
    "te",
    "trace",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "via",
    "x-chat-",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-",
    "x-forwarded",
    "x-host",
    "x-original-",
    "x-real-ip",
    "x-remote-",
    "x-rewrite-",
];

/// Words in names of headers that change the method.
const OVERRIDES: [&str; 2] = ["http-method", "override"];

/// Those of [`NEVER`] that are meant whole.
const WHOLE: [&str; 2] = ["te", "via"];

/// The headers of a mount that pass.
#[derive(Clone, Debug, Default)]
pub struct RequestHeaders {
    added: Vec<HeaderName>,
}

impl RequestHeaders {
    /// The usual ones, and `added`. `ours` are those that carry a proof or something else of ours.
    pub(in crate::gateway) fn new(added: &[String], ours: &[HeaderName]) -> Result<Self, Vec<(usize, Mistake)>> {
        let (mut names, mut wrong) = (Vec::new(), Vec::new());
        for (n, text) in added.iter().enumerate() {
            let problem = match HeaderName::try_from(text.as_str()) {
                Err(_) => "is not the name of a header",
                // G-04, G-08, G-10: headers that never pass
                Ok(name) if is_never_passed(&name) => {
                    "never passes: it is of one hop, a proof, or says who or where; remove it"
                }
                Ok(name) if ours.contains(&name) => "is what sidemint sets itself; remove it", // G-09: header of ours
                Ok(name) => {
                    names.push(name);
                    continue;
                }
            };
            wrong.push((n, Mistake::from(format!("\"{text}\" {problem}"))));
        }
        if wrong.is_empty() { Ok(Self { added: names }) } else { Err(wrong) }
    }

    /// What passes of `sent`.
    pub(in crate::gateway) fn pass(&self, sent: &HeaderMap) -> Result<HeaderMap, Refusal> {
        let mut passed = HeaderMap::with_capacity(USUAL.len()); // G-08, G-09, G-10: listed headers
        for name in USUAL.iter().chain(&self.added) {
            let mut lines = sent.get_all(name).iter();
            let Some(line) = lines.next() else { continue };
            // G-05: header twice
            if lines.next().is_some() {
                return Err(Refusal::HeaderInvalid);
            }
            passed.insert(name, line.clone());
        }
        passed.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(passed)
    }
}

/// Whether no definition can let it pass. Names with `_` and `.` are those of other headers to some servers.
fn is_never_passed(name: &HeaderName) -> bool {
    let text = name.as_str();
    let begins = |own: &&str| if WHOLE.contains(own) { text == *own } else { text.starts_with(own) };
    text.contains(['_', '.']) || NEVER.iter().any(begins) || OVERRIDES.iter().any(|word| text.contains(word))
}
