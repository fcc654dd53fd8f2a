//! What the secrets of a provider are for: one rule for each use.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regex_lite::Regex;

use crate::provider::definition::PublicForm;
use crate::provider::keys::Alg;
use crate::provider::keys::mac::Hash;
use crate::provider::keys::material::{Cut, Form};
use crate::provider::template::json::JsonTemplate;
use crate::provider::template::text::TextTemplate;
use crate::secrets::SecretSource;

/// A header value that carries a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::provider) struct HeaderRule {
    pub(in crate::provider) secret: String,
    pub(in crate::provider) scheme: Scheme,
}

/// What stands around a secret in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Scheme {
    /// Nothing.
    Alone,
    /// A word and a space before it.
    Word(String),
    /// RFC 7617: base64 of user, colon and secret; without a user the secret holds both.
    Basic(Option<String>),
}

/// The public part of a secret that a setting is.
#[derive(Clone, Debug)]
pub(in crate::provider) struct PartRule {
    /// The setting.
    pub(in crate::provider) name: String,
    pub(in crate::provider) secret: String,
    pub(in crate::provider) kind: PartKind,
}

/// What of a secret is public.
#[derive(Clone, Debug)]
pub(in crate::provider) enum PartKind {
    /// A piece of its text.
    Cut(Cut),
    /// The public half of a key.
    Public(PublicForm),
}

/// How a MAC is keyed.
#[derive(Clone, Debug)]
pub(in crate::provider) struct MacRule {
    pub(in crate::provider) secret: String,
    pub(in crate::provider) form: Form,
    pub(in crate::provider) hash: Hash,
}

/// How a JWT is signed.
#[derive(Debug)]
pub(in crate::provider) struct SignerRule {
    pub(in crate::provider) alg: Alg,
    /// What the header says in place of the algorithm's registered name.
    pub(in crate::provider) label: Option<String>,
    /// Name of the secret that holds the key.
    pub(in crate::provider) secret: String,
    pub(in crate::provider) form: Form,
    /// Key id, where the definition or the operator fixed it.
    pub(in crate::provider) kid: Option<TextTemplate>,
    /// Whether a key without a fixed id is named by its thumbprint.
    pub(in crate::provider) named: bool,
    /// Further header members.
    pub(in crate::provider) header: JsonTemplate,
}

/// How tokens are signed.
#[derive(Debug)]
pub(in crate::provider) struct KeyRule {
    pub(in crate::provider) signer: SignerRule,
    /// Whether a key is made where none is given.
    pub(in crate::provider) generate: bool,
    /// How long a token may live, as far as the definition says.
    pub(in crate::provider) longest: Duration,
    /// Whether public keys are registered with the provider.
    pub(in crate::provider) registered: bool,
}

/// What the secrets are for.
#[derive(Debug, Default)]
pub(in crate::provider) struct Needs {
    pub(in crate::provider) sources: BTreeMap<String, SecretSource>,
    pub(in crate::provider) patterns: BTreeMap<String, Regex>,
    pub(in crate::provider) headers: Vec<HeaderRule>,
    /// Secrets that are members of bodies.
    pub(in crate::provider) texts: Vec<String>,
    pub(in crate::provider) parts: Vec<PartRule>,
    pub(in crate::provider) macs: Vec<MacRule>,
    /// Keys of JWTs that are not the token.
    pub(in crate::provider) signers: Vec<SignerRule>,
    pub(in crate::provider) key: Option<KeyRule>,
    /// Secrets that no session depends on, so that it does not end with them.
    pub(in crate::provider) apart: BTreeSet<String>,
}

impl Needs {
    /// Names of the secrets that something uses.
    pub(in crate::provider) fn used(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter().map(|rule| &rule.secret);
        let macs = self.macs.iter().map(|rule| &rule.secret);
        let signers = self.signers.iter().chain(self.key.as_ref().map(|key| &key.signer)).map(|rule| &rule.secret);
        headers.chain(&self.texts).chain(macs).chain(signers).map(String::as_str)
    }
}
