//! The form of a request: what is refused before its caller is looked for.

use http::header::{CONNECTION, HOST, ORIGIN, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Version};

use super::target::Target;
use crate::gateway::refusal::Refusal;

/// What every browser with Fetch Metadata sends, and no other client. (Node's `fetch` sends `Sec-Fetch-Mode` alone.)
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Hosts that a listener is called by: the names of this machine, and others.
#[derive(Clone, Debug)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// The names of this machine, and these, without port.
    pub fn new(others: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        Self(own.into_iter().chain(others.into_iter().map(Into::into)).collect())
    }

    /// Whether `host` is one of them, with whatever port.
    fn have(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
            _ => host,
        };
        self.0.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Reads the target of a request whose form is one that is served.
pub fn read<'r>(parts: &'r Parts, hosts: &Hosts) -> Result<Target<'r>, Refusal> {
    let headers = &parts.headers;
    // G-07: other protocols
    if headers.contains_key(UPGRADE) || [Method::CONNECT, Method::TRACE].contains(&parts.method) {
        return Err(Refusal::UpgradeRefused);
    }
    if parts.version != Version::HTTP_11 {
        return Err(Refusal::TargetInvalid);
    }
    let target = Target::of(&parts.uri)?;
    let mut named = headers.get_all(HOST).iter();
    let host = named.next().filter(|_| named.next().is_none()).and_then(|host| host.to_str().ok());
    // G-01, G-21: host of a request
    if !host.is_some_and(|host| hosts.have(host)) {
        return Err(Refusal::HostRefused);
    }
    // G-21: browser
    if headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE) {
        return Err(Refusal::BrowserRefused);
    }
    check_connection(headers)?;
    Ok(target)
}

/// `Connection` names headers of one hop. One that names another takes that header from the request, or has us believe it.
fn check_connection(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_known =
        |option: &str| ["", "close", "keep-alive", "te"].iter().any(|own| own.eq_ignore_ascii_case(option.trim()));
    for line in headers.get_all(CONNECTION) {
        let options = line.to_str().map_err(|_bytes| Refusal::HeaderInvalid)?;
        // G-08: headers of one hop
        if !options.split(',').all(is_known) {
            return Err(Refusal::HeaderInvalid);
        }
    }
    Ok(())
}
