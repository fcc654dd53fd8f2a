//! Puts the layers together: built-in defaults, files, environment, flags. The one place that knows figment.

use std::path::{Path, PathBuf};

use figment::error::{Actual, Kind};
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Source};
use serde::de::DeserializeOwned;

use super::variables::Variables;
use super::{ConfigError, Environment, Sources, did_you_mean};
use crate::secrets::{FileError, list, read_text};

/// The merged layers, to be read section by section, so that one pass finds the mistakes of all sections.
pub(super) struct Layers {
    merged: Figment,
    files: Vec<PathBuf>,
    variables: Variables,
}

/// Bytes of a configuration file at most.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What people name where no file is wanted; it is a device, and no other device is read.
const NO_FILE: &str = "/dev/null";

/// Top-level tables of the file.
pub(super) const SECTIONS: [&str; 11] =
    ["server", "grpc", "ops", "log", "identity", "browser", "outbound", "limits", "cache", "routes", "providers"];

impl Layers {
    /// Reads every file; `errors` takes those that are missing or are not TOML.
    pub(super) fn read(sources: &Sources, environment: &Environment, errors: &mut Vec<ConfigError>) -> Self {
        let mut files = Vec::new();
        for path in all_files(sources, errors) {
            match read_text(&path, MAX_BYTES) {
                Err(cause) => {
                    let problem = match cause {
                        FileError::Unreadable(cause) => format!("cannot be read ({cause})"),
                        other => other.to_string(),
                    };
                    let problem = format!("{problem}; name a configuration file with --config");
                    errors.push(ConfigError::new(path.display().to_string(), "", problem));
                }
                Ok(text) => match text.parse::<toml::Table>() {
                    Err(cause) => {
                        errors.push(ConfigError::new(path.display().to_string(), "", not_toml(&text, &cause)));
                    }
                    Ok(_) => files.push(path),
                },
            }
        }
        let merged = files.iter().fold(Figment::new(), |all, file| all.merge(Toml::file_exact(file)));
        let known = merged.extract::<Dict>().unwrap_or_default();
        let (variables, mistakes) = environment.variables(&known);
        errors.extend(mistakes);
        let merged = merged.merge(&variables);
        let merged =
            sources.overrides.iter().fold(merged, |all, (key, value)| all.merge(Serialized::default(key, value)));
        Self { merged, files, variables }
    }

    /// Refuses top-level tables that do not exist.
    pub(super) fn check_sections(&self, errors: &mut Vec<ConfigError>) {
        let Ok(all) = self.merged.extract::<Dict>() else { return };
        for name in all.keys().filter(|name| !SECTIONS.contains(&name.as_str())) {
            let meant = did_you_mean(name, SECTIONS);
            let problem = format!("unknown section; the sections are {}{meant}", SECTIONS.join(", "));
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
        for variable in self.variables.below(name) {
            errors.push(ConfigError::new(variable, name, "is a list, which only files can give"));
        }
        items
    }

    /// Reads `value`, which stands at `key`. serde stops at the first mistake, so a mistake that has been told is taken
    /// out and the rest is read again. What is left is handed on, so that the stages after this one tell their mistakes in
    /// the same run; it is never served.
    fn read_value<T: DeserializeOwned>(
        mut value: Value,
        key: &str,
        origin: &dyn Fn(&str) -> String,
        errors: &mut Vec<ConfigError>,
    ) -> Option<T> {
        let mut told: Vec<Vec<String>> = Vec::new();
        loop {
            let error = match value.deserialize::<T>() {
                Ok(read) => return Some(read),
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
            _ => self.variables.of(key).or_else(|| self.variables.below(key).next()).unwrap_or("flags").to_owned(),
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
        Kind::UnknownField(field, known) => {
            let meant = did_you_mean(field, *known);
            format!("unknown key; known here: {}{meant}", known.join(", "))
        }
        Kind::MissingField(_) => "is missing".to_owned(),
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("is {}, write {}", shown(found), wanted(expected))
        }
        Kind::UnknownVariant(found, known) => {
            let meant = did_you_mean(found, *known);
            format!("\"{found}\" is not one of {}{meant}", known.join(", "))
        }
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
        "u32" => "a whole number, 0 or more",
        "a boolean" => "true or false",
        "a string" | "enum LogFormat" | "enum RequestLines" | "enum UserLines" | "enum Mode" => "text",
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

/// Where a file stops being TOML. The parser's own text would print the line as it is, with a secret that may be in it.
fn not_toml(text: &str, cause: &toml::de::Error) -> String {
    let problem = cause.message().replace('\n', ", ");
    let Some(before) = cause.span().and_then(|span| text.get(..span.start)) else {
        return format!("is not TOML: {problem}");
    };
    let begin = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(begin..).unwrap_or_default().chars().count() + 1;
    let number = before.matches('\n').count() + 1;
    let line = text.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    // T-36: values not shown
    format!("is not TOML in line {number}, column {column}: {problem}; the line reads {}", without_values(line))
}

/// A line of configuration without what stands in it as a value: only keys in lower case and marks are shown (T-36).
fn without_values(line: &str) -> String {
    let is_key =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.' | '[' | ']' | ' ');
    let (key, value) = match line.split_once('=') {
        Some((key, value)) if key.chars().all(is_key) => (format!("{key}="), value),
        _ if line.starts_with('[') && line.chars().all(is_key) => (line.to_owned(), ""),
        _ => (String::new(), line),
    };
    let mut shown = key;
    for c in value.chars() {
        if c.is_ascii_whitespace() || matches!(c, '"' | '\'' | '[' | ']' | '{' | '}' | ',' | '=') {
            shown.push(if c.is_ascii_whitespace() { ' ' } else { c });
        } else if !shown.ends_with('…') {
            shown.push('…');
        }
    }
    shown.trim().to_owned()
}

fn all_files(sources: &Sources, errors: &mut Vec<ConfigError>) -> Vec<PathBuf> {
    let mut files: Vec<_> = sources.files.iter().filter(|file| *file != Path::new(NO_FILE)).cloned().collect();
    if let Some(folder) = &sources.folder {
        match list(folder, "toml") {
            Err(cause) => {
                let problem = match cause {
                    FileError::Unreadable(cause) => format!("cannot be listed ({cause})"),
                    other => other.to_string(),
                };
                let problem = format!("{problem}; --config-dir names a folder of .toml files");
                errors.push(ConfigError::new(folder.display().to_string(), "", problem));
            }
            Ok(found) => files.extend(found),
        }
    }
    files
}
