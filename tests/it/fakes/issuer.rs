//! An issuer of tokens that publishes its keys, can change them, and can be told to misbehave.

use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::http::Script;
use super::provider::Fake;
use crate::harness::NOW;

pub const ISSUER: &str = "https://issuer.example";
pub const KEYS: &str = "/keys";

/// The fake; cheap to clone.
#[derive(Clone)]
pub struct Issuer {
    pub fake: Fake,
    published: Arc<Mutex<Vec<Value>>>,
    /// What is answered instead of the keys.
    broken: Arc<Mutex<Option<Script>>>,
}

/// A key that signs.
pub struct Signer {
    pub kid: String,
    pair: Ed25519KeyPair,
}

impl Signer {
    pub fn new(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: Ed25519KeyPair::generate().unwrap() }
    }

    pub fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "alg": "EdDSA", "use": "sig", "x": x})
    }

    /// The same in PEM (RFC 8410, 4).
    pub fn pem(&self) -> String {
        // An algorithm of Ed25519, and a bit string of 32 bytes.
        let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let der = STANDARD.encode([&head[..], self.pair.public_key().as_ref()].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    }

    /// A token of this user that names this key.
    pub fn token(&self, user: &str) -> String {
        self.token_naming(&self.kid, user)
    }

    /// The same with another key id in it.
    pub fn token_naming(&self, kid: &str, user: &str) -> String {
        let now = NOW.as_seconds();
        // Good for a week: tests move time about.
        let claims = json!({"iss": ISSUER, "aud": "chat", "sub": user, "iat": now, "exp": now + 7 * 86_400});
        let header = json!({"alg": "EdDSA", "kid": kid});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

impl Issuer {
    /// An issuer that publishes these keys.
    pub async fn start(signers: &[&Signer]) -> Self {
        let published: Arc<Mutex<Vec<Value>>> = Arc::default();
        let broken: Arc<Mutex<Option<Script>>> = Arc::default();
        let (keys, script) = (Arc::clone(&published), Arc::clone(&broken));
        let fake = Fake::start(move |call| {
            if call.method != "GET" || call.path != KEYS || !call.body.is_empty() {
                return Script::text(404, "text/plain", "nothing here");
            }
            let script = script.lock().unwrap().clone();
            script.unwrap_or_else(|| Script::json(200, &json!({"keys": *keys.lock().unwrap()})))
        })
        .await;
        let issuer = Self { fake, published, broken };
        issuer.publish(signers);
        issuer
    }

    /// Publishes these keys from now on.
    pub fn publish(&self, signers: &[&Signer]) {
        *self.published.lock().unwrap() = signers.iter().map(|signer| signer.jwk()).collect();
    }

    /// Answers so from now on; `None` heals it.
    pub fn breaks(&self, script: Option<Script>) {
        *self.broken.lock().unwrap() = script;
    }

    /// Looks at the keys so far.
    pub fn looks(&self) -> usize {
        self.fake.asked().iter().filter(|call| *call == "GET /keys").count()
    }

    /// The table of a source with tokens of this issuer; `keys` are the lines of its table `keys`.
    pub fn source(keys: &str) -> String {
        format!(
            "
[identity.sources.corp]
kind = \"jwt\"
[identity.sources.corp.jwt]
header = \"Authorization\"
algorithms = [\"EdDSA\"]
issuer = \"{ISSUER}\"
audience = \"chat\"
[identity.sources.corp.keys]
{keys}
"
        )
    }

    /// The lines that say where the keys are.
    pub fn keys(&self) -> String {
        format!("url = \"{}{KEYS}\"\nnetwork = \"private\"\n", self.fake.base_url())
    }
}
