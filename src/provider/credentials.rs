//! Secrets and keys of one provider, published as whole generations.
//!
//! A [`Vault`] reads the sources, checks that what it read is usable (patterns, header bytes, key against algorithm) and
//! only then swaps it in. A bad new value keeps the last good one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use http::{HeaderName, HeaderValue};
use regex_lite::Regex;
use serde_json::{Map, Value, json};

use super::signing::{self, Alg, SigningKey};
use crate::clock::{Clock, Timestamp};
use crate::secrets::{SecretSet, SecretSource};

/// How a call carries a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AuthRule {
    pub(super) header: HeaderName,
    pub(super) secret: String,
    pub(super) bearer: bool,
}

/// How tokens are signed.
#[derive(Clone, Debug)]
pub(super) struct KeyRule {
    pub(super) alg: Alg,
    /// Name of the secret that holds the key.
    pub(super) secret: String,
    /// Key id, where the operator fixed it.
    pub(super) kid: Option<String>,
    /// Whether a key is made where none is given.
    pub(super) generate: bool,
    /// Further header members.
    pub(super) header: Map<String, Value>,
    /// How long a public key stays published after its private half was replaced.
    pub(super) overlap: Duration,
}

/// What the secrets are for.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) sources: BTreeMap<String, SecretSource>,
    pub(super) patterns: BTreeMap<String, Regex>,
    pub(super) auths: Vec<AuthRule>,
    pub(super) key: Option<KeyRule>,
}

/// One generation.
#[derive(Debug)]
pub(super) struct Credentials {
    /// Counts accepted changes, from 1.
    pub(super) generation: u32,
    /// One header value for each [`AuthRule`], in its order.
    pub(super) auths: Vec<(HeaderName, HeaderValue)>,
    /// The key and what belongs to it.
    pub(super) signer: Option<Signer>,
    secrets: SecretSet,
}

/// A key with its id and the finished first part of every token that it signs.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) key: SigningKey,
    pub(super) kid: Option<String>,
    /// Base64url of the JOSE header, and the dot behind it.
    pub(super) header: String,
}

impl Signer {
    fn jwk(&self) -> Option<Value> {
        self.key.jwk(self.kid.as_deref()?)
    }
}

/// The current generation, and the public keys of those before it.
#[derive(Debug)]
pub(super) struct Vault {
    needs: Needs,
    current: ArcSwap<Credentials>,
    retired: Mutex<Vec<(Timestamp, Value)>>,
    clock: Arc<dyn Clock>,
    /// Whether the signing key was made at start.
    generated: bool,
}

/// What is wrong with secrets: name of the setting, problem. Never the content.
pub(super) type Problems = Vec<(String, String)>;

impl Vault {
    /// Reads the first generation.
    pub(super) fn open(mut needs: Needs, clock: Arc<dyn Clock>) -> Result<Self, Problems> {
        let mut generated = false;
        if let Some(rule) = needs.key.as_ref().filter(|rule| !needs.sources.contains_key(&rule.secret)) {
            if !rule.generate || rule.alg == Alg::Hs256 {
                let problem = format!("is missing; {} needs {}_file = \"/path\"", rule.alg.name(), rule.secret);
                return Err(vec![(rule.secret.clone(), problem)]);
            }
            let made = signing::generate(rule.alg).map_err(|error| vec![(rule.secret.clone(), error.to_string())])?;
            needs.sources.insert(rule.secret.clone(), SecretSource::Environment(made));
            generated = true;
        }
        let first = read(&needs, 1)?;
        Ok(Self { needs, current: ArcSwap::from_pointee(first), retired: Mutex::default(), clock, generated })
    }

    /// The generation in service.
    pub(super) fn current(&self) -> arc_swap::Guard<Arc<Credentials>> {
        self.current.load()
    }

    /// Whether the signing key was made at start and will be gone at the next.
    pub(super) fn is_generated(&self) -> bool {
        self.generated
    }

