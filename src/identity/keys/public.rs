//! One key that verifies: parsed once, used for every token.

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{PublicEncryptingKey, PublicKeyComponents};
use aws_lc_rs::signature::{self, EcdsaVerificationAlgorithm, ParsedPublicKey, RsaParameters, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Map, Value};

use super::Algorithm;
use crate::secrets::Secret;

/// Bytes of a key id at most; tokens may not name a longer one either.
pub(in crate::identity) const MOST_KID_BYTES: usize = 128;
/// Bits of an RSA modulus.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Bytes of an RSA exponent at most: larger ones only cost time.
const MOST_EXPONENT_BYTES: usize = 4;

/// A key of a set.
pub(in crate::identity) struct Key {
    /// Its id, where the set gives one.
    pub(in crate::identity) kid: Option<String>,
    /// One for each algorithm that it may verify: an RSA key that states none fits six.
    ready: Vec<(Algorithm, ReadyKey)>,
}

/// A key, ready for one algorithm.
enum ReadyKey {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

impl Key {
    /// Reads one JWK (RFC 7517, 4). `None` for keys that verify nothing here: symmetric ones, those for encryption,
    /// unknown types, broken ones, and private ones, for who publishes one has lost it.
    pub(in crate::identity) fn of_jwk(jwk: &Value) -> Option<Self> {
        let jwk = Jwk(jwk.as_object()?);
        // T-26: private keys
        if jwk.member("d").is_some() || !jwk.is_for_signatures() {
            return None;
        }
        let stated = jwk.stated()?;
        let ready = match jwk.text("kty")? {
            "RSA" => rsa(&jwk.rsa()?),
            "EC" => {
                let curve = CURVES.iter().find(|curve| Some(curve.name) == jwk.text("crv"))?;
                public(curve.algorithm, curve.verifier, &jwk.point(curve)?)
            }
            "OKP" if jwk.text("crv") == Some("Ed25519") => {
                public(Algorithm::EdDsa, &signature::ED25519, &jwk.bytes("x").filter(|x| x.len() == 32)?)
            }
            _ => return None,
        };
        Self::of(jwk.kid()?, ready, stated)
    }

    /// Reads a PEM `PUBLIC KEY` (RFC 7468, 13). `Err` is why it verifies nothing, the rest of a sentence.
    pub(in crate::identity) fn of_pem(kid: Option<&str>, pem: &[u8]) -> Result<Self, &'static str> {
        const UNUSABLE: &str = "holds a public key that cannot be used";
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| UNUSABLE)?;
        if PublicEncryptingKey::from_der(&der).is_err_and(|error| error.description_() == "TooSmall") {
            return Err("holds an RSA key that is shorter than 2048 bits");
        }
        let curves = CURVES.iter().flat_map(|curve| public(curve.algorithm, curve.verifier, &der));
        let edwards = public(Algorithm::EdDsa, &signature::ED25519, &der);
        let ready = curves.chain(edwards).chain(rsa(&der)).collect();
        Self::of(kid.filter(|kid| !kid.is_empty()).map(str::to_owned), ready, None).ok_or(UNUSABLE)
    }

    /// Whether it is an RSA key that is good but for its length.
    pub(in crate::identity) fn is_short(jwk: &Value) -> bool {
        let n = jwk.as_object().and_then(|members| Jwk(members).bytes("n")).unwrap_or_default();
        let bits = 8 * without_zeros(&n).len();
        jwk.get("kty").is_some_and(|kty| kty == "RSA") && (1..*RSA_BITS.start()).contains(&bits)
    }

    /// A shared secret, for the algorithms whose digest is no longer than it (RFC 7518, 3.2).
    pub(in crate::identity) fn of_secret(secret: &Secret) -> Option<Self> {
        let bytes = secret.expose();
        let macs = [
            (Algorithm::Hs256, hmac::HMAC_SHA256),
            (Algorithm::Hs384, hmac::HMAC_SHA384),
            (Algorithm::Hs512, hmac::HMAC_SHA512),
        ];
        let long_enough = macs.into_iter().filter(|(_, mac)| bytes.len() >= mac.digest_algorithm().output_len());
        let ready =
            long_enough.map(|(algorithm, mac)| (algorithm, ReadyKey::Secret(Box::new(hmac::Key::new(mac, bytes)))));
        Self::of(None, ready.collect(), None)
    }

    fn of(kid: Option<String>, mut ready: Vec<(Algorithm, ReadyKey)>, stated: Option<Algorithm>) -> Option<Self> {
        // T-17: algorithm of the key
        ready.retain(|(algorithm, _)| stated.is_none_or(|stated| stated == *algorithm));
        (!ready.is_empty()).then_some(Self { kid, ready })
    }

    /// Whether it is of the kind that `algorithm` needs, and does not say that it is for another.
    pub(in crate::identity) fn fits(&self, algorithm: Algorithm) -> bool {
        self.ready.iter().any(|(own, _)| *own == algorithm)
    }

    /// Whether `signature` over `message` is its own by `algorithm`. ECDSA signatures are `r` and `s` in their full
    /// length (RFC 7518, 3.4); the library refuses zero and what is not below the order.
    pub(in crate::identity) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self.ready.iter().find(|(own, _)| *own == algorithm) {
            Some((_, ReadyKey::Public(key))) => {
                let curve = CURVES.iter().find(|curve| curve.algorithm == algorithm);
                curve.is_none_or(|curve| signature.len() == 2 * curve.bytes)
                    && key.verify_sig(message, signature).is_ok() // T-18: signature
            }
            Some((_, ReadyKey::Secret(key))) => hmac::verify(key, message, signature).is_ok(),
            None => false,
        }
    }
}

