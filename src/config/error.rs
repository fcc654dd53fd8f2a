//! What is wrong with a configuration: where, what, and what to write instead.

use std::fmt;

/// One mistake in the configuration. `Display` is one sentence that names file and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, `environment`, or another origin.
    pub origin: String,
    /// The key, dotted: `server.listen`. Empty when the mistake has no single key.
    pub key: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl ConfigError {
    /// A mistake at `key` in `origin`.
    pub fn new(origin: impl Into<String>, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { origin: origin.into(), key: key.into(), problem: problem.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.origin, self.problem)
        } else {
            write!(f, "{}: {}: {}", self.origin, self.key, self.problem)
        }
    }
}

impl std::error::Error for ConfigError {}

/// All mistakes that were found in one pass; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
