//! New keys, and the randomness for them.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use data_encoding::HEXLOWER;

use super::{Alg, KeyError};
use crate::secrets::Secret;

/// A new private key as PEM text (PKCS#8); for HMAC as many random bytes as the hash has, in hexadecimal digits.
pub fn generate(alg: Alg) -> Result<Secret, KeyError> {
    let failed = |_error| KeyError::new("could not be made: no randomness");
    let elliptic = |curve| Ok(EcdsaKeyPair::generate(curve)?.to_pkcs8v1()?.as_ref().to_vec());
    let der = match alg {
        Alg::EdDsa => Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()).map_err(failed)?.as_ref().to_vec(),
        Alg::Es256 => elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?,
        Alg::Es384 => elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING).map_err(failed)?,
        Alg::Rs256 | Alg::Rs384 | Alg::Rs512 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            pair.as_der().map_err(failed)?.as_ref().to_vec()
        }
        Alg::Hs256 | Alg::Hs384 | Alg::Hs512 => {
            let mut bytes = vec![0_u8; alg.hash_bytes()];
            aws_lc_rs::rand::fill(&mut bytes).map_err(failed)?;
            return Ok(Secret::new(HEXLOWER.encode(&bytes).into_bytes()));
        }
    };
    Ok(Secret::new(pem("PRIVATE KEY", &der).into_bytes()))
}

/// One section of PEM (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in BASE64.encode(der).as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END " + label + "-----\n"
}

/// Draws one random number. The first draw of a process costs some 24 ms of entropy start-up, which no request should pay
/// within a request.
pub fn warm_up_randomness() {
    let mut byte = [0_u8; 1];
    // A failure shows up, with an error, at the first signature that needs randomness.
    let _outcome = aws_lc_rs::rand::fill(&mut byte);
}
