//! Identity definitions: what an upstream sends, as data. [`presets`] ship with the binary; operators add their own, or
//! settle a preset with settings and keys of their own ([`overlay`]). Here they are compiled.

mod field;
mod headers;
mod keys;
mod metadata;
mod names;
mod overlay;
mod payload;
mod presets;
mod token;

use serde::Deserialize;
use serde_json::{Map, Value};
use strum::IntoStaticStr;

use presets::Preset;

use crate::definition::{Mistake, Mistakes, read};

pub(super) use headers::{Condition, Decoding, HeaderNames, HeaderUse};
pub(super) use keys::{KeyForm, KeyPlace, KeyPlan, PemUrl, REFRESH_BOUNDS};
pub(super) use metadata::{MetadataRules, PrincipalRules};
pub(super) use payload::Issuer;
pub use presets::{PRESETS, reads_bodies, settings, summary};
pub(super) use presets::{is_preset, names};
pub(super) use token::{TokenForm, TokenRules};

/// A definition in use, checked.
#[derive(Debug)]
pub(super) struct Definition {
    /// What keeps its subjects apart from those of other sources; `None` where the operator says nothing.
    pub(super) namespace: Option<String>,
    /// How identity is told.
    pub(super) kind: Kind,
}

/// How identity is told.
#[derive(Debug)]
pub(super) enum Kind {
    /// In headers that only a proven peer may send.
    Headers(HeaderNames),
    /// In a token that its issuer signed; and where the keys come from.
    Token(Box<(TokenRules, KeyPlan)>),
    /// In a JSON body that only a proven peer may send.
    Body,
    /// In claims that a proxy verified and relays over gRPC; it must be proven.
    Metadata(Box<MetadataRules>),
    /// In the certificate of a proxy's client, relayed likewise.
    Principal(PrincipalRules),
}

/// A definition as written, once settings are filled in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    #[expect(dead_code, reason = "printed as text by `presets`, compared with the file name by a test")]
    name: String,
    #[serde(default)]
    #[expect(dead_code, reason = "printed by `presets`")]
    summary: String,
    namespace: Option<String>,
    kind: RawKind,
    headers: Option<headers::Raw>,
    jwt: Option<token::Raw>,
    claims: Option<token::RawClaims>,
    keys: Option<keys::Raw>,
    metadata: Option<metadata::RawMetadata>,
    principal: Option<metadata::RawPrincipal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
enum RawKind {
    Headers,
    Jwt,
    Body,
    Metadata,
    Principal,
}

impl Raw {
    /// Refuses a table of another kind: its author counts on it, and it would do nothing.
    fn refuse_strays(&self) -> Result<(), Mistake> {
        let tables = [
            ("headers", &[RawKind::Headers][..], self.headers.is_some()),
            ("jwt", &[RawKind::Jwt], self.jwt.is_some()),
            ("claims", &[RawKind::Jwt, RawKind::Metadata], self.claims.is_some()),
            ("keys", &[RawKind::Jwt], self.keys.is_some()),
            ("metadata", &[RawKind::Metadata], self.metadata.is_some()),
            ("principal", &[RawKind::Principal], self.principal.is_some()),
        ];
        let stray = tables.into_iter().find(|(_, kinds, is_there)| *is_there && !kinds.contains(&self.kind));
        let Some((table, _, _)) = stray else { return Ok(()) };
        let own: &str = self.kind.into();
        Err(Mistake::new(table, format!("is a table that kind \"{own}\" does not read; remove it")))
    }
}

/// A table that a kind needs.
fn needed<T>(table: Option<T>, key: &str) -> Result<T, Mistake> {
    table.ok_or_else(|| Mistake::new(key, "is missing; a source of this kind has such a table"))
}

