//! Which header carries what: the table `headers`.

use http::HeaderName;
use serde::Deserialize;

/// The table as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
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

/// Which header carries what, checked.
#[derive(Clone, Debug)]
pub(in crate::identity) struct HeaderNames {
    pub(in crate::identity) subject: HeaderName,
    pub(in crate::identity) name: Option<HeaderName>,
    pub(in crate::identity) email: Option<HeaderName>,
    pub(in crate::identity) groups: Option<HeaderName>,
    pub(in crate::identity) group_separator: char,
    pub(in crate::identity) allow_comma_in_subject: bool,
}

impl HeaderNames {
    /// Every configured header, the subject first.
    pub(in crate::identity) fn all(&self) -> impl Iterator<Item = &HeaderName> {
        std::iter::once(&self.subject).chain([&self.name, &self.email, &self.groups].into_iter().flatten())
    }

    pub(super) fn check(raw: Raw) -> Result<Self, String> {
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
            subject: header("subject", &raw.subject)?,
            name: optional("name", raw.name)?,
            email: optional("email", raw.email)?,
            groups: optional("groups", raw.groups)?,
            group_separator: raw.group_separator,
            allow_comma_in_subject: raw.allow_comma_in_subject,
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
