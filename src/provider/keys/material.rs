//! What of a secret is meant, and how it is written: from the text that an operator was given to the bytes of a key.
//!
//! Nothing here says a word of what it read.

use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use serde_json::Value;

use super::KeyError;
use super::nkey::Nkey;
use crate::definition::{Mistake, Part};
use crate::secrets::Secret;

/// How key material is found in a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The part that is meant.
    pub cut: Cut,
    /// How that part is written.
    pub decode: Decode,
    /// Bytes of a shared secret at least; `None` for what is usual. An empty one is never taken.
    pub min_bytes: Option<usize>,
}

/// Which part of a secret's text is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// All of it.
    #[default]
    Whole,
    /// What stands before the first of these separators.
    Before(String),
    /// What stands after the first of these separators.
    After(String),
    /// A member of a JSON document, by JSON Pointer (RFC 6901): a text as it is, an object as JSON.
    Json(String),
    /// A field of a connection string `Name=value;Name=value`. Names count without case; a value may hold `=`.
    Field(String),
}

impl Cut {
    /// The part that a definition names.
    pub fn of(part: &Part) -> Result<Self, Mistake> {
        let given = [
            part.before.clone().map(Self::Before),
            part.after.clone().map(Self::After),
            part.json.clone().map(Self::Json),
            part.field.clone().map(Self::Field),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (None, _) => Ok(Self::Whole),
            (Some(cut), None) => Ok(cut),
            (Some(_), Some(_)) => Err("may have one of before, after, json and field".into()),
        }
    }

    /// The part that is meant. The message names what was looked for, never what was found.
    pub fn cut(&self, secret: &Secret) -> Result<Secret, String> {
        if *self == Self::Whole {
            return Ok(secret.clone());
        }
        let text = secret.expose_text().ok_or("is not text")?;
        let part = match self {
            Self::Whole => text.to_owned(),
            Self::Before(separator) => split(text, separator)?.0.to_owned(),
            Self::After(separator) => split(text, separator)?.1.to_owned(),
            Self::Json(pointer) => {
                let document: Value = serde_json::from_str(text).map_err(|_error| "is not JSON")?;
                match document.pointer(pointer) {
                    Some(Value::String(text)) => text.clone(),
                    Some(object @ Value::Object(_)) => object.to_string(),
                    Some(_) => return Err(format!("holds neither text nor an object at \"{pointer}\"")),
                    None => return Err(format!("has no member \"{pointer}\"")),
                }
            }
            Self::Field(name) => text
                .split(';')
                .filter_map(|field| field.split_once('='))
                .find(|(own, _)| own.trim().eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
                .ok_or_else(|| {
                    format!("has no field \"{name}\"; a connection string reads \"Name=value;Name=value\"")
                })?,
        };
        if part.is_empty() {
            Err("is empty in the part that is used".to_owned())
        } else {
            Ok(Secret::new(part.into_bytes()))
        }
    }
}

fn split<'t>(text: &'t str, separator: &str) -> Result<(&'t str, &'t str), String> {
    text.split_once(separator).ok_or_else(|| format!("holds no \"{separator}\""))
}

/// How a key is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decode {
    /// As it is: the bytes of a shared secret. Private keys are then told apart: PEM, also with `\n` for line breaks,
    /// base64 of a PEM or DER, or a JWK.
    #[default]
    Text,
    /// Base64, with or without padding.
    Base64,
    /// Base64 in the alphabet for URLs, with or without padding.
    Base64Url,
    /// Hexadecimal digits.
    Hex,
    /// A NATS seed: `SA…`, `SU…` or `SO…`.
    Nkey,
    /// A JSON Web Key (RFC 7517).
    Jwk,
}

impl Decode {
    /// The bytes that `secret` stands for.
    pub fn bytes(self, secret: &Secret) -> Result<Secret, KeyError> {
        let bytes = match self {
            Self::Text => return Ok(secret.clone()),
            Self::Base64 => base64(&STANDARD, secret).ok_or_else(|| KeyError::new("is not base64"))?,
            Self::Base64Url => base64(&URL_SAFE, secret).ok_or_else(|| KeyError::new("is not base64url"))?,
            Self::Hex => HEX
                .decode(secret.expose().trim_ascii())
                .map_err(|_error| KeyError::new("is not an even number of hexadecimal digits"))?,
            Self::Nkey => return Ok(Nkey::read(secret)?.seed),
            Self::Jwk => shared_jwk(secret)?,
        };
        Ok(Secret::new(bytes))
    }
}

