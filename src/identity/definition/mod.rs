//! Identity definitions: what an upstream sends, as data. [`presets`] ship with the binary; operators add their own, or
//! settle a preset with settings and keys of their own ([`overlay`]). Here they are compiled.

mod field;
mod headers;
mod keys;
mod overlay;
mod payload;
mod presets;
mod token;
mod verified;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::did_you_mean;

pub(super) use headers::{Condition, Decoding, HeaderNames, Part};
pub(super) use keys::{KeyForm, KeyPlace, KeyPlan, PemUrl, REFRESH_BOUNDS};
pub(super) use payload::Issuer;
pub use presets::{PRESETS, summary};
pub(super) use presets::{is_preset, names};
pub(super) use token::{Form, TokenRules};
pub(super) use verified::{MetadataRules, PrincipalRules};

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
    metadata: Option<verified::RawMetadata>,
    principal: Option<verified::RawPrincipal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Headers,
    Jwt,
    Body,
    Metadata,
    Principal,
}

impl Raw {
    /// Refuses a table of another kind: whoever wrote it counts on it, and it would do nothing.
    fn refuse_strays(&self) -> Result<(), String> {
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
        let own = match self.kind {
            RawKind::Headers => "headers",
            RawKind::Jwt => "jwt",
            RawKind::Body => "body",
            RawKind::Metadata => "metadata",
            RawKind::Principal => "principal",
        };
        Err(format!("has a table `{table}`, which kind \"{own}\" does not read; remove it"))
    }
}

/// The definition called `name`: a preset, the operator's own table, or a preset that the table settles. `Err` holds
/// what is wrong, each as key below the table and the rest of a sentence.
pub(super) fn compile(name: &str, own: Option<&Value>) -> Result<Definition, Vec<(String, String)>> {
    let wrong = |problem: String| vec![(String::new(), problem)];
    let empty = Map::new();
    let own = match own {
        None => &empty,
        Some(Value::Object(own)) => own,
        Some(_) => return Err(wrong("is not a table".to_owned())),
    };
    let base = match own.get("preset") {
        Some(Value::String(preset)) => Some(preset.as_str()),
        Some(_) => return Err(vec![("preset".to_owned(), "is not text".to_owned())]),
        None if own.contains_key("kind") => None,
        None if is_preset(name) => Some(name),
        None => return Err(wrong(format!("has neither preset nor kind; presets: {}", names()))),
    };
    if base.is_none() && is_preset(name) {
        return Err(wrong("is the name of a preset; choose another".to_owned()));
    }
    let written = match base {
        None => Map::new(),
        Some(base) => presets::table(base)
            .ok_or_else(|| vec![("preset".to_owned(), format!("no preset \"{base}\"; presets: {}", names()))])?,
    };
    let settled = overlay::settle(written, own)?;
    let raw: Raw =
        serde_json::from_value(Value::Object(settled)).map_err(|error| wrong(unreadable(&error.to_string(), base)))?;
    raw.refuse_strays().map_err(wrong)?;
    let kind = match raw.kind {
        RawKind::Headers => {
            let headers = raw.headers.ok_or_else(|| wrong("has no table `headers`".to_owned()))?;
            Kind::Headers(HeaderNames::check(headers).map_err(wrong)?)
        }
        RawKind::Jwt => {
            let jwt = raw.jwt.ok_or_else(|| wrong("has no table `jwt`".to_owned()))?;
            token(jwt, raw.claims.unwrap_or_default(), raw.keys).map_err(wrong)?
        }
        RawKind::Body => Kind::Body,
        RawKind::Metadata => {
            let metadata = raw.metadata.ok_or_else(|| wrong("has no table `metadata`".to_owned()))?;
            let rules = MetadataRules::check(metadata, raw.claims.unwrap_or_default()).map_err(wrong)?;
            Kind::Metadata(Box::new(rules))
        }
        RawKind::Principal => Kind::Principal(PrincipalRules::check(raw.principal.unwrap_or_default()).map_err(wrong)?),
    };
    Ok(Definition { namespace: raw.namespace, kind })
}

