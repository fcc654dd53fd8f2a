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
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use http::HeaderValue;
use regex_lite::Regex;
use serde_json::{Map, Value, json};

use super::definition::PublicForm;
use super::keys::mac::{Hash, MacKey};
use super::keys::material::{Cut, Decode, Form};
use super::keys::{self, Alg, SigningKey};
use super::settings::USER_KEY;
use super::template::json::JsonTemplate;
use super::template::text::TextTemplate;
use super::template::{Profile, Variables};
use super::user::UserId;
use crate::clock::{Clock, Timestamp};
use crate::secrets::{Secret, SecretSet, SecretSource};

/// A header value that carries a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderRule {
    pub(super) secret: String,
    pub(super) scheme: Scheme,
}

/// What stands around a secret in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Nothing.
    Alone,
    /// A word and a space before it.
    Word(String),
    /// RFC 7617: base64 of user, colon and secret; without a user the secret holds both.
    Basic(Option<String>),
}

/// The public part of a secret that a setting is.
#[derive(Clone, Debug)]
pub(super) struct PartRule {
    /// The setting.
    pub(super) name: String,
    pub(super) secret: String,
    pub(super) kind: PartKind,
}

/// What of a secret is public.
#[derive(Clone, Debug)]
pub(super) enum PartKind {
    /// A piece of its text.
    Cut(Cut),
    /// The public half of a key.
    Public(PublicForm),
}

/// How a MAC is keyed.
#[derive(Clone, Debug)]
pub(super) struct MacRule {
    pub(super) secret: String,
    pub(super) form: Form,
    pub(super) hash: Hash,
}

/// How a JWT is signed.
#[derive(Debug)]
pub(super) struct SignerRule {
    pub(super) alg: Alg,
    /// What the header says in place of the algorithm's registered name.
    pub(super) label: Option<String>,
    /// Name of the secret that holds the key.
    pub(super) secret: String,
    pub(super) form: Form,
    /// Key id, where the definition or the operator fixed it.
    pub(super) kid: Option<TextTemplate>,
    /// Whether a key without a fixed id is named by its thumbprint.
    pub(super) named: bool,
    /// Further header members.
    pub(super) header: JsonTemplate,
}

/// How tokens are signed.
#[derive(Debug)]
pub(super) struct KeyRule {
    pub(super) signer: SignerRule,
    /// Whether a key is made where none is given.
    pub(super) generate: bool,
    /// How long a public key stays published after its private half was replaced.
    pub(super) overlap: Duration,
}

/// What the secrets are for.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) sources: BTreeMap<String, SecretSource>,
    pub(super) patterns: BTreeMap<String, Regex>,
    pub(super) headers: Vec<HeaderRule>,
    /// Secrets that are members of bodies.
    pub(super) texts: Vec<String>,
    pub(super) parts: Vec<PartRule>,
    pub(super) macs: Vec<MacRule>,
    /// Keys of JWTs that are not the token.
    pub(super) signers: Vec<SignerRule>,
    pub(super) key: Option<KeyRule>,
}

impl Needs {
    /// Names of the secrets that something uses.
    pub(super) fn used(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter().map(|rule| &rule.secret);
        let macs = self.macs.iter().map(|rule| &rule.secret);
        let signers = self.signers.iter().chain(self.key.as_ref().map(|key| &key.signer)).map(|rule| &rule.secret);
        headers.chain(&self.texts).chain(macs).chain(signers).map(String::as_str)
    }
}

/// One generation.
#[derive(Debug)]
pub(super) struct Credentials {
    /// Counts accepted changes, from 1.
    pub(super) generation: u32,
    /// One header value for each [`HeaderRule`], in its order.
    pub(super) headers: Vec<HeaderValue>,
    /// Secrets for bodies, in the order of [`Needs::texts`].
    pub(super) texts: Vec<Secret>,
    /// Public parts, in the order of [`Needs::parts`].
    pub(super) parts: Vec<String>,
    /// In the order of [`Needs::macs`].
    pub(super) macs: Vec<MacKey>,
    /// In the order of [`Needs::signers`].
    pub(super) signers: Vec<Signer>,
    /// The key of tokens, and what belongs to it.
    pub(super) signer: Option<Signer>,
    /// The key of hashed user ids.
    pub(super) user_key: Option<MacKey>,
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

