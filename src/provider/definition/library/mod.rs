//! The definitions that may be named: those that ship with the binary, and those of the operator.

mod presets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Definition;
use crate::config::ConfigError;
use crate::definition::{Mistake, Mistakes, did_you_mean};
use crate::secrets::{FileError, list, read_text};
pub use presets::PRESETS;

/// Bytes of a definition at most.
const MAX_BYTES: u64 = 1024 * 1024;

/// Definitions by name. Those of the operator come first.
#[derive(Debug, Default)]
pub struct Definitions {
    own: BTreeMap<String, Own>,
    /// Names of those that cannot be read.
    broken: BTreeSet<String>,
}

/// One of the operator.
#[derive(Debug)]
struct Own {
    definition: Definition,
    text: String,
    /// The file, for messages.
    origin: String,
}

impl Definitions {
    /// Reads every `.toml` file of `folder`. A definition is called what its file is called. Beside what is good come the
    /// mistakes of all files.
    pub fn read(folder: Option<&Path>) -> (Self, Vec<ConfigError>) {
        let mut definitions = Self::default();
        let Some(folder) = folder else { return (definitions, Vec::new()) };
        let fault = |origin: &Path, mistake: Mistake| ConfigError::at(origin.display().to_string(), mistake);
        let paths = match list(folder, "toml") {
            Ok(paths) => paths,
            Err(error) => {
                let problem = match error {
                    FileError::Unreadable(cause) => format!("is not a folder that can be read: {cause}"),
                    other => other.to_string(),
                };
                return (definitions, vec![fault(folder, problem.into())]);
            }
        };
        let mut errors = Vec::new();
        for path in &paths {
            match Own::read(path) {
                Ok(own) => {
                    definitions.own.insert(own.definition.name.clone(), own);
                }
                Err(mistakes) => {
                    definitions.broken.extend(path.file_stem().map(|stem| stem.display().to_string()));
                    errors.extend(mistakes.into_iter().map(|mistake| fault(path, mistake)));
                }
            }
        }
        (definitions, errors)
    }

    /// The definition called `name`, and its file where it is the operator's.
    pub fn get(&self, name: &str) -> Result<(Definition, Option<&str>), Mistake> {
        if let Some(own) = self.own.get(name) {
            return Ok((own.definition.clone(), Some(&own.origin)));
        }
        let broken = || format!("the definition \"{name}\" has mistakes of its own").into();
        if self.broken.contains(name) {
            return Err(broken());
        }
        match Definition::preset(name) {
            Some(shipped) => shipped.map(|shipped| (shipped, None)).map_err(|_mistakes| broken()),
            None => {
                let known: Vec<_> = self.texts().map(|(name, _)| name).collect();
                let meant = did_you_mean(name, &known);
                Err(format!("no preset \"{name}\"; there are {}{meant}", known.join(", ")).into())
            }
        }
    }

    /// The text of the definition called `name`; empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.texts().find(|(own, _)| *own == name).map_or("", |(_, text)| text)
    }

    /// Name and text of every definition, those of the operator first.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.own.iter().map(|(name, own)| (name.as_str(), own.text.as_str()));
        let shipped = PRESETS.iter().copied().filter(|(name, _)| !self.own.contains_key(*name));
        own.chain(shipped)
    }
}

impl Own {
    fn read(path: &Path) -> Result<Self, Mistakes> {
        let text = read_text(path, MAX_BYTES).map_err(|error| Mistake::from(error.to_string()))?;
        let definition = Definition::parse(&text)?;
        if path.file_stem().is_none_or(|stem| *stem != *definition.name) {
            return Err(format!("holds name = \"{0}\"; call the file {0}.toml", definition.name).into());
        }
        Ok(Self { definition, text, origin: path.display().to_string() })
    }
}
