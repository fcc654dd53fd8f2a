//! Where the secrets of a provider are: files and folders that the configuration names, or the vendor's variables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::Settings;
use crate::config::Environment;
use crate::definition::{Key, Mistake, whole};
use crate::provider::definition::{Definition, Setting};
use crate::secrets::{Secret, SecretSource};

/// What a secret setting is for: it says in which forms the secret may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Use {
    /// It is one value.
    Value,
    /// The key of tokens, which may be a folder of keys with the one that signs.
    TokenKey,
    /// The secret of webhooks, which may be a folder of values that are all valid.
    Webhook,
    /// The secrets of webhooks by key id.
    WebhookKeys,
}

impl Use {
    /// What `definition` uses its setting `name` for.
    pub(super) fn of(definition: &Definition, name: &str) -> Self {
        if definition.token_key() == Some(name) {
            return Self::TokenKey;
        }
        Self::of_webhooks(definition, name)
    }

    /// The same where the provider serves webhooks alone and signs no tokens.
    pub(super) fn of_webhooks(definition: &Definition, name: &str) -> Self {
        let is_member = |member| definition.webhook.as_ref().and_then(|webhook| webhook.named_by(member)) == Some(name);
        if is_member("keys") {
            Self::WebhookKeys
        } else if is_member("secret") {
            Self::Webhook
        } else {
            Self::Value
        }
    }

    pub(super) fn may_be_a_folder(self) -> bool {
        self != Self::Value
    }
}

/// Finds where a secret is.
pub(super) fn secret(
    (name, uses): (&str, Use),
    setting: &Setting,
    given: &BTreeMap<String, Value>,
    environment: &Environment,
    settings: &mut Settings,
) -> Result<(), Mistake> {
    let key = format!("{name}_file");
    let variable = setting.env.as_deref();
    let file_variable = variable.map(|variable| format!("{variable}_FILE"));
    let given_by = |variable: Option<&str>| variable.map_or(Ok(None), |variable| environment.text(variable));
    let text = given_by(variable).map_err(|mistake| mistake.within(Key::of(name)))?;
    let file = given_by(file_variable.as_deref()).map_err(|mistake| mistake.within(Key::of(name)))?;
    let source = match (given.get(&key), file, text) {
        (Some(Value::String(text)), ..) if is_secret_itself(setting, text) => {
            return Err(wrong(&key, "holds the secret itself; write the secret into a file, and its path here"));
        }
        (Some(Value::String(path)), ..) => Some(file_source(uses, path)),
        (Some(_), ..) => return Err(wrong(&key, "is not text; write the path of a file")),
        (None, Some(_), Some(_)) => {
            let variable = variable.unwrap_or_default();
            return Err(wrong(&key, format!("{variable} and {variable}_FILE are both set; unset one")));
        }
        (None, Some(path), None) => Some(file_source(uses, path)),
        (None, None, Some(text)) => Some(SecretSource::Variable {
            name: variable.unwrap_or_default().to_owned(),
            text: Secret::new(text.as_bytes().to_vec()),
        }),
        (None, None, None) => None,
    };
    let folder = format!("{name}_dir");
    let source = match (given.get(&folder).filter(|_| uses.may_be_a_folder()), source) {
        (Some(_), Some(_)) => {
            return Err(wrong(&folder, format!("is set beside another source of {name}; remove one")));
        }
        (Some(Value::String(path)), None) if uses == Use::TokenKey => Some(SecretSource::Folder(PathBuf::from(path))),
        (Some(Value::String(path)), None) => Some(SecretSource::Values(PathBuf::from(path))),
        (Some(_), None) => return Err(wrong(&folder, "is not text; write the path of a folder")),
        (None, source) => source,
    };
    if let Some(own) = [&key, &folder].into_iter().find(|key| given.contains_key(*key)) {
        let set = [variable.filter(|_| text.is_some()), file_variable.as_deref().filter(|_| file.is_some())];
        let ignored = |variable: &str| format!("{variable} is set and not used, because {own} is given; unset it");
        settings.cautions.extend(set.into_iter().flatten().map(ignored));
    }
    match source {
        Some(source) => {
            settings.secrets.insert(name.to_owned(), source);
        }
        None if setting.optional => {}
        None => {
            let instead = variable.map(|variable| format!(", or set {variable} or {variable}_FILE"));
            let problem = format!("is missing; write {key} = \"/path\"{}", instead.unwrap_or_default());
            return Err(wrong(&key, problem));
        }
    }
    if let Some(pattern) = &setting.pattern {
        let pattern = whole(pattern).map_err(|mistake| mistake.within(Key::of(name)))?;
        settings.secret_patterns.insert(name.to_owned(), pattern);
    }
    Ok(())
}

fn file_source(uses: Use, path: &str) -> SecretSource {
    let path = PathBuf::from(path);
    if uses == Use::WebhookKeys { SecretSource::Lines(path) } else { SecretSource::File(path) }
}

fn wrong(key: &str, problem: impl Into<String>) -> Mistake {
    Mistake::new(Key::of(key), problem)
}

/// Whether what should be a path is what the file should hold: it must not get into a message (T-36).
fn is_secret_itself(setting: &Setting, text: &str) -> bool {
    let looks_so = |pattern: &String| whole(pattern).is_ok_and(|pattern| pattern.is_match(text));
    text.starts_with("-----BEGIN") || !text.contains('/') && setting.pattern.as_ref().is_some_and(looks_so)
}
