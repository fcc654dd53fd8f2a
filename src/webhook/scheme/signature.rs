//! Signatures as they stand in a header: one, or a list of which some count.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::{HEXLOWER, HEXUPPER};

use crate::provider::Encode;
use crate::webhook::refusal::Reason;

/// Signatures that are looked at in one request. Those that rotate send two or three.
const MOST: usize = 16;

/// How signatures are written.
#[derive(Clone, Debug)]
pub(super) struct SignatureRule {
    pub(super) prefix: String,
    pub(super) encode: Encode,
    /// What stands between several.
    pub(super) list: Option<String>,
    /// How those that count begin.
    pub(super) pick: String,
}

impl SignatureRule {
    /// The bytes of each signature in `value` that counts, is written as it must be, and is as long as `length`.
    pub(super) fn read(&self, value: &str, length: usize) -> Result<Vec<Vec<u8>>, Reason> {
        let value = value.strip_prefix(&self.prefix).ok_or(Reason::BadFormat)?;
        let counting = self.entries(value).filter_map(|entry| entry.strip_prefix(&self.pick));
        let looked_at = counting.take(MOST); // W-09: 16 at most
        let read: Vec<_> = looked_at.filter_map(|entry| decode(self.encode, entry, length)).collect();
        if read.is_empty() { Err(Reason::BadFormat) } else { Ok(read) }
    }

    /// The value of the member `name` of a list such as `t=…,v1=…`. Twice is as bad as not at all.
    pub(super) fn member<'v>(&'v self, value: &'v str, name: &str) -> Option<&'v str> {
        let mut values = self.entries(value).filter_map(|entry| entry.split_once('=').filter(|(own, _)| *own == name));
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    fn entries<'v>(&'v self, value: &'v str) -> impl Iterator<Item = &'v str> {
        let list = self.list.as_deref();
        let split = list.into_iter().flat_map(move |list| value.split(list));
        split.chain(list.is_none().then_some(value))
    }
}

/// The bytes that `text` stands for, in the one form that there is for them.
pub(super) fn decode(encode: Encode, text: &str, length: usize) -> Option<Vec<u8>> {
    let bytes = match encode {
        Encode::Hex => HEXLOWER.decode(text.as_bytes()).ok(),
        Encode::UpperHex => HEXUPPER.decode(text.as_bytes()).ok(),
        Encode::Base64 => STANDARD.decode(text).ok(),
        Encode::Base64Url => base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok(),
    };
    bytes.filter(|bytes| bytes.len() == length) // W-01: whole signature
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(prefix: &str, encode: Encode, list: Option<&str>, pick: &str) -> SignatureRule {
        SignatureRule { prefix: prefix.to_owned(), encode, list: list.map(str::to_owned), pick: pick.to_owned() }
    }

    /// W-01: a signature has one form.
    #[test]
    fn other_forms_of_the_same_bytes_are_refused() {
        let own = [0xfb, 0xff, 0xbe, 0x01];
        for (encode, right, wrong) in [
            (
                Encode::Hex,
                "fbffbe01",
                &["FBFFBE01", "fbffBE01", " fbffbe01", "fbffbe01 ", "0xfbffbe01", "fbffbe", "+/++AQ=="][..],
            ),
            (Encode::UpperHex, "FBFFBE01", &["fbffbe01", "FBFFBE0"]),
            (
                Encode::Base64,
                "+/++AQ==",
                &["-_--AQ==", "+/++AQ", "+/++AQ=", "+/++AQ===", "+/++AR==", "+/++\nAQ==", "fbffbe01", ""],
            ),
        ] {
            assert_eq!(rule("", encode, None, "").read(right, 4), Ok(vec![own.to_vec()]), "{right}");
            for wrong in wrong {
                assert_eq!(rule("", encode, None, "").read(wrong, 4), Err(Reason::BadFormat), "{wrong}");
            }
        }
        let prefixed = rule("sha256=", Encode::Hex, None, "");
        assert!(prefixed.read("sha256=fbffbe01", 4).is_ok());
        for wrong in
            ["fbffbe01", "SHA256=fbffbe01", "sha256= fbffbe01", "sha1=fbffbe01", "sha256=", "sha256=sha256=fbffbe01"]
        {
            assert_eq!(prefixed.read(wrong, 4), Err(Reason::BadFormat), "{wrong}");
        }
    }

    /// W-09: a list costs no more than 16 signatures, wherever the right one stands.
    #[test]
    fn the_first_sixteen_that_count_are_looked_at() {
        let rule = rule("", Encode::Base64, Some(" "), "v1,");
        let value = |before: &str, n: usize| format!("{}v1,+/++AQ==", before.repeat(n));
        assert_eq!(rule.read(&value("v1a,AAAA ", 5000), 4).map(|read| read.len()), Ok(1), "others do not count");
        assert_eq!(rule.read(&value("v1,AAAAAA== ", 15), 4).map(|read| read.len()), Ok(16));
        let many = rule.read(&value("v1,AAAAAA== ", 10_000), 4).expect("read");
        assert!(many.len() == 16 && !many.contains(&vec![0xfb, 0xff, 0xbe, 0x01]));
        assert_eq!(rule.read(&value("v1,* ", 16), 4), Err(Reason::BadFormat));
        for none in ["v2,+/++AQ==", "v1a,+/++AQ==", "+/++AQ==", "v1,", " ", "v1 +/++AQ=="] {
            assert_eq!(rule.read(none, 4), Err(Reason::BadFormat), "{none}");
        }
        assert_eq!(rule.read("  v1,+/++AQ== ", 4).map(|read| read.len()), Ok(1), "empty entries do not count");
    }

    #[test]
    fn members_stand_there_once() {
        let rule = rule("", Encode::Hex, Some(","), "v1=");
        assert_eq!(rule.member("t=1,v1=00", "t"), Some("1"));
        assert_eq!(rule.member("v1=00,t=1=2", "t"), Some("1=2"));
        for none in ["v1=00", "t=1,t=1", " t=1", "T=1", "t"] {
            assert_eq!(rule.member(none, "t"), None, "{none}");
        }
    }
}
