//! The definitions that may be named: those that ship with the binary, and those of the operator.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Definition, PRESETS};
use crate::config::ConfigError;

/// Definitions by name. Those of the operator come first.
#[derive(Debug, Default)]
pub struct Definitions {
    own: BTreeMap<String, (Definition, String)>,
}

impl Definitions {
    /// Reads every `.toml` file of `folder`. A definition is called what its file is called. Mistakes of all files come
    /// together.
    pub fn read(folder: Option<&Path>) -> Result<Self, Vec<ConfigError>> {
        let mut definitions = Self::default();
        let Some(folder) = folder else { return Ok(definitions) };
        let fault = |origin: &Path, problem: String| ConfigError::new(origin.display().to_string(), "", problem);
        let entries = std::fs::read_dir(folder)
            .map_err(|error| vec![fault(folder, format!("is not a folder that can be read: {error}"))])?;
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        let mut errors = Vec::new();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
            let read = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"));
            match read.and_then(|text| Ok((Definition::parse(&text)?, text))) {
                Ok((own, text)) if path.file_stem().is_some_and(|stem| *stem == *own.name) => {
                    definitions.own.insert(own.name.clone(), (own, text));
                }
                Ok((own, _)) => {
                    errors.push(fault(path, format!("holds name = \"{0}\"; call the file {0}.toml", own.name)));
                }
                Err(problem) => errors.push(fault(path, problem)),
            }
        }
        if errors.is_empty() { Ok(definitions) } else { Err(errors) }
    }

    /// The definition called `name`.
    pub fn get(&self, name: &str) -> Result<Definition, String> {
        if let Some((own, _)) = self.own.get(name) {
            return Ok(own.clone());
        }
        Definition::preset(name).unwrap_or_else(|| {
            let known: Vec<_> =
                self.own.keys().map(String::as_str).chain(PRESETS.iter().map(|(name, _)| *name)).collect();
            Err(format!("no preset \"{name}\"; there are {}", known.join(", ")))
        })
    }

    /// Name and text of every definition, those of the operator first.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.own.iter().map(|(name, (_, text))| (name.as_str(), text.as_str()));
        let shipped = PRESETS.iter().copied().filter(|(name, _)| !self.own.contains_key(*name));
        own.chain(shipped)
    }
}
