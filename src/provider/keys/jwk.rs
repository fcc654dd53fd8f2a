//! Private keys as JSON Web Keys (RFC 7517; RFC 7518, 6; RFC 8037, 2).

use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value};

use super::Alg;
use crate::secrets::Secret;

/// Bits of an RSA modulus at least (RFC 7518, 3.3).
pub(super) const MIN_RSA_BITS: usize = 2048;

// These three are said of keys in other forms, too.
pub(super) const OTHER_KIND: &str = "it is a key of another kind";
pub(super) const PUBLIC_ONLY: &str = "it holds only a public key; the private key is needed to sign";
pub(super) const SHORT_MODULUS: &str = "the modulus is shorter than 2048 bits";

const INCOMPLETE: &str = "the JWK lacks a member, or one is not base64url";
const INCONSISTENT: &str = "the members of the JWK do not fit together";

/// The members of a JWK, of which nothing is checked yet.
pub(super) struct PrivateJwk(Map<String, Value>);

impl PrivateJwk {
    /// Any JSON object.
    pub(super) fn parse(secret: &Secret) -> Option<Self> {
        match serde_json::from_slice(secret.expose()) {
            Ok(Value::Object(members)) => Some(Self(members)),
            _ => None,
        }
    }

    /// An Ed25519 key.
    pub(super) fn ed25519(&self) -> Result<Ed25519KeyPair, &'static str> {
        self.check("OKP", Alg::EdDsa, Some("Ed25519"))?;
        Ed25519KeyPair::from_seed_and_public_key(&self.bytes("d")?, &self.bytes("x")?).map_err(|_rejected| INCONSISTENT)
    }

    /// A key on the curve that JWKs call `name`.
    pub(super) fn elliptic(
        &self,
        alg: Alg,
        curve: &'static EcdsaSigningAlgorithm,
        name: &str,
    ) -> Result<EcdsaKeyPair, &'static str> {
        self.check("EC", alg, Some(name))?;
        // An uncompressed point: 4, x, y (SEC 1, 2.3.3).
        let mut point = vec![4];
        point.extend(self.bytes("x")?);
        point.extend(self.bytes("y")?);
        EcdsaKeyPair::from_private_key_and_public_key(curve, &self.bytes("d")?, &point)
            .map_err(|_rejected| INCONSISTENT)
    }

    /// An RSA key with its primes; one without them (RFC 7518 allows that) is not for signing quickly.
    pub(super) fn rsa(&self, alg: Alg) -> Result<RsaKeyPair, &'static str> {
        self.check("RSA", alg, None)?;
        let n = self.bytes("n")?;
        if n.len() * 8 < MIN_RSA_BITS {
            return Err(SHORT_MODULUS);
        }
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n, e: self.bytes("e")? },
            d: self.bytes("d")?,
            p: self.bytes("p")?,
            q: self.bytes("q")?,
            dP: self.bytes("dp")?,
            dQ: self.bytes("dq")?,
            qInv: self.bytes("qi")?,
        };
        RsaKeyPair::from_components(&components).map_err(|_rejected| INCONSISTENT)
    }

    fn check(&self, kind: &str, alg: Alg, curve: Option<&str>) -> Result<(), &'static str> {
        let own =
            self.text("kty").ok_or("it is JSON, but not a JWK; if one of its members holds the key, say which")?;
        if own != kind || curve.is_some_and(|curve| self.text("crv") != Some(curve)) {
            return Err(OTHER_KIND);
        }
        if !self.text("alg").is_none_or(|name| Alg::named(name) == Some(alg)) {
            return Err("the JWK's own \"alg\" is another");
        }
        if self.0.get("d").is_some_and(|d| !d.is_null()) { Ok(()) } else { Err(PUBLIC_ONLY) }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, &'static str> {
        self.text(name).and_then(|text| BASE64URL.decode(text).ok()).ok_or(INCOMPLETE)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING};
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::super::{SigningKey, generate};
    use super::*;

    fn made(alg: Alg) -> (Secret, Vec<u8>) {
        let pem = generate(alg).expect("a key");
        let body: String = pem.expose_text().expect("text").lines().filter(|line| !line.starts_with('-')).collect();
        (pem, BASE64.decode(body).expect("base64"))
    }

    /// `key` with the members that make it private.
    fn private(key: &SigningKey, members: &[(&str, Vec<u8>)]) -> Map<String, Value> {
        let mut jwk = key.jwk("kid").and_then(|jwk| jwk.as_object().cloned()).expect("an object");
        jwk.extend(members.iter().map(|(name, bytes)| ((*name).to_owned(), BASE64URL.encode(bytes).into())));
        jwk
    }

    fn read(alg: Alg, jwk: &Map<String, Value>) -> Result<Option<String>, String> {
        let secret = Secret::new(Value::Object(jwk.clone()).to_string().into_bytes());
        SigningKey::read(alg, &secret).map(|key| key.thumbprint()).map_err(|error| error.to_string())
    }

    /// The next number of a DER sequence: lengths of up to two bytes are enough here.
    fn integer(der: &mut &[u8]) -> Vec<u8> {
        let (length, start) = match der[1] {
            0x82 => (usize::from(u16::from_be_bytes([der[2], der[3]])), 4),
            0x81 => (usize::from(der[2]), 3),
            short => (usize::from(short), 2),
        };
        let (number, rest) = der[start..].split_at(length);
        *der = rest;
        number.iter().copied().skip_while(|byte| *byte == 0).collect()
    }

    #[test]
    fn elliptic_keys_are_read() {
        for (alg, curve) in
            [(Alg::Es256, &ECDSA_P256_SHA256_FIXED_SIGNING), (Alg::Es384, &ECDSA_P384_SHA384_FIXED_SIGNING)]
        {
            let (pem, der) = made(alg);
            let pair = EcdsaKeyPair::from_pkcs8(curve, &der).expect("a key");
            let number: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().expect("a number");
            let key = SigningKey::read(alg, &pem).expect("readable");
            let mut jwk = private(&key, &[("d", number.as_ref().to_vec())]);
            assert_eq!(read(alg, &jwk), Ok(key.thumbprint()));
            let y = jwk.insert("y".to_owned(), jwk["x"].clone());
            assert_eq!(read(alg, &jwk), Err(format!("is not a usable {} key: {INCONSISTENT}", alg.name())));
            jwk.extend(y.map(|y| ("y".to_owned(), y)));
            jwk.insert("crv".to_owned(), "P-521".into());
            assert_eq!(read(alg, &jwk), Err(format!("is not a usable {} key: {OTHER_KIND}", alg.name())));
        }
    }

    #[test]
    fn rsa_keys_are_read() {
        let (pem, der) = made(Alg::Rs384);
        let key = SigningKey::read(Alg::Rs384, &pem).expect("readable");
        // Behind the headers of PKCS#8 and of the sequence in it stand the version and eight numbers.
        let mut rest = &der[30..];
        let numbers: Vec<_> = (0..9).map(|_| integer(&mut rest)).collect();
        let names = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
        let members: Vec<_> = names.into_iter().zip(numbers.into_iter().skip(1)).collect();
        let mut jwk = private(&key, &members);
        assert_eq!(read(Alg::Rs384, &jwk), Ok(key.thumbprint()));
        assert!(read(Alg::Rs512, &jwk).is_err(), "it says that it is for RS384");
        jwk.remove("alg");
        assert_eq!(read(Alg::Rs512, &jwk), Ok(key.thumbprint()));
        let p = jwk.insert("p".to_owned(), jwk["q"].clone());
        assert_eq!(read(Alg::Rs256, &jwk), Err(format!("is not a usable RS256 key: {INCONSISTENT}")));
        jwk.remove("p");
        assert_eq!(read(Alg::Rs256, &jwk), Err(format!("is not a usable RS256 key: {INCOMPLETE}")));
        jwk.extend(p.map(|p| ("p".to_owned(), p)));
        jwk.insert("n".to_owned(), "AQAB".into());
        assert_eq!(read(Alg::Rs256, &jwk), Err(format!("is not a usable RS256 key: {SHORT_MODULUS}")));
    }
}