    /// Files to watch.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.needs.sources.values().filter_map(|source| match source {
            SecretSource::File(path) => Some(path.clone()),
            SecretSource::Environment(_) => None,
        })
    }

    /// Reads the sources again. `Ok(true)` when a new generation is in service, `Ok(false)` when nothing changed.
    pub(super) fn reload(&self) -> Result<bool, Problems> {
        let old = self.current.load_full();
        let new = read(&self.needs, old.generation.saturating_add(1))?;
        if new.secrets.same_as(&old.secrets) {
            return Ok(false);
        }
        let overlap = self.needs.key.as_ref().map(|rule| rule.overlap);
        if let (Some(jwk), Some(overlap)) = (old.signer.as_ref().and_then(Signer::jwk), overlap) {
            let now = self.clock.now();
            let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
            retired.retain(|(until, _)| *until > now);
            retired.push((now.plus(overlap), jwk));
        }
        self.current.store(Arc::new(new));
        Ok(true)
    }

    /// Public keys: the one that signs first, then those whose tokens may still live.
    pub(super) fn jwks(&self) -> Vec<Value> {
        let now = self.clock.now();
        let mut keys: Vec<Value> = self.current.load().signer.as_ref().and_then(Signer::jwk).into_iter().collect();
        let retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, jwk) in retired.iter().filter(|(until, _)| *until > now) {
            if !keys.contains(jwk) {
                keys.push(jwk.clone());
            }
        }
        keys
    }
}

fn read(needs: &Needs, generation: u32) -> Result<Credentials, Problems> {
    let secrets = SecretSet::read(&needs.sources)
        .map_err(|errors| errors.into_iter().map(|(name, error)| (name, error.to_string())).collect::<Problems>())?;
    let mut problems = Problems::new();
    for (name, pattern) in &needs.patterns {
        let matches = |secret: &crate::secrets::Secret| secret.expose_text().is_some_and(|text| pattern.is_match(text));
        if secrets.get(name).is_some_and(|secret| !matches(secret)) {
            problems.push((name.clone(), "does not look like one: it does not match the preset's pattern".to_owned()));
        }
    }
    let mut auths = Vec::new();
    for rule in &needs.auths {
        let value = secrets.get(&rule.secret).and_then(|secret| header_value(secret.expose_text()?, rule.bearer));
        match value {
            Some(value) => auths.push((rule.header.clone(), value)),
            None => problems.push((
                rule.secret.clone(),
                "cannot be sent in a header: it is missing or holds control or non-ASCII characters".to_owned(),
            )),
        }
    }
    let signer = needs.key.as_ref().and_then(|rule| match signer(rule, &secrets) {
        Ok(signer) => Some(signer),
        Err(problem) => {
            problems.push((rule.secret.clone(), problem));
            None
        }
    });
    if problems.is_empty() { Ok(Credentials { generation, auths, signer, secrets }) } else { Err(problems) }
}

fn header_value(secret: &str, bearer: bool) -> Option<HeaderValue> {
    let visible = secret.bytes().all(|b| (0x20..0x7f).contains(&b));
    let text = if bearer { format!("Bearer {secret}") } else { secret.to_owned() };
    let mut value = HeaderValue::try_from(text).ok().filter(|_| visible)?;
    value.set_sensitive(true);
    Some(value)
}

fn signer(rule: &KeyRule, secrets: &SecretSet) -> Result<Signer, String> {
    let secret = secrets.get(&rule.secret).ok_or("is missing")?;
    let key = SigningKey::read(rule.alg, secret).map_err(|error| error.to_string())?;
    let kid = rule.kid.clone().or_else(|| key.thumbprint());
    let mut header = Map::new();
    header.insert("alg".to_owned(), json!(rule.alg.name()));
    header.insert("typ".to_owned(), json!("JWT"));
    if let Some(kid) = &kid {
        header.insert("kid".to_owned(), json!(kid));
    }
    header.extend(rule.header.clone());
    let mut text = BASE64URL.encode(Value::Object(header).to_string());
    text.push('.');
    Ok(Signer { key, kid, header: text })
}
