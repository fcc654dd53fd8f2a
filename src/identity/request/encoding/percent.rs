//! Percent-encoding, which operators add in expressions of their proxy.

use std::borrow::Cow;

use super::Undecodable;

/// Decodes once: `%2540` is `%40`, never `@`. A `+` is a plus.
pub(super) fn decode(value: &[u8]) -> Result<Cow<'_, str>, Undecodable> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii()).ok_or(Undecodable)?;
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(if *first == b'%' {
            let (digits, behind) = behind.split_first_chunk().ok_or(Undecodable)?;
            rest = behind;
            byte(*digits)?
        } else {
            *first
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Undecodable)
}

/// The byte of two hexadecimal digits.
pub(super) fn byte(digits: [u8; 2]) -> Result<u8, Undecodable> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let [high, low] = digits.map(digit);
    Ok(high.ok_or(Undecodable)? << 4 | low.ok_or(Undecodable)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        for (value, text) in [
            ("alice", "alice"),
            ("J%C3%B6rg", "Jörg"),
            ("J%c3%b6rg%20M", "Jörg M"),
            ("a%2540b", "a%40b"),
            ("a+b", "a+b"),
            ("%25", "%"),
        ] {
            assert_eq!(decode(value.as_bytes()).as_deref(), Ok(text), "{value}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for value in ["%", "a%", "a%4", "%zz", "%+1", "%4 ", "%C3", "%ff", "%c0%af", "%ed%a0%80", "%%20", "J\u{f6}rg"] {
            assert_eq!(decode(value.as_bytes()), Err(Undecodable), "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_comes_back(text in "\\PC{0,40}", all in proptest::prelude::any::<bool>()) {
            let byte = |byte: u8| match byte {
                b'a'..=b'z' if !all => char::from(byte).to_string(),
                byte => format!("%{byte:02x}"),
            };
            let value: String = text.bytes().map(byte).collect();
            proptest::prop_assert!(decode(value.as_bytes()).as_deref() == Ok(text.as_str()));
        }
    }
}
