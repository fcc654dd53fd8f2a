//! How a header holds its text. A source declares the encoding of each header; nothing is guessed, and each value is
//! decoded exactly once (R7).
//!
//! Every decoder is strict: what two readers could understand in two ways is [`Undecodable`]. None makes more bytes than
//! twice those of its input, and inputs are capped before they come here.

mod base64;
mod json;
mod latin1;
mod rfc2047;

use std::borrow::Cow;

use serde::Deserialize;

use crate::decode::percent;

/// How a header holds text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(strum::VariantArray))]
#[serde(rename_all = "lowercase")]
pub(in crate::identity) enum Encoding {
    /// The bytes are UTF-8.
    #[default]
    Utf8,
    /// Each byte is a character.
    Latin1,
    /// Encoded words of mail headers, where the text is not ASCII.
    Rfc2047,
    /// `%` and two hexadecimal digits.
    Percent,
    /// A JSON string, quotes included.
    Json,
    /// Standard alphabet, padded or not.
    Base64,
    /// URL-safe alphabet, padded or not.
    Base64Url,
}

/// Not in the declared encoding. Says no more: the value is personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) struct Undecodable;

/// One text, or a list that needs no taking apart.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::identity) enum Texts<'t> {
    One(Cow<'t, str>),
    List(Vec<Cow<'t, str>>),
}

impl Encoding {
    /// The text of a value. Blanks around the value are no part of it.
    pub(in crate::identity) fn decode(self, value: &[u8]) -> Result<Cow<'_, str>, Undecodable> {
        let value = value.trim_ascii();
        if value.is_empty() {
            return Ok(Cow::Borrowed(""));
        }
        match self {
            Self::Utf8 => std::str::from_utf8(value).map(Cow::Borrowed).map_err(|_| Undecodable),
            Self::Latin1 => Ok(latin1::decode(value)),
            Self::Rfc2047 => rfc2047::decode(value),
            // A character that is not encoded is read as another one by some.
            Self::Percent => percent::decode(value).filter(|_| value.is_ascii()).ok_or(Undecodable),
            Self::Json => json::text(value).map(Cow::Owned),
            Self::Base64 => base64::standard(value).map(Cow::Owned),
            Self::Base64Url => base64::url_safe(value).map(Cow::Owned),
        }
    }

    /// The texts of a value that may be a list: only JSON can say where one ends, so elsewhere there is one.
    pub(in crate::identity) fn decode_texts(self, value: &[u8]) -> Result<Texts<'_>, Undecodable> {
        match self {
            Self::Json if value.trim_ascii().starts_with(b"[") => {
                json::texts(value).map(|texts| Texts::List(texts.into_iter().map(Cow::Owned).collect()))
            }
            _ => self.decode(value).map(Texts::One),
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn nothing_is_nothing_in_every_encoding() {
        for &encoding in Encoding::VARIANTS {
            for nothing in [&b""[..], b" ", b"\t  "] {
                assert_eq!(encoding.decode(nothing).as_deref(), Ok(""), "{encoding:?}");
            }
        }
    }

    #[test]
    fn only_json_holds_lists() {
        let texts = |encoding: Encoding, value: &'static str| encoding.decode_texts(value.as_bytes());
        let list = ["a", "b,c"].map(Cow::Borrowed).to_vec();
        assert_eq!(texts(Encoding::Json, r#"["a","b,c"]"#), Ok(Texts::List(list)));
        assert_eq!(texts(Encoding::Json, r#""a""#), Ok(Texts::One(Cow::Borrowed("a"))));
        assert_eq!(texts(Encoding::Json, "[1]"), Err(Undecodable));
        assert_eq!(texts(Encoding::Utf8, r#"["a"]"#), Ok(Texts::One(Cow::Borrowed(r#"["a"]"#))));
    }

    #[test]
    fn what_is_not_percent_encoded_is_ascii() {
        assert_eq!(Encoding::Percent.decode(b"J%C3%B6rg+M").as_deref(), Ok("J\u{f6}rg+M"));
        assert_eq!(Encoding::Percent.decode("J\u{f6}rg".as_bytes()), Err(Undecodable));
    }

    proptest::proptest! {
        /// No bytes make a decoder panic, and none grows its input beyond bounds.
        #[test]
        fn any_bytes_are_decoded_or_not(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            for &encoding in Encoding::VARIANTS {
                if let Ok(text) = encoding.decode(&bytes) {
                    proptest::prop_assert!(text.len() <= 2 * bytes.len(), "{:?}", encoding);
                }
            }
        }
    }
}
