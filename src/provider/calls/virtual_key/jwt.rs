//! A JWT that an SDK made with a caller's key. One algorithm counts, that of the definition, and times are held against the
//! clock of the caller of this code.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value};

use super::NotShown;
use crate::clock::Timestamp;
use crate::decode::json;

/// Bytes of a token at most.
const MOST_BYTES: usize = 16 * 1024;
/// Levels of its claims.
const LEVELS: u8 = 16;
/// Seconds that the clocks of a caller and ours may lie apart.
const LEEWAY: i64 = 30;
/// Members that change what a signature means.
const REFUSED: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// What is asked of a JWT.
#[derive(Clone, Debug)]
pub(super) struct JwtRule {
    /// Name of the algorithm.
    pub(super) alg: &'static str,
    /// Whether it must say when it expires.
    pub(super) expires: bool,
    /// Claims that tokens for users have.
    pub(super) of_users: Vec<String>,
}

/// A JWT whose times are good, and whose signature is still to be proven.
pub(super) struct UnverifiedJwt {
    /// What is signed.
    pub(super) text: Vec<u8>,
    pub(super) tag: Vec<u8>,
    pub(super) claims: Map<String, Value>,
}

impl JwtRule {
    pub(super) fn read(&self, token: &str, now: Timestamp) -> Result<UnverifiedJwt, NotShown> {
        let malformed = NotShown::KeyMalformed;
        let (text, signature) = token.rsplit_once('.').filter(|_| token.len() <= MOST_BYTES).ok_or(malformed)?;
        let (header, claims) = text.split_once('.').ok_or(malformed)?;
        let header = object(header)?;
        // G-15: algorithm of the definition
        if header.get("alg").and_then(Value::as_str) != Some(self.alg) {
            return Err(NotShown::KeyAlgorithm);
        }
        if REFUSED.iter().any(|name| header.contains_key(*name)) {
            return Err(malformed);
        }
        let claims = object(claims)?;
        // G-15: token for a user
        if self.is_of_user(&claims) {
            return Err(NotShown::KeyOfUser);
        }
        self.check_times(&claims, now.as_seconds())?;
        let tag = BASE64URL.decode(signature).map_err(|_error| malformed)?;
        Ok(UnverifiedJwt { text: text.as_bytes().to_vec(), tag, claims })
    }

    /// Whether it was made for a user: such a token is handed out, and whoever has it is no caller.
    fn is_of_user(&self, claims: &Map<String, Value>) -> bool {
        let has_value = |value: &Value| !value.is_null() && value != "";
        self.of_users.iter().filter_map(|name| claims.get(name)).any(has_value)
    }

    fn check_times(&self, claims: &Map<String, Value>, now: i64) -> Result<(), NotShown> {
        let seconds = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => whole(value).map(Some).ok_or(NotShown::KeyMalformed),
        };
        // G-15: expired token
        match seconds("exp")? {
            Some(end) if now >= end.saturating_add(LEEWAY) => return Err(NotShown::KeyExpired),
            None if self.expires => return Err(NotShown::KeyExpired), // G-15: token without an end
            _ => {}
        }
        if seconds("nbf")?.is_some_and(|begin| begin > now.saturating_add(LEEWAY)) {
            return Err(NotShown::KeyExpired);
        }
        Ok(())
    }
}

fn object(part: &str) -> Result<Map<String, Value>, NotShown> {
    let bytes = BASE64URL.decode(part).map_err(|_error| NotShown::KeyMalformed)?;
    json::object(&bytes, LEVELS).map_err(|_fault| NotShown::KeyMalformed)
}

/// A time as a number (RFC 7519, `NumericDate`), rounded down.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.abs() < 1e15)?;
        format!("{:.0}", number.floor()).parse().ok()
    })
}
