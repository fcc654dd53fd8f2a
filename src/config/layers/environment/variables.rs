//! Variables that set configuration keys: `SIDEMINT_SERVER__LISTEN`.
//!
//! Only names with `__` count. Kubernetes puts variables like `SIDEMINT_PORT` and `SIDEMINT_SERVICE_HOST` into every pod
//! beside a service of our name, and those must not be taken for unknown keys.

use std::collections::BTreeSet;

use figment::value::{Dict, Map, Tag, Value};
use figment::{Metadata, Profile, Provider};

use crate::config::ConfigError;
use crate::definition::{Mistake, did_you_mean, line};

/// Top-level tables of the file.
pub(in crate::config) const SECTIONS: [&str; 17] = [
    "server",
    "grpc",
    "ops",
    "log",
    "identity",
    "browser",
    "outbound",
    "limits",
    "cache",
    "routes",
    "providers",
    "webhook_server",
    "webhooks",
    "queue",
    "gateway",
    "teams",
    "teams_dir",
];

/// What their names begin with.
const PREFIX: &str = "SIDEMINT_";
/// Variables of the command line.
const OWN: [&str; 3] = ["SIDEMINT_CONFIG", "SIDEMINT_CONFIG_DIR", "SIDEMINT_DEFINITIONS"];

/// The variables that set something, as a layer of the configuration.
#[derive(Debug, Default)]
pub(in crate::config) struct Variables(Vec<Variable>);

#[derive(Debug)]
struct Variable {
    name: String,
    path: Vec<String>,
    value: Value,
}

impl Variables {
    /// Reads all variables of `given`. Their names are mostly written in capitals, so a name that `files` know is spelled
    /// as it is there.
    pub(in crate::config) fn read<'g>(
        given: impl Iterator<Item = (&'g str, &'g str)>,
        broken: &BTreeSet<String>,
        files: &Dict,
    ) -> (Self, Vec<ConfigError>) {
        let (mut all, mut errors) = (Self::default(), Vec::new());
        for name in broken.iter().filter(|name| parts(name).is_some()) {
            errors.push(ConfigError::at(name, "is not UTF-8"));
        }
        for (name, text) in given {
            let Some(parts) = parts(name) else { continue };
            match all.variable(name, &parts, text, files) {
                Ok(variable) => all.0.push(variable),
                Err(error) => errors.push(error),
            }
        }
        (all, errors)
    }

    fn variable(&self, name: &str, parts: &[&str], text: &str, files: &Dict) -> Result<Variable, ConfigError> {
        let at = |path: &str, mistake: Mistake| ConfigError::at(name, mistake.within(path));
        let path = spelled(parts, files).map_err(|mistake| at(&parts.join(".").to_lowercase(), mistake))?;
        let at = |mistake: Mistake| at(&path.join("."), mistake);
        if let Some(other) = self.0.iter().find(|other| other.path == path) {
            return Err(at(format!("is what {} sets as well; unset one", other.name).into()));
        }
        let value = typed(text);
        if value.as_str().is_some_and(|text| !text.is_empty()) {
            line(text).map_err(at)?;
        }
        Ok(Variable { name: name.to_owned(), path, value })
    }

    /// Variables that set something at `key` or below it.
    pub(in crate::config) fn below(&self, key: &str) -> impl Iterator<Item = &str> {
        let below = move |own: &&Variable| {
            own.path.join(".").strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.0.iter().filter(below).map(|own| own.name.as_str())
    }

    /// The variable that sets `key`, or a table or list that holds it.
    pub(in crate::config) fn of(&self, key: &str) -> Option<&str> {
        let holds =
            |own: &str| key.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.0.iter().find(|variable| holds(&variable.path.join("."))).map(|variable| variable.name.as_str())
    }
}

impl Provider for &Variables {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut all = Dict::new();
        for variable in &self.0 {
            put(&mut all, &variable.path, &variable.value);
        }
        Ok(Map::from([(Profile::Default, all)]))
    }
}

