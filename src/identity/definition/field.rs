//! Where one field of the user comes from: a header in some encoding, or claims of the payload.

use std::fmt;

use http::HeaderName;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::names::{claim_path, header_name};
use crate::definition::{Mistake, OneOrMany};
use crate::identity::claims::Path;
use crate::identity::request::encoding::Encoding;

/// A field as written: a table, or the name of its header alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Raw(Table);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    header: Option<String>,
    encoding: Option<Encoding>,
    claim: Option<OneOrMany<String>>,
    verified: Option<String>,
    repeated: bool,
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Raw;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a header, or a table")
            }
            fn visit_str<E: de::Error>(self, header: &str) -> Result<Raw, E> {
                Ok(Raw(Table { header: Some(header.to_owned()), ..Table::default() }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Raw, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map)).map(Raw)
            }
        }
        deserializer.deserialize_any(Either)
    }
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

/// Checks the field called `name`.
pub(super) fn check(name: &str, Raw(raw): Raw, has_payload: bool) -> Result<Field, Mistake> {
    if raw.verified.is_some() && (name != "email" || raw.claim.is_none()) {
        return Err("`verified` is for an email in a claim".into());
    }
    if raw.repeated && (name != "groups" || raw.header.is_none()) {
        return Err("`repeated` is for groups in a header".into());
    }
    let (line, names) = match (raw.header, raw.claim) {
        (Some(_), Some(_)) => return Err("names both header and claim; write one".into()),
        (None, None) => return Err("names neither header nor claim".into()),
        (Some(header), None) => (Some((header_name(&header)?, raw.encoding.unwrap_or_default())), Vec::new()),
        (None, Some(_)) if !has_payload => return Err("reads a claim, but there is no table `payload`".into()),
        (None, Some(_)) if raw.encoding.is_some() => {
            return Err("`encoding` belongs to a header; that of claims stands in `payload`".into());
        }
        (None, Some(OneOrMany(names))) => (None, names),
    };
    if line.is_none() && names.is_empty() {
        return Err("names no claim".into());
    }
    Ok(Field {
        line,
        claims: names.iter().map(|name| claim_path(name)).collect::<Result<_, _>>()?,
        verified: raw.verified.as_deref().map(claim_path).transpose()?,
        repeated: raw.repeated,
    })
}
