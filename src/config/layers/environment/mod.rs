//! The process environment as a value, so that tests can give another one.

pub(in crate::config) mod variables;

use std::collections::{BTreeMap, BTreeSet};

use figment::value::Dict;

use crate::config::ConfigError;
use crate::definition::Mistake;
use variables::Variables;

/// Environment variables, taken once at start.
#[derive(Clone, Default)]
pub struct Environment {
    texts: BTreeMap<String, String>,
    /// Names of variables that are not UTF-8.
    broken: BTreeSet<String>,
}

impl Environment {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the process environment")]
    pub fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, text) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match text.into_string() {
                Ok(text) => {
                    environment.texts.insert(name, text);
                }
                Err(_) => {
                    environment.broken.insert(name);
                }
            }
        }
        environment
    }

    /// An environment made of `pairs`.
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        let texts = pairs.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        Self { texts, broken: BTreeSet::new() }
    }

    /// The text of a variable, exactly as it was given. An empty variable counts as not set.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Mistake> {
        if self.broken.contains(name) {
            return Err(format!("{name} is not UTF-8").into());
        }
        Ok(self.texts.get(name).map(String::as_str).filter(|text| !text.is_empty()))
    }

    /// The same, where a variable that is no text is as good as none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.text(name).ok().flatten()
    }

    /// The variables that set configuration keys, as the names in `files` are spelled, and what is wrong with them.
    pub(super) fn variables(&self, files: &Dict) -> (Variables, Vec<ConfigError>) {
        Variables::read(self.texts.iter().map(|(name, text)| (name.as_str(), text.as_str())), &self.broken, files)
    }

    /// Variables that look like ours and set nothing: one sentence each. `is_read` knows those that definitions read.
    pub fn cautions(&self, is_read: impl Fn(&str) -> bool) -> Vec<String> {
        let stray = self.texts.iter().filter(|(name, _)| !is_read(name.strip_suffix("_FILE").unwrap_or(name)));
        stray.filter_map(|(name, text)| variables::caution(name, text)).collect()
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("variables", &self.texts.len()).finish_non_exhaustive()
    }
}
