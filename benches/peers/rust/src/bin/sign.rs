//! The raw cost of one signature with aws-lc-rs, the key parsed once: microseconds of thread CPU, as JSON.

use std::hint::black_box;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use sidemint_peers::{Outcome, costs::microseconds};

fn main() -> Outcome {
    let message = [b'x'; 333];
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let ed25519 = Ed25519KeyPair::generate()?;
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let random = SystemRandom::new();
    let mut signature = [0; 256];
    let costs = serde_json::json!({
        "HS256": microseconds(|| { black_box(hmac::sign(&secret, black_box(&message))); }),
        "EdDSA": microseconds(|| { black_box(ed25519.sign(black_box(&message))); }),
        "RS256": microseconds(|| {
            let _ = black_box(rsa.sign(&RSA_PKCS1_SHA256, &random, black_box(&message), &mut signature));
        }),
    });
    println!("{costs}");
    Ok(())
}
