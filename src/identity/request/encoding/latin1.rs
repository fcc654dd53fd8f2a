//! ISO 8859-1: each byte is the character of that number (`mod_auth_openidc` with `latin1`).

use std::borrow::Cow;

/// Every value is text in this encoding; what the control characters among it mean is judged later.
pub(super) fn decode(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(value.iter().map(|byte| char::from(*byte)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_characters() {
        for (value, text) in [
            (&b"Alice"[..], "Alice"),
            (b"J\xf6rg", "Jörg"),
            // UTF-8 that is declared as Latin-1 is not guessed at.
            (b"J\xc3\xb6rg", "JÃ¶rg"),
            (b"\x85", "\u{85}"),
            (b"\xff", "ÿ"),
        ] {
            assert_eq!(decode(value), text, "{value:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_comes_back(text in "[\u{0}-\u{ff}]{0,40}") {
            let value: Vec<u8> = text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
            proptest::prop_assert_eq!(decode(&value), text);
        }
    }
}
