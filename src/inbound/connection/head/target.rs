//! Targets: the four forms (RFC 9112, 3.2), and bytes that stand in addresses although they should be encoded.

use super::{HeadFault, host};

/// hyper refuses longer ones.
const MOST_BYTES: usize = 65_534;

/// Nothing is the matter with it.
const PLAIN: u8 = 0;
/// Must be encoded for hyper, at least in a query. Proxies pass it on as the client sent it.
const ODD: u8 = 1;
/// Part of some other alphabet.
const HIGH: u8 = 2;
/// Never in a target.
const BAD: u8 = 4;

const CLASSES: [u8; 256] = {
    let mut classes = [PLAIN; 256];
    let mut byte = 0;
    #[expect(clippy::indexing_slicing, reason = "a constant: what does not fit does not compile")]
    while byte < classes.len() {
        classes[byte] = match byte {
            0..=0x20 | 0x7f => BAD,
            0x22 | 0x3c | 0x3e | 0x60 => ODD, // T-12: odd bytes
            0x80.. => HIGH,
            _ => PLAIN,
        };
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(BAD)
}

/// Looks at a target. Says how it must be written for hyper, where that differs.
pub(super) fn check(method: &[u8], target: &[u8]) -> Result<Option<Vec<u8>>, HeadFault> {
    let seen = target.iter().fold(PLAIN, |seen, byte| seen | class(*byte));
    if seen & BAD != 0 {
        return Err(HeadFault::Target);
    }
    if target.first() != Some(&b'/') {
        other_form(method, target)?;
    }
    let written = if seen == PLAIN { None } else { encoded(target) };
    if written.as_deref().unwrap_or(target).len() > MOST_BYTES {
        return Err(HeadFault::TargetTooLong);
    }
    Ok(written)
}

/// What does not begin with a slash: `*` for OPTIONS, or a whole address. There are no tunnels, so the fourth form, a
/// bare authority, is refused.
#[cold]
fn other_form(method: &[u8], target: &[u8]) -> Result<(), HeadFault> {
    if target == b"*" {
        return if method == b"OPTIONS" { Ok(()) } else { Err(HeadFault::Target) };
    }
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (own, rest) = target.split_at_checked(scheme.len())?;
        own.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    });
    let rest = rest.filter(|_| method != b"CONNECT").ok_or(HeadFault::Target)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    // T-69: host of a target
    if host::is_host(authority) { Ok(()) } else { Err(HeadFault::HostInvalid) }
}

/// The target with what hyper would refuse in percent signs. `None` where that is nothing.
#[cold]
fn encoded(target: &[u8]) -> Option<Vec<u8>> {
    let is_text = std::str::from_utf8(target).is_ok();
    let mut written = Vec::with_capacity(target.len() + 32);
    let mut in_query = false;
    for byte in target {
        let stays = match (class(*byte), byte) {
            (HIGH, _) => is_text, // T-69: text of a target
            // hyper takes these as they are: a path is what is written.
            (ODD, b'"') => !in_query,
            (ODD, b'`') => in_query,
            (ODD, _) => false,
            _ => true,
        };
        if stays {
            written.push(*byte);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF".get(usize::from(nibble)).copied().unwrap_or(b'0');
            written.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
        in_query |= *byte == b'?';
    }
    (written.len() > target.len()).then_some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(target: &[u8]) -> Vec<u8> {
        check(b"GET", target).expect("a target").unwrap_or_else(|| target.to_vec())
    }

    #[test]
    fn odd_bytes_are_encoded_and_others_stay() {
        for (target, expected) in [
            (&b"/api/chat/session?a=b"[..], "/api/chat/session?a=b"),
            (b"/a<b>?c=<d>", "/a%3Cb%3E?c=%3Cd%3E"),
            (b"/\"?q=\"x\"", "/\"?q=%22x%22"),
            (b"/`?`", "/%60?`"),
            (b"/{|}\\^?{|}\\^", "/{|}\\^?{|}\\^"),
            (b"/a#b", "/a#b"),
            (b"/?q=\xe9", "/?q=%E9"),
            (b"/\xe9\xc3\xa9", "/%E9%C3%A9"),
            ("/na\u{ef}ve".as_bytes(), "/na\u{ef}ve"),
            (b"http://a/<", "http://a/%3C"),
        ] {
            assert_eq!(String::from_utf8(written(target)).expect("text"), expected);
        }
    }

    /// T-69: and hyper takes every one that passes.
    #[test]
    fn whatever_passes_is_an_address_to_hyper() {
        for byte in 0..=u8::MAX {
            for target in [[b"/", &[byte][..]].concat(), [b"/?", &[byte][..]].concat()] {
                match check(b"GET", &target) {
                    Ok(_) => assert!(http::Uri::try_from(written(&target)).is_ok(), "{byte:#x}"),
                    Err(fault) => assert!(byte <= b' ' || byte == 0x7f, "{byte:#x} {fault:?}"),
                }
            }
        }
        assert_eq!(check(b"GET", &vec![b'/'; MOST_BYTES + 1]), Err(HeadFault::TargetTooLong));
        assert_eq!(check(b"GET", &[&b"/"[..], &b"<".repeat(30_000)].concat()), Err(HeadFault::TargetTooLong));
    }

    /// T-69.
    #[test]
    fn a_target_has_one_of_the_forms() {
        for (method, target, expected) in [
            ("OPTIONS", "*", Ok(None)),
            ("GET", "*", Err(HeadFault::Target)),
            ("GET", "http://a", Ok(None)),
            ("GET", "HTTPS://A.example:8443/x", Ok(None)),
            ("GET", "http://a?x", Ok(None)),
            ("GET", "http:///x", Err(HeadFault::HostInvalid)),
            ("GET", "http://user@a/", Err(HeadFault::HostInvalid)),
            ("GET", "http://a:99999/", Err(HeadFault::HostInvalid)),
            ("GET", "http://a\\@b/", Err(HeadFault::HostInvalid)),
            ("GET", "ftp://a/", Err(HeadFault::Target)),
            ("GET", "a.example", Err(HeadFault::Target)),
            ("GET", "a.example:443", Err(HeadFault::Target)),
            ("CONNECT", "a.example:443", Err(HeadFault::Target)),
            ("CONNECT", "http://a/", Err(HeadFault::Target)),
            ("GET", "", Err(HeadFault::Target)),
            ("GET", "?x", Err(HeadFault::Target)),
            ("GET", "/a b", Err(HeadFault::Target)),
        ] {
            assert_eq!(check(method.as_bytes(), target.as_bytes()), expected, "{method} {target}");
        }
    }
}
