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

/// The one of `known` that was probably meant by `written`, as the end of a message; empty where none is near.
pub fn did_you_mean<K: AsRef<str>>(written: &str, known: impl IntoIterator<Item = K>) -> String {
    // `canPublish`, `can_publish` and `CANPUBLISH` are one name to whoever writes it.
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', '.'], "");
    let written = plain(written);
    let far = |name: &str| strsim::osa_distance(&plain(name), &written);
    let nearest = known.into_iter().map(|name| (far(name.as_ref()), name)).min_by_key(|(far, _)| *far);
    let near = written.chars().count().div_ceil(4).min(3);
    nearest
        .filter(|(far, _)| *far <= near)
        .map_or_else(String::new, |(_, name)| format!("; did you mean {}?", name.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_where_one_is_near() {
        let known = ["sendsar", "sendbird", "listen", "canPublish", "api_url"];
        for (written, meant) in [
            ("sendser", "; did you mean sendsar?"),
            ("listn", "; did you mean listen?"),
            ("CANPUBLISH", "; did you mean canPublish?"),
            ("can_publish", "; did you mean canPublish?"),
            ("api_ulr", "; did you mean api_url?"),
            ("colour", ""),
            ("x", ""),
            ("", ""),
        ] {
            assert_eq!(did_you_mean(written, known), meant, "{written}");
        }
        assert_eq!(did_you_mean("x", [""; 0]), "");
    }
}
