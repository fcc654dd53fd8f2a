//! From the bytes of secrets to what they are used for, with every problem noted.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use regex_lite::Regex;

use super::needs::{HeaderRule, KeyRule, MacRule, Needs, PartKind, PartRule, Scheme};
use super::ring::Found;
use super::signer::signer;
use super::{Credentials, HeaderText};
use crate::definition::{Key, Mistake, Mistakes};
use crate::provider::definition::PublicForm;
use crate::provider::definition::settings::USER_KEY;
use crate::provider::keys::mac::{Hash, MacKey};
use crate::provider::keys::material::{Cut, Decode, Form};
use crate::provider::keys::{Alg, SigningKey};
use crate::secrets::{Fingerprint, Secret, SecretSet};

/// Checks `secrets` for every use. Numbers and the key that signs are for the vault to fill in.
pub(super) fn read(needs: &Needs, secrets: &Arc<SecretSet>) -> Result<(Credentials, Vec<Found>), Mistakes> {
    let mut reader = Reader { secrets: Arc::clone(secrets), mistakes: Mistakes::default() };
    reader.check_patterns(&needs.patterns);
    reader.check_folder(needs);
    let headers = reader.all(&needs.headers, |rule| (&rule.secret, header_value(rule)));
    let texts = reader.all(&needs.texts, |name| (name, |secret: &Secret| text(secret).map(|_text| secret.clone())));
    let parts = reader.all(&needs.parts, |rule| (&rule.secret, |secret: &Secret| public_part(rule, secret)));
    let macs = reader.all(&needs.macs, |rule| (&rule.secret, |secret: &Secret| mac(rule, secret)));
    reader.keep_apart(needs, &parts);
    let signers =
        reader.all(&needs.signers, |rule| (&rule.secret, |secret: &Secret| signer(rule, secret, &parts, None)));
    let found = needs.key.as_ref().map(|rule| reader.keys(rule, &parts)).unwrap_or_default();
    let user_key = reader.user_key();
    let Reader { secrets, mistakes } = reader;
    let unnamed = Fingerprint::default();
    let credentials = Credentials {
        generation: 0,
        sessions: unnamed,
        abroad: unnamed,
        endings: 0,
        headers,
        texts,
        parts,
        macs,
        signers,
        signer: None,
        user_key,
        secrets,
    };
    mistakes.or((credentials, found))
}

/// Reads secrets for their uses, and notes every problem.
struct Reader {
    secrets: Arc<SecretSet>,
    mistakes: Mistakes,
}

impl Reader {
    fn check_patterns(&mut self, patterns: &BTreeMap<String, Regex>) {
        for (name, pattern) in patterns {
            let differs = |secret: &Secret| !secret.expose_text().is_some_and(|text| pattern.is_match(text));
            let folder = self.secrets.folder(name).into_iter().flat_map(|folder| folder.keys.values());
            if self.secrets.get(name).into_iter().chain(folder.map(|key| &key.secret)).any(differs) {
                let wanted = pattern.as_str().trim_start_matches("^(?:").trim_end_matches(")$");
                let problem = format!("does not look like one: it does not match {wanted}");
                self.mistakes.refuse(Key::of(name), problem); // T-58: reported problems
            }
        }
    }

    /// A folder has keys of tokens, and those alone: which of them would be the API key?
    fn check_folder(&mut self, needs: &Needs) {
        let Some(rule) = needs.key.as_ref().filter(|rule| self.secrets.folder(&rule.signer.secret).is_some()) else {
            return;
        };
        let name = &rule.signer.secret;
        let parts = needs.parts.iter().map(|part| part.secret.as_str());
        // The key itself is used once.
        if needs.used().filter(|used| used == name).count() > 1 || parts.into_iter().any(|part| part == name) {
            let problem = "cannot be a folder: the preset uses this secret for more than signing tokens";
            self.mistakes.refuse(Key::of(name), problem);
        }
    }

