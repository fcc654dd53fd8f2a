//! Parsed keys, where jsonwebtoken finds them.
//!
//! `jsonwebtoken` parses the private key on every signature, which costs more than an Ed25519 signature itself. Its
//! remedy is a [`CryptoProvider`] of one's own: [`install`] registers one whose signers borrow keys that were parsed
//! when they were loaded. An `EncodingKey` of ours holds the number of such a key, not key material.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{Error as SignatureError, Signer};
use jsonwebtoken::{Algorithm, EncodingKey};
use parking_lot::RwLock;

use super::{Alg, KeyError};

/// A parsed private key. An elliptic one knows its curve and hash, an HMAC one its hash; an RSA one fits any.
#[expect(clippy::large_enum_variant, reason = "one per key, behind an Arc")]
pub(super) enum Parsed {
    Ed25519(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Hmac(hmac::Key),
}

/// A key in the registry, for as long as this value lives.
pub(super) struct Registered {
    number: u64,
    alg: Alg,
    parsed: Parsed,
    handle: EncodingKey,
}

impl Drop for Registered {
    fn drop(&mut self) {
        REGISTRY.write().keys.remove(&self.number);
    }
}

/// Parsed keys by number. `signer_factory` is a plain function, so what it looks up must be static.
#[derive(Default)]
struct Registry {
    next: u64,
    keys: HashMap<u64, Weak<Registered>>,
}

static REGISTRY: LazyLock<RwLock<Registry>> = LazyLock::new(RwLock::default);

impl Registered {
    /// Registers a key.
    pub(super) fn new(alg: Alg, parsed: Parsed) -> Arc<Self> {
        install();
        let mut registry = REGISTRY.write();
        registry.next += 1;
        let number = registry.next;
        let bytes = number.to_be_bytes();
        let handle = match parsed {
            Parsed::Ed25519(_) => EncodingKey::from_ed_der(&bytes),
            Parsed::Ec(_) => EncodingKey::from_ec_der(&bytes),
            Parsed::Rsa(_) => EncodingKey::from_rsa_der(&bytes),
            Parsed::Hmac(_) => EncodingKey::from_secret(&bytes),
        };
        let key = Arc::new(Self { number, alg, parsed, handle });
        registry.keys.insert(number, Arc::downgrade(&key));
        key
    }

    /// The algorithm.
    pub(super) fn alg(&self) -> Alg {
        self.alg
    }

    /// The parsed key.
    pub(super) fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// Signs the first two parts of a token and returns the third.
    pub(super) fn sign(&self, message: &[u8]) -> Result<String, KeyError> {
        jsonwebtoken::crypto::sign(message, &self.handle, jose(self.alg))
            .map_err(|_error| KeyError::new("could not sign"))
    }
}

const fn jose(alg: Alg) -> Algorithm {
    match alg {
        Alg::EdDsa => Algorithm::EdDSA,
        Alg::Es256 => Algorithm::ES256,
        Alg::Es384 => Algorithm::ES384,
        Alg::Rs256 => Algorithm::RS256,
        Alg::Rs384 => Algorithm::RS384,
        Alg::Rs512 => Algorithm::RS512,
        Alg::Hs256 => Algorithm::HS256,
        Alg::Hs384 => Algorithm::HS384,
        Alg::Hs512 => Algorithm::HS512,
    }
}

/// Makes jsonwebtoken sign with registered keys. Verification stays as the library does it.
fn install() {
    static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(|| CryptoProvider {
        signer_factory: registered_signer,
        ..jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.clone()
    });
    // An error means that it is installed already.
    let _again = PROVIDER.install_default();
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that jsonwebtoken wants")]
fn registered_signer(alg: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, jsonwebtoken::errors::Error> {
    let number = <[u8; 8]>::try_from(key.as_bytes()).map_err(|_| ErrorKind::InvalidKeyFormat)?;
    let registry = REGISTRY.read();
    let key = registry.keys.get(&u64::from_be_bytes(number)).and_then(Weak::upgrade);
    drop(registry);
    match key {
        Some(key) if jose(key.alg) == *alg => Ok(Box::new(Borrowed(key))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

/// A signer that uses a registered key.
struct Borrowed(Arc<Registered>);

impl JwtSigner for Borrowed {
    fn algorithm(&self) -> Algorithm {
        jose(self.0.alg)
    }
}

impl Signer<Vec<u8>> for Borrowed {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let failed = |_unspecified| SignatureError::new();
        match &self.0.parsed {
            Parsed::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Parsed::Ec(pair) => Ok(pair.sign(&SystemRandom::new(), message).map_err(failed)?.as_ref().to_vec()),
            Parsed::Rsa(pair) => {
                let padding: &dyn RsaEncoding = match self.0.alg {
                    Alg::Rs384 => &RSA_PKCS1_SHA384,
                    Alg::Rs512 => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Parsed::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_keys_go_when_their_owner_goes() {
        let key = Registered::new(Alg::EdDsa, Parsed::Ed25519(Ed25519KeyPair::generate().expect("a key")));
        let handle = key.handle.clone();
        assert!(jsonwebtoken::crypto::sign(b"m", &handle, Algorithm::EdDSA).is_ok());
        assert!(jsonwebtoken::crypto::sign(b"m", &handle, Algorithm::HS256).is_err(), "no other algorithm");
        drop(key);
        assert!(jsonwebtoken::crypto::sign(b"m", &handle, Algorithm::EdDSA).is_err());
    }
}
