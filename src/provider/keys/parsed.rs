//! A parsed key, and how it signs.
//!
//! aws-lc-rs signs: jsonwebtoken would parse the private key for each signature, which costs more than an Ed25519 signature
//! itself. It verifies instead, once for each key: what [`Parsed::agrees`] accepts, others can verify as well.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use super::{Alg, KeyError};

/// A parsed private key. An elliptic one knows its curve and hash, an HMAC one its hash; an RSA one fits any.
#[expect(clippy::large_enum_variant, reason = "one per key, and read all the time")]
pub(super) enum Parsed {
    Ed25519(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Hmac(hmac::Key),
}

impl Parsed {
    /// Signs the first two parts of a token and returns the third.
    pub(super) fn sign(&self, alg: Alg, message: &[u8]) -> Result<String, KeyError> {
        let failed = |_unspecified| KeyError::new("could not sign");
        match self {
            Self::Ed25519(pair) => Ok(BASE64URL.encode(pair.sign(message))),
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), message).map(|own| BASE64URL.encode(own)).map_err(failed),
            Self::Rsa(pair) => {
                let padding: &dyn RsaEncoding = match alg {
                    Alg::Rs384 => &RSA_PKCS1_SHA384,
                    Alg::Rs512 => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature).map_err(failed)?;
                Ok(BASE64URL.encode(signature))
            }
            Self::Hmac(key) => Ok(BASE64URL.encode(hmac::sign(key, message))),
        }
    }

    /// Whether these members of a JWK verify what the key signs, as another implementation sees it.
    pub(super) fn agrees(&self, alg: Alg, public: &Map<String, Value>) -> bool {
        const MESSAGE: &[u8] = b"sidemint";
        let verified = || {
            let signature = self.sign(alg, MESSAGE).ok()?;
            let key = DecodingKey::from_jwk(&serde_json::from_value(Value::Object(public.clone())).ok()?).ok()?;
            let alg: Algorithm = alg.name().parse().ok()?;
            jsonwebtoken::crypto::verify(&signature, MESSAGE, &key, alg).ok()
        };
        verified() == Some(true)
    }
}