/// The definition called `name`: a preset, the operator's own table, or a preset that the table settles. Mistakes have
/// keys below the table.
pub(super) fn compile(name: &str, own: Option<&Value>) -> Result<Definition, Mistakes> {
    let empty = Map::new();
    let own = match own {
        None => &empty,
        Some(Value::Object(own)) => own,
        Some(_) => return Err("is not a table".into()),
    };
    let base = match own.get("preset") {
        Some(Value::String(preset)) => Some(preset.as_str()),
        Some(_) => return Err(Mistake::new("preset", "is not text").into()),
        None if own.contains_key("kind") => None,
        None if is_preset(name) => Some(name),
        None => return Err(format!("has neither preset nor kind; presets: {}", names()).into()),
    };
    if base.is_none() && is_preset(name) {
        return Err("is the name of a preset; choose another".into());
    }
    let written = match base {
        None => Preset::default(),
        Some(base) => Preset::load(base)
            .ok_or_else(|| Mistake::new("preset", format!("no preset \"{base}\"; presets: {}", names())))?,
    };
    let settled = overlay::settle(written, own)?;
    let mut mistakes = Mistakes::default();
    let raw: Raw = match read(&settled, &mut mistakes) {
        Some(raw) if mistakes.is_empty() => raw,
        _ => return Err(mistakes),
    };
    raw.refuse_strays()?;
    let claims = raw.claims.unwrap_or_default();
    let kind = match raw.kind {
        RawKind::Headers => {
            let headers = HeaderNames::check(needed(raw.headers, "headers")?);
            Kind::Headers(headers.map_err(|mistake| mistake.within("headers"))?)
        }
        RawKind::Jwt => token(needed(raw.jwt, "jwt")?, claims, raw.keys)?,
        RawKind::Body => Kind::Body,
        RawKind::Metadata => Kind::Metadata(Box::new(MetadataRules::check(needed(raw.metadata, "metadata")?, claims)?)),
        RawKind::Principal => Kind::Principal(PrincipalRules::check(raw.principal.unwrap_or_default())?),
    };
    Ok(Definition { namespace: raw.namespace, kind })
}

/// A source of signed tokens. Secrets and key sets never mix: no public key is ever read as a secret (T-17).
fn token(jwt: token::Raw, claims: token::RawClaims, keys: Option<keys::Raw>) -> Result<Kind, Mistake> {
    let rules = TokenRules::check(jwt, claims)?;
    let keys = KeyPlan::check(needed(keys, "keys")?, &rules.issuers)?;
    let is_secret = matches!(keys.place, KeyPlace::SecretFile(_));
    // T-17: secret or public
    if rules.uses_secret() != is_secret {
        return Err(Mistake::new("keys", "HS256, HS384 and HS512 need secret_file, and nothing else does"));
    }
    Ok(Kind::Token(Box::new((rules, keys))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A table that is not read would look like a check that is made.
    #[test]
    fn tables_of_another_kind_are_refused() {
        let jwt = json!({ "header": "X-Token", "algorithms": ["ES256"] });
        for (own, table, kind) in [
            (json!({ "preset": "plain", "jwt": jwt }), "jwt", "headers"),
            (json!({ "preset": "plain", "keys": { "file": "x" } }), "keys", "headers"),
            (json!({ "preset": "plain", "claims": { "subject": "sub" } }), "claims", "headers"),
            (
                json!({ "preset": "spiffe-jwt", "trust_domain": "a.example", "audience": "a",
                        "jwks_url": "https://a.example/", "headers": { "subject": "X" } }),
                "headers",
                "jwt",
            ),
            (json!({ "preset": "body", "headers": { "subject": "X" } }), "headers", "body"),
            (json!({ "preset": "body", "jwt": jwt }), "jwt", "body"),
        ] {
            let mistakes = compile("a", Some(&own)).expect_err("refused");
            let told = Mistake::new(table, format!("is a table that kind \"{kind}\" does not read; remove it"));
            assert_eq!(mistakes, told.into(), "{own}");
        }
    }

    #[test]
    fn presets_without_required_settings_compile_as_they_are() {
        let needs = |text: &str| {
            text.split("[settings.")
                .skip(1)
                .any(|setting| !setting.contains("\ndefault = ") && !setting.contains("\noptional = true"))
        };
        for (name, _) in PRESETS.iter().filter(|(_, text)| !needs(text)) {
            let compiled = compile(name, None);
            assert!(compiled.is_ok(), "{name} {compiled:?}");
        }
    }
}
