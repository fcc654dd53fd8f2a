//! What the operator gave, held against what a definition declares: configuration, then the vendor's environment
//! variables, then defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use regex_lite::Regex;
use serde_json::Value;
use url::Url;

use super::definition::{Definition, Setting, SettingKind};
use super::keys::Alg;
use super::pattern::whole;
use super::template;
use crate::config::Environment;
use crate::secrets::{Secret, SecretSource};

/// Settings of one provider, checked.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Values by name.
    pub(super) values: BTreeMap<String, Value>,
    /// Declared, optional, and not given.
    pub(super) unset: BTreeSet<String>,
    /// Where secrets are read.
    pub(super) secrets: BTreeMap<String, SecretSource>,
    /// Rules that a secret must match each time it is read.
    pub(super) secret_patterns: BTreeMap<String, Regex>,
    /// Settings whose value is a template.
    pub(super) templates: BTreeSet<String>,
}

/// The secret that every provider may have: the key of hashed user ids.
pub(super) const USER_KEY: &str = "user_key";

/// A mistake in a setting: its key, and what to write.
pub(super) type SettingError = (String, String);

/// Resolves every declared setting; unknown ones are refused.
pub(super) fn resolve(
    definition: &Definition,
    given: &BTreeMap<String, Value>,
    environment: &Environment,
) -> Result<Settings, Vec<SettingError>> {
    let mut errors = unknown(definition, given);
    let misplaced: BTreeSet<&String> = definition.settings.keys().filter(|name| given.contains_key(*name)).collect();
    let mut settings = Settings::default();
    for (name, setting) in &definition.settings {
        if setting.part_of.is_some() {
            continue;
        }
        let outcome = if setting.secret {
            if misplaced.contains(name) {
                continue;
            }
            secret((name, definition.token_key() == Some(name)), setting, given, environment, &mut settings)
        } else {
            plain(name, setting, given, environment, &mut settings)
        };
        if let Err(problem) = outcome {
            errors.push(problem);
        }
    }
    if let Some(Value::String(path)) = given.get(&format!("{USER_KEY}_file")) {
        settings.secrets.insert(USER_KEY.to_owned(), SecretSource::File(PathBuf::from(path)));
    }
    defaults(definition, &mut settings, &mut errors);
    if errors.is_empty() { Ok(settings) } else { Err(errors) }
}

fn unknown(definition: &Definition, given: &BTreeMap<String, Value>) -> Vec<SettingError> {
    let known: Vec<String> = definition
        .settings
        .iter()
        .filter(|(_, setting)| setting.part_of.is_none())
        .map(|(name, setting)| if setting.secret { format!("{name}_file") } else { name.clone() })
        .collect();
    let user_key = format!("{USER_KEY}_file");
    let folder = definition.token_key().map(|name| format!("{name}_dir"));
    let problem = |key: &String| {
        if definition.settings.get(key).is_some_and(|setting| setting.secret) {
            return (
                key.clone(),
                format!("is a secret, and secrets are never written in configuration; write {key}_file = \"/path\""),
            );
        }
        if definition.settings.get(key).is_some_and(|setting| setting.part_of.is_some()) {
            return (key.clone(), "is read from a secret of this provider; remove it".to_owned());
        }
        (key.clone(), format!("preset \"{}\" has no such setting; it has {}", definition.name, known.join(", ")))
    };
    let is_known = |key: &String| known.contains(key) || *key == user_key || folder.as_ref() == Some(key);
    given.keys().filter(|key| !is_known(key)).map(problem).collect()
}

