//! The headers of an answer that pass: an allow list.

use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, LINK,
    LOCATION, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};

use super::needles::Needles;

/// Which headers of answers pass. Those that the definition adds pass unless they are never passed.
#[derive(Clone, Debug, Default)]
pub struct AnswerHeaders {
    added: Vec<HeaderName>,
}

impl AnswerHeaders {
    /// The usual ones, and these.
    pub fn new(added: impl IntoIterator<Item = HeaderName>) -> Self {
        Self { added: added.into_iter().filter(|name| !is_never_passed(name)).collect() }
    }

    /// Whether the definition adds this one.
    pub fn adds(&self, name: &HeaderName) -> bool {
        self.added.contains(name)
    }

    /// What passes of these, with what the call carried masked, and how many passages were. Where the provider says nothing of
    /// caches, nothing is kept.
    pub fn pass(&self, headers: &HeaderMap, needles: &Needles) -> (HeaderMap, u64) {
        let (mut passed, mut masked) = (HeaderMap::with_capacity(headers.len() + 2), 0);
        for (name, value) in headers {
            // G-25: headers of answers
            if is_passed(name) || self.adds(name) {
                let (value, count) = scrubbed(value, needles);
                masked += count;
                passed.append(name, value);
            }
        }
        if !passed.contains_key(CACHE_CONTROL) {
            passed.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        (passed, masked)
    }
}

fn scrubbed(value: &HeaderValue, needles: &Needles) -> (HeaderValue, u64) {
    match needles.mask(value.as_bytes()) {
        None => (value.clone(), 0),
        Some((text, count)) => {
            // Asterisks may stand in a value wherever anything may.
            (HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("*")), count)
        }
    }
}

fn is_passed(name: &HeaderName) -> bool {
    let text = name.as_str();
    // The length is that of the body as it comes, and an encoded answer is not passed at all.
    let of_content = text.starts_with("content-") && ![CONTENT_ENCODING, CONTENT_LENGTH].contains(name);
    let of_limits = text.starts_with("ratelimit") || text.starts_with("x-ratelimit");
    of_content || of_limits || [ETAG, LAST_MODIFIED, RETRY_AFTER, LINK, CACHE_CONTROL].contains(name)
}

/// Those that no definition can add: what a browser or a cache would act on, what leads elsewhere, what belongs to one hop, and
/// what is ours to say.
fn is_never_passed(name: &HeaderName) -> bool {
    let text = name.as_str();
    text.starts_with("access-control-")
        || text.starts_with("x-chat-")
        || text.starts_with("proxy-")
        || [SET_COOKIE, LOCATION, WWW_AUTHENTICATE, CONTENT_LENGTH, CONTENT_ENCODING].contains(name)
        || [
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "set-cookie2",
            "vary",
            "alt-svc",
        ]
        .contains(&text)
}
