//! Where one field of the user comes from: a header in some encoding, or claims of the payload.

use http::HeaderName;
use serde::Deserialize;
use serde_json::Value;

use super::token;
use crate::identity::claims::Path;
use crate::identity::request::encoding::Encoding;

/// The table of a field as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    header: Option<String>,
    encoding: Option<Encoding>,
    claim: Option<Names>,
    verified: Option<String>,
    #[serde(default)]
    repeated: bool,
}

/// One name, or several in order of preference.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "must be a text, or a list of texts")]
enum Names {
    One(String),
    Several(Vec<String>),
}

/// A field, checked. One that is not there has neither header nor claims.
#[derive(Default)]
pub(super) struct Field {
    /// The header that the text stands in, and how that holds it.
    pub(super) line: Option<(HeaderName, Encoding)>,
    /// Otherwise the first of these claims that says something holds it.
    pub(super) claims: Vec<Path>,
    /// The claim that must say that an address is the user's.
    pub(super) verified: Option<Path>,
    pub(super) repeated: bool,
}

impl Field {
    /// Whether the text is the bytes of a header, or not there.
    pub(super) fn is_plain(&self) -> bool {
        self.claims.is_empty() && self.line.as_ref().is_none_or(|(_, encoding)| *encoding == Encoding::Utf8)
    }
}

/// Checks the field `key`: the name of a header, or a table.
pub(super) fn check(key: &str, value: Value, has_payload: bool) -> Result<Field, String> {
    let wrong = |problem: &str| Err(format!("headers.{key}: {problem}"));
    let raw = match value {
        Value::String(header) => {
            Raw { header: Some(header), encoding: None, claim: None, verified: None, repeated: false }
        }
        Value::Object(_) => serde_json::from_value(value).map_err(|error| format!("headers.{key}: {error}"))?,
        _ => return wrong("must be the name of a header, or a table"),
    };
    if raw.verified.is_some() && (key != "email" || raw.claim.is_none()) {
        return wrong("`verified` is for an email in a claim");
    }
    if raw.repeated && (key != "groups" || raw.header.is_none()) {
        return wrong("`repeated` is for groups in a header");
    }
    let (line, names) = match (raw.header, raw.claim) {
        (Some(_), Some(_)) => return wrong("names both header and claim; write one"),
        (None, None) => return wrong("names neither header nor claim"),
        (Some(header), None) => (Some((header_name(key, &header)?, raw.encoding.unwrap_or_default())), Vec::new()),
        (None, Some(_)) if !has_payload => return wrong("reads a claim, but there is no table `payload`"),
        (None, Some(_)) if raw.encoding.is_some() => {
            return wrong("`encoding` belongs to a header; that of claims stands in `payload`");
        }
        (None, Some(names)) => (None, names.into_list()),
    };
    if line.is_none() && names.is_empty() {
        return wrong("names no claim");
    }
    let path = |name: &String| token::path(&format!("headers.{key}"), name);
    Ok(Field {
        line,
        claims: names.iter().map(path).collect::<Result<_, _>>()?,
        verified: raw.verified.as_ref().map(path).transpose()?,
        repeated: raw.repeated,
    })
}

/// The header that `key` names.
pub(super) fn header_name(key: &str, text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("headers.{key}: \"{text}\" is not a header name"))?;
    // Such a name is an alias of the one with dashes, and proxies strip or fold it at will (R5).
    if name.as_str().contains(['_', '.']) {
        return Err(format!("headers.{key}: \"{text}\" must not hold '_' or '.'; proxies treat those unlike '-'"));
    }
    Ok(name)
}

impl Names {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Several(names) => names,
        }
    }
}
