//! Signing keys: read once, published as JWK.

use std::collections::BTreeMap;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::KeyPair as _;
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value, json};

use super::generate::pem;
use super::material::{Decode, Form};
use super::nkey::{self, Nkey};
use super::parsed::Parsed;
use super::{Alg, KeyError, private};
use crate::secrets::Secret;

/// A key that signs.
pub struct SigningKey {
    alg: Alg,
    parsed: Parsed,
    /// Public members; `None` for a symmetric key.
    public: Option<Map<String, Value>>,
    /// Public key in the notation of NATS, where the private one came in it.
    nkey: Option<String>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("alg", &self.alg).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a key for `alg`, all of `secret`: a private key in any usual form, the bytes themselves for HMAC.
    pub fn read(alg: Alg, secret: &Secret) -> Result<Self, KeyError> {
        Self::read_as(alg, secret, &Form::default())
    }

    /// Reads a key for `alg` from the part of `secret` and in the notation that `form` says. An HMAC secret is as long
    /// as the hash (RFC 7518, 3.2), unless `form` knows of a provider that gives shorter ones.
    pub(in crate::provider) fn read_as(alg: Alg, secret: &Secret, form: &Form) -> Result<Self, KeyError> {
        let Some(hash) = hash(alg) else {
            let part = form.cut.cut(secret)?;
            let parsed = private::read(alg, &part, form.decode)?;
            let nkey = match (&parsed, form.decode) {
                (Parsed::Ed25519(pair), Decode::Nkey) => {
                    Some(nkey::public(Nkey::read(&part)?.kind, pair.public_key().as_ref()))
                }
                _ => None,
            };
            let public = public_members(&parsed);
            if !public.as_ref().is_some_and(|public| parsed.agrees(alg, public)) {
                return Err(KeyError::new("does not verify what it signs"));
            }
            return Ok(Self { alg, parsed, public, nkey });
        };
        let bytes = form.shared_secret(secret, alg.name(), alg.hash_bytes())?;
        let parsed = Parsed::Hmac(hmac::Key::new(hash, bytes.expose()));
        Ok(Self { alg, parsed, public: None, nkey: None })
    }

    /// The algorithm.
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// RFC 7638 thumbprint of the public key; `None` for a symmetric key, whose id would help to guess it.
    pub fn thumbprint(&self) -> Option<String> {
        let public = self.public.as_ref()?;
        // The required members in lexicographic order, as RFC 7638 section 3.2 lists them.
        let required: BTreeMap<_, _> = public.iter().collect();
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

    /// The public key as PEM (`SubjectPublicKeyInfo`, RFC 5280); `None` for a symmetric key.
    pub fn public_pem(&self) -> Option<String> {
        let der: PublicKeyX509Der<'_> = match &self.parsed {
            Parsed::Ed25519(pair) => pair.public_key().as_der().ok()?,
            Parsed::Ec(pair) => pair.public_key().as_der().ok()?,
            Parsed::Rsa(pair) => pair.public_key().as_der().ok()?,
            Parsed::Hmac(_) => return None,
        };
        Some(pem("PUBLIC KEY", der.as_ref()))
    }

    /// The public key as NATS writes it (`A…`, `U…`, `O…`), where the private one came as a NATS seed.
    pub fn nkey(&self) -> Option<&str> {
        self.nkey.as_deref()
    }

    /// Signs the first two parts of a token and returns the third.
    pub fn sign(&self, message: &[u8]) -> Result<String, KeyError> {
        self.parsed.sign(self.alg, message)
    }
}