fn put(table: &mut Dict, path: &[String], value: &Value) {
    match path {
        [] => {}
        [last] => {
            table.insert(last.clone(), value.clone());
        }
        [first, rest @ ..] => {
            let below = table.entry(first.clone()).or_insert_with(|| Value::Dict(Tag::Default, Dict::new()));
            if let Value::Dict(_, below) = below {
                put(below, rest, value);
            }
        }
    }
}

fn parts(variable: &str) -> Option<Vec<&str>> {
    let rest = variable.strip_prefix(PREFIX)?;
    rest.contains("__").then(|| rest.split("__").collect())
}

/// The keys that the parts of a name stand for.
fn spelled(parts: &[&str], files: &Dict) -> Result<Vec<String>, Mistake> {
    let mut path: Vec<String> = Vec::new();
    let mut table = Some(files);
    for part in parts {
        let same = |key: &&String| key.eq_ignore_ascii_case(part);
        let known = table.and_then(|table| table.keys().find(|key| key == part).or_else(|| table.keys().find(same)));
        let own = match known {
            Some(known) => known.clone(),
            None => new_name(&path, part)?,
        };
        table = table.and_then(|table| match table.get(&own) {
            Some(Value::Dict(_, below)) => Some(below),
            _ => None,
        });
        path.push(own);
    }
    Ok(path)
}

/// A name below `path` that no file has. Keys of ours are in lower case. Names that others chose are taken as they are
/// written; capitals alone do not show how a claim, a grant or a role is spelled, and there it matters.
fn new_name(path: &[String], part: &str) -> Result<String, Mistake> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let is_chosen = matches!(
        path[..],
        ["providers", ..] | ["identity", "roles" | "callers" | "sources", ..] | ["gateway", "callers", ..]
    );
    let in_capitals = !part.bytes().any(|byte| byte.is_ascii_lowercase());
    if !is_chosen || in_capitals && !matches!(path[..], ["providers", _, _, ..] | ["identity", "roles", ..]) {
        return Ok(part.to_lowercase());
    }
    if in_capitals && part.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!(
            "holds {part}, and capitals do not show how that name is spelled; write it in the variable as it is meant, or \
             set it in a file"
        )
        .into());
    }
    Ok(part.to_owned())
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

/// What to say of a variable that looks like ours and sets nothing.
pub(in crate::config) fn caution(name: &str, text: &str) -> Option<String> {
    let rest = name
        .get(..PREFIX.len())
        .filter(|start| start.eq_ignore_ascii_case(PREFIX))
        .and_then(|_| name.get(PREFIX.len()..))?;
    let is_ours = name.starts_with(PREFIX) && (rest.contains("__") || OWN.contains(&name));
    if is_ours || is_of_kubernetes(rest, text) {
        return None;
    }
    let lower = rest.to_lowercase();
    let section = SECTIONS
        .iter()
        .find(|section| lower.strip_prefix(**section).is_some_and(|key| key.len() > 1 && key.starts_with('_')));
    let meant = match section {
        Some(section) => {
            let key = lower.get(section.len()..).unwrap_or_default().trim_start_matches('_');
            format!(
                "; two underscores stand between a section and its key: {PREFIX}{}__{}",
                section.to_uppercase(),
                key.to_uppercase()
            )
        }
        None => did_you_mean(name, OWN),
    };
    Some(format!("the variable {name} is set and not used{meant}"))
}

