//! Encoded words (RFC 2047): `=?utf-8?q?J=C3=B6rg?=`, as Tailscale writes names that are not ASCII.

use std::borrow::Cow;

use super::{Undecodable, base64};
use crate::decode::percent;

/// A value is encoded as a whole or not at all, as encoders of whole values write it: words joined by blanks, or plain
/// ASCII. A mixture is refused, because it could be plain text that a user chose (`=?utf-8?q?root?= x`).
pub(super) fn decode(value: &[u8]) -> Result<Cow<'_, str>, Undecodable> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii()).ok_or(Undecodable)?;
    let words = || text.split([' ', '\t']).filter(|word| !word.is_empty());
    if !words().any(is_encoded) {
        return Ok(Cow::Borrowed(text));
    }
    // Some encoders cut within a character, so the words are joined before they are read as UTF-8.
    let mut bytes = Vec::with_capacity(value.len());
    for word in words() {
        put(word, &mut bytes)?;
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Undecodable)
}

fn is_encoded(word: &str) -> bool {
    word.starts_with("=?") && word.ends_with("?=")
}

/// Appends the bytes of `=?utf-8?q?text?=` or `=?utf-8?b?text?=`.
fn put(word: &str, bytes: &mut Vec<u8>) -> Result<(), Undecodable> {
    let inner = word.strip_prefix("=?").and_then(|rest| rest.strip_suffix("?=")).ok_or(Undecodable)?;
    let mut parts = inner.split('?');
    let (Some(charset), Some(method), Some(text), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Undecodable);
    };
    if !charset.eq_ignore_ascii_case("utf-8") {
        return Err(Undecodable);
    }
    match method {
        "q" | "Q" => put_q(text.as_bytes(), bytes),
        "b" | "B" => {
            bytes.extend(base64::padded(text.as_bytes())?);
            Ok(())
        }
        _ => Err(Undecodable),
    }
}

fn put_q(mut text: &[u8], bytes: &mut Vec<u8>) -> Result<(), Undecodable> {
    while let Some((first, rest)) = text.split_first() {
        text = rest;
        bytes.push(match first {
            b'_' => b' ',
            b'=' => {
                let (digits, behind) = rest.split_first_chunk().ok_or(Undecodable)?;
                text = behind;
                percent::byte(*digits).ok_or(Undecodable)?
            }
            byte if byte.is_ascii_graphic() => *byte,
            _ => return Err(Undecodable),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;

    #[test]
    fn words_are_decoded_and_joined() {
        for (value, text) in [
            ("Alice Doe", "Alice Doe"),
            ("alice@example.com", "alice@example.com"),
            ("=?utf-8?q?J=C3=B6rg_M=C3=BCller?=", "Jörg Müller"),
            ("=?UTF-8?Q?J=c3=b6rg?=", "Jörg"),
            ("=?utf-8?b?SsO2cmc=?=", "Jörg"),
            ("=?UTF-8?B?SsO2cmc=?=", "Jörg"),
            // Blanks between words are no part of the text.
            ("=?utf-8?q?J=C3=B6?= =?utf-8?q?rg?=", "Jörg"),
            ("=?utf-8?q?J=C3=B6?=   =?utf-8?b?cmc=?=", "Jörg"),
            // Cut within a character.
            ("=?utf-8?q?J=C3?= =?utf-8?q?=B6rg?=", "Jörg"),
            ("=?utf-8?q?a=3Fb?=", "a?b"),
            ("=?utf-8?q??=", ""),
            // Text that merely looks a little like it.
            ("a =? b", "a =? b"),
            ("=?", "=?"),
            ("=?utf-8?q?a b?=", "=?utf-8?q?a b?="),
        ] {
            assert_eq!(decode(value.as_bytes()).as_deref(), Ok(text), "{value}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for value in [
            "=?iso-8859-1?q?J=F6rg?=",
            "=?utf-8*de?q?x?=",
            "=?utf-8?x?abc?=",
            "=?utf-8?q?abc?=.evil =?utf-8?q?x?=",
            "=?utf-8?q?alice?= mallory",
            "mallory =?utf-8?q?alice?=",
            "=?utf-8?q?a b?= =?utf-8?q?x?=",
            "=?utf-8?q?=C3?=",
            "=?utf-8?q?=zz?=",
            "=?utf-8?q?=4?=",
            "=?utf-8?q?a?b?=",
            "=?utf-8?b?SsO2cmc?=",
            "=?utf-8?b?SsO2cmd=?=",
            "=?=",
            "=??=",
            "=????=",
        ] {
            assert_eq!(decode(value.as_bytes()), Err(Undecodable), "{value}");
        }
        assert_eq!(decode("Jörg".as_bytes()), Err(Undecodable), "raw bytes are another encoding");
    }

    fn q(text: &str) -> String {
        let byte = |byte: u8| match byte {
            b' ' => "_".to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("={byte:02X}"),
        };
        format!("=?utf-8?q?{}?=", text.bytes().map(byte).collect::<String>())
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_comes_back(text in "\\PC{0,40}", at in 0_usize..40) {
            let cut = text.floor_char_boundary(at.min(text.len()));
            let (left, right) = text.split_at(cut);
            let split = format!("{} {}", q(left), q(right));
            proptest::prop_assert!(decode(split.as_bytes()).as_deref() == Ok(text.as_str()));
            let b = format!("=?utf-8?B?{}?=", STANDARD.encode(&text));
            proptest::prop_assert!(decode(b.as_bytes()).as_deref() == Ok(text.as_str()));
        }
    }
}
