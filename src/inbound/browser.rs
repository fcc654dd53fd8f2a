//! Which browser requests a session route serves: Fetch Metadata, `Origin`, `Host`, a required header, and CORS for
//! origins that are listed.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST, HeaderMap, HeaderName,
    HeaderValue, ORIGIN,
};

use super::asked::Asked;
use super::reply::Outcome;
use crate::config;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Headers that a page of an allowed origin may send.
const ALLOWED_HEADERS: &str = "content-type, x-requested-with";

/// The rules of the `[browser]` section.
#[derive(Clone, Debug)]
pub(super) struct Rules(config::Browser);

impl Rules {
    pub(super) fn new(browser: config::Browser) -> Self {
        Self(browser)
    }

    /// Refuses a request that a page of another site, a rebound name or a forged server-side request made.
    pub(super) fn check(&self, asked: &Asked) -> Result<(), Outcome> {
        if !self.0.allow_hosts.is_empty() && !asked.host().is_some_and(|host| self.0.allow_hosts.contains(&host)) {
            return Err(Outcome::HostRefused);
        }
        if !self.origin_is_fine(asked) {
            return Err(Outcome::OriginRefused);
        }
        match &self.0.require_header {
            Some(name) if !asked.headers.contains_key(name) => Err(Outcome::HeaderMissing),
            _ => Ok(()),
        }
    }

    fn origin_is_fine(&self, asked: &Asked) -> bool {
        let (mut site, mut origin) = (None, None);
        // One pass: a look-up would hash each name for every request, and few have either.
        for (name, value) in &asked.headers {
            if *name == ORIGIN {
                origin.get_or_insert(value);
            } else if *name == SEC_FETCH_SITE {
                site.get_or_insert(value.as_bytes());
            }
        }
        match (site, origin) {
            (None | Some(b"same-site"), None) | (Some(b"same-origin" | b"none"), _) => true,
            (_, Some(origin)) if self.lists(origin) => asked.headers.get_all(ORIGIN).iter().count() == 1,
            // A browser without Fetch Metadata names its own origin on POST.
            (None, Some(origin)) => is_own(origin, asked),
            _ => false,
        }
    }

    fn lists(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.0.allow_origins.contains(origin))
    }

    /// Headers that let a page of a listed origin read the answer. The origin is ours: it comes from the list.
    pub(super) fn cors(&self, asked: &Asked) -> Option<HeaderMap> {
        if self.0.allow_origins.is_empty() {
            return None;
        }
        let origin = asked.header(&ORIGIN)?;
        let listed = self.0.allow_origins.get(origin)?;
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::try_from(listed).ok()?);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        Some(headers)
    }

    /// The answer to a preflight, or why it is refused; `None` for a plain OPTIONS.
    pub(super) fn preflight(&self, asked: &Asked, methods: &'static str) -> Option<Result<HeaderMap, Outcome>> {
        if !asked.headers.contains_key(ORIGIN) || !asked.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let Some(mut headers) = self.cors(asked) else { return Some(Err(Outcome::OriginRefused)) };
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        let required = self.0.require_header.as_ref().map(|name| format!("{ALLOWED_HEADERS}, {name}"));
        let allowed = required.and_then(|text| HeaderValue::try_from(text).ok());
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed.unwrap_or(HeaderValue::from_static(ALLOWED_HEADERS)));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Some(Ok(headers))
    }
}

/// Whether `Origin` is the host that was asked, by http or https.
fn is_own(origin: &HeaderValue, asked: &Asked) -> bool {
    let (Ok(origin), Some(host)) = (origin.to_str(), asked.header(&HOST)) else { return false };
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}
