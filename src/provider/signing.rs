//! Signing keys: read once, published as JWK, used through jsonwebtoken.
//!
//! `jsonwebtoken` parses the private key on every signature, which costs more than an Ed25519 signature itself. Its
//! remedy is a [`CryptoProvider`] of one's own: [`install`] registers one whose signers borrow keys that were parsed
//! when they were loaded. An `EncodingKey` of ours holds the number of such a key, not key material.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, Weak};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{Error as SignatureError, Signer};
use jsonwebtoken::{Algorithm, EncodingKey};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde_json::{Map, Value, json};

use crate::secrets::Secret;

/// Bytes of an HMAC secret at least (RFC 7518, 3.2: as long as the hash).
const MIN_HMAC_BYTES: usize = 32;
/// Bits of an RSA modulus at least (RFC 7518, 3.3).
const MIN_RSA_BITS: usize = 2048;

/// Algorithms that tokens are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alg {
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// HMAC with SHA-256.
    Hs256,
}

impl Alg {
    /// The algorithm of a JOSE name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::EdDsa, Self::Es256, Self::Rs256, Self::Hs256].into_iter().find(|alg| alg.name() == name)
    }

    /// The JOSE name (RFC 7518, 3.1; RFC 8037, 3.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
        }
    }

    const fn jose(self) -> Algorithm {
        match self {
            Self::EdDsa => Algorithm::EdDSA,
            Self::Es256 => Algorithm::ES256,
            Self::Rs256 => Algorithm::RS256,
            Self::Hs256 => Algorithm::HS256,
        }
    }
}

/// A parsed private key.
#[expect(clippy::large_enum_variant, reason = "one per key, behind an Arc")]
enum Parsed {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Hmac(hmac::Key),
}

/// A key that signs.
pub struct SigningKey {
    alg: Alg,
    handle: EncodingKey,
    /// Public members; `None` for a symmetric key.
    public: Option<Map<String, Value>>,
    /// Keeps the registered key alive.
    _parsed: Arc<Registered>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("alg", &self.alg).finish_non_exhaustive()
    }
}

/// Why a key cannot be used. Holds nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

