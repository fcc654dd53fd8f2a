//! Verification from the header line to the user, with keys made for the occasion.

mod attacks;
mod claims;
mod definitions;
mod vectors;

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD as BASE64URL};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::identity::definition::{self, Kind};
use crate::identity::keys::Key;
use crate::identity::{Peer, Peers};
use crate::secrets::Secret;

/// 2026-05-04T18:40:00Z.
const NOW: i64 = 1_777_920_000;

/// Who signs.
struct Signers {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

static OURS: LazyLock<Signers> = LazyLock::new(Signers::make);
static THEIRS: LazyLock<Signers> = LazyLock::new(Signers::make);

impl Signers {
    fn make() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key"),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("an EC key"),
            ed: Ed25519KeyPair::generate().expect("an Ed25519 key"),
        }
    }

    fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |padding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(padding, &random, message, &mut signature).expect("signed");
            signature
        };
        match alg {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "PS256" => rsa(&RSA_PSS_SHA256),
            "ES256" => self.ec.sign(&random, message).expect("signed").as_ref().to_vec(),
            _ => self.ed.sign(message).as_ref().to_vec(),
        }
    }

    /// Modulus and exponent out of `RSAPublicKey` (RFC 8017, A.1.1), at their places for 2048 bits.
    fn modulus(&self) -> &[u8] {
        &self.rsa.public_key().as_ref()[9..265]
    }

    fn rsa_jwk(&self) -> Value {
        json!({ "kty": "RSA", "kid": "rsa", "n": BASE64URL.encode(self.modulus()), "e": "AQAB" })
    }

    fn ec_jwk(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        let (x, y) = (BASE64URL.encode(&point[1..33]), BASE64URL.encode(&point[33..]));
        json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": x, "y": y })
    }

    fn ed_jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": BASE64URL.encode(self.ed.public_key().as_ref()) })
    }

    fn jwks(&self) -> Vec<Value> {
        vec![self.rsa_jwk(), self.ec_jwk(), self.ed_jwk()]
    }

    fn rsa_der(&self) -> Vec<u8> {
        self.rsa.public_key().as_der().expect("DER").as_ref().to_vec()
    }
}

fn kid(alg: &str) -> &'static str {
    match alg {
        "ES256" => "ec",
        "EdDSA" => "ed",
        _ => "rsa",
    }
}

/// A verifier on keys of its own, and the clock that it reads.
struct Bench {
    verifier: Verifier,
    clock: Arc<ManualClock>,
}

impl Bench {
    /// For tokens of `alg` with a definition like that of an operator; `more` is laid over it.
    fn new(alg: &str, more: Value) -> Self {
        Self::with_keys(alg, more, OURS.jwks().iter().filter_map(Key::of_jwk).collect())
    }

