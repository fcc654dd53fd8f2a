//! What the operator gave, held against what a definition declares: configuration, then the vendor's environment
//! variables, then defaults.

mod secret;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use regex_lite::Regex;
use serde_json::Value;

use super::{Definition, Setting, SettingKind};
use crate::config::{Environment, did_you_mean};
use crate::provider::template;
use crate::secrets::SecretSource;

use secret::secret;
use value::checked;

/// Settings of one provider, checked.
#[derive(Debug, Default)]
pub(in crate::provider) struct Settings {
    /// Values by name.
    pub(in crate::provider) values: BTreeMap<String, Value>,
    /// Declared, optional, and not given.
    pub(in crate::provider) unset: BTreeSet<String>,
    /// Where secrets are read.
    pub(in crate::provider) secrets: BTreeMap<String, SecretSource>,
    /// Rules that a secret must match each time it is read.
    pub(in crate::provider) secret_patterns: BTreeMap<String, Regex>,
    /// Settings whose value is a template.
    pub(in crate::provider) templates: BTreeSet<String>,
    /// What was given twice, and which one counts: one sentence each.
    pub(in crate::provider) cautions: Vec<String>,
}

/// The secret that every provider may have: the key of hashed user ids.
pub(in crate::provider) const USER_KEY: &str = "user_key";

/// A mistake in a setting: its key, and what to write.
pub(in crate::provider) type SettingError = (String, String);

/// Resolves every declared setting; unknown ones are refused.
pub(in crate::provider) fn resolve(
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
                // T-36: secret setting not shown
                format!("is a secret, and secrets are never written in configuration; write {key}_file = \"/path\""),
            );
        }
        if definition.settings.get(key).is_some_and(|setting| setting.part_of.is_some()) {
            return (key.clone(), "is read from a secret of this provider; remove it".to_owned());
        }
        let meant = did_you_mean(key, known.iter());
        (key.clone(), format!("preset \"{}\" has no such setting; it has {}{meant}", definition.name, known.join(", ")))
    };
    let is_known = |key: &String| known.contains(key) || *key == user_key || folder.as_ref() == Some(key);
    given.keys().filter(|key| !is_known(key)).map(problem).collect()
}

fn plain(
    name: &str,
    setting: &Setting,
    given: &BTreeMap<String, Value>,
    environment: &Environment,
    settings: &mut Settings,
) -> Result<(), SettingError> {
    let from_environment = setting.env.as_deref().map(|variable| environment.text(variable)).transpose();
    let at = |problem: String| (name.to_owned(), problem);
    let value = match (given.get(name), from_environment) {
        (Some(value), _) => value.clone(),
        (None, Ok(Some(Some(text)))) => Value::String(text.to_owned()),
        (None, Ok(_)) => return Ok(()),
        (None, Err(problem)) => return Err(at(problem)),
    };
    let value = checked(setting, value).map_err(at)?;
    if setting.kind == SettingKind::Template {
        settings.templates.insert(name.to_owned());
    }
    settings.values.insert(name.to_owned(), value);
    Ok(())
}

/// The variable that a mistake at `place` is about: the setting there is not in the configuration, and comes from the
/// environment.
pub(in crate::provider) fn variable(
    definition: &Definition,
    place: &str,
    given: &BTreeMap<String, Value>,
    environment: &Environment,
) -> Option<String> {
    let name = if definition.settings.contains_key(place) { place } else { place.strip_suffix("_file")? };
    let variable = definition.settings.get(name)?.env.as_deref()?;
    if [name.to_owned(), format!("{name}_file"), format!("{name}_dir")].iter().any(|key| given.contains_key(key)) {
        return None;
    }
    let is_set = |variable: &String| !matches!(environment.text(variable), Ok(None));
    [variable.to_owned(), format!("{variable}_FILE")].into_iter().find(is_set)
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
