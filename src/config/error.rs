//! What is wrong with a configuration: where, what, and what to write instead.

use std::fmt;

use crate::definition::{Key, Mistake, Mistakes};

/// One mistake in the configuration. `Display` is one sentence that names file and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, the variable, or another origin.
    pub origin: String,
    /// The key in it, and what is wrong there.
    pub mistake: Mistake,
}

impl ConfigError {
    /// A mistake in `origin`.
    pub fn at(origin: impl Into<String>, mistake: impl Into<Mistake>) -> Self {
        Self { origin: origin.into(), mistake: mistake.into() }
    }

    /// A mistake at `key` in `origin`.
    pub fn new(origin: impl Into<String>, key: impl Into<Key>, problem: impl Into<String>) -> Self {
        Self::at(origin, Mistake::new(key, problem))
    }

    /// Mistakes that are all in `origin`.
    pub fn all(origin: &str, mistakes: Mistakes) -> impl Iterator<Item = Self> {
        mistakes.into_iter().map(move |mistake| Self::at(origin, mistake))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.mistake)
    }
}

impl std::error::Error for ConfigError {}

/// All mistakes that were found in one pass; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    /// One line for each mistake. A secret that is used in four places is one mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if self.0.iter().take(n).any(|before| before == error) {
                continue;
            }
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