impl SigningKey {
    /// Reads a key for `alg`: PEM for the asymmetric ones, the bytes themselves for HMAC.
    pub fn read(alg: Alg, secret: &Secret) -> Result<Self, KeyError> {
        if alg == Alg::Hs256 {
            return Self::hmac(secret.expose());
        }
        let text = secret.expose();
        let Ok((kind, der)) = <(SectionKind, Vec<u8>)>::from_pem_slice(text) else {
            return Err(KeyError(format!("is not a PEM private key, which {} needs", alg.name())));
        };
        let fits = |wrong: &str| KeyError(format!("is not a usable {} key: {wrong}", alg.name()));
        let parsed = match (alg, kind) {
            (_, SectionKind::PublicKey | SectionKind::Certificate) => {
                return Err(fits("it holds only a public key; the private key is needed to sign"));
            }
            (Alg::EdDsa, SectionKind::PrivateKey) => {
                Parsed::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| fits("not Ed25519"))?)
            }
            (Alg::Es256, SectionKind::PrivateKey) => Parsed::P256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map_err(|_| fits("not P-256"))?,
            ),
            (Alg::Es256, SectionKind::EcPrivateKey) => Parsed::P256(
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
                    .map_err(|_| fits("not P-256"))?,
            ),
            (Alg::Rs256, SectionKind::PrivateKey) => {
                Parsed::Rsa(RsaKeyPair::from_pkcs8(&der).map_err(|_| fits("not RSA"))?)
            }
            (Alg::Rs256, SectionKind::RsaPrivateKey) => {
                Parsed::Rsa(RsaKeyPair::from_der(&der).map_err(|_| fits("not RSA"))?)
            }
            _ => return Err(fits("it is a key of another kind")),
        };
        if let Parsed::Rsa(pair) = &parsed
            && pair.public_modulus_len() * 8 < MIN_RSA_BITS
        {
            return Err(fits("the modulus is shorter than 2048 bits"));
        }
        Ok(Self::of(alg, parsed))
    }

    fn hmac(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.starts_with(b"-----BEGIN") {
            // Signing with a PEM text as an HMAC secret is how algorithm confusion begins (T-17).
            return Err(KeyError("is a PEM key, but HS256 needs a shared secret".to_owned()));
        }
        if bytes.len() < MIN_HMAC_BYTES {
            return Err(KeyError(format!("has {} bytes; HS256 needs at least {MIN_HMAC_BYTES}", bytes.len())));
        }
        Ok(Self::of(Alg::Hs256, Parsed::Hmac(hmac::Key::new(hmac::HMAC_SHA256, bytes))))
    }

    fn of(alg: Alg, parsed: Parsed) -> Self {
        let public = public_members(&parsed);
        let (parsed, handle) = register(alg, parsed);
        Self { alg, handle, public, _parsed: parsed }
    }

    /// The algorithm.
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// RFC 7638 thumbprint of the public key; `None` for a symmetric key, whose id would help to guess it.
    pub fn thumbprint(&self) -> Option<String> {
        let public = self.public.as_ref()?;
        // The required members in lexicographic order, as RFC 7638 section 3.2 lists them.
        let required: std::collections::BTreeMap<_, _> = public.iter().collect();
        let text = serde_json::to_vec(&required).ok()?;
        Some(BASE64URL.encode(digest::digest(&digest::SHA256, &text)))
    }

    /// The public key as a JWK (RFC 7517); `None` for a symmetric key.
    pub fn jwk(&self, kid: &str) -> Option<Value> {
        let mut jwk = self.public.clone()?;
        jwk.insert("use".to_owned(), json!("sig"));
        jwk.insert("alg".to_owned(), json!(self.alg.name()));
        jwk.insert("kid".to_owned(), json!(kid));
        Some(Value::Object(jwk))
    }

    /// Signs the first two parts of a token and returns the third.
    pub fn sign(&self, message: &[u8]) -> Result<String, KeyError> {
        jsonwebtoken::crypto::sign(message, &self.handle, self.alg.jose())
            .map_err(|_error| KeyError("could not sign".to_owned()))
    }
}

fn public_members(parsed: &Parsed) -> Option<Map<String, Value>> {
    let text = |bytes: &[u8]| BASE64URL.encode(bytes);
    let members = match parsed {
        Parsed::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())}),
        Parsed::P256(pair) => {
            // An uncompressed point: 4, x, y (SEC 1, 2.3.3).
            let point = pair.public_key().as_ref();
            json!({"kty": "EC", "crv": "P-256", "x": text(point.get(1..33)?), "y": text(point.get(33..65)?)})
        }
        Parsed::Rsa(pair) => {
            let key = pair.public_key();
            json!({
                "kty": "RSA",
                "n": text(key.modulus().big_endian_without_leading_zero()),
                "e": text(key.exponent().big_endian_without_leading_zero()),
            })
        }
        Parsed::Hmac(_) => return None,
    };
    match members {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// A new private key as PEM text (PKCS#8), or 64 hexadecimal digits for HMAC.
pub fn generate(alg: Alg) -> Result<Secret, KeyError> {
    let failed = |_error| KeyError("could not be made: no randomness".to_owned());
    let der = match alg {
        Alg::EdDsa => Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()).map_err(failed)?.as_ref().to_vec(),
        Alg::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(|pair| pair.to_pkcs8v1())
            .map_err(failed)?
            .as_ref()
            .to_vec(),
        Alg::Rs256 => {
            let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).map_err(failed)?;
            pair.as_der().map_err(failed)?.as_ref().to_vec()
        }
        Alg::Hs256 => {
            let mut bytes = [0_u8; MIN_HMAC_BYTES];
            aws_lc_rs::rand::fill(&mut bytes).map_err(failed)?;
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok(Secret::new(digits.concat().into_bytes()));
        }
    };
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in body.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(Secret::new(pem.into_bytes()))
}

/// Draws one random number. The first draw of a process costs some 24 ms of entropy start-up, which nobody should pay
/// within a request.
pub fn warm_up_randomness() {
    let mut byte = [0_u8; 1];
    // A failure shows up, with an error, at the first signature that needs randomness.
    let _outcome = aws_lc_rs::rand::fill(&mut byte);
}

