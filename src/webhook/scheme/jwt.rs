//! A JWT whose signature covers a hash of the body.
//!
//! It is read by hand: what counts is one algorithm that the definition names, keys that are shared secrets, and times
//! that are held against the clock that the caller gives.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use http::HeaderName;
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::provider::{Encode, Hash};
use crate::webhook::refusal::Reason;

/// What is asked of a JWT.
#[derive(Clone, Debug)]
pub(super) struct JwtRule {
    pub(super) header: HeaderName,
    /// Name of the algorithm, and its hash.
    pub(super) alg: (&'static str, Hash),
    /// Seconds that clocks may lie apart.
    pub(super) leeway: i64,
    /// The claim with the hash of the body, and how it is written.
    pub(super) claim: String,
    pub(super) encode: Encode,
}

/// A JWT whose times are good, and whose signature is still to be proven.
pub(super) struct UnverifiedJwt {
    /// The text that is signed.
    pub(super) signed: String,
    pub(super) signature: Vec<u8>,
    pub(super) key_id: String,
    /// The hash of the body as it is written, where the claim is there.
    hash: Option<String>,
}

impl JwtRule {
    /// Reads what the header holds: a token, alone.
    pub(super) fn read(&self, token: &str, now: Timestamp) -> Result<UnverifiedJwt, Reason> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Reason::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Reason::Malformed)?;
        let header = object(header)?;
        // W-08: algorithm of the definition
        if header.get("alg").and_then(Value::as_str) != Some(self.alg.0) {
            return Err(Reason::BadAlgorithm);
        }
        // What the sender calls critical must be understood (RFC 7515, 4.1.11), and nothing is.
        if header.contains_key("crit") {
            return Err(Reason::Malformed);
        }
        let signature = BASE64URL.decode(signature).map_err(|_| Reason::BadSignature)?;
        let claims = object(claims)?;
        self.check_times(&claims, now)?;
        let key_id = claims.get("iss").and_then(Value::as_str).ok_or(Reason::UnknownKey)?.to_owned();
        let hash = claims.get(&self.claim).and_then(Value::as_str).filter(|hash| !hash.is_empty()).map(str::to_owned);
        Ok(UnverifiedJwt { signed: signed.to_owned(), signature, key_id, hash })
    }

    fn check_times(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), Reason> {
        let seconds = |name: &str| claims.get(name).map(|value| whole(value).ok_or(Reason::Malformed)).transpose();
        let now = now.as_seconds();
        let end = seconds("exp")?.ok_or(Reason::ExpMissing)?; // W-08: exp required
        if now >= end.saturating_add(self.leeway) {
            return Err(Reason::Expired); // W-07: expired token
        }
        if seconds("nbf")?.is_some_and(|begin| begin > now.saturating_add(self.leeway)) {
            return Err(Reason::NotYetValid); // W-07: token of the future
        }
        Ok(())
    }

    /// Holds the proven hash against that of the body.
    pub(super) fn check_hash(&self, jwt: &UnverifiedJwt, body: &[u8]) -> Result<(), Reason> {
        let written = jwt.hash.as_ref().ok_or(Reason::HashMissing)?; // W-08: participant token
        check_hash(self.encode, written, body)
    }
}

/// Whether `written` is the SHA-256 of `body`, in its one form.
pub(super) fn check_hash(encode: Encode, written: &str, body: &[u8]) -> Result<(), Reason> {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    let expected = encode.encode(hash.as_ref());
    // W-02: hash of the body
    verify_slices_are_equal(expected.as_bytes(), written.as_bytes()).map_err(|_| Reason::HashMismatch)
}

fn object(part: &str) -> Result<Map<String, Value>, Reason> {
    let bytes = BASE64URL.decode(part).map_err(|_| Reason::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Reason::Malformed)
}

/// A time as a number (RFC 7519, `NumericDate`), rounded down.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.abs() < 1e15)?;
        format!("{:.0}", number.floor()).parse().ok()
    })
}
