//! An issuer of signed tokens: writes `$COUNT` different ones of each algorithm for a thousand users, and the keys, below
//! `$FOLDER`, and prints the raw cost of verifying one with aws-lc-rs, the key parsed once: microseconds of thread CPU, as JSON.

use std::{hint::black_box, path::PathBuf, time::SystemTime};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde_json::{Value, json};
use sidemint_peers::{Outcome, costs::microseconds, setting};

/// Signs `count` tokens, a line each.
fn tokens(alg: &str, count: usize, sign: impl Fn(&[u8]) -> Vec<u8>) -> Outcome<Vec<String>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let header = BASE64URL.encode(json!({ "alg": alg, "kid": alg, "typ": "JWT" }).to_string());
    let token = |n: usize| {
        let user = n % 1000;
        let claims = json!({
            "iss": "https://issuer.example/", "aud": "chat", "sub": format!("user_{user:06}"), "iat": now, "nbf": now,
            "exp": now + 86_400, "jti": n, "name": format!("User Number {user}"), "email": format!("user{user}@acme.example"),
            "groups": ["staff", "everybody"],
        });
        let message = format!("{header}.{}", BASE64URL.encode(claims.to_string()));
        let signature = BASE64URL.encode(sign(message.as_bytes()));
        format!("{message}.{signature}")
    };
    Ok((0..count).map(token).collect())
}

fn cost(key: &ParsedPublicKey, token: &str) -> Outcome<f64> {
    let (message, signature) = token.rsplit_once('.').ok_or("a token")?;
    let signature = BASE64URL.decode(signature)?;
    key.verify_sig(message.as_bytes(), &signature).map_err(|_| "our own token does not hold")?;
    Ok(microseconds(|| {
        let _ = black_box(key.verify_sig(black_box(message.as_bytes()), black_box(&signature)));
    }))
}

fn main() -> Outcome {
    let folder: PathBuf = setting("FOLDER", PathBuf::from("."));
    let count = setting("COUNT", 1000);
    let random = SystemRandom::new();
    let ed25519 = Ed25519KeyPair::generate()?;
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let of = |bytes: &[u8]| BASE64URL.encode(bytes);
    let point = ec.public_key().as_ref();
    // Modulus of 2048 bits in `RSAPublicKey` (RFC 8017, A.1.1).
    let modulus = &rsa.public_key().as_ref()[9..265];
    let keys = json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "x": of(ed25519.public_key().as_ref()) },
        { "kty": "EC", "crv": "P-256", "kid": "ES256", "x": of(&point[1..33]), "y": of(&point[33..]) },
        { "kty": "RSA", "kid": "RS256", "n": of(modulus), "e": "AQAB" },
    ] });
    std::fs::write(folder.join("jwks.json"), keys.to_string())?;
    let mut costs = serde_json::Map::new();
    let mut write = |alg: &str, key: ParsedPublicKey, sign: &dyn Fn(&[u8]) -> Vec<u8>| -> Outcome {
        let tokens = tokens(alg, count, sign)?;
        costs.insert(alg.to_owned(), Value::from(cost(&key, &tokens[0])?));
        Ok(std::fs::write(folder.join(format!("{alg}.txt")), tokens.join("\n"))?)
    };
    write("EdDSA", ParsedPublicKey::new(&ED25519, ed25519.public_key())?, &|message| {
        ed25519.sign(message).as_ref().to_vec()
    })?;
    write("ES256", ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, ec.public_key())?, &|message| {
        ec.sign(&random, message).map(|signature| signature.as_ref().to_vec()).unwrap_or_default()
    })?;
    write("RS256", ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa.public_key())?, &|message| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        let _ = rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
        signature
    })?;
    println!("{}", Value::Object(costs));
    Ok(())
}
