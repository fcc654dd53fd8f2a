//! What our own sidecar proxy says of the workload at the other end of the mesh: Envoy in `X-Forwarded-Client-Cert`,
//! Linkerd in `l5d-client-id`. Both are worth something only if the connection comes from that proxy, which configuration
//! makes sure of.

use http::{HeaderName, HeaderValue};

use crate::config;
use crate::identity::{Evidence, Refusal};

const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const LINKERD: HeaderName = HeaderName::from_static("l5d-client-id");

/// Bytes of the header at most: certificates in it take several KiB.
const MAX_BYTES: usize = 32 * 1024;
/// Elements (hops) at most, and pairs of one element.
const MAX_ELEMENTS: usize = 32;
const MAX_PAIRS: usize = 64;

/// Workloads of which one must be at the other end.
#[derive(Debug)]
pub(super) struct Workloads {
    pub(super) header: HeaderName,
    names: Vec<String>,
}

impl Workloads {
    /// Those that an Envoy names.
    pub(super) fn of_envoy(configured: &config::Peers) -> Option<Self> {
        (!configured.xfcc.is_empty()).then(|| Self { header: XFCC, names: configured.xfcc.clone() })
    }

    /// Those that a Linkerd proxy names.
    pub(super) fn of_linkerd(configured: &config::Peers) -> Option<Self> {
        (!configured.linkerd.is_empty()).then(|| Self { header: LINKERD, names: configured.linkerd.clone() })
    }

    /// Whether the proxy names one of them.
    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Result<(), Refusal> {
        let value = evidence.of_peer().get(&self.header).map_or(&b""[..], HeaderValue::as_bytes);
        let listed = |shown: &[u8]| self.names.iter().any(|name| name.as_bytes() == shown);
        let held = if self.header == XFCC {
            immediate_uris(value).is_some_and(|uris| uris.iter().any(|uri| listed(uri)))
        } else {
            listed(value)
        };
        if held { Ok(()) } else { Err(Refusal::PeerWorkload) }
    }
}

impl std::fmt::Display for Workloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.header, self.names.join(" or "))
    }
}

/// The `URI` values of the last element of an `X-Forwarded-Client-Cert`: that of the immediate peer, because proxies
/// append; earlier elements are hearsay. `None` where the header is not to the letter of its grammar: elements
/// separated by `,`, pairs by `;`, each `key=value`, values plain or in quotes with `\"` for a quote.
pub(in crate::identity) fn immediate_uris(header: &[u8]) -> Option<Uris> {
    if header.len() > MAX_BYTES {
        return None;
    }
    let mut rest = header;
    let mut elements = 0;
    loop {
        elements += 1;
        let (uris, next) = element(rest)?;
        match next {
            None => return Some(uris),
            Some(next) if elements < MAX_ELEMENTS => rest = next, // T-01: last element
            Some(_) => return None,
        }
    }
}

/// What an element says of URIs.
type Uris = Vec<Vec<u8>>;

/// Reads one element: its URIs, and what is behind the comma that follows, if one does.
fn element(mut rest: &[u8]) -> Option<(Uris, Option<&[u8]>)> {
    let mut uris = Vec::new();
    for _ in 0..MAX_PAIRS {
        let at = rest.iter().position(|byte| *byte == b'=')?;
        let (key, behind) = rest.split_at_checked(at)?;
        if key.is_empty() || !key.iter().all(u8::is_ascii_alphabetic) {
            return None;
        }
        let (value, behind) = value(behind.get(1..)?)?;
        if key.eq_ignore_ascii_case(b"uri") {
            uris.push(value);
        }
        match behind.split_first() {
            None => return Some((uris, None)),
            Some((b',', next)) => return Some((uris, Some(next))),
            Some((b';', next)) => rest = next,
            Some(_) => return None,
        }
    }
    None
}

/// Reads one value, and gives what is behind it.
fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| matches!(byte, b',' | b';')).unwrap_or(text.len());
        let (plain, behind) = text.split_at_checked(end)?;
        let fits = plain.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\'));
        return fits.then(|| (plain.to_vec(), behind));
    };
    let mut value = Vec::new();
    loop {
        match rest {
            [b'\\', b'"', behind @ ..] => {
                value.push(b'"');
                rest = behind;
            }
            [b'"', behind @ ..] => return Some((value, behind)),
            [byte, behind @ ..] => {
                value.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uris(header: &str) -> Option<Vec<String>> {
        let found = immediate_uris(header.as_bytes())?;
        Some(found.into_iter().map(|uri| String::from_utf8(uri).expect("text")).collect())
    }

    #[test]
    fn the_last_element_describes_the_immediate_peer() {
        for (header, expected) in [
            ("URI=spiffe://a/b", &["spiffe://a/b"][..]),
            ("By=spiffe://me;Hash=0af;URI=spiffe://a", &["spiffe://a"]),
            ("uri=spiffe://a;uRi=spiffe://b;DNS=x;DNS=y", &["spiffe://a", "spiffe://b"]),
            ("URI=spiffe://first,URI=spiffe://last", &["spiffe://last"]),
            ("URI=spiffe://first,Hash=0af", &[]),
            ("Subject=\"CN=a, O=\\\"b; c\\\"\";URI=spiffe://a", &["spiffe://a"]),
            ("Subject=\"URI=spiffe://no\";Hash=1", &[]),
            ("Subject=\"x,URI=spiffe://no\"", &[]),
            ("Subject=\"\";URI=\"spiffe://quoted\"", &["spiffe://quoted"]),
            ("URI=", &[""]),
        ] {
            assert_eq!(
                uris(header).as_deref(),
                Some(expected).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>()).as_deref(),
                "{header}"
            );
        }
    }

    #[test]
    fn what_is_not_to_the_letter_is_nothing() {
        for header in [
            "",
            ",",
            "URI",
            "=x",
            "URI=a,",
            "URI=a;",
            ";URI=a",
            ",URI=a",
            "URI=a,,URI=b",
            "URI=a, URI=b",
            "URI=\"a",
            "URI=\"a\"b",
            "URI=\"a\\\"",
            "URI=a\"b",
            "URI=a=b",
            "UR I=a",
            "URI=a b",
            "Sub-ject=a;URI=b",
        ] {
            assert_eq!(uris(header), None, "{header}");
        }
        assert_eq!(uris(&"URI=a,".repeat(40)), None);
        assert_eq!(uris(&format!("{}URI=a", "URI=a,".repeat(MAX_ELEMENTS - 1))), Some(vec!["a".to_owned()]));
        assert_eq!(uris(&format!("{}URI=a", "URI=a,".repeat(MAX_ELEMENTS))), None);
        assert_eq!(uris(&format!("{}URI=a", "URI=a;".repeat(MAX_PAIRS))), None);
        assert_eq!(uris(&format!("URI={}", "a".repeat(MAX_BYTES))), None);
    }
}