/// A key in the registry.
struct Registered {
    number: u64,
    alg: Algorithm,
    parsed: Parsed,
}

impl Drop for Registered {
    fn drop(&mut self) {
        REGISTRY.write().unwrap_or_else(PoisonError::into_inner).keys.remove(&self.number);
    }
}

/// Parsed keys by number. `signer_factory` is a plain function, so what it looks up must be static.
#[derive(Default)]
struct Registry {
    next: u64,
    keys: HashMap<u64, Weak<Registered>>,
}

static REGISTRY: LazyLock<RwLock<Registry>> = LazyLock::new(RwLock::default);

fn register(alg: Alg, parsed: Parsed) -> (Arc<Registered>, EncodingKey) {
    install();
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    registry.next += 1;
    let number = registry.next;
    let key = Arc::new(Registered { number, alg: alg.jose(), parsed });
    registry.keys.insert(number, Arc::downgrade(&key));
    drop(registry);
    let bytes = number.to_be_bytes();
    let handle = match alg {
        Alg::EdDsa => EncodingKey::from_ed_der(&bytes),
        Alg::Es256 => EncodingKey::from_ec_der(&bytes),
        Alg::Rs256 => EncodingKey::from_rsa_der(&bytes),
        Alg::Hs256 => EncodingKey::from_secret(&bytes),
    };
    (key, handle)
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
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    let key = registry.keys.get(&u64::from_be_bytes(number)).and_then(Weak::upgrade);
    drop(registry);
    match key {
        Some(key) if key.alg == *alg => Ok(Box::new(Borrowed(key))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

/// A signer that uses a registered key.
struct Borrowed(Arc<Registered>);

impl JwtSigner for Borrowed {
    fn algorithm(&self) -> Algorithm {
        self.0.alg
    }
}

impl Signer<Vec<u8>> for Borrowed {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let failed = |_unspecified| SignatureError::new();
        match &self.0.parsed {
            Parsed::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Parsed::P256(pair) => Ok(pair.sign(&SystemRandom::new(), message).map_err(failed)?.as_ref().to_vec()),
            Parsed::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Parsed::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Alg; 4] = [Alg::EdDsa, Alg::Es256, Alg::Rs256, Alg::Hs256];

    #[test]
    fn made_keys_can_be_read_and_sign() {
        for alg in ALL {
            let key = SigningKey::read(alg, &generate(alg).expect("a key")).expect("readable");
            assert!(!key.sign(b"message").expect("a signature").is_empty());
            assert_eq!(key.jwk("k").is_some(), alg != Alg::Hs256);
        }
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        for alg in ALL {
            for other in ALL.into_iter().filter(|other| *other != alg) {
                let refused = SigningKey::read(alg, &generate(other).expect("a key"));
                assert!(refused.is_err(), "{other:?} as {alg:?}");
            }
        }
    }

    #[test]
    fn short_secrets_and_garbage_are_refused() {
        assert!(SigningKey::read(Alg::Hs256, &Secret::new(vec![b'a'; 31])).is_err());
        assert!(SigningKey::read(Alg::Hs256, &Secret::new(vec![b'a'; 32])).is_ok());
        for text in ["", "garbage", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(SigningKey::read(Alg::EdDsa, &Secret::new(text.as_bytes().to_vec())).is_err(), "{text}");
        }
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        // RFC 8037, appendix A.3.
        let public = json!({"crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let key = SigningKey::read(Alg::EdDsa, &generate(Alg::EdDsa).expect("a key")).expect("readable");
        let key = SigningKey { public: public.as_object().cloned(), ..key };
        assert_eq!(key.thumbprint().as_deref(), Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
    }

    #[test]
    fn registered_keys_go_when_their_owner_goes() {
        let key = SigningKey::read(Alg::EdDsa, &generate(Alg::EdDsa).expect("a key")).expect("readable");
        let handle = key.handle.clone();
        assert!(jsonwebtoken::crypto::sign(b"m", &handle, Algorithm::EdDSA).is_ok());
        drop(key);
        assert!(jsonwebtoken::crypto::sign(b"m", &handle, Algorithm::EdDSA).is_err());
    }
}
