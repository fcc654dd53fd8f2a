//! When a certificate expires: the one thing that we want of X.509 and that the verifier keeps to itself.

use crate::clock::Timestamp;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notAfter` of a certificate (RFC 5280, 4.1); `None` where it is not one.
pub(super) fn expiry(der: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = within(der, SEQUENCE)?;
    let (body, _) = within(certificate, SEQUENCE)?;
    // Version is optional; serial number, signature algorithm and issuer follow.
    let rest = within(body, VERSION).map_or(body, |(_, rest)| rest);
    let rest = (0..3).try_fold(rest, |rest, _| element(rest).map(|(_, _, rest)| rest))?;
    let (validity, _) = within(rest, SEQUENCE)?;
    let (_, _, rest) = element(validity)?;
    let (tag, time, _) = element(rest)?;
    time_of(tag, std::str::from_utf8(time).ok()?)
}

/// Times of certificates are in UTC, to the second, with `Z` (RFC 5280, 4.1.2.5).
fn time_of(tag: u8, text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let full = match (tag, digits.len()) {
        // Two digits of a year: 50 to 99 are of the last century.
        (UTC_TIME, 12) => format!("{}{digits}", if digits >= "5" { "19" } else { "20" }),
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    let (date, time) = full.split_at_checked(8)?;
    Timestamp::parse_rfc3339(&format!("{date}T{time}Z"))
}

/// The content of an element with this tag, and what is behind it.
fn within(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(der)?;
    (tag == wanted).then_some((content, rest))
}

/// Tag, content, and what is behind the element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // Four bytes of length are more than any certificate has.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec!["x.test".to_owned()]).expect("names");
        parameters.not_after = rcgen::date_time_ymd(year, 5, 4);
        let key = rcgen::KeyPair::generate().expect("a key");
        parameters.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_spellings() {
        for (year, text) in [(2026, "2026-05-04"), (1999, "1999-05-04"), (2049, "2049-05-04"), (2150, "2150-05-04")] {
            let expected = Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"));
            assert_eq!(expiry(&certificate(year)), expected, "{year}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = certificate(2030);
        for length in 0..whole.len() {
            let _no_panic = expiry(&whole[..length]);
        }
        for bad in [&b""[..], b"\x30", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30\x00", b"garbage"] {
            assert_eq!(expiry(bad), None, "{bad:?}");
        }
        for bad in ["260504000000", "2605040000Z", "260504000000+01", "269904000000Z", "26\u{e9}04000000Z"] {
            assert_eq!(time_of(UTC_TIME, bad), None, "{bad}");
        }
    }
}
