//! Where the secrets of a provider are: files and folders that the configuration names, or the vendor's variables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::Settings;
use crate::config::Environment;
use crate::definition::{Key, Mistake, whole};
use crate::provider::definition::Setting;
use crate::secrets::{Secret, SecretSource};

/// Finds where a secret is. The key of tokens may be a folder of them.
pub(super) fn secret(
    (name, is_token_key): (&str, bool),
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
        (Some(Value::String(path)), ..) => Some(SecretSource::File(PathBuf::from(path))),
        (Some(_), ..) => return Err(wrong(&key, "is not text; write the path of a file")),
        (None, Some(_), Some(_)) => {
            let variable = variable.unwrap_or_default();
            return Err(wrong(&key, format!("{variable} and {variable}_FILE are both set; unset one")));
        }
        (None, Some(path), None) => Some(SecretSource::File(PathBuf::from(path))),
        (None, None, Some(text)) => Some(SecretSource::Variable {
            name: variable.unwrap_or_default().to_owned(),
            text: Secret::new(text.as_bytes().to_vec()),
        }),
        (None, None, None) => None,
    };
    let folder = format!("{name}_dir");
    let source = match (given.get(&folder).filter(|_| is_token_key), source) {
        (Some(_), Some(_)) => {
            return Err(wrong(&folder, format!("is set beside another source of {name}; remove one")));
        }
        (Some(Value::String(path)), None) => Some(SecretSource::Folder(PathBuf::from(path))),
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

fn wrong(key: &str, problem: impl Into<String>) -> Mistake {
    Mistake::new(Key::of(key), problem)
}

/// Whether what should be a path is what the file should hold: it must not get into a message (T-36).
fn is_secret_itself(setting: &Setting, text: &str) -> bool {
    let looks_so = |pattern: &String| whole(pattern).is_ok_and(|pattern| pattern.is_match(text));
    text.starts_with("-----BEGIN") || !text.contains('/') && setting.pattern.as_ref().is_some_and(looks_so)
}