/// Variables of services, as every pod has them: `…_SERVICE_HOST`, `…_PORT_8080_TCP_ADDR`.
fn is_of_kubernetes(rest: &str, text: &str) -> bool {
    let rest = format!("_{rest}");
    let is_address = || ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.starts_with(scheme));
    rest.ends_with("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || rest.ends_with("_PORT") && is_address()
        || ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
            rest.split_once("_PORT_")
                .is_some_and(|(_, port)| port.starts_with(|c: char| c.is_ascii_digit()) && port.contains(protocol))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Dict {
        let text = "[server]\nlisten = \"x\"\n[providers.Chat.video]\ncanPublish = true\n";
        match Value::serialize(toml::from_str::<toml::Table>(text).expect("TOML")) {
            Ok(Value::Dict(_, table)) => table,
            other => panic!("{other:?}"),
        }
    }

    fn keys(name: &str) -> Result<String, Mistake> {
        spelled(&parts(name).expect("a key"), &files()).map(|path| path.join("."))
    }

    #[test]
    fn names_are_spelled_as_in_the_files_or_as_written() {
        for (name, key) in [
            ("SIDEMINT_SERVER__LISTEN", "server.listen"),
            ("SIDEMINT_OPS__LISTEN", "ops.listen"),
            ("SIDEMINT_server__Listen", "server.listen"),
            ("SIDEMINT_PROVIDERS__CHAT__API_URL", "providers.Chat.api_url"),
            ("SIDEMINT_PROVIDERS__CHAT__VIDEO__CANPUBLISH", "providers.Chat.video.canPublish"),
            ("SIDEMINT_PROVIDERS__CHAT__CLAIMS__tenantId", "providers.Chat.claims.tenantId"),
            ("SIDEMINT_PROVIDERS__OTHER__API_URL", "providers.other.api_url"),
            ("SIDEMINT_IDENTITY__SOURCES__KEYCLOAK__JWT__ISSUER", "identity.sources.keycloak.jwt.issuer"),
            ("SIDEMINT_IDENTITY__ROLES__moderator", "identity.roles.moderator"),
        ] {
            assert_eq!(keys(name).as_deref(), Ok(key), "{name}");
        }
        for name in [
            "SIDEMINT_PROVIDERS__CHAT__CLAIMS__TENANTID",
            "SIDEMINT_PROVIDERS__CHAT__VIDEO__HIDDEN",
            "SIDEMINT_PROVIDERS__OTHER__A__B__C",
            "SIDEMINT_IDENTITY__ROLES__MODERATOR",
        ] {
            assert!(keys(name).expect_err(name).problem.contains("capitals do not show"), "{name}");
        }
    }

    #[test]
    fn what_looks_like_ours_and_is_nothing_is_told() {
        for (name, text, meant) in [
            (
                "SIDEMINT_SERVER_LISTEN",
                "x",
                "; two underscores stand between a section and its key: SIDEMINT_SERVER__LISTEN",
            ),
            ("SIDEMINT_LOG_LEVEL", "x", "; two underscores stand between a section and its key: SIDEMINT_LOG__LEVEL"),
            ("SIDEMINT_CONFIGS", "x", "; did you mean SIDEMINT_CONFIG?"),
            ("SIDEMINT_COLOUR", "x", ""),
            (
                "SIDEMINT_SERVER_PORT",
                "8080",
                "; two underscores stand between a section and its key: SIDEMINT_SERVER__PORT",
            ),
            (
                "sidemint_server__listen",
                "x",
                "; two underscores stand between a section and its key: SIDEMINT_SERVER__LISTEN",
            ),
        ] {
            assert_eq!(caution(name, text), Some(format!("the variable {name} is set and not used{meant}")));
        }
        for (name, text) in [
            ("SIDEMINT_CONFIG", "x"),
            ("SIDEMINT_SERVER__LISTEN", "x"),
            ("SIDEMINT_PORT", "tcp://10.0.0.1:80"),
            ("SIDEMINT_OPS_PORT", "tcp://10.0.0.1:80"),
            ("SIDEMINT_SERVICE_HOST", "10.0.0.1"),
            ("SIDEMINT_SERVER_SERVICE_PORT_HTTP", "80"),
            ("SIDEMINT_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("PATH", "/bin"),
            ("SIDE", "x"),
        ] {
            assert_eq!(caution(name, text), None, "{name}");
        }
    }
}
