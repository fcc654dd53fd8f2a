//! Puts the layers together: built-in defaults, files, environment, flags. The one place that knows figment.

pub(super) mod environment;

use std::path::{Path, PathBuf};

use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};
use serde::de::DeserializeOwned;

use environment::variables::{SECTIONS, Variables};

use super::{ConfigError, Environment, Sources};
use crate::definition::{Key, Mistake, Mistakes, did_you_mean, read, shown};
use crate::secrets::{FileError, list, read_text};

/// The merged layers, to be read section by section, so that one pass finds the mistakes of all sections.
pub(super) struct Layers {
    merged: Figment,
    files: Vec<File>,
    variables: Variables,
}

/// A configuration file, as it was read.
struct File {
    path: PathBuf,
    content: Dict,
}

/// Bytes of a configuration file at most.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What people name where no file is wanted; it is a device, and no other device is read.
const NO_FILE: &str = "/dev/null";

impl Layers {
    /// Reads every file; `errors` takes those that are missing or are not TOML.
    pub(super) fn read(sources: &Sources, environment: &Environment, errors: &mut Vec<ConfigError>) -> Self {
        let mut files = Vec::new();
        for path in all_files(sources, errors) {
            match File::read(&path) {
                Ok(content) => files.push(File { path, content }),
                Err(mistake) => errors.push(ConfigError::at(path.display().to_string(), mistake)),
            }
        }
        let merged = files.iter().fold(Figment::new(), Figment::merge);
        let known = merged.extract::<Dict>().unwrap_or_default();
        let (variables, mistakes) = environment.variables(&known);
        errors.extend(mistakes);
        let merged = merged.merge(&variables);
        let merged =
            sources.overrides.iter().fold(merged, |all, (key, value)| all.merge(Serialized::default(key, value)));
        Self { merged, files, variables }
    }

    /// One file alone, whose content is at hand.
    pub(super) fn of(path: PathBuf, content: Dict) -> Self {
        let file = File { path, content };
        Self { merged: Figment::new().merge(&file), files: vec![file], variables: Variables::default() }
    }

    /// Refuses top-level tables that do not exist.
    pub(super) fn check_sections(&self, errors: &mut Vec<ConfigError>) {
        let Ok(all) = self.merged.extract::<Dict>() else { return };
        for name in all.keys().filter(|name| !SECTIONS.contains(&name.as_str())) {
            let meant = did_you_mean(name, SECTIONS);
            let problem = format!("unknown section; the sections are {}{meant}", SECTIONS.join(", "));
            errors.push(ConfigError::new(self.origin(name), Key::of(name), problem));
        }
    }

    /// One section, with every layer applied; its default when it is absent or wrong (the mistake is in `errors`).
    pub(super) fn section<T: DeserializeOwned + Default>(&self, name: &str, errors: &mut Vec<ConfigError>) -> T {
        let Ok(value) = self.merged.find_value(name) else { return T::default() };
        self.value(&value, &name.into(), None, errors).unwrap_or_default()
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
                let problem = format!("is {}, write tables: [{name}.NAME]", shown(&other));
                errors.push(ConfigError::new(self.origin(name), name, problem));
                return Vec::new();
            }
            Err(_) => return Vec::new(),
        };
        let read = |(key, value): (String, Value)| {
            let table = self.value(&value, &Key::of(name).below(&key), None, errors);
            (key, table)
        };
        tables.into_iter().map(read).collect()
    }

    /// The lists at `name`, a dotted key, of all files, one after the other, each item with its file and its key there. A list
    /// that a later file replaced would drop the routes of the files before it without a word.
    pub(super) fn lists<T: DeserializeOwned>(
        &self,
        name: &str,
        errors: &mut Vec<ConfigError>,
    ) -> Vec<(String, Key, T)> {
        let mut items = Vec::new();
        for file in &self.files {
            let origin = short(&file.path);
            match file.at(name) {
                Some(Value::Array(_, list)) => {
                    for (n, value) in list.iter().enumerate() {
                        let key = Key::from(name).item(n);
                        let item = self.value(value, &key, Some(&origin), errors);
                        items.extend(item.map(|item| (origin.clone(), key, item)));
                    }
                }
                Some(other) => {
                    let problem = format!("is {}, write a list of tables: [[{name}]]", shown(other));
                    errors.push(ConfigError::new(origin, name, problem));
                }
                None => {}
            }
        }
        for variable in self.variables.below(name) {
            errors.push(ConfigError::new(variable, name, "is a list, which only files can give"));
        }
        items
    }

    /// Reads `value`, which stands at `key` in `origin`, or wherever the key comes from.
    fn value<T: DeserializeOwned>(
        &self,
        value: &Value,
        key: &Key,
        origin: Option<&str>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<T> {
        let mut mistakes = Mistakes::default();
        let read = read(value, &mut mistakes);
        errors.extend(mistakes.within(key).into_iter().map(|mistake| {
            let origin = origin.map_or_else(|| self.origin(&mistake.key.to_string()), str::to_owned);
            ConfigError::at(origin, mistake)
        }));
        read
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
        self.files.first().map_or_else(|| "configuration".to_owned(), |file| file.path.display().to_string())
    }

    fn name_of(&self, source: Option<&Source>, key: &str) -> String {
        match source {
            Some(Source::File(path)) => short(path),
            _ => self.variables.of(key).or_else(|| self.variables.below(key).next()).unwrap_or("flags").to_owned(),
        }
    }
}

impl File {
    /// The content of a file. It is read once, with a limit.
    fn read(path: &Path) -> Result<Dict, Mistake> {
        let text = read_text(path, MAX_BYTES).map_err(|cause| {
            let problem = match cause {
                FileError::Unreadable(cause) => format!("cannot be read ({cause})"),
                other => other.to_string(),
            };
            format!("{problem}; name a configuration file with --config")
        })?;
        parse(&text)
    }
}

/// The tables of a file's text.
pub(super) fn parse(text: &str) -> Result<Dict, Mistake> {
    toml::from_str(text).map_err(|cause| not_toml(text, &cause).into())
}

impl File {
    /// The value at a dotted key.
    fn at(&self, key: &str) -> Option<&Value> {
        let (tables, last) = key.rsplit_once('.').map_or((None, key), |(tables, last)| (Some(tables), last));
        let below = tables
            .into_iter()
            .flat_map(|tables| tables.split('.'))
            .try_fold(&self.content, |table, name| table.get(name).and_then(Value::as_dict));
        below?.get(last)
    }
}

impl Provider for &File {
    fn metadata(&self) -> Metadata {
        Metadata::from("TOML file", self.path.as_path())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.content.clone())]))
    }
}

/// A path as the operator wrote it, where that is possible.
pub(super) fn short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// Where a file stops being TOML. The parser's own text would print the line as it is, with a secret that may be in it.
fn not_toml(text: &str, cause: &toml::de::Error) -> String {
    let problem = cut(&cause.message().replace('\n', ", "));
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

/// The beginning of a text that may have any length (F-19).
fn cut(text: &str) -> String {
    let (mut rest, most) = (text.chars(), 200);
    // F-19: shown text
    let begin: String = rest.by_ref().take(most).collect();
    if rest.next().is_some() { format!("{begin}…") } else { begin }
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
    cut(shown.trim())
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
                errors.push(ConfigError::at(folder.display().to_string(), problem));
            }
            Ok(found) => files.extend(found),
        }
    }
    files
}
