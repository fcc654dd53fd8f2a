//! The process environment as a value, so that tests can give another one.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Tag, Value};
use figment::{Metadata, Profile, Provider};

/// Environment variables, taken once at start.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

/// Prefix of the variables that set configuration keys.
const PREFIX: &str = "SIDEMINT_";

impl Environment {
    /// The environment of this process. Variables that are not UTF-8 are left out: no key or secret of ours is.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the process environment")]
    pub fn of_process() -> Self {
        Self(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect())
    }

    /// An environment made of `pairs`.
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    /// The text of a variable, exactly as it was given. An empty variable counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The configuration layer: variables such as `SIDEMINT_SERVER__LISTEN`.
    ///
    /// Only names with `__` count. Kubernetes puts variables like `SIDEMINT_PORT` and `SIDEMINT_SERVICE_HOST` into
    /// every pod beside a service of our name, and those must not be taken for unknown keys.
    pub(super) fn layer(&self) -> impl Provider {
        Layer(self.0.iter().filter_map(|(name, text)| Some((key_of(name)?, text.clone()))).collect())
    }

    /// Variables that set something below `key`.
    pub(super) fn variables_below(&self, key: &str) -> Vec<String> {
        let below = |name: &String| key_of(name).is_some_and(|own| own.split('.').next() == Some(key));
        self.0.keys().filter(|name| below(name)).cloned().collect()
    }

    /// The variable that sets `key`, for messages.
    pub(super) fn variable_for(&self, key: &str) -> Option<String> {
        self.0.keys().find(|name| key_of(name).is_some_and(|own| own == key)).cloned()
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("variables", &self.0.len()).finish_non_exhaustive()
    }
}

fn key_of(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(PREFIX)?;
    rest.contains("__").then(|| rest.to_ascii_lowercase().replace("__", "."))
}

struct Layer(Vec<(String, String)>);

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut all = Dict::new();
        for (key, text) in &self.0 {
            // `nest` gives nested tables only: keys always hold a dot here.
            if let Value::Dict(_, nested) = figment::util::nest(key, typed(text)) {
                merge(&mut all, nested);
            }
        }
        Ok(Map::from([(Profile::Default, all)]))
    }
}

fn merge(into: &mut Dict, from: Dict) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Dict(_, old)), Value::Dict(_, new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Numbers, booleans, lists and tables get their type; everything else, `0012` included, stays the text it is.
fn typed(text: &str) -> Value {
    let plain = || Value::String(Tag::Default, text.to_owned());
    let canonical_number = text.parse::<i64>().is_ok_and(|n| n.to_string() == text);
    if canonical_number || matches!(text, "true" | "false") || text.starts_with(['[', '{']) {
        toml::from_str::<toml::Table>(&format!("value = {text}"))
            .ok()
            .and_then(|table| Value::serialize(table.get("value")?).ok())
            .unwrap_or_else(plain)
    } else {
        plain()
    }
}