    fn with_keys(alg: &str, more: Value, keys: Vec<Key>) -> Self {
        let mut own = json!({
            "kind": "jwt",
            "jwt": {
                "header": "Authorization", "algorithms": [alg], "issuer": "https://issuer.example/", "audience": "chat",
            },
            "claims": {
                "name": ["name", "preferred_username"], "email": "email", "email_verified": "email_verified",
                "avatar": "picture", "groups": ["groups", "/realm_access/roles"],
            },
            "keys": if alg.starts_with("HS") { json!({ "secret_file": "x" }) } else { json!({ "file": "x" }) },
        });
        for (table, over) in more.as_object().expect("a table") {
            for (key, value) in over.as_object().expect("a table") {
                own[table][key] = value.clone();
            }
        }
        let definition = definition::compile("own", Some(&own)).unwrap_or_else(|errors| panic!("{errors:?}"));
        let Kind::Token(token) = definition.kind else { panic!("not a token") };
        let rules = token.0;
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOW)));
        let validity = Validity { clock: Arc::<ManualClock>::clone(&clock), leeway: Duration::from_secs(30) };
        let verifier = Verifier::new(rules, Arc::new(KeySet::of(Keys::new(keys))), validity);
        Self { verifier, clock }
    }

    fn read_headers(&self, headers: &HeaderMap) -> Result<Arc<Profile>, Refusal> {
        let peers = Peers::default();
        let connection = peers.assess(Peer::tcp("192.0.2.1".parse().expect("an address")), &[]);
        let evidence = Evidence { connection, method: &Method::GET, target: "/", headers, body: None, relayed: None };
        self.verifier.read(&evidence, || Err(Refusal::PeerUntrusted))
    }

    fn read_line(&self, line: &str) -> Result<Arc<Profile>, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(self.verifier.header().clone(), line.parse().expect("a value"));
        self.read_headers(&headers)
    }

    fn read(&self, token: &str) -> Result<Arc<Profile>, Refusal> {
        self.read_line(&format!("Bearer {token}"))
    }

    fn refuses(&self, token: &str) -> Option<Refusal> {
        self.read(token).err()
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// Claims that are good now.
fn good() -> Value {
    json!({ "iss": "https://issuer.example/", "aud": "chat", "sub": "alice", "iat": NOW - 10, "exp": NOW + 300 })
}

/// The good claims with others over them; `null` takes one away.
fn but(over: Value) -> Value {
    let mut claims = good();
    for (name, value) in over.as_object().expect("claims") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("claims").shift_remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn part(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL.encode(bytes)
}

/// A token of header and payload as they are.
fn signed(by: &Signers, alg: &str, header: &str, payload: &str) -> String {
    let message = format!("{}.{}", part(header), part(payload));
    let signature = by.sign(alg, message.as_bytes());
    format!("{message}.{}", part(signature))
}

/// A token of ours.
fn token(alg: &str, claims: &Value) -> String {
    let header = json!({ "alg": alg, "kid": kid(alg), "typ": "JWT" });
    signed(&OURS, alg, &header.to_string(), &claims.to_string())
}

#[test]
fn every_kind_of_key_verifies_and_only_its_own_tokens() {
    for alg in ["RS256", "PS256", "ES256", "EdDSA"] {
        let bench = Bench::new(alg, json!({}));
        let profile = bench.read(&token(alg, &good())).expect(alg);
        assert_eq!(profile.subject, "alice");
        assert_eq!(profile.issuer.as_deref(), Some("https://issuer.example/"));
        let header = json!({ "alg": alg, "kid": kid(alg) }).to_string();
        let forged = signed(&THEIRS, alg, &header, &good().to_string());
        assert_eq!(bench.refuses(&forged), Some(Refusal::Signature), "{alg}");
    }
}

#[test]
fn a_secret_verifies_alone() {
    let secret = Secret::new(b"a secret of more than thirty-two bytes".to_vec());
    let keys = || vec![Key::of_secret(&secret).expect("long enough")];
    let bench = Bench::with_keys("HS256", json!({}), keys());
    let sign = |header: &str| {
        let message = format!("{}.{}", part(header), part(good().to_string()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.expose());
        format!("{message}.{}", part(aws_lc_rs::hmac::sign(&key, message.as_bytes())))
    };
    assert_eq!(bench.read(&sign(r#"{"alg":"HS256"}"#)).expect("a user").subject, "alice");
    assert_eq!(bench.read(&sign(r#"{"alg":"HS256","kid":"any"}"#)).expect("a user").subject, "alice");
    assert_eq!(bench.refuses(&sign(r#"{"alg":"HS512"}"#)), Some(Refusal::TokenAlgorithm));
    assert_eq!(bench.refuses(&token("RS256", &good())), Some(Refusal::TokenAlgorithm));
    assert!(Key::of_secret(&Secret::new(vec![b'x'; 31])).is_none());
}

#[test]
fn the_scheme_is_told_from_others() {
    let bench = Bench::new("ES256", json!({}));
    let token = token("ES256", &good());
    for line in [format!("bearer {token}"), format!("BEARER   {token}")] {
        assert!(bench.read_line(&line).is_ok());
    }
    for line in ["", " ", "Basic YWxpY2U6cHc=", "Bearer", "Bearer ", &token, &format!("Bearerx {token}")] {
        assert_eq!(bench.read_line(line).err(), Some(Refusal::Absent), "{line}");
    }
    for line in ["Bearer undefined", &format!("Bearer {token} x"), &format!("Bearer {token}, Bearer {token}")] {
        assert_eq!(bench.read_line(line).err(), Some(Refusal::TokenMalformed), "{line}");
    }
    assert_eq!(bench.read_headers(&HeaderMap::new()).err(), Some(Refusal::Absent));
    let mut twice = HeaderMap::new();
    twice.append("authorization", format!("Bearer {token}").parse().expect("a value"));
    twice.append("authorization", format!("Bearer {token}").parse().expect("a value"));
    assert_eq!(bench.read_headers(&twice).err(), Some(Refusal::Duplicate));
    let bare = Bench::new("ES256", json!({ "jwt": { "header": "X-Assertion" } }));
    assert!(bare.read_line(&token).is_ok());
    assert_eq!(bare.read_line(&format!("Bearer {token}")).err(), Some(Refusal::TokenMalformed));
}

#[test]
fn a_peer_can_be_asked_for_as_well() {
    let bench = Bench::new("ES256", json!({ "jwt": { "require_peer": true } }));
    assert_eq!(bench.refuses(&token("ES256", &good())), Some(Refusal::PeerUntrusted));
    assert_eq!(bench.read_headers(&HeaderMap::new()).err(), Some(Refusal::Absent));
}

/// T-29, T-37: what was verified once is served again, but never past its time.
#[test]
fn a_token_is_remembered_until_it_ends() {
    let bench = Bench::new("ES256", json!({}));
    let token = token("ES256", &good());
    let first = bench.read(&token).expect("a user");
    assert!(Arc::ptr_eq(&first, &bench.read(&token).expect("a user")), "verified twice");
    bench.advance(329);
    assert!(Arc::ptr_eq(&first, &bench.read(&token).expect("a user")));
    bench.advance(1);
    assert_eq!(bench.refuses(&token), Some(Refusal::Expired));
}
