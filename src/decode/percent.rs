//! Percent-encoding (RFC 3986, section 2.1), decoded once: `%2540` is `%40`, never `@`. A `+` is a plus.

use std::borrow::Cow;

/// The text of `encoded`; `None` where an escape is not `%` and two hexadecimal digits, or the bytes are not UTF-8.
pub fn decode(encoded: &[u8]) -> Option<Cow<'_, str>> {
    if !encoded.contains(&b'%') {
        return std::str::from_utf8(encoded).ok().map(Cow::Borrowed);
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(if *first == b'%' {
            let (digits, behind) = behind.split_first_chunk()?;
            rest = behind;
            byte(*digits)?
        } else {
            *first
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The byte of two hexadecimal digits.
pub fn byte(digits: [u8; 2]) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let [high, low] = digits.map(digit);
    Some(high? << 4 | low?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        for (encoded, text) in [
            ("", ""),
            ("alice", "alice"),
            ("J%C3%B6rg", "Jörg"),
            ("J%c3%b6rg%20M", "Jörg M"),
            ("ä%c3%b6", "äö"),
            ("a%2540b", "a%40b"),
            ("a+b", "a+b"),
            ("%25", "%"),
            ("%00", "\0"),
        ] {
            assert_eq!(decode(encoded.as_bytes()).as_deref(), Some(text), "{encoded}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for encoded in
            ["%", "a%", "a%4", "%zz", "%+1", "%4 ", "%C3", "%C3%28", "%ff", "%c0%af", "%ed%a0%80", "%%20", "%ä"]
        {
            assert_eq!(decode(encoded.as_bytes()), None, "{encoded}");
        }
        assert_eq!(decode(b"\xff"), None);
        assert_eq!(decode(b"%20\xff"), None);
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_comes_back(text in "\\PC{0,40}", all in proptest::prelude::any::<bool>()) {
            let byte = |byte: u8| match byte {
                b'a'..=b'z' if !all => char::from(byte).to_string(),
                byte => format!("%{byte:02x}"),
            };
            let encoded: String = text.bytes().map(byte).collect();
            let decoded = decode(encoded.as_bytes());
            proptest::prop_assert_eq!(decoded.as_deref(), Some(text.as_str()));
        }
    }
}
