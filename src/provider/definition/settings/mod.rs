//! What the operator gave, held against what a definition declares: configuration, then the vendor's environment
//! variables, then defaults.

mod secret;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use regex_lite::Regex;
use serde_json::Value;

use super::{Definition, Setting};
use crate::config::Environment;
use crate::definition::{Key, Mistake, Mistakes, Settled, did_you_mean};
use crate::provider::Alg;
use crate::secrets::SecretSource;

pub(in crate::provider) use secret::Use;
use secret::secret;

/// Settings of one provider, checked.
#[derive(Debug, Default)]
pub(in crate::provider) struct Settings {
    /// Those that are no secrets.
    pub(in crate::provider) plain: Settled,
    /// Where secrets are read.
    pub(in crate::provider) secrets: BTreeMap<String, SecretSource>,
    /// Rules that a secret must match each time it is read.
    pub(in crate::provider) secret_patterns: BTreeMap<String, Regex>,
    /// What was given twice, and which one counts: one sentence each.
    pub(in crate::provider) cautions: Vec<String>,
}

/// The secret that every provider may have: the key of hashed user ids.
pub(in crate::provider) const USER_KEY: &str = "user_key";

/// Resolves every declared setting; unknown ones are refused.
pub(in crate::provider) fn resolve(
    definition: &Definition,
    given: &BTreeMap<String, Value>,
    environment: &Environment,
) -> Result<Settings, Mistakes> {
    resolve_for(Use::of, definition, |_| true, given, environment)
}

/// Resolves the declared settings that are `wanted`, where no tokens are signed; what the definition does not declare is refused.
pub(in crate::provider) fn resolve_some(
    definition: &Definition,
    wanted: impl Fn(&String) -> bool,
    given: &BTreeMap<String, Value>,
    environment: &Environment,
) -> Result<Settings, Mistakes> {
    resolve_for(Use::of_webhooks, definition, wanted, given, environment)
}

/// Adds what defaults of wanted settings name, and the secrets that wanted settings are parts of.
pub(in crate::provider) fn widen(definition: &Definition, wanted: &mut BTreeSet<String>) {
    let mut left: Vec<String> = wanted.iter().cloned().collect();
    while let Some(name) = left.pop() {
        let Some(setting) = definition.settings.get(&name) else { continue };
        let by_default = setting.default.iter().flat_map(crate::definition::settings_in);
        let whole = setting.part_of.iter().map(|part| part.secret.clone());
        left.extend(by_default.chain(whole).filter(|name| wanted.insert(name.clone())));
    }
}

/// What to say of a setting that has no value, where `why` says who needs it; and the key that lacks.
pub(in crate::provider) fn missing(definition: &Definition, name: &str, why: &str) -> (Key, String) {
    let setting = definition.settings.get(name);
    let about = setting.map_or("", |setting| setting.about.trim_end_matches('.'));
    let variable = setting.and_then(|setting| setting.env.as_ref());
    if setting.is_some_and(|setting| !setting.secret) {
        let instead = variable.map(|variable| format!(", or set {variable}")).unwrap_or_default();
        return (Key::of(name), format!("is missing, and {why}; write {name} = \"…\"{instead} ({about})"));
    }
    let instead = variable.map(|variable| format!(", or set {variable} or {variable}_FILE")).unwrap_or_default();
    let problem = format!("is missing, and {why}; write {name}_file = \"/path\"{instead} ({about})");
    (Key::of(format!("{name}_file")), problem)
}