    /// The keys of tokens.
    fn keys(&mut self, rule: &KeyRule, parts: &[String]) -> Vec<Found> {
        let rule = &rule.signer;
        let mut found = Vec::new();
        let folder = self.secrets.folder(&rule.secret).into_iter().flat_map(|folder| &folder.keys);
        let files = folder.map(|(name, file)| (Some(name.as_str()), file));
        for (name, file) in files.chain(self.secrets.file(&rule.secret).map(|file| (None, file))) {
            match signer(rule, &file.secret, parts, name) {
                Ok(signer) => found.push(Found {
                    id: signer.id.clone(),
                    signer: Arc::new(signer),
                    secret: file.secret.clone(),
                    written: file.written,
                }),
                Err(problem) => {
                    let problem = name.map_or_else(|| problem.clone(), |name| format!("{problem} (key {name})"));
                    self.mistakes.refuse(Key::of(&rule.secret), problem);
                }
            }
        }
        found
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
            made.extend(self.mistakes.note(outcome.map_err(|problem| Mistake::new(Key::of(name), problem))));
        }
        made
    }

    /// A part that is published must not hold what is used as a key, or be a piece of it. Of a secret that is used whole,
    /// what stands behind a separator is never public.
    fn keep_apart(&mut self, needs: &Needs, parts: &[String]) {
        let macs = needs.macs.iter().map(|rule| (&rule.secret, &rule.form.cut));
        let signers = needs.signers.iter().chain(needs.key.as_ref().map(|key| &key.signer));
        let signers = signers.map(|rule| (&rule.secret, &rule.form.cut));
        let whole =
            needs.headers.iter().map(|rule| &rule.secret).chain(&needs.texts).map(|secret| (secret, &Cut::Whole));
        let uses: Vec<(&String, &Cut)> = macs.chain(signers).chain(whole).collect();
        for (rule, part) in needs.parts.iter().zip(parts) {
            let PartKind::Cut(own) = &rule.kind else { continue };
            let shown = |(name, cut): &(&String, &Cut)| {
                **name == rule.secret
                    && match cut {
                        Cut::Whole => matches!(own, Cut::After(_)),
                        cut => self.secrets.get(name).is_some_and(|secret| overlap(secret, cut, part)),
                    }
            };
            if uses.iter().any(shown) {
                let problem = format!("has its key where the public setting {} is expected", rule.name);
                self.mistakes.refuse(Key::of(&rule.secret), problem);
            }
        }
    }

    fn user_key(&mut self) -> Option<MacKey> {
        let secret = self.secrets.get(USER_KEY)?;
        let key = MacKey::read_as(Hash::Sha256, secret, &Form::default());
        self.mistakes.note(key.map_err(|error| Mistake::new(Key::of(USER_KEY), error.to_string())))
    }
}

/// Whether a key and a public part have text in common. A few letters may be in both by chance.
fn overlap(secret: &Secret, cut: &Cut, part: &str) -> bool {
    const CHANCE: usize = 8;
    let key = cut.cut(secret).ok();
    let key = key.as_ref().and_then(Secret::expose_text).unwrap_or_default();
    !key.is_empty() && (part.contains(key) || part.len() >= CHANCE && key.contains(part))
}

fn text(secret: &Secret) -> Result<&str, String> {
    secret.expose_text().ok_or_else(|| "is not text".to_owned()) // T-36: credential not shown
}

fn header_value(rule: &HeaderRule) -> impl Fn(&Secret) -> Result<HeaderText, String> {
    |secret| {
        let text = text(secret)?;
        let mut carries = vec![secret.clone()];
        let within = match &rule.scheme {
            Scheme::Alone | Scheme::Word(_) => None,
            Scheme::Basic(None) => text.split_once(':').map(|(_, password)| password.to_owned()),
            Scheme::Basic(Some(user)) => Some(format!("{user}:{text}")),
        };
        carries.extend(within.map(|text| Secret::new(text.into_bytes())));
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
        Ok(HeaderText { value, carries: carries.into() })
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