    /// The JOSE header, to be looked at.
    pub(super) fn jose_header(&self) -> Value {
        let text = BASE64URL.decode(self.header.trim_end_matches('.')).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// A JWT with `claims`, which are JSON text.
    pub(super) fn sign(&self, claims: &[u8]) -> Result<String, keys::KeyError> {
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
        if let Some(rule) = needs.key.as_ref().filter(|rule| !needs.sources.contains_key(&rule.signer.secret)) {
            let (alg, secret) = (rule.signer.alg, &rule.signer.secret);
            if !rule.generate || alg.is_hmac() {
                let problem = format!("is missing; {} needs {secret}_file = \"/path\"", alg.name());
                return Err(vec![(secret.clone(), problem)]);
            }
            let made = keys::generate(alg).map_err(|error| vec![(secret.clone(), error.to_string())])?;
            needs.sources.insert(secret.clone(), SecretSource::Environment(made));
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
    let mut reader = Reader { secrets, problems: Problems::new() };
    reader.check_patterns(&needs.patterns);
    let headers = reader.all(&needs.headers, |rule| (&rule.secret, header_value(rule)));
    let texts = reader.all(&needs.texts, |name| (name, |secret: &Secret| text(secret).map(|_text| secret.clone())));
    let parts = reader.all(&needs.parts, |rule| (&rule.secret, |secret: &Secret| public_part(rule, secret)));
    let macs = reader.all(&needs.macs, |rule| (&rule.secret, |secret: &Secret| mac(rule, secret)));
    reader.keep_apart(needs, &parts);
    let signers = reader.all(&needs.signers, |rule| (&rule.secret, |secret: &Secret| signer(rule, secret, &parts)));
    let main: Vec<&SignerRule> = needs.key.iter().map(|rule| &rule.signer).collect();
    let signer = reader.all(&main, |rule| (&rule.secret, |secret: &Secret| signer(rule, secret, &parts))).pop();
    let user_key = reader.user_key();
    let Reader { secrets, problems } = reader;
    if problems.is_empty() {
        Ok(Credentials { generation, headers, texts, parts, macs, signers, signer, user_key, secrets })
    } else {
        Err(problems)
    }
}

/// Reads secrets for their uses, and notes every problem.
struct Reader {
    secrets: SecretSet,
    problems: Problems,
}

impl Reader {
    fn check_patterns(&mut self, patterns: &BTreeMap<String, Regex>) {
        for (name, pattern) in patterns {
            let matches = |secret: &Secret| secret.expose_text().is_some_and(|text| pattern.is_match(text));
            if self.secrets.get(name).is_some_and(|secret| !matches(secret)) {
                let problem = "does not look like one: it does not match the preset's pattern".to_owned();
                self.problems.push((name.clone(), problem));
            }
        }
    }

    /// One value for each rule; a value is missing only where a problem was noted, and then nothing is published.
    fn all<'r, R, T, F>(&mut self, rules: &'r [R], of: impl Fn(&'r R) -> (&'r String, F)) -> Vec<T>
    where
        F: Fn(&Secret) -> Result<T, String>,
    {
        let mut made = Vec::with_capacity(rules.len());
        for rule in rules {
            let (name, make) = of(rule);
            let outcome = self.secrets.get(name).ok_or_else(|| "is missing".to_owned()).and_then(make);
            match outcome {
                Ok(value) => made.push(value),
                Err(problem) => self.problems.push((name.clone(), problem)),
            }
        }
        made
    }

    /// A part that is published must not hold what is used as a key, or be held by it.
    fn keep_apart(&mut self, needs: &Needs, parts: &[String]) {
        let keys = needs.macs.iter().map(|rule| (&rule.secret, &rule.form));
        let signers = needs.signers.iter().chain(needs.key.as_ref().map(|key| &key.signer));
        let keys: Vec<_> = keys.chain(signers.map(|rule| (&rule.secret, &rule.form))).collect();
        for (rule, part) in needs.parts.iter().zip(parts) {
            let shown = |(name, form): &(&String, &Form)| {
                let key = self.secrets.get(name).and_then(|secret| form.cut.cut(secret).ok());
                **name == rule.secret
                    && key.is_some_and(|key| key.expose_text().is_some_and(|key| key == part || part.contains(key)))
            };
            if matches!(rule.kind, PartKind::Cut(_)) && keys.iter().any(shown) {
                let problem = format!("has its key where the public setting {} is expected", rule.name);
                self.problems.push((rule.secret.clone(), problem));
            }
        }
    }

    fn user_key(&mut self) -> Option<MacKey> {
        let secret = self.secrets.get(USER_KEY)?;
        match MacKey::read_as(Hash::Sha256, secret, &Form::default()) {
            Ok(key) => Some(key),
            Err(error) => {
                self.problems.push((USER_KEY.to_owned(), error.to_string()));
                None
            }
        }
    }
}

fn text(secret: &Secret) -> Result<&str, String> {
    secret.expose_text().ok_or_else(|| "is not text".to_owned())
}

fn header_value(rule: &HeaderRule) -> impl Fn(&Secret) -> Result<HeaderValue, String> {
    |secret| {
        let text = text(secret)?;
        let value = match &rule.scheme {
            Scheme::Alone => text.to_owned(),
            Scheme::Word(word) => format!("{word} {text}"),
            Scheme::Basic(None) => format!("Basic {}", BASE64.encode(text)),
            Scheme::Basic(Some(user)) => format!("Basic {}", BASE64.encode(format!("{user}:{text}"))),
        };
        let visible = value.bytes().all(|b| (0x20..0x7f).contains(&b));
        let problem = || "cannot be sent in a header: it holds control or non-ASCII characters".to_owned();
        let mut value = HeaderValue::try_from(value).ok().filter(|_| visible).ok_or_else(problem)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn public_part(rule: &PartRule, secret: &Secret) -> Result<String, String> {
    let part = match &rule.kind {
        PartKind::Public(PublicForm::Nkey) => {
            let form = Form { decode: Decode::Nkey, ..Form::default() };
            let key = SigningKey::read_as(Alg::EdDsa, secret, &form).map_err(|error| error.to_string())?;
            return key.nkey().map(str::to_owned).ok_or_else(|| "has no public half".to_owned());
        }
        PartKind::Cut(cut) => cut.cut(secret)?,
    };
    let part = text(&part)?;
    if part.contains("PRIVATE KEY") {
        return Err(format!("has a private key where the public setting {} is expected", rule.name));
    }
    Ok(part.to_owned())
}

fn mac(rule: &MacRule, secret: &Secret) -> Result<MacKey, String> {
    MacKey::read_as(rule.hash, secret, &rule.form).map_err(|error| error.to_string())
}

fn signer(rule: &SignerRule, secret: &Secret, parts: &[String]) -> Result<Signer, String> {
    let key = SigningKey::read_as(rule.alg, secret, &rule.form).map_err(|error| error.to_string())?;
    let (nobody, nothing) = (UserId::default(), Profile::default());
    let variables = Variables { parts, ..Variables::of(&nobody, &nothing) };
    let unusable = |_missing| "lacks something that the header of its tokens says".to_owned();
    let kid = match &rule.kid {
        Some(template) => template.render(&variables).map_err(unusable)?,
        None => None,
    };
    let kid = kid.or_else(|| key.thumbprint().filter(|_| rule.named));
    let mut header = Map::new();
    header.insert("alg".to_owned(), json!(rule.label.as_deref().unwrap_or_else(|| rule.alg.name())));
    header.insert("typ".to_owned(), json!("JWT"));
    if let Some(kid) = &kid {
        header.insert("kid".to_owned(), json!(kid));
    }
    if let Value::Object(members) = rule.header.value(&variables).map_err(unusable)? {
        header.extend(members);
    }
    let mut text = BASE64URL.encode(Value::Object(header).to_string());
    text.push('.');
    Ok(Signer { key, kid, header: text })
}
