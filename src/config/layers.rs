//! Puts the layers together: built-in defaults, files, environment, flags. The one place that knows figment.

use std::path::{Path, PathBuf};

use figment::error::{Actual, Kind};
use figment::providers::{Format, Serialized, Toml};
use figment::value::Value;
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
const SECTIONS: [&str; 11] =
    ["server", "grpc", "ops", "log", "identity", "browser", "outbound", "limits", "cache", "routes", "providers"];

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
                        // Not its `Display`, which prints the line: a secret may be in it.
                        format!(
                            "is not TOML: {} in {}",
                            cause.message().replace('\n', ", "),
                            line(&text, cause.span())
                        ),
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
        let Ok(value) = self.merged.find_value(name) else { return T::default() };
        Self::read_value(value, name, &|key| self.origin(key), errors).unwrap_or_default()
    }

    /// The tables below `name`, each on its own. One that is wrong is there without content: it is not missing.
    pub(super) fn tables<T: DeserializeOwned>(
        &self,
        name: &str,
        errors: &mut Vec<ConfigError>,
    ) -> Vec<(String, Option<T>)> {
        let tables = match self.merged.find_value(name) {
            Ok(Value::Dict(_, tables)) => tables,
            Ok(other) => {
                let problem = format!("is {}, write tables: [{name}.NAME]", shown(&other.to_actual()));
                errors.push(ConfigError::new(self.origin(name), name, problem));
                return Vec::new();
            }
            Err(_) => return Vec::new(),
        };
        let read = |(key, value): (String, Value)| {
            let table = Self::read_value(value, &format!("{name}.{key}"), &|key| self.origin(key), errors);
            (key, table)
        };
        tables.into_iter().map(read).collect()
    }

    /// The lists called `name` of all files, one after the other, each item with its file and its key there. A list
    /// that a later file replaced would drop the routes of the files before it without a word.
    pub(super) fn lists<T: DeserializeOwned>(
        &self,
        name: &str,
        errors: &mut Vec<ConfigError>,
    ) -> Vec<(String, String, T)> {
        let mut items = Vec::new();
        for file in &self.files {
            let origin = short(file);
            match Figment::from(Toml::file_exact(file)).find_value(name) {
                Ok(Value::Array(_, list)) => {
                    for (n, value) in list.into_iter().enumerate() {
                        let key = format!("{name}[{n}]");
                        let item = Self::read_value(value, &key, &|_| origin.clone(), errors);
                        items.extend(item.map(|item| (origin.clone(), key, item)));
                    }
                }
                Ok(other) => {
                    let problem = format!("is {}, write a list of tables: [[{name}]]", shown(&other.to_actual()));
                    errors.push(ConfigError::new(origin, name, problem));
                }
                Err(_) => {}
            }
        }
        for variable in self.environment.variables_below(name) {
            errors.push(ConfigError::new(variable, name, "is a list, which only files can give"));
        }
        items
    }

    /// Reads `value`, which stands at `key`. serde stops at the first mistake, so a mistake that has been told is taken
    /// out and the rest is read again.
    fn read_value<T: DeserializeOwned>(
        mut value: Value,
        key: &str,
        origin: &dyn Fn(&str) -> String,
        errors: &mut Vec<ConfigError>,
    ) -> Option<T> {
        let mut told: Vec<Vec<String>> = Vec::new();
        loop {
            let error = match value.deserialize::<T>() {
                Ok(read) => return told.is_empty().then_some(read),
                Err(error) => error,
            };
            let path = path_of(&error);
            // What was taken out is not missing.
            if told.contains(&path) {
                return None;
            }
            let place = place(key, &path);
            errors.push(ConfigError::new(origin(&place), place, problem(&error.kind)));
            if !take_out(&mut value, &path) {
                return None;
            }
            told.push(path);
        }
    }

    /// Where the value of `key` comes from.
    pub(super) fn origin(&self, key: &str) -> String {
        // figment does not look into lists.
        let key = key.split('[').next().unwrap_or(key);
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
}

/// Where a mistake is, from the value that was read.
fn path_of(error: &figment::Error) -> Vec<String> {
    let mut path = error.path.clone();
    let last = match &error.kind {
        Kind::UnknownField(field, _) => Some(field.as_str()),
        Kind::MissingField(field) => Some(field.as_ref()),
        _ => None,
    };
    if let Some(last) = last.filter(|last| path.last().map(String::as_str) != Some(last)) {
        path.push(last.to_owned());
    }
    path
}

/// A path as operators write it: `routes[0].path`.
fn place(key: &str, path: &[String]) -> String {
    let mut place = key.to_owned();
    for part in path {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            place.extend(["[", part, "]"]);
        } else {
            place.push('.');
            place.push_str(part);
        }
    }
    place
}

/// Takes the value at `path` out; `false` when there is none.
fn take_out(value: &mut Value, path: &[String]) -> bool {
    match (value, path) {
        (Value::Dict(_, members), [last]) => members.remove(last).is_some(),
        (Value::Dict(_, members), [first, rest @ ..]) => {
            members.get_mut(first).is_some_and(|below| take_out(below, rest))
        }
        (Value::Array(_, items), [index, rest @ ..]) => {
            let Some(at) = index.parse().ok().filter(|at: &usize| *at < items.len()) else { return false };
            if rest.is_empty() {
                items.remove(at);
                return true;
            }
            items.get_mut(at).is_some_and(|below| take_out(below, rest))
        }
        _ => false,
    }
}

fn problem(kind: &Kind) -> String {
    match kind {
        Kind::UnknownField(_, known) => format!("unknown key; known here: {}", known.join(", ")),
        Kind::MissingField(_) => "is missing".to_owned(),
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("is {}, write {}", shown(found), wanted(expected))
        }
        Kind::UnknownVariant(found, known) => format!("\"{found}\" is not one of {}", known.join(", ")),
        other => other.to_string(),
    }
}

/// A value of another type, as its author sees it.
fn shown(found: &Actual) -> String {
    match found {
        Actual::Str(text) => format!("\"{text}\""),
        Actual::Bool(flag) => flag.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// A type of ours in words for people.
fn wanted(expected: &str) -> &str {
    match expected {
        "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "a boolean" => "true or false",
        "a string" | "enum LogFormat" | "enum RequestLines" | "enum UserLines" | "enum Answer" | "enum Mode" => "text",
        "a sequence" => "a list",
        "a map" => "a table",
        other => other.strip_prefix("struct ").map_or(other, |_| "a table"),
    }
}

/// A path as the operator wrote it, where that is possible.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

fn line(text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}", before.split('\n').count())
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
