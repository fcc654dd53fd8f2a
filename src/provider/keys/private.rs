//! Private keys in the shapes that people have them: PEM, DER, JWK, seeds.

use std::borrow::Cow;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, RsaKeyPair,
};
use base64::alphabet::STANDARD;
use rustls_pki_types::pem::{PemObject as _, SectionKind};

use super::jwk::{MIN_RSA_BITS, OTHER_KIND, PUBLIC_ONLY, PrivateJwk, SHORT_MODULUS};
use super::material::{Decode, base64};
use super::parsed::Parsed;
use super::{Alg, KeyError};
use crate::secrets::Secret;

/// First byte of every key in DER: a sequence. It is the digit 0 as well, so it decides nothing alone.
const DER_SEQUENCE: u8 = 0x30;

/// A private key, before its algorithm has looked at it.
enum Shape {
    /// A PEM section with its kind.
    Pem(SectionKind, Vec<u8>),
    /// Bytes without a label.
    Der(Vec<u8>),
    /// The 32 bytes that Ed25519 begins with.
    Seed(Secret),
    /// A JSON Web Key.
    Jwk(PrivateJwk),
}

/// Reads a private key for `alg`, which is none of the HMAC ones.
pub(super) fn read(alg: Alg, secret: &Secret, decode: Decode) -> Result<Parsed, KeyError> {
    let shape = match decode {
        Decode::Text => told_apart(alg, secret)?,
        Decode::Jwk => jwk(secret).ok_or_else(|| KeyError(format!("is not a JWK, which {} needs", alg.name())))?,
        Decode::Nkey => Shape::Seed(decode.bytes(secret)?),
        Decode::Base64 | Decode::Base64Url | Decode::Hex => {
            let bytes = decode.bytes(secret)?;
            if alg == Alg::EdDsa && bytes.expose().len() == 32 { Shape::Seed(bytes) } else { told_apart(alg, &bytes)? }
        }
    };
    let unfit = |wrong: &str| KeyError(format!("is not a usable {} key: {wrong}", alg.name()));
    let parsed = match alg {
        Alg::EdDsa => ed25519(shape).map(Parsed::Ed25519),
        Alg::Es256 | Alg::Es384 => elliptic(alg, shape).map(Parsed::Ec),
        Alg::Rs256 | Alg::Rs384 | Alg::Rs512 => rsa(alg, shape).map(Parsed::Rsa),
        Alg::Hs256 | Alg::Hs384 | Alg::Hs512 => Err(OTHER_KIND),
    };
    parsed.map_err(unfit)
}

/// Tells PEM, a JWK, base64 of either and DER apart: none can be mistaken for another.
fn told_apart(alg: Alg, secret: &Secret) -> Result<Shape, KeyError> {
    if let Some(shape) = pem(alg, secret).transpose()?.or_else(|| jwk(secret)).or_else(|| der(secret)) {
        return Ok(shape);
    }
    let inner = base64(&STANDARD, secret).map(Secret::new);
    let shape = match inner {
        Some(inner) => pem(alg, &inner).transpose()?.or_else(|| jwk(&inner)).or_else(|| der(&inner)),
        None => None,
    };
    shape.ok_or_else(|| KeyError(format!("is not a PEM private key, which {} needs", alg.name())))
}