fn hash(alg: Alg) -> Option<hmac::Algorithm> {
    match alg {
        Alg::Hs256 => Some(hmac::HMAC_SHA256),
        Alg::Hs384 => Some(hmac::HMAC_SHA384),
        Alg::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn public_members(parsed: &Parsed) -> Option<Map<String, Value>> {
    let text = |bytes: &[u8]| BASE64URL.encode(bytes);
    let members = match parsed {
        Parsed::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())}),
        Parsed::Ec(pair) => {
            // An uncompressed point: 4, x, y (SEC 1, 2.3.3).
            let (_, point) = pair.public_key().as_ref().split_first()?;
            let (x, y) = point.split_at_checked(point.len() / 2)?;
            let curve = if x.len() == 48 { "P-384" } else { "P-256" };
            json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)})
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::EcPrivateKeyRfc5915Der;
    use aws_lc_rs::signature::EcdsaKeyPair;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use jsonwebtoken::{Algorithm, DecodingKey};

    use super::super::generate;
    use super::super::material::Cut;
    use super::*;
    use strum::VariantArray as _;

    /// RFC 8037, appendix A.1.
    const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    fn secret(text: impl AsRef<[u8]>) -> Secret {
        Secret::new(text.as_ref().to_vec())
    }

    fn form(decode: Decode) -> Form {
        Form { decode, ..Form::default() }
    }

    fn made(alg: Alg) -> Secret {
        generate(alg).expect("a key")
    }

    fn text(secret: &Secret) -> String {
        secret.expose_text().expect("text").to_owned()
    }

    fn der(pem: &Secret) -> Vec<u8> {
        let body: String = text(pem).lines().filter(|line| !line.starts_with('-')).collect();
        BASE64.decode(body).expect("base64")
    }

    fn wrong(outcome: Result<SigningKey, KeyError>) -> String {
        outcome.expect_err("refused").to_string()
    }

    #[test]
    fn made_keys_sign_what_their_public_half_verifies() {
        for &alg in Alg::VARIANTS {
            let made = made(alg);
            let key = SigningKey::read(alg, &made).expect("readable");
            let signature = key.sign(b"message").expect("a signature");
            let public = match key.jwk("k") {
                Some(jwk) => DecodingKey::from_jwk(&serde_json::from_value(jwk).expect("a JWK")).expect("a key"),
                None => DecodingKey::from_secret(made.expose()),
            };
            let jose: Algorithm = alg.name().parse().expect("known to jsonwebtoken");
            let verify = |message| jsonwebtoken::crypto::verify(&signature, message, &public, jose);
            assert_eq!((verify(b"message").ok(), verify(b"massage").ok()), (Some(true), Some(false)), "{alg:?}");
            assert_eq!(key.jwk("k").is_some(), !alg.is_hmac());
            assert_eq!(key.public_pem().is_some(), !alg.is_hmac());
            assert_eq!((key.thumbprint().is_some(), key.nkey()), (!alg.is_hmac(), None));
        }
    }

    #[test]
    fn a_public_key_that_belongs_to_another_does_not_agree() {
        for &alg in Alg::VARIANTS.iter().filter(|alg| !alg.is_hmac()) {
            let [own, other] = [(), ()].map(|()| SigningKey::read(alg, &made(alg)).expect("readable"));
            let agrees = |public: &SigningKey| own.parsed.agrees(alg, public.public.as_ref().expect("public"));
            assert_eq!((agrees(&own), agrees(&other)), (true, false), "{alg:?}");
        }
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let rsa = |alg: Alg| alg.name().starts_with("RS");
        for &made_for in Alg::VARIANTS {
            let made = made(made_for);
            for alg in Alg::VARIANTS.iter().copied().filter(|alg| *alg != made_for) {
                // A shared secret that is long enough, and an RSA key, serve any of their algorithms.
                let fits = rsa(alg) && rsa(made_for) || alg.is_hmac() && made_for.is_hmac();
                assert_eq!(SigningKey::read(alg, &made).is_ok(), fits, "{made_for:?} as {alg:?}");
            }
        }
    }

    #[test]
    fn ed25519_is_that_of_rfc_8037() {
        // Appendix A.3 and A.4.
        for decode in [Decode::Text, Decode::Jwk] {
            let key = SigningKey::read_as(Alg::EdDsa, &secret(ED25519), &form(decode)).expect("readable");
            assert_eq!(key.thumbprint().as_deref(), Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
            assert_eq!(
                key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc").as_deref(),
                Ok("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
            );
        }
    }

    #[test]
    fn hs256_is_that_of_rfc_7515() {
        // Appendix A.1.
        let jwk = r#"{"kty":"oct",
            "k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
        let key = SigningKey::read_as(Alg::Hs256, &secret(jwk), &form(Decode::Jwk)).expect("readable");
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        assert_eq!(key.sign(message.as_bytes()).as_deref(), Ok("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    }

    #[test]
    fn the_longer_hashes_are_those_of_rfc_4231() {
        // Section 4.2: test case 1.
        for (alg, signature) in [
            (
                Alg::Hs384,
                "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
            ),
            (
                Alg::Hs512,
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4\
                 be9d914eeb61f1702e696c203a126854",
            ),
        ] {
            let short = Form { min_bytes: Some(20), ..Form::default() };
            let key = SigningKey::read_as(alg, &secret([0x0b; 20]), &short).expect("readable");
            let bytes = BASE64URL.decode(key.sign(b"Hi There").expect("a signature")).expect("base64url");
            assert_eq!(data_encoding::HEXLOWER.encode(&bytes), signature);
        }
    }

    #[test]
    fn shared_secrets_are_as_long_as_the_hash_unless_told() {
        for (alg, bytes) in [(Alg::Hs256, 32), (Alg::Hs384, 48), (Alg::Hs512, 64)] {
            assert!(SigningKey::read(alg, &secret(vec![b'a'; bytes])).is_ok());
            assert_eq!(
                wrong(SigningKey::read(alg, &secret(vec![b'a'; bytes - 1]))),
                format!("has {} bytes; {} needs at least {bytes}", bytes - 1, alg.name())
            );
            let short = Form { min_bytes: Some(8), ..Form::default() };
            assert!(SigningKey::read_as(alg, &secret("12345678"), &short).is_ok());
            assert!(SigningKey::read_as(alg, &secret("1234567"), &short).is_err());
        }
    }

    #[test]
    fn private_keys_are_told_apart_by_themselves() {
        for alg in Alg::VARIANTS.iter().copied().filter(|alg| !alg.is_hmac()) {
            let pem = made(alg);
            let thumbprint = SigningKey::read(alg, &pem).expect("readable").thumbprint();
            let lines = text(&pem);
            for (what, form, secret) in [
                ("escaped", form(Decode::Text), secret(lines.replace('\n', "\\n"))),
                ("escaped twice over", form(Decode::Text), secret(lines.replace('\n', "\\r\\n"))),
                ("base64 of it", form(Decode::Text), secret(BASE64.encode(&lines))),
                ("base64 of it, said so", form(Decode::Base64), secret(BASE64.encode(&lines))),
                (
                    "behind parameters",
                    form(Decode::Text),
                    secret(format!(
                        "curve\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{lines}"
                    )),
                ),
                (
                    "behind a certificate",
                    form(Decode::Text),
                    secret(format!(
                        "-----BEGIN CERTIFICATE-----\nBggqhkjOPQMBBw==\n-----END CERTIFICATE-----\n{lines}"
                    )),
                ),
                ("DER", form(Decode::Text), secret(der(&pem))),
                ("DER in base64", form(Decode::Text), secret(BASE64.encode(der(&pem)))),
                ("DER in hexadecimal", form(Decode::Hex), secret(data_encoding::HEXLOWER.encode(&der(&pem)))),
                (
                    "a member of a JSON document",
                    Form { cut: Cut::Json("/private_key".to_owned()), ..Form::default() },
                    secret(json!({"private_key": lines}).to_string()),
                ),
            ] {
                let key = SigningKey::read_as(alg, &secret, &form);
                assert_eq!(key.map(|key| key.thumbprint()), Ok(thumbprint.clone()), "{what} for {alg:?}");
            }
        }
    }

    #[test]
    fn older_containers_are_read() {
        let wrap = |label: &str, der: &[u8]| {
            secret(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der)))
        };
        for (alg, curve) in [
            (Alg::Es256, &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            (Alg::Es384, &aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        ] {
            let pem = made(alg);
            let pair = EcdsaKeyPair::from_pkcs8(curve, &der(&pem)).expect("a key");
            let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().expect("SEC 1");
            for old in [wrap("EC PRIVATE KEY", sec1.as_ref()), secret(sec1.as_ref())] {
                let thumbprint = |secret| SigningKey::read(alg, secret).expect("readable").thumbprint();
                assert_eq!(thumbprint(&old), thumbprint(&pem));
            }
        }
        // PKCS#8 is 26 bytes around PKCS#1 (RFC 5958; the lengths of an RSA key of 2048 bits take two bytes each).
        let pem = made(Alg::Rs256);
        let pkcs1 = &der(&pem)[26..];
        for old in [wrap("RSA PRIVATE KEY", pkcs1), secret(pkcs1)] {
            let thumbprint = |secret| SigningKey::read(Alg::Rs512, secret).expect("readable").thumbprint();
            assert_eq!(thumbprint(&old), thumbprint(&pem));
        }
    }

    #[test]
    fn ed25519_seeds_are_read() {
        let expected = SigningKey::read(Alg::EdDsa, &secret(ED25519)).expect("readable").thumbprint();
        let seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
        let key = SigningKey::read_as(Alg::EdDsa, &secret(seed), &form(Decode::Base64Url)).expect("readable");
        assert_eq!((key.thumbprint(), key.nkey()), (expected, None));
        let short = SigningKey::read_as(
            Alg::EdDsa,
            &secret("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyu"),
            &form(Decode::Base64Url),
        );
        assert_eq!(wrong(short), "is not a PEM private key, which EdDSA needs");
    }

    #[test]
    fn nats_seeds_are_read_and_their_public_half_is_told() {
        // The pair of NATS' own documentation on user keys.
        let seed = secret("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n");
        let key = SigningKey::read_as(Alg::EdDsa, &seed, &form(Decode::Nkey)).expect("readable");
        assert_eq!(key.nkey(), Some("UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"));
        assert!(key.thumbprint().is_some());
        let other = SigningKey::read_as(Alg::Es256, &seed, &form(Decode::Nkey));
        assert_eq!(wrong(other), "is not a usable ES256 key: it is a key of another kind");
    }

    #[test]
    fn what_is_no_private_key_is_told_without_a_word_of_it() {
        let section = |label: &str| format!("-----BEGIN {label}-----\nMEAA\n-----END {label}-----\n");
        let public = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        for (alg, text, problem) in [
            (Alg::EdDsa, String::new(), "is not a PEM private key, which EdDSA needs"),
            (Alg::EdDsa, "garbage".to_owned(), "is not a PEM private key, which EdDSA needs"),
            // The digit 0 is the byte that DER begins with, here as text and, as «MC», in base64.
            (Alg::EdDsa, "0f".repeat(32), "is not a PEM private key, which EdDSA needs"),
            (Alg::EdDsa, "MCMC".repeat(12), "is not a PEM private key, which EdDSA needs"),
            (Alg::EdDsa, section("OPENSSH PRIVATE KEY"), "is not a PEM private key, which EdDSA needs"),
            (Alg::EdDsa, section("PRIVATE KEY"), "is not a usable EdDSA key: not Ed25519"),
            (Alg::Es384, section("EC PRIVATE KEY"), "is not a usable ES384 key: not P-384"),
            (Alg::Rs384, section("PRIVATE KEY"), "is not a usable RS384 key: not RSA"),
            (Alg::Rs384, section("EC PRIVATE KEY"), "is not a usable RS384 key: it is a key of another kind"),
            (
                Alg::Es256,
                section("PUBLIC KEY"),
                "is not a usable ES256 key: it holds only a public key; the private key is needed to sign",
            ),
            (
                Alg::Es256,
                section("ENCRYPTED PRIVATE KEY"),
                "is not a usable ES256 key: it is encrypted; write it without a passphrase",
            ),
            (
                Alg::EdDsa,
                public.to_owned(),
                "is not a usable EdDSA key: it holds only a public key; the private key is needed to sign",
            ),
            (Alg::Es256, ED25519.to_owned(), "is not a usable ES256 key: it is a key of another kind"),
            (
                Alg::EdDsa,
                ED25519.replace("11q", "22q"),
                "is not a usable EdDSA key: the members of the JWK do not fit together",
            ),
            (
                Alg::EdDsa,
                ED25519.replace("nWG", "***"),
                "is not a usable EdDSA key: the JWK lacks a member, or one is not base64url",
            ),
            (
                Alg::EdDsa,
                ED25519.replace("\"kty\"", "\"alg\":\"ES256\",\"kty\""),
                "is not a usable EdDSA key: the JWK's own \"alg\" is another",
            ),
            (
                Alg::Rs256,
                "{\"private_key\": \"canary\"}".to_owned(),
                "is not a usable RS256 key: it is JSON, but not a JWK; if one of its members holds the key, say which",
            ),
        ] {
            assert_eq!(wrong(SigningKey::read(alg, &secret(text))), problem);
        }
    }
}
