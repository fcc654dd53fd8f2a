//! Hosts: which of them a request may name (RFC 9112, 3.2; RFC 3986, 3.2.2).

use std::net::Ipv6Addr;

use http::header::HOST;
use http::uri::Authority;

use super::HeadFault;

/// A letter of a name.
const NAME: u8 = 1;
/// What needs a closer look.
const OTHER: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut byte = 0;
    #[expect(clippy::indexing_slicing, reason = "a constant: what does not fit does not compile")]
    while byte < classes.len() {
        if let b'-' | b'.' | b'_' | b'~' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' = byte.to_le_bytes()[0] {
            classes[byte] = NAME;
        }
        byte += 1;
    }
    classes
};

/// Whether this is a host and perhaps a port: no user, no blanks, no port beyond 65535, and never nothing.
pub(super) fn is_host(text: &[u8]) -> bool {
    let class = |byte: &u8| CLASSES.get(usize::from(*byte)).copied().unwrap_or(OTHER);
    // Most are names or addresses of letters, digits and dots alone.
    text.iter().fold(0, |seen, byte| seen | class(byte)) == NAME || is_rare_host(text)
}

#[cold]
fn is_rare_host(text: &[u8]) -> bool {
    let (host, port) = match text.strip_prefix(b"[") {
        Some(literal) => {
            let Some(end) = literal.iter().position(|byte| *byte == b']') else { return false };
            let (address, rest) = literal.split_at(end);
            if !is_ipv6(address) {
                return false;
            }
            return match rest {
                [b']'] => true,
                [b']', b':', port @ ..] => is_port(port),
                _ => false,
            };
        }
        None => match text.iter().position(|byte| *byte == b':') {
            Some(colon) => (text.get(..colon).unwrap_or_default(), text.get(colon + 1..)),
            None => (text, None),
        },
    };
    !host.is_empty() && is_name(host) && port.is_none_or(is_port) // T-69: port of a host
}

fn is_ipv6(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// A registered name, or an IPv4 address, which looks like one.
fn is_name(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => [bytes.next(), bytes.next()].iter().all(|digit| digit.is_some_and(u8::is_ascii_hexdigit)),
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => {
                true
            }
            other => other.is_ascii_alphanumeric(),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Digits, or none at all, that make 65535 at most.
fn is_port(text: &[u8]) -> bool {
    let mut port: u32 = 0;
    for byte in text {
        if !byte.is_ascii_digit() {
            return false;
        }
        port = port.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
    }
    u16::try_from(port).is_ok()
}

/// Whether two names mean the same host: letters count in neither case, and the port of plain HTTP goes without saying.
pub(in crate::inbound) fn is_same(one: &[u8], other: &[u8]) -> bool {
    fn plain(text: &[u8]) -> &[u8] {
        text.strip_suffix(b":80").or_else(|| text.strip_suffix(b":")).unwrap_or(text)
    }
    plain(one).eq_ignore_ascii_case(plain(other))
}

/// What is wrong with the host of a request over HTTP/2 (RFC 9113, 8.3.1): there an authority that `Host` contradicts makes
/// a request malformed.
pub(in crate::inbound) fn fault_of_http2<B>(request: &http::Request<B>) -> Option<HeadFault> {
    let mut lines = request.headers().get_all(HOST).iter().map(http::HeaderValue::as_bytes);
    let (line, more) = (lines.next(), lines.next());
    let authority = request.uri().authority().map(Authority::as_str).map(str::as_bytes);
    match (authority, line) {
        _ if more.is_some() => Some(HeadFault::HostTwice),
        (None, None) => Some(HeadFault::HostMissing),
        (Some(host), _) | (None, Some(host)) if !is_host(host) => Some(HeadFault::HostInvalid),
        // T-69: two hosts
        (Some(authority), Some(line)) if !is_same(authority, line) => Some(HeadFault::HostDiffers),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T-69.
    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for good in [
            "a",
            "a.example.com",
            "A.EXAMPLE.com.",
            "a_b.internal",
            "127.0.0.1:8080",
            "[::1]",
            "[2001:db8::1]:443",
            "a:",
            "a:0",
            "a:65535",
            "a:00080",
            "xn--bcher-kva.example",
            "%41.example",
            "a;b=c",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "user@a",
            "user:word@a",
            "a:65536",
            "a:99999999999999999999",
            "a:-1",
            "a:80:80",
            "a: 80",
            "a:x",
            "a b",
            "a\tb",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a,b@c",
            "<a>",
            "\"a\"",
            "b\u{fc}cher.example",
            "%4",
            "%zz",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[]",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "::1",
            "a\0",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn letters_and_the_usual_port_make_no_difference() {
        for (one, other) in [("a.example", "A.Example"), ("a:80", "a"), ("a", "a:"), ("a:8080", "A:8080")] {
            assert!(is_same(one.as_bytes(), other.as_bytes()), "{one} {other}");
        }
        for (one, other) in [("a", "b"), ("a:8080", "a"), ("a:443", "a"), ("a.example", "a.example.")] {
            assert!(!is_same(one.as_bytes(), other.as_bytes()), "{one} {other}");
        }
    }

    /// T-69.
    #[test]
    fn http_2_may_say_a_host_in_two_places_and_must_say_the_same() {
        let fault = |uri: &str, hosts: &[&str]| {
            let mut request = http::Request::builder().uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            fault_of_http2(&request.body(()).expect("a request"))
        };
        assert_eq!(fault("http://a/x", &[]), None);
        assert_eq!(fault("http://a/x", &["A:80"]), None);
        assert_eq!(fault("/x", &["a"]), None);
        assert_eq!(fault("/x", &[]), Some(HeadFault::HostMissing));
        assert_eq!(fault("http://a/x", &["a", "a"]), Some(HeadFault::HostTwice));
        assert_eq!(fault("http://a/x", &["b"]), Some(HeadFault::HostDiffers));
        assert_eq!(fault("http://user@a/x", &[]), Some(HeadFault::HostInvalid));
        assert_eq!(fault("/x", &["user@a"]), Some(HeadFault::HostInvalid));
    }
}