impl std::fmt::Debug for Key {
    /// It may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A curve of ECDSA.
struct Curve {
    name: &'static str,
    algorithm: Algorithm,
    verifier: &'static EcdsaVerificationAlgorithm,
    /// Bytes of a coordinate, and of half a signature.
    bytes: usize,
}

const CURVES: [Curve; 3] = [
    Curve { name: "P-256", algorithm: Algorithm::Es256, verifier: &signature::ECDSA_P256_SHA256_FIXED, bytes: 32 },
    Curve { name: "P-384", algorithm: Algorithm::Es384, verifier: &signature::ECDSA_P384_SHA384_FIXED, bytes: 48 },
    Curve { name: "P-521", algorithm: Algorithm::Es512, verifier: &signature::ECDSA_P521_SHA512_FIXED, bytes: 66 },
];

/// The members of a JWK.
struct Jwk<'j>(&'j Map<String, Value>);

impl Jwk<'_> {
    /// A member that says something: writers of JSON put null for what they do not have.
    fn member(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.member(name)?.as_str()
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        BASE64URL.decode(self.text(name)?).ok()
    }

    /// `None` where it is not text, or longer than any token may name.
    fn kid(&self) -> Option<Option<String>> {
        match self.member("kid") {
            None => Some(None),
            Some(Value::String(kid)) if kid.is_empty() => Some(None),
            Some(Value::String(kid)) if kid.len() <= MOST_KID_BYTES => Some(Some(kid.clone())),
            Some(_) => None,
        }
    }

    /// The algorithm that it says it is for; `None` where that is one that verifies nothing here.
    fn stated(&self) -> Option<Option<Algorithm>> {
        match self.member("alg") {
            None => Some(None),
            Some(alg) => Algorithm::named(alg.as_str()?).map(Some),
        }
    }

    fn is_for_signatures(&self) -> bool {
        let signs = self.member("use").is_none_or(|purpose| purpose == "sig");
        let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
        signs && self.member("key_ops").is_none_or(verifies)
    }

    /// The key as `SubjectPublicKeyInfo`, whose reader checks more than that of bare components.
    fn rsa(&self) -> Option<Vec<u8>> {
        let (n, e) = (self.bytes("n")?, self.bytes("e")?);
        let (n, e) = (without_zeros(&n), without_zeros(&e));
        let bits = n.len() * 8 - usize::try_from(n.first()?.leading_zeros()).ok()?;
        if !RSA_BITS.contains(&bits) || e.len() > MOST_EXPONENT_BYTES {
            return None;
        }
        let key = PublicKeyComponents { n, e }.to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256).ok()?;
        Some(key.as_ref().to_vec())
    }

    /// An uncompressed point: 4, x, y (SEC 1, 2.3.3). The library checks that it lies on the curve.
    fn point(&self, curve: &Curve) -> Option<Vec<u8>> {
        let (x, y) = (self.bytes("x")?, self.bytes("y")?);
        (x.len() == curve.bytes && y.len() == curve.bytes).then(|| [&[4], &x[..], &y[..]].concat())
    }
}

/// Some issuers write the sign byte of DER.
fn without_zeros(mut bytes: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn public(
    algorithm: Algorithm,
    verifier: &'static dyn VerificationAlgorithm,
    key: &[u8],
) -> Vec<(Algorithm, ReadyKey)> {
    let key = ParsedPublicKey::new(verifier, key).ok();
    key.map(|key| (algorithm, ReadyKey::Public(key))).into_iter().collect()
}

/// Every form of an RSA key.
fn rsa(der: &[u8]) -> Vec<(Algorithm, ReadyKey)> {
    const VERIFIERS: [(Algorithm, &RsaParameters); 6] = [
        (Algorithm::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
        (Algorithm::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
        (Algorithm::Ps256, &signature::RSA_PSS_2048_8192_SHA256),
        (Algorithm::Ps384, &signature::RSA_PSS_2048_8192_SHA384),
        (Algorithm::Ps512, &signature::RSA_PSS_2048_8192_SHA512),
    ];
    VERIFIERS.iter().flat_map(|(algorithm, verifier)| public(*algorithm, *verifier, der)).collect()
}
