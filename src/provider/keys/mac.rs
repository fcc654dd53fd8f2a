//! Plain authentication codes: what a provider wants signed that is no token, and how it wants the code written.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use data_encoding::{HEXLOWER, HEXUPPER};

use super::KeyError;
use super::material::Form;
use crate::secrets::Secret;

/// Bytes of a secret at least, where a definition does not say: providers give 20 hexadecimal digits and more.
const MIN_BYTES: usize = 16;

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1, for providers that never moved on. In an HMAC it still holds (RFC 6194, 3.3).
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Bytes of a code.
    pub const fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "HMAC-SHA1",
            Self::Sha256 => "HMAC-SHA256",
            Self::Sha384 => "HMAC-SHA384",
            Self::Sha512 => "HMAC-SHA512",
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// A shared secret that authenticates texts.
pub struct MacKey(hmac::Key);

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(…)")
    }
}

impl MacKey {
    /// Takes the key from the part of `secret` and in the notation that `form` says.
    pub fn read_as(hash: Hash, secret: &Secret, form: &Form) -> Result<Self, KeyError> {
        let bytes = form.shared_secret(secret, hash.name(), MIN_BYTES)?;
        Ok(Self(hmac::Key::new(hash.hmac(), bytes.expose())))
    }

    /// A code that is made of text in parts.
    pub fn begin(&self) -> hmac::Context {
        hmac::Context::with_key(&self.0)
    }

    /// The code of `text`.
    pub fn mac(&self, text: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, text).as_ref().to_vec()
    }
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encode {
    /// Hexadecimal digits.
    Hex,
    /// Hexadecimal digits with capital letters.
    UpperHex,
    /// Base64 with padding.
    Base64,
    /// Base64 for URLs, without padding.
    Base64Url,
}

impl Encode {
    /// `bytes` as text.
    pub fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => HEXLOWER.encode(bytes),
            Self::UpperHex => HEXUPPER.encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::material::{Cut, Decode};
    use super::*;

    fn secret(text: &[u8]) -> Secret {
        Secret::new(text.to_vec())
    }

    #[test]
    fn codes_are_those_of_pusher() {
        // The examples of Pusher's description of authentication signatures; key and secret as one text.
        let form = Form { cut: Cut::After(":".to_owned()), ..Form::default() };
        let secret = secret(b"278d425bdf160c739803:7ad3773142a6692b25b8");
        let key = MacKey::read_as(Hash::Sha256, &secret, &form).expect("a key");
        for (text, code) in [
            (r#"1234.1234::user::{"id":"12345"}"#, "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"),
            ("1234.1234:private-foobar", "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"),
        ] {
            assert_eq!(Encode::Hex.encode(&key.mac(text.as_bytes())), code);
        }
    }

    #[test]
    fn codes_are_those_of_the_rfcs() {
        // RFC 2202, 3 and RFC 4231, 4.3: test case 2.
        for (hash, code) in [
            (Hash::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (Hash::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                Hash::Sha384,
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            ),
            (
                Hash::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
                 caeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let form = Form { min_bytes: Some(4), ..Form::default() };
            let key = MacKey::read_as(hash, &secret(b"Jefe"), &form).expect("a key");
            assert_eq!(Encode::Hex.encode(&key.mac(b"what do ya want for nothing?")), code, "{hash:?}");
        }
    }

    #[test]
    fn short_secrets_are_refused_unless_told() {
        let read = |bytes: &[u8], form: Form| MacKey::read_as(Hash::Sha256, &secret(bytes), &form);
        assert!(read(&[1; 16], Form::default()).is_ok());
        let short = read(&[1; 15], Form::default()).expect_err("short").to_string();
        assert_eq!(short, "has 15 bytes; HMAC-SHA256 needs at least 16");
        let digits = Form { decode: Decode::Hex, ..Form::default() };
        assert!(read(b"00112233445566778899aabbccddeeff", digits.clone()).is_ok());
        assert!(read(b"0011223344556677", digits).is_err(), "what counts are the bytes, not the digits");
        assert_eq!(format!("{:?}", read(&[1; 16], Form::default())), "Ok(MacKey(…))");
    }

    #[test]
    fn bytes_are_written_as_asked() {
        let bytes = [0xfb, 0xff, 0xbe, 0x01];
        for (encode, text) in [
            (Encode::Hex, "fbffbe01"),
            (Encode::UpperHex, "FBFFBE01"),
            (Encode::Base64, "+/++AQ=="),
            (Encode::Base64Url, "-_--AQ"),
        ] {
            assert_eq!(encode.encode(&bytes), text);
        }
    }
}
