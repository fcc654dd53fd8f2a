//! A key of tokens with everything that does not change from one token to the next.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value, json};

use super::needs::SignerRule;
use crate::provider::keys::{self, SigningKey};
use crate::provider::template::{Profile, Variables};
use crate::provider::user::UserId;
use crate::secrets::Secret;

/// A key with its id and the finished first part of every token that it signs.
#[derive(Debug)]
pub(in crate::provider) struct Signer {
    pub(in crate::provider) key: SigningKey,
    pub(in crate::provider) kid: Option<String>,
    /// What people call it: the key id, else the name of its file or what is public of it.
    pub(in crate::provider) id: String,
    /// Base64url of the JOSE header, and the dot behind it.
    pub(in crate::provider) header: String,
}

impl Signer {
    /// The public key as a JWK; `None` for a shared secret, and where tokens name no key.
    pub(in crate::provider) fn jwk(&self) -> Option<Value> {
        self.key.jwk(self.kid.as_deref()?)
    }

    /// The JOSE header, to be looked at.
    pub(in crate::provider) fn jose_header(&self) -> Value {
        let text = BASE64URL.decode(self.header.trim_end_matches('.')).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// A JWT with `claims`, which are JSON text.
    pub(in crate::provider) fn sign(&self, claims: &[u8]) -> Result<String, keys::KeyError> {
        // Header, claims and the longest usual signature (RSA 4096: 683 characters) without growing for smaller ones.
        let mut token = String::with_capacity(self.header.len() + claims.len() * 4 / 3 + 100);
        token.push_str(&self.header);
        BASE64URL.encode_string(claims, &mut token);
        let signature = self.key.sign(token.as_bytes())?;
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    }
}

/// Reads a key. In a folder, `file` is what its file is called, and becomes the key id.
pub(super) fn signer(
    rule: &SignerRule,
    secret: &Secret,
    parts: &[String],
    file: Option<&str>,
) -> Result<Signer, String> {
    let key = SigningKey::read_as(rule.alg, secret, &rule.form).map_err(|error| error.to_string())?;
    let (no_user, nothing) = (UserId::default(), Profile::default());
    let variables = Variables { parts, ..Variables::of(&no_user, &nothing) };
    let unusable = |_missing| "lacks something that the header of its tokens says".to_owned();
    let fixed = match &rule.kid {
        Some(template) => template.render(&variables).map_err(unusable)?,
        None => None,
    };
    if file.is_some() && fixed.is_some() {
        return Err("is a folder, whose keys are named by their files; remove the fixed key id".to_owned());
    }
    let kid = match file {
        Some(name) => (rule.kid.is_some() || rule.named).then(|| name.to_owned()),
        None => fixed.or_else(|| key.thumbprint().filter(|_| rule.named)),
    };
    let mut header = Map::new();
    header.insert("alg".to_owned(), json!(rule.label.as_deref().unwrap_or_else(|| rule.alg.name())));
    header.insert("typ".to_owned(), json!("JWT"));
    if let Some(kid) = &kid {
        header.insert("kid".to_owned(), json!(kid));
    }
    if let Value::Object(members) = rule.header.value(&variables).map_err(unusable)? {
        header.extend(members);
        // An empty text leaves a member out that is there otherwise.
        header.retain(|_name, value| value.as_str() != Some(""));
    }
    let mut text = BASE64URL.encode(Value::Object(header).to_string());
    text.push('.');
    // A shared secret gets no name that was made of it.
    let id = file.map(str::to_owned).or_else(|| kid.clone()).or_else(|| key.thumbprint());
    Ok(Signer { key, kid, id: id.unwrap_or_else(|| "unnamed".to_owned()), header: text })
}