/// Finds where a secret is. The key of tokens may be a folder of them.
fn secret(
    (name, is_token_key): (&str, bool),
    setting: &Setting,
    given: &BTreeMap<String, Value>,
    environment: &Environment,
    settings: &mut Settings,
) -> Result<(), SettingError> {
    let key = format!("{name}_file");
    let variable = setting.env.as_deref();
    let file_variable = variable.map(|variable| format!("{variable}_FILE"));
    let text = variable.and_then(|variable| environment.get(variable));
    let file = file_variable.as_deref().and_then(|variable| environment.get(variable));
    let source = match (given.get(&key), file, text) {
        (Some(Value::String(text)), ..) if is_secret_itself(setting, text) => {
            return Err((key, "holds the secret itself; write the secret into a file, and its path here".to_owned()));
        }
        (Some(Value::String(path)), ..) => Some(SecretSource::File(PathBuf::from(path))),
        (Some(_), ..) => return Err((key, "is not text; write the path of a file".to_owned())),
        (None, Some(_), Some(_)) => {
            let variable = variable.unwrap_or_default();
            return Err((key, format!("{variable} and {variable}_FILE are both set; unset one")));
        }
        (None, Some(path), None) => Some(SecretSource::File(PathBuf::from(path))),
        (None, None, Some(text)) => Some(SecretSource::Environment(Secret::new(text.as_bytes().to_vec()))),
        (None, None, None) => None,
    };
    let folder = format!("{name}_dir");
    let source = match (given.get(&folder).filter(|_| is_token_key), source) {
        (Some(_), Some(_)) => return Err((folder, format!("is set beside another source of {name}; remove one"))),
        (Some(Value::String(path)), None) => Some(SecretSource::Folder(PathBuf::from(path))),
        (Some(_), None) => return Err((folder, "is not text; write the path of a folder".to_owned())),
        (None, source) => source,
    };
    match source {
        Some(source) => {
            settings.secrets.insert(name.to_owned(), source);
        }
        None if setting.optional => {}
        None => {
            let instead = variable.map(|variable| format!(", or set {variable} or {variable}_FILE"));
            let problem = format!("is missing; write {key} = \"/path\"{}", instead.unwrap_or_default());
            return Err((key, problem));
        }
    }
    if let Some(pattern) = &setting.pattern {
        let pattern = whole(pattern).map_err(|problem| (name.to_owned(), problem))?;
        settings.secret_patterns.insert(name.to_owned(), pattern);
    }
    Ok(())
}

/// Whether what should be a path is what the file should hold: it must not get into a message (T-36).
fn is_secret_itself(setting: &Setting, text: &str) -> bool {
    let looks_so = |pattern: &String| whole(pattern).is_ok_and(|pattern| pattern.is_match(text));
    text.starts_with("-----BEGIN") || !text.contains('/') && setting.pattern.as_ref().is_some_and(looks_so)
}

fn plain(
    name: &str,
    setting: &Setting,
    given: &BTreeMap<String, Value>,
    environment: &Environment,
    settings: &mut Settings,
) -> Result<(), SettingError> {
    let from_environment = setting.env.as_deref().and_then(|variable| environment.get(variable));
    let (origin, value) = match (given.get(name), from_environment) {
        (Some(value), _) => (name.to_owned(), value.clone()),
        (None, Some(text)) => {
            (format!("{name} (from {})", setting.env.as_deref().unwrap_or_default()), Value::String(text.to_owned()))
        }
        (None, None) => return Ok(()),
    };
    let value = checked(setting, value).map_err(|problem| (origin, problem))?;
    if setting.kind == SettingKind::Template {
        settings.templates.insert(name.to_owned());
    }
    settings.values.insert(name.to_owned(), value);
    Ok(())
}

/// Fills in defaults, which may refer to settings that have a value by then.
fn defaults(definition: &Definition, settings: &mut Settings, errors: &mut Vec<SettingError>) {
    let mut waiting: Vec<_> = definition
        .settings
        .iter()
        .filter(|(name, setting)| !setting.secret && setting.part_of.is_none() && !settings.values.contains_key(*name))
        .collect();
    loop {
        let before = waiting.len();
        waiting.retain(|(name, setting)| {
            let Some(default) = &setting.default else { return true };
            if setting.kind == SettingKind::Template {
                settings.templates.insert((*name).clone());
                settings.values.insert((*name).clone(), Value::String(default.clone()));
                return false;
            }
            if template::settings_in(default).iter().any(|needed| !settings.values.contains_key(needed)) {
                return true;
            }
            match fill(default, settings).and_then(|text| checked(setting, Value::String(text))) {
                Ok(value) => {
                    settings.values.insert((*name).clone(), value);
                }
                Err(problem) => errors.push(((*name).clone(), format!("its default {problem}"))),
            }
            false
        });
        if waiting.len() == before {
            break;
        }
    }
    for (name, setting) in waiting {
        if setting.optional {
            settings.unset.insert(name.clone());
        } else if !errors.iter().any(|(key, _)| key.starts_with(name.as_str())) {
            let instead = setting.env.as_ref().map(|variable| format!(", or set {variable}")).unwrap_or_default();
            let about = setting.about.trim_end_matches('.');
            errors.push((name.clone(), format!("is missing; write {name} = \"…\"{instead} ({about})")));
        }
    }
}