/// Base64 as people paste it: broken into lines, padded or not.
pub(super) fn base64(alphabet: &Alphabet, secret: &Secret) -> Option<Vec<u8>> {
    const TOLERANT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let letters: Vec<u8> = secret.expose().iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    GeneralPurpose::new(alphabet, TOLERANT).decode(letters).ok()
}

/// The bytes of a symmetric JWK (RFC 7518, 6.4).
fn shared_jwk(secret: &Secret) -> Result<Vec<u8>, KeyError> {
    let jwk: Value = serde_json::from_slice(secret.expose()).map_err(|_error| KeyError::new("is not a JWK"))?;
    if jwk.get("kty").and_then(Value::as_str) != Some("oct") {
        return Err(KeyError::new("is not a JWK of a shared secret, whose \"kty\" is \"oct\""));
    }
    let bytes = jwk.get("k").and_then(Value::as_str).and_then(|text| BASE64URL.decode(text).ok());
    bytes.ok_or_else(|| KeyError::new("is a JWK without a usable \"k\""))
}

impl Form {
    /// A secret that two sides share, checked: `user` is what it is for, `usual` how many bytes that needs.
    pub fn shared_secret(&self, secret: &Secret, user: &str, usual: usize) -> Result<Secret, KeyError> {
        let part = self.cut.cut(secret)?;
        let bytes = self.decode.bytes(&part)?;
        // T-17: PEM is no secret
        if [&part, &bytes].into_iter().any(|secret| secret.expose().starts_with(b"-----BEGIN")) {
            // Signing with a PEM text as an HMAC secret is how algorithm confusion begins (T-17).
            return Err(KeyError(format!("is a PEM key, but {user} needs a shared secret")));
        }
        let (length, least) = (bytes.expose().len(), self.min_bytes.unwrap_or(usual).max(1));
        if length < least {
            return Err(KeyError(format!("has {length} bytes; {user} needs at least {least}")));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn cut(cut: &Cut, text: &str) -> Result<String, String> {
        cut.cut(&secret(text)).map(|part| part.expose_text().expect("text").to_owned())
    }

    #[test]
    fn parts_are_found() {
        let before = |separator: &str| Cut::Before(separator.to_owned());
        let after = |separator: &str| Cut::After(separator.to_owned());
        let json = |pointer: &str| Cut::Json(pointer.to_owned());
        let field = |name: &str| Cut::Field(name.to_owned());
        let azure = "Endpoint=https://chat.example/;AccessKey=c2VjcmV0PT0=; Version = 1.0 ;";
        for (rule, text, part) in [
            (Cut::Whole, "a:b", "a:b"),
            (before(":"), "app.key:se:cret", "app.key"),
            (after(":"), "app.key:se:cret", "se:cret"),
            (after("::"), "a:b::c", "c"),
            (json("/private_key"), r#"{"private_key": "-----BEGIN…\n"}"#, "-----BEGIN…\n"),
            (json("/a~1b/0"), r#"{"a/b": ["x"]}"#, "x"),
            (json("/keys/0"), r#"{"keys": [{"kty": "oct", "k": "AA"}]}"#, r#"{"kty":"oct","k":"AA"}"#),
            (field("accesskey"), azure, "c2VjcmV0PT0="),
            (field("VERSION"), azure, "1.0"),
        ] {
            assert_eq!(cut(&rule, text).as_deref(), Ok(part), "{rule:?}");
        }
    }

    #[test]
    fn a_missing_part_is_told_without_what_is_there() {
        let canary = r#"{"canary": 1}"#;
        for (rule, text, problem) in [
            (Cut::Before(":".to_owned()), "canary", "holds no \":\""),
            (Cut::After(":".to_owned()), "canary:", "is empty in the part that is used"),
            (Cut::Json("/key".to_owned()), "canary", "is not JSON"),
            (Cut::Json("/key".to_owned()), canary, "has no member \"/key\""),
            (Cut::Json("/canary".to_owned()), canary, "holds neither text nor an object at \"/canary\""),
            (
                Cut::Field("key".to_owned()),
                "canary=1;canary",
                "has no field \"key\"; a connection string reads \"Name=value;Name=value\"",
            ),
        ] {
            assert_eq!(cut(&rule, text), Err(problem.to_owned()), "{rule:?}");
        }
        let no_text = Cut::After(":".to_owned()).cut(&Secret::new(vec![0xff, b':', 1]));
        assert_eq!(no_text.expect_err("refused"), "is not text");
    }

    #[test]
    fn written_bytes_are_read() {
        for (decode, text) in [
            (Decode::Text, "\u{fb}key"),
            (Decode::Base64, "w7trZXk="),
            (Decode::Base64, "w7tr\nZXk"),
            (Decode::Base64, " w7trZXk=\n"),
            (Decode::Base64Url, "w7trZXk"),
            (Decode::Base64Url, "w7trZXk="),
            (Decode::Hex, "c3bb6b6579"),
            (Decode::Hex, "C3BB6B6579\n"),
            (Decode::Jwk, r#"{"kty": "oct", "k": "w7trZXk"}"#),
        ] {
            assert_eq!(decode.bytes(&secret(text)).expect("bytes").expose(), "\u{fb}key".as_bytes(), "{decode:?}");
        }
    }

    #[test]
    fn what_is_not_so_written_is_refused_without_a_word_of_it() {
        for (decode, text) in [
            (Decode::Base64, "canary*"),
            (Decode::Base64, "-_-_"),
            (Decode::Base64Url, "+/+/"),
            (Decode::Hex, "canary"),
            (Decode::Hex, "abc"),
            (Decode::Nkey, "canary"),
            (Decode::Jwk, "canary"),
            (Decode::Jwk, r#"{"kty": "canary"}"#),
            (Decode::Jwk, r#"{"kty": "oct", "k": "canary*"}"#),
            (Decode::Jwk, r#"{"kty": "oct", "k": 7}"#),
        ] {
            let problem = decode.bytes(&secret(text)).expect_err(text).to_string();
            assert!(!problem.contains("canary"), "{problem}");
        }
    }

    #[test]
    fn shared_secrets_have_a_least_length_and_are_never_empty() {
        let read = |text: &str, min_bytes| Form { min_bytes, ..Form::default() }.shared_secret(&secret(text), "X", 4);
        assert!(read("1234", None).is_ok());
        assert_eq!(read("123", None).expect_err("short").to_string(), "has 3 bytes; X needs at least 4");
        assert!(read("123", Some(3)).is_ok());
        assert!(read("1234", Some(5)).is_err());
        assert_eq!(read("", Some(0)).expect_err("empty").to_string(), "has 0 bytes; X needs at least 1");
        let hidden = Form { decode: Decode::Base64, ..Form::default() };
        let refused = hidden.shared_secret(&secret("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t"), "X", 4);
        assert_eq!(refused.expect_err("a PEM").to_string(), "is a PEM key, but X needs a shared secret");
    }

    proptest! {
        #[test]
        fn the_two_sides_of_a_separator_make_the_whole(text in ".{1,20}:.{1,20}") {
            let separator = ":".to_owned();
            let parts = (cut(&Cut::Before(separator.clone()), &text), cut(&Cut::After(separator), &text));
            if let (Ok(before), Ok(after)) = parts {
                prop_assert!(!before.contains(':'));
                prop_assert_eq!(format!("{before}:{after}"), text);
            }
        }

        #[test]
        fn every_notation_leads_back_to_the_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let engine = base64::engine::general_purpose::STANDARD;
            for (decode, text) in [
                (Decode::Base64, engine.encode(&bytes)),
                (Decode::Base64, engine.encode(&bytes).trim_end_matches('=').to_owned()),
                (Decode::Base64Url, BASE64URL.encode(&bytes)),
                (Decode::Hex, HEX.encode(&bytes)),
                (Decode::Jwk, format!(r#"{{"kty": "oct", "k": "{}"}}"#, BASE64URL.encode(&bytes))),
            ] {
                let read = decode.bytes(&secret(&text)).expect("bytes");
                prop_assert_eq!(read.expose(), &bytes[..]);
            }
        }

        #[test]
        fn no_secret_makes_anything_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let any = Secret::new(bytes);
            for cut in [
                Cut::Before(":".to_owned()),
                Cut::After(String::new()),
                Cut::Json("/a".to_owned()),
                Cut::Field("a".to_owned()),
            ] {
                drop(cut.cut(&any));
            }
            for decode in [Decode::Base64, Decode::Base64Url, Decode::Hex, Decode::Nkey, Decode::Jwk] {
                drop(decode.bytes(&any));
            }
        }
    }
}