fn resolve_for(
    used: fn(&Definition, &str) -> Use,
    definition: &Definition,
    wanted: impl Fn(&String) -> bool,
    given: &BTreeMap<String, Value>,
    environment: &Environment,
) -> Result<Settings, Mistakes> {
    let mut mistakes = unknown(definition, given);
    let mut settings = Settings::default();
    let all = || definition.settings.iter().filter(|(_, setting)| setting.part_of.is_none());
    let declared = || all().filter(|(name, _)| wanted(name));
    // A secret that is written in the configuration is refused already.
    for (name, setting) in declared().filter(|(name, setting)| setting.secret && !given.contains_key(*name)) {
        let uses = used(definition, name);
        mistakes.note(secret((name, uses), setting, given, environment, &mut settings));
    }
    let plain = || declared().filter(|(_, setting)| !setting.secret);
    for (name, setting) in plain() {
        let value = own(name, setting, given, environment);
        mistakes.note(value.and_then(|value| value.map_or(Ok(()), |value| settings.plain.give(name, setting, value))));
    }
    if let Some(Value::String(path)) = given.get(&format!("{USER_KEY}_file")) {
        settings.secrets.insert(USER_KEY.to_owned(), SecretSource::File(PathBuf::from(path)));
    }
    settings.plain.complete(plain(), &mut mistakes);
    mistakes.or(settings)
}

fn unknown(definition: &Definition, given: &BTreeMap<String, Value>) -> Mistakes {
    let known: Vec<String> = definition
        .settings
        .iter()
        .filter(|(_, setting)| setting.part_of.is_none())
        .map(|(name, setting)| if setting.secret { format!("{name}_file") } else { name.clone() })
        .collect();
    let user_key = format!("{USER_KEY}_file");
    let problem = |key: &String| match definition.settings.get(key) {
        // T-36: secret setting not shown
        Some(setting) if setting.secret => {
            format!("is a secret, and secrets are never written in configuration; write {key}_file = \"/path\"")
        }
        Some(_) => "is read from a secret of this provider; remove it".to_owned(),
        None => {
            let meant = did_you_mean(key, known.iter());
            format!("preset \"{}\" has no such setting; it has {}{meant}", definition.name, known.join(", "))
        }
    };
    let is_folder = |key: &String| {
        let name = key.strip_suffix("_dir").filter(|name| definition.settings.get(*name).is_some_and(|own| own.secret));
        name.is_some_and(|name| Use::of(definition, name).may_be_a_folder())
    };
    let is_known = |key: &String| known.contains(key) || *key == user_key || is_folder(key);
    let mistake = |key: &String| Mistake::new(Key::of(key), problem(key));
    given.keys().filter(|key| !is_known(key)).map(mistake).collect()
}

/// What the operator gives for a setting, in the configuration or else in the environment.
fn own(
    name: &str,
    setting: &Setting,
    given: &BTreeMap<String, Value>,
    environment: &Environment,
) -> Result<Option<Value>, Mistake> {
    let value = match (given.get(name), &setting.env) {
        (Some(value), _) => Some(value.clone()),
        (None, Some(variable)) => {
            let text = environment.text(variable).map_err(|mistake| mistake.within(Key::of(name)))?;
            text.map(Value::from)
        }
        (None, None) => None,
    };
    // The newer name of an algorithm stands for the older one, where a definition knows that alone.
    let older = Alg::EdDsa.name();
    let is_newer = |value: &Value| *value == Alg::ED25519 && setting.one_of.iter().any(|allowed| allowed == older);
    Ok(value.map(|value| if is_newer(&value) { Value::from(older) } else { value }))
}

/// The variable that a mistake at `place` is about: the setting there is not in the configuration, and comes from the
/// environment.
pub(in crate::provider) fn variable(
    definition: &Definition,
    place: &Key,
    given: &BTreeMap<String, Value>,
    environment: &Environment,
) -> Option<String> {
    let place = place.to_string();
    let name = if definition.settings.contains_key(&place) { place.as_str() } else { place.strip_suffix("_file")? };
    let variable = definition.settings.get(name)?.env.as_deref()?;
    if [name.to_owned(), format!("{name}_file"), format!("{name}_dir")].iter().any(|key| given.contains_key(key)) {
        return None;
    }
    let is_set = |variable: &String| !matches!(environment.text(variable), Ok(None));
    [variable.to_owned(), format!("{variable}_FILE")].into_iter().find(is_set)
}