fn fill(default: &str, settings: &Settings) -> Result<String, String> {
    let mut scope = template::Scope {
        settings: settings.values.clone(),
        place: template::Place::Load,
        ..template::Scope::default()
    };
    let compiled =
        template::text::TextTemplate::compile(default, "default", &mut scope).map_err(|error| error.to_string())?;
    compiled.constant().flatten().map(str::to_owned).ok_or_else(|| "has no value".to_owned())
}

fn checked(setting: &Setting, value: Value) -> Result<Value, String> {
    let value = match (setting.kind, value) {
        (SettingKind::Table, Value::Object(table)) => {
            let varies = |name: &String| !setting.reserved.is_empty() && name.contains("{{");
            let mistaken = table.keys().find(|name| setting.reserved.contains(name) || varies(name));
            return match mistaken {
                Some(name) if varies(name) => {
                    Err(format!("holds \"{name}\": a name that varies could be a reserved one"))
                }
                Some(name) => Err(format!("holds \"{name}\", which the provider keeps for itself; remove it")),
                None => Ok(Value::Object(table)),
            };
        }
        (SettingKind::Table, _) => return Err("is not a table; write [providers.NAME.…] below it".to_owned()),
        (SettingKind::List, Value::Array(list)) => return Ok(Value::Array(list)),
        (SettingKind::List, _) => return Err("is not a list; write [\"…\", \"…\"]".to_owned()),
        (SettingKind::Flag, value) => {
            let flag = value.as_bool().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            return flag.map(Value::Bool).ok_or_else(|| "is not true or false".to_owned());
        }
        (SettingKind::Number, value) => {
            let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            return number.map(Value::from).ok_or_else(|| "is not a whole number".to_owned());
        }
        (SettingKind::Url, Value::String(text)) => Value::String(address(&text)?),
        (_, Value::String(text)) if text.is_empty() => return Err("is empty".to_owned()),
        (_, Value::String(text)) => Value::String(text),
        // An environment variable such as 4711 was read as a number, and stays the text it was.
        (_, Value::Number(number)) => Value::String(number.to_string()),
        (_, Value::Bool(flag)) => Value::String(flag.to_string()),
        (_, other) => return Err(format!("is {other}; write text")),
    };
    let older = Alg::EdDsa.name();
    let is_newer = value == Alg::ED25519 && setting.one_of.iter().any(|allowed| allowed == older);
    let value = if is_newer { Value::from(older) } else { value };
    let text = value.as_str().unwrap_or_default();
    if !setting.one_of.is_empty() && !setting.one_of.iter().any(|allowed| allowed == text) {
        return Err(format!("\"{text}\" is not one of {}", setting.one_of.join(", ")));
    }
    if let Some(pattern) = &setting.pattern
        && !whole(pattern)?.is_match(text)
    {
        // Not shown: it may be a secret that was put in the wrong place (T-36).
        return Err(format!("does not match {pattern}"));
    }
    Ok(value)
}

fn address(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| {
        // What stands before an @ may be a password.
        let shown = text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, behind)| format!("…@{behind}"));
        format!("\"{shown}\" is not an address ({error})")
    })?;
    template::text::check(&url).map_err(|problem| format!("\"{}\" {problem}", redacted(&url)))?;
    Ok(text.strip_suffix('/').unwrap_or(text).to_owned())
}

/// An address that is safe to print: it may have been refused for the password in it.
fn redacted(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}
