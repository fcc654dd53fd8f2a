//! Puts the layers together: built-in defaults, files, environment, flags. The one place that knows figment.

use std::path::{Path, PathBuf};

use figment::providers::{Format, Serialized, Toml};
use figment::{Figment, Source};
use serde::de::DeserializeOwned;

use super::{ConfigError, Environment, Sources};

/// The merged layers, to be read section by section, so that one pass finds the mistakes of all sections.
pub(super) struct Layers {
    merged: Figment,
    files: Vec<PathBuf>,
    environment: Environment,
}

/// Top-level tables of the file.
const SECTIONS: [&str; 8] = ["server", "ops", "log", "identity", "browser", "cache", "routes", "providers"];

impl Layers {
    /// Reads every file; `errors` takes those that are missing or are not TOML.
    pub(super) fn read(sources: &Sources, environment: &Environment, errors: &mut Vec<ConfigError>) -> Self {
        let mut files = Vec::new();
        for path in all_files(sources, errors) {
            match std::fs::read_to_string(&path) {
                Err(cause) => errors.push(ConfigError::new(
                    path.display().to_string(),
                    "",
                    format!("cannot be read ({cause}); name a configuration file with --config"),
                )),
                Ok(text) => match text.parse::<toml::Table>() {
                    Err(cause) => errors.push(ConfigError::new(
                        path.display().to_string(),
                        "",
                        format!("is not TOML: {}", cause.to_string().trim_end().replace('\n', " ")),
                    )),
                    Ok(_) => files.push(path),
                },
            }
        }
        let merged = files.iter().fold(Figment::new(), |all, file| all.merge(Toml::file_exact(file)));
        let merged = merged.merge(environment.layer());
        let merged =
            sources.overrides.iter().fold(merged, |all, (key, value)| all.merge(Serialized::default(key, value)));
        Self { merged, files, environment: environment.clone() }
    }

    /// Refuses top-level tables that do not exist.
    pub(super) fn check_sections(&self, errors: &mut Vec<ConfigError>) {
        let Ok(all) = self.merged.extract::<figment::value::Dict>() else { return };
        for name in all.keys().filter(|name| !SECTIONS.contains(&name.as_str())) {
            let problem = format!("unknown section; the sections are {}", SECTIONS.join(", "));
            errors.push(ConfigError::new(self.origin(name), name, problem));
        }
    }

    /// One section, with every layer applied; its default when it is absent or wrong (the mistake is in `errors`).
    pub(super) fn section<T: DeserializeOwned + Default>(&self, name: &str, errors: &mut Vec<ConfigError>) -> T {
        if self.merged.find_value(name).is_err() {
            return T::default();
        }
        self.extract(&self.merged, name, errors).unwrap_or_default()
    }

    /// The tables below `name`, each on its own.
    pub(super) fn tables<T: DeserializeOwned>(&self, name: &str, errors: &mut Vec<ConfigError>) -> Vec<(String, T)> {
        let Ok(figment::value::Value::Dict(_, tables)) = self.merged.find_value(name) else { return Vec::new() };
        let keys = tables.keys().map(|key| (key.clone(), format!("{name}.{key}")));
        keys.filter_map(|(key, path)| Some((key, self.extract(&self.merged, &path, errors)?))).collect()
    }

    /// The lists called `name` of all files, one after the other, each item with its file. A list that a later file
    /// replaced would drop the routes of the files before it without a word.
    pub(super) fn lists<T: DeserializeOwned>(&self, name: &str, errors: &mut Vec<ConfigError>) -> Vec<(String, T)> {
        let mut items = Vec::new();
        for file in &self.files {
            let one = Figment::from(Toml::file_exact(file));
            if one.find_value(name).is_ok() {
                let origin = file.display().to_string();
                let list: Option<Vec<T>> = self.extract(&one, name, errors);
                items.extend(list.unwrap_or_default().into_iter().map(|item| (origin.clone(), item)));
            }
        }
        items
    }

    fn extract<T: DeserializeOwned>(&self, from: &Figment, key: &str, errors: &mut Vec<ConfigError>) -> Option<T> {
        match from.extract_inner(key) {
            Ok(value) => Some(value),
            Err(error) => {
                errors.extend(error.into_iter().map(|error| self.describe(error, key)));
                None
            }
        }
    }

    /// Where the value of `key` comes from.
    pub(super) fn origin(&self, key: &str) -> String {
        self.merged
            .find_metadata(key)
            .map_or_else(|| self.fallback_origin(), |data| self.name_of(data.source.as_ref(), key))
    }

    fn fallback_origin(&self) -> String {
        self.files.first().map_or_else(|| "configuration".to_owned(), |file| file.display().to_string())
    }

    fn name_of(&self, source: Option<&Source>, key: &str) -> String {
        match source {
            Some(Source::File(path)) => short(path),
            _ => self.environment.variable_for(key).unwrap_or_else(|| "environment or flags".to_owned()),
        }
    }

    fn describe(&self, error: figment::Error, section: &str) -> ConfigError {
        use figment::error::Kind;
        let mut key = section.to_owned();
        // figment counts list items and repeats the section; keep what helps to find the line.
        for part in error.path.iter().filter(|part| !section.split('.').any(|own| own == part.as_str())) {
            key.push('.');
            key.push_str(part);
        }
        let problem = match &error.kind {
            Kind::UnknownField(field, known) => {
                if !key.ends_with(&format!(".{field}")) {
                    key = format!("{key}.{field}");
                }
                format!("unknown key; known here: {}", known.join(", "))
            }
            Kind::MissingField(field) => {
                key = format!("{key}.{field}");
                "is missing".to_owned()
            }
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                format!("is {found}, write {expected}")
            }
            Kind::UnknownVariant(found, known) => format!("\"{found}\" is not one of {}", known.join(", ")),
            other => other.to_string(),
        };
        let origin = match &error.metadata {
            Some(data) => self.name_of(data.source.as_ref(), &key),
            None => self.origin(section),
        };
        ConfigError::new(origin, key, problem)
    }
}

/// A path as the operator wrote it, where that is possible.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

fn all_files(sources: &Sources, errors: &mut Vec<ConfigError>) -> Vec<PathBuf> {
    let mut files = sources.files.clone();
    if let Some(folder) = &sources.folder {
        match std::fs::read_dir(folder) {
            Err(cause) => errors.push(ConfigError::new(
                folder.display().to_string(),
                "",
                format!("cannot be listed ({cause}); --config-dir names a folder of .toml files"),
            )),
            Ok(entries) => {
                let mut found: Vec<_> = entries
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .filter(|path| path.extension().is_some_and(|end| end == "toml") && path.is_file())
                    .collect();
                found.sort();
                files.extend(found);
            }
        }
    }
    files
}