/// The first private key of a PEM text, wherever it stands: certificates and curve parameters often come first. `None`
/// where there is no PEM.
fn pem(alg: Alg, secret: &Secret) -> Option<Result<Shape, KeyError>> {
    let text = String::from_utf8_lossy(secret.expose());
    if !text.contains("-----BEGIN ") {
        return None;
    }
    // Environment variables and JSON documents often hold line breaks as two characters. No PEM has a backslash itself.
    let text: Cow<'_, str> =
        if text.contains("\\n") { text.replace("\\r", "").replace("\\n", "\n").into() } else { text };
    let mut has_public = false;
    for (kind, der) in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()).flatten() {
        match kind {
            SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey => {
                return Some(Ok(Shape::Pem(kind, der)));
            }
            SectionKind::PublicKey | SectionKind::Certificate => has_public = true,
            _ => {}
        }
    }
    let problem = if has_public {
        format!("is not a usable {} key: {PUBLIC_ONLY}", alg.name())
    } else if text.contains("ENCRYPTED") {
        format!("is not a usable {} key: it is encrypted; write it without a passphrase", alg.name())
    } else {
        format!("is not a PEM private key, which {} needs", alg.name())
    };
    Some(Err(KeyError(problem)))
}

fn jwk(secret: &Secret) -> Option<Shape> {
    PrivateJwk::parse(secret).map(Shape::Jwk)
}

fn der(secret: &Secret) -> Option<Shape> {
    is_one_sequence(secret.expose()).then(|| Shape::Der(secret.expose().to_vec()))
}

/// Whether `bytes` are a sequence in DER whose length ends where they end (X.690, 8.1.3). A secret in digits often
/// begins with that byte, and is told apart by this.
fn is_one_sequence(bytes: &[u8]) -> bool {
    let [DER_SEQUENCE, length, rest @ ..] = bytes else { return false };
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => match rest {
            [length, rest @ ..] => (usize::from(*length), rest),
            [] => return false,
        },
        0x82 => match rest {
            [high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            _ => return false,
        },
        _ => return false,
    };
    rest.len() == length
}

fn ed25519(shape: Shape) -> Result<Ed25519KeyPair, &'static str> {
    match shape {
        Shape::Pem(SectionKind::PrivateKey, der) | Shape::Der(der) => {
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_rejected| "not Ed25519")
        }
        Shape::Seed(seed) => {
            Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_rejected| "a seed has 32 bytes")
        }
        Shape::Jwk(jwk) => jwk.ed25519(),
        Shape::Pem(..) => Err(OTHER_KIND),
    }
}

fn elliptic(alg: Alg, shape: Shape) -> Result<EcdsaKeyPair, &'static str> {
    let (curve, name, wrong): (&'static EcdsaSigningAlgorithm, _, _) = match alg {
        Alg::Es384 => (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "not P-384"),
        _ => (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "not P-256"),
    };
    match shape {
        Shape::Pem(SectionKind::PrivateKey, der) => EcdsaKeyPair::from_pkcs8(curve, &der).map_err(|_rejected| wrong),
        Shape::Pem(SectionKind::EcPrivateKey, der) | Shape::Der(der) => {
            EcdsaKeyPair::from_private_key_der(curve, &der).map_err(|_rejected| wrong)
        }
        Shape::Jwk(jwk) => jwk.elliptic(alg, curve, name),
        Shape::Pem(..) | Shape::Seed(_) => Err(OTHER_KIND),
    }
}

fn rsa(alg: Alg, shape: Shape) -> Result<RsaKeyPair, &'static str> {
    let pair = match shape {
        Shape::Pem(SectionKind::PrivateKey, der) => RsaKeyPair::from_pkcs8(&der),
        Shape::Pem(SectionKind::RsaPrivateKey, der) => RsaKeyPair::from_der(&der),
        Shape::Der(der) => RsaKeyPair::from_pkcs8(&der).or_else(|_rejected| RsaKeyPair::from_der(&der)),
        Shape::Jwk(jwk) => return jwk.rsa(alg),
        Shape::Pem(..) | Shape::Seed(_) => return Err(OTHER_KIND),
    };
    let pair = pair.map_err(|rejected| match rejected.description_() {
        "TooSmall" => SHORT_MODULUS,
        "TooLarge" => "the modulus is longer than 8192 bits",
        _ => "not RSA",
    })?;
    if pair.public_modulus_len() * 8 < MIN_RSA_BITS { Err(SHORT_MODULUS) } else { Ok(pair) }
}
