//! Identity definitions: what an upstream sends, as data. Presets ship with the binary; operators add their own.

use http::HeaderName;
use serde::Deserialize;

/// A definition as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    #[expect(dead_code, reason = "printed as text by `presets`, compared with the file name by a test")]
    name: String,
    #[serde(default)]
    summary: String,
    #[serde(rename = "kind")]
    _kind: Kind,
    headers: RawHeaders,
}

/// How identity is carried. Signed tokens follow as a second kind.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Headers,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeaders {
    subject: String,
    name: Option<String>,
    email: Option<String>,
    groups: Option<String>,
    #[serde(default = "comma")]
    group_separator: char,
    #[serde(default)]
    allow_comma_in_subject: bool,
}

const fn comma() -> char {
    ','
}

/// Which header carries what: a definition of kind `headers`, checked.
#[derive(Clone, Debug)]
pub struct HeaderNames {
    pub(super) subject: HeaderName,
    pub(super) name: Option<HeaderName>,
    pub(super) email: Option<HeaderName>,
    pub(super) groups: Option<HeaderName>,
    pub(super) group_separator: char,
    pub(super) allow_comma_in_subject: bool,
}

impl HeaderNames {
    /// Every configured header, the subject first.
    pub fn all(&self) -> impl Iterator<Item = &HeaderName> {
        std::iter::once(&self.subject).chain([&self.name, &self.email, &self.groups].into_iter().flatten())
    }

    fn check(raw: Raw) -> Result<Self, String> {
        let header = |key: &str, text: &str| {
            let name = HeaderName::from_bytes(text.as_bytes())
                .map_err(|_| format!("headers.{key}: \"{text}\" is not a header name"))?;
            // Such a name is an alias of the one with dashes, and proxies strip or fold it at will (R5).
            if name.as_str().contains(['_', '.']) {
                return Err(format!(
                    "headers.{key}: \"{text}\" must not hold '_' or '.'; proxies treat those unlike '-'"
                ));
            }
            Ok(name)
        };
        let optional = |key: &str, text: Option<String>| text.map(|text| header(key, &text)).transpose();
        let names = Self {
            subject: header("subject", &raw.headers.subject)?,
            name: optional("name", raw.headers.name)?,
            email: optional("email", raw.headers.email)?,
            groups: optional("groups", raw.headers.groups)?,
            group_separator: raw.headers.group_separator,
            allow_comma_in_subject: raw.headers.allow_comma_in_subject,
        };
        let mut seen: Vec<&HeaderName> = Vec::new();
        for name in names.all() {
            if seen.contains(&name) {
                return Err(format!("headers: \"{name}\" is named twice"));
            }
            seen.push(name);
        }
        Ok(names)
    }
}

/// The definitions that ship with the binary: name and text.
pub const PRESETS: [(&str, &str); 3] = [
    ("plain", include_str!("presets/plain.toml")),
    ("oauth2-proxy", include_str!("presets/oauth2-proxy.toml")),
    ("authelia", include_str!("presets/authelia.toml")),
];

/// One line about a preset.
pub fn summary(text: &str) -> String {
    toml::from_str::<Raw>(text).map(|raw| raw.summary).unwrap_or_default()
}

/// A preset by name.
pub(super) fn preset(name: &str) -> Option<Result<HeaderNames, String>> {
    let (_, text) = PRESETS.iter().find(|(own, _)| *own == name)?;
    Some(toml::from_str(text).map_err(|error| error.to_string()).and_then(HeaderNames::check))
}

/// A definition of the operator's own.
pub(super) fn custom(value: &serde_json::Value) -> Result<HeaderNames, String> {
    serde_json::from_value(value.clone()).map_err(|error| error.to_string()).and_then(HeaderNames::check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_compile_and_are_called_what_their_files_are_called() {
        for (name, text) in PRESETS {
            let table: toml::Table = text.parse().expect(name);
            assert_eq!(table["name"].as_str(), Some(name));
            assert!(preset(name).expect(name).is_ok(), "{name}");
            assert!(!summary(text).is_empty(), "{name}");
        }
    }
}
