//! Which browser requests a session route serves: Fetch Metadata, `Origin`, `Host`, a required header, and CORS for
//! origins that are listed.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};

use crate::config;
use crate::decode::origin;
use crate::inbound::reply::Outcome;
use crate::inbound::request::Request;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Headers that a page of an allowed origin may send, beside those that its route reads.
const ALLOWED_HEADERS: [HeaderName; 2] = [http::header::CONTENT_TYPE, HeaderName::from_static("x-requested-with")];
/// Headers of ours that such a page may read: when to ask again, and what to show to a helper.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("Retry-After, X-Request-Id");

/// The rules of the `[browser]` section on one route.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    browser: config::Browser,
    /// Headers that a preflight allows.
    allowed: HeaderValue,
}

impl Rules {
    /// `read` are the headers of the route that pages write themselves, so no header that only a proxy may write.
    pub(crate) fn new<'h, I: Iterator<Item = &'h HeaderName>>(browser: config::Browser, read: I) -> Self {
        let mut names: Vec<HeaderName> = Vec::new();
        for name in ALLOWED_HEADERS.into_iter().chain(browser.require_header.clone()).chain(read.cloned()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
        // Names of headers, commas and blanks are a value.
        let allowed = HeaderValue::try_from(names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self { browser, allowed }
    }

    /// Refuses a request that a page of another site, a rebound name or a forged server-side request made.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Outcome> {
        let hosts = &self.browser.allow_hosts;
        // T-44: listed host
        if !hosts.is_empty() && !request.host().is_some_and(|host| hosts.contains(&host)) {
            return Err(Outcome::HostRefused);
        }
        // T-40: foreign origin
        if !self.origin_is_fine(request) {
            return Err(Outcome::OriginRefused);
        }
        match &self.browser.require_header {
            // T-43: required header
            Some(name) if !request.headers.contains_key(name) => Err(Outcome::HeaderMissing),
            _ => Ok(()),
        }
    }

    fn origin_is_fine(&self, request: &Request) -> bool {
        let (mut site, mut origin) = (None, None);
        // One pass: a look-up would hash each name for every request, and few have either.
        for (name, value) in &request.headers {
            if *name == ORIGIN {
                origin.get_or_insert(value);
            } else if *name == SEC_FETCH_SITE {
                site.get_or_insert(value.as_bytes());
            }
        }
        match (site, origin) {
            (None | Some(b"same-site"), None) | (Some(b"same-origin" | b"none"), _) => true,
            (_, Some(origin)) if self.listed(origin).is_some() => request.headers.get_all(ORIGIN).iter().count() == 1,
            // A browser without Fetch Metadata names its own origin on POST.
            (None, Some(origin)) => is_own(origin, request),
            _ => false,
        }
    }

    /// The origin as it stands on the list, if it does.
    fn listed(&self, origin: &HeaderValue) -> Option<&String> {
        // T-41: exact origin
        self.browser.allow_origins.get(origin::without_default_port(origin.to_str().ok()?))
    }

    /// Headers that let a page of a listed origin read the answer. The origin is ours: it comes from the list.
    pub(crate) fn cors(&self, request: &Request) -> Option<HeaderMap> {
        if self.browser.allow_origins.is_empty() {
            // T-41: no list
            return None;
        }
        let listed = self.listed(request.headers.get(ORIGIN)?)?; // T-42: listed origin
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::try_from(listed).ok()?);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")); // T-45: credentials
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        Some(headers)
    }

    /// The answer to a preflight, or why it is refused; `None` for a plain OPTIONS.
    pub(crate) fn preflight(&self, request: &Request, methods: &'static str) -> Option<Result<HeaderMap, Outcome>> {
        if !request.headers.contains_key(ORIGIN) || !request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let Some(mut headers) = self.cors(request) else { return Some(Err(Outcome::OriginRefused)) };
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.allowed.clone());
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Some(Ok(headers))
    }
}

/// Whether `Origin` is the host that was asked, by http or https. `Origin` names no default port, `Host` may: a proxy
/// writes it so.
fn is_own(origin: &HeaderValue, request: &Request) -> bool {
    let (Ok(origin), Some(host)) = (origin.to_str(), request.header(&HOST)) else { return false };
    let same = |scheme: &str, port: &str| {
        let authority = origin.strip_prefix(scheme)?;
        let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
        Some(bare(authority) == bare(host))
    };
    // T-41: default ports
    same("https://", ":443").or_else(|| same("http://", ":80")).unwrap_or(false)
}