/// What serde says of a definition. Of an unknown key it knows neither the settings of the preset nor where the key belongs.
fn unreadable(said: &str, preset: Option<&str>) -> String {
    const BELOW: [&str; 15] = [
        "keys.url",
        "keys.discovery",
        "keys.file",
        "keys.pem_url",
        "keys.secret_file",
        "keys.form",
        "keys.network",
        "keys.max_age",
        "keys.refresh",
        "keys.ca_file",
        "keys.bearer_file",
        "jwt.issuer",
        "jwt.audience",
        "headers.subject",
        "claims.subject",
    ];
    let field = said.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')).map(|(field, _)| field);
    let Some(field) = field.filter(|_| said.contains("`kind`")) else { return said.to_owned() };
    let settings = preset.map(presets::settings).unwrap_or_default();
    let own = match (preset, &settings[..]) {
        (None, _) | (_, []) => String::new(),
        (Some(preset), settings) => format!("; settings of {preset}: {}", settings.join(", ")),
    };
    let meant = match BELOW.iter().find(|key| key.rsplit('.').next() == Some(field)) {
        Some(key) => format!("; did you mean {key}?"),
        None => did_you_mean(field, settings.iter().map(String::as_str).chain(BELOW)),
    };
    format!("{said}{own}{meant}")
}

/// A source of signed tokens. Secrets and key sets never mix: no public key is ever read as a secret (T-17).
fn token(jwt: token::Raw, claims: token::RawClaims, keys: Option<keys::Raw>) -> Result<Kind, String> {
    let rules = TokenRules::check(jwt, claims)?;
    let keys = KeyPlan::check(keys.ok_or("has no table `keys`")?, &rules.issuers)?;
    let is_secret = matches!(keys.place, KeyPlace::SecretFile(_));
    // T-17: secret or public
    if rules.uses_secret() != is_secret {
        return Err("keys: HS256, HS384 and HS512 need secret_file, and nothing else does".to_owned());
    }
    Ok(Kind::Token(Box::new((rules, keys))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that nobody reads would look like a check that is made.
    #[test]
    fn tables_of_another_kind_are_refused() {
        let jwt = serde_json::json!({ "header": "X-Token", "algorithms": ["ES256"] });
        for (own, told) in [
            (
                serde_json::json!({ "preset": "plain", "jwt": jwt }),
                "has a table `jwt`, which kind \"headers\" does not",
            ),
            (serde_json::json!({ "preset": "plain", "keys": { "file": "x" } }), "has a table `keys`"),
            (serde_json::json!({ "preset": "plain", "claims": { "subject": "sub" } }), "has a table `claims`"),
            (
                serde_json::json!({ "preset": "spiffe-jwt", "trust_domain": "a.example", "audience": "a",
                "jwks_url": "https://a.example/", "headers": { "subject": "X" } }),
                "has a table `headers`, which kind \"jwt\"",
            ),
            (
                serde_json::json!({ "preset": "body", "headers": { "subject": "X" } }),
                "has a table `headers`, which kind \"body\"",
            ),
            (serde_json::json!({ "preset": "body", "jwt": jwt }), "has a table `jwt`, which kind \"body\""),
        ] {
            let errors = compile("a", Some(&own)).expect_err("refused");
            assert!(errors.iter().any(|(_, problem)| problem.starts_with(told)), "{own}: {errors:?}");
        }
    }

    #[test]
    fn presets_without_required_settings_compile_as_they_are() {
        let needs = |text: &str| text.split("[settings.").skip(1).any(|setting| !setting.contains("\ndefault = "));
        for (name, _) in PRESETS.iter().filter(|(_, text)| !needs(text)) {
            let compiled = compile(name, None);
            assert!(compiled.is_ok(), "{name} {compiled:?}");
        }
    }
}
