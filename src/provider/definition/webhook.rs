//! `[webhook]`: how the events that a provider posts are proven, word for word.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Encoding, OneOrMany, Setting};
pub use super::{Hash, MacEncoding};
use crate::definition::{Count, DAY, HOUR, Key, MILLI, Mistake, Mistakes, Segment, Span, fill, read, split};

/// How far the clocks of a provider and of this service may lie apart.
type Window = Span<DAY, { 1000 * MILLI }>;
/// How long the events of a provider are remembered.
type Remember = Span<{ 30 * DAY }, { 1000 * MILLI }>;

/// `[webhook]` as it stands in a definition. Settings in it are filled in where a webhook names the provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct WebhookSection(Map<String, Value>);

/// How events are proven, and what is known of them then. Exactly one of `hmac`, `jwt`, `basic` and `token` says how.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Name of the secret setting that holds the secret: `NAME_file`, or several that are all valid in `NAME_dir`.
    #[serde(default)]
    pub secret: Option<String>,
    /// Name of the secret setting that holds several secrets by key id: `NAME_file` with a line `id: secret` for each, or
    /// `NAME_dir` with a file for each, called as the id.
    #[serde(default)]
    pub keys: Option<String>,
    /// The one key that counts where `keys` is not given: the pair that the provider has anyway.
    #[serde(default)]
    pub pair: Option<Pair>,
    /// Where the request names the key, with `keys`.
    #[serde(default)]
    pub key_id: Option<Header>,
    /// How a key is written in a secret.
    #[serde(default)]
    pub key: KeyForm,
    /// Where the signature stands.
    #[serde(default)]
    pub signature: Option<Signature>,
    /// The hash of an HMAC: `sha256`, `sha512`, or `sha1` where nothing better is sent.
    #[serde(default)]
    pub hmac: Option<Hash>,
    /// What is signed: text with `request.body`, `request.url`, `request.form_sorted`, `time`, `id`, `header.NAME` and
    /// `member.NAME` (of a signature such as `t=…,v1=…`) in double braces.
    #[serde(default)]
    pub text: Option<String>,
    /// Where the request names the hash.
    #[serde(default)]
    pub algorithm: Option<Algorithm>,
    /// A JWT with a hash of the body.
    #[serde(default)]
    pub jwt: Option<WebhookJwt>,
    /// Basic credentials (RFC 7617); the secret is `user:password`. They prove who sends, and say nothing of the body.
    #[serde(default)]
    pub basic: bool,
    /// A secret in a header. It proves who sends, and says nothing of the body.
    #[serde(default)]
    pub token: Option<TokenHeader>,
    /// The hash of the body in a signed query. It must be there where the body is no form.
    #[serde(default)]
    pub body_hash: Option<QueryHash>,
    /// When the request was signed.
    #[serde(default)]
    pub time: Option<Time>,
    /// What the provider calls the event.
    #[serde(default)]
    pub id: Option<Field>,
    /// What the provider calls the kind of event.
    #[serde(default)]
    pub event: Option<Field>,
    /// Events with the same value are delivered one after the other.
    #[serde(default)]
    pub order: Option<Field>,
    /// How long repeats are known: 4 days where events have an id, a day where they are known by their bodies alone.
    #[serde(default)]
    pub remember: Option<Remember>,
    /// How long the previous secret is taken after a change: 24 h without it.
    #[serde(default)]
    pub overlap: Option<Span<DAY>>,
    /// How a body may be packed.
    #[serde(default)]
    pub unpack: Option<Unpack>,
    /// Bytes of a body at most: 1 MiB without it.
    #[serde(default)]
    pub max_bytes: Option<Count<{ 64 * 1024 * 1024 }, 1>>,
    /// Content types that are taken: `application/json` without it.
    #[serde(default)]
    pub accept: Vec<String>,
    /// Questions that are answered here and not delivered.
    #[serde(default)]
    pub challenge: Vec<Challenge>,
    /// Headers that the application gets as they came.
    #[serde(default)]
    pub forward: Vec<String>,
}

/// A key id and its secret, in two settings of their own.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Name of the setting with the key id.
    pub id: String,
    /// Name of the secret setting.
    pub secret: String,
}

/// A header.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub header: String,
}

/// How a key is written in a secret.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyForm {
    /// Text before the key that is no part of it, where it is there.
    #[serde(default)]
    pub strip: Option<String>,
    /// The key stands behind the first of these, where there is one.
    #[serde(default)]
    pub after: Option<String>,
    /// How the rest is written: `text`, `base64` or `hex`.
    #[serde(default)]
    pub decode: Encoding,
    /// Bytes of a key at least; 16 without it.
    #[serde(default)]
    pub min_bytes: Option<usize>,
}

/// Where a signature stands, and how it is written.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The header.
    pub header: String,
    /// Text before the signature.
    #[serde(default)]
    pub prefix: String,
    /// How it is written: `hex`, `upper_hex` or `base64`.
    pub encode: MacEncoding,
    /// What stands between several of them. The first 16 that count are looked at.
    #[serde(default)]
    pub list: Option<String>,
    /// How the ones that count begin, such as `v1,`.
    #[serde(default)]
    pub pick: Option<String>,
}

/// Where the request names the hash.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Algorithm {
    /// The header.
    pub header: String,
    /// The member of `name=value,name=value` in it; all of it without this.
    #[serde(default)]
    pub member: Option<String>,
    /// What the names stand for; capitals do not count. Any other name is refused.
    pub map: BTreeMap<String, Hash>,
    /// The hash where the request names none. Without it such a request is refused.
    #[serde(default)]
    pub absent: Option<Hash>,
}

/// A JWT with a hash of the body.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WebhookJwt {
    /// The header; the token stands there alone.
    pub header: String,
    /// The only algorithm that is taken: `HS256`, `HS384` or `HS512`.
    pub alg: JwtAlg,
    /// What `iss` is: the id of the key.
    pub issuer: JwtIssuer,
    /// How far clocks may lie apart.
    pub leeway: Span<HOUR>,
    /// The claim with the hash of the body. It must be said: other tokens are signed with the same key.
    #[serde(default)]
    pub body_hash: Option<ClaimHash>,
}

/// Algorithm of a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum JwtAlg {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// HMAC with SHA-384.
    #[serde(rename = "HS384")]
    Hs384,
    /// HMAC with SHA-512.
    #[serde(rename = "HS512")]
    Hs512,
}

/// What `iss` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum JwtIssuer {
    /// The id of the key that signed.
    KeyId,
}

/// A claim with the SHA-256 of the body.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimHash {
    /// Name of the claim.
    pub claim: String,
    /// How the hash is written.
    pub encode: MacEncoding,
}

/// A query parameter with the SHA-256 of the body.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct QueryHash {
    /// Name of the parameter.
    pub query: String,
    /// How the hash is written.
    pub encode: MacEncoding,
}

/// A secret in a header.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenHeader {
    /// The header.
    pub header: String,
    /// Text before the secret.
    #[serde(default)]
    pub prefix: String,
}

/// When a request was signed. Exactly one of `header`, `json` and `member` says where that stands.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// In this header.
    #[serde(default)]
    pub header: Option<String>,
    /// In the body, by JSON Pointer.
    #[serde(default)]
    pub json: Option<String>,
    /// In this member of the header with the signature.
    #[serde(default)]
    pub member: Option<String>,
    /// In which form.
    pub kind: TimeKind,
    /// How old it may be.
    pub window: Window,
    /// How far ahead it may lie; as far as it may be old without this.
    #[serde(default)]
    pub ahead: Option<Span<DAY>>,
}

/// Form of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TimeKind {
    /// Seconds since the epoch.
    Seconds,
    /// Milliseconds since the epoch.
    Milliseconds,
    /// RFC 3339 in UTC, with `Z`.
    Iso,
}

/// Something that a request says. Exactly one of `header`, `json` and `form` says where.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// In this header.
    #[serde(default)]
    pub header: Option<String>,
    /// In the body, by JSON Pointer.
    #[serde(default)]
    pub json: Option<String>,
    /// In this field of a form.
    #[serde(default)]
    pub form: Option<String>,
}

/// How a body may be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unpack {
    /// With gzip, told by its first two bytes: proxies take the header away.
    Gzip,
}

/// A question that is answered here. With `json` it is proven like an event. With `method` it is not, and is answered only
/// where the operator says `handshake = true`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// The member of the body, by JSON Pointer, that tells the question.
    #[serde(default)]
    pub json: Option<String>,
    /// What stands there then.
    #[serde(default)]
    pub is: Option<OneOrMany<String>>,
    /// What the answer is; without it an empty one.
    #[serde(default)]
    pub answer: Option<Answer>,
    /// The method of an unproven question.
    #[serde(default)]
    pub method: Option<HandshakeMethod>,
    /// The query parameter whose value is sent back, for `GET`: visible ASCII, 256 bytes at most.
    #[serde(default)]
    pub query: Option<String>,
    /// What must stand beside it.
    #[serde(default)]
    pub require: Option<Require>,
    /// The header that names the origin, for `OPTIONS` (CloudEvents).
    #[serde(default)]
    pub header: Option<String>,
    /// The origins that may post.
    #[serde(default)]
    pub allow: Vec<String>,
}

/// What a question is answered with.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Text that stands in the body.
    pub text: AnswerText,
}

/// Where the text of an answer stands.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AnswerText {
    /// In the body, by JSON Pointer.
    pub json: String,
}

/// Method of an unproven question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum HandshakeMethod {
    /// It is answered with what its query holds.
    Get,
    /// It is answered with nothing.
    Head,
    /// It asks whether an origin may post.
    Options,
}

/// A query parameter that must hold a secret.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Require {
    /// The parameter.
    pub query: String,
    /// Name of the secret setting.
    pub secret: String,
}

/// Tables that are left out where the setting that says their place has no value.
const PLACED: [&str; 4] = ["time", "id", "event", "order"];
/// Members that say a place.
const PLACES: [&str; 4] = ["header", "json", "form", "member"];

impl WebhookSection {
    /// Whether it reads no settings. Then its shape is known without an operator.
    fn is_fixed(&self) -> bool {
        self.settings().is_empty()
    }

    /// Checks the shape of a section that reads no settings.
    pub(super) fn check(&self) -> Result<(), Mistake> {
        if !self.is_fixed() {
            return Ok(());
        }
        match self.filled(&BTreeMap::new(), &BTreeMap::new()) {
            Ok(_) => Ok(()),
            Err(mistakes) => {
                Err(mistakes.into_iter().next().unwrap_or_else(|| "has no value".into()).within("webhook"))
            }
        }
    }

    /// Settings that are filled in, and whether each may be absent.
    pub fn settings(&self) -> BTreeMap<String, bool> {
        let mut found = BTreeMap::new();
        let mut left: Vec<&Value> = self.0.values().collect();
        while let Some(value) = left.pop() {
            match value {
                Value::String(text) => {
                    for segment in split(text).unwrap_or_default() {
                        let Segment::Expression(expression) = segment else { continue };
                        let Some(name) = expression.strip_prefix("config.") else { continue };
                        let (name, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
                        let known = found.entry(name.trim_end().to_owned()).or_insert(true);
                        *known &= optional;
                    }
                }
                Value::Array(items) => left.extend(items),
                Value::Object(members) => left.extend(members.values()),
                _ => {}
            }
        }
        found
    }

    /// The setting that `member` names.
    pub(super) fn named_by(&self, member: &str) -> Option<&str> {
        self.0.get(member)?.as_str()
    }

    /// Every setting that it names, secret ones too.
    pub fn names(&self) -> BTreeSet<String> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let mut names: BTreeSet<String> = self.settings().into_keys().collect();
        names.extend(["secret", "keys"].iter().filter_map(|member| text(self.0.get(*member))));
        let pair = self.0.get("pair");
        names.extend(["id", "secret"].iter().filter_map(|member| text(pair?.get(member))));
        let challenges = self.0.get("challenge").and_then(Value::as_array);
        names.extend(challenges.into_iter().flatten().filter_map(|own| text(own.pointer("/require/secret"))));
        names
    }

    /// The section with the values of settings in it.
    pub fn filled(
        &self,
        values: &BTreeMap<String, Value>,
        declared: &BTreeMap<String, Setting>,
    ) -> Result<Webhook, Mistakes> {
        let mut mistakes = Mistakes::default();
        for (name, _) in self.settings().iter().filter(|(name, optional)| !**optional && !values.contains_key(*name)) {
            let about = declared.get(name).map_or("", |setting| setting.about.trim_end_matches('.'));
            mistakes.refuse(Key::of(name), format!("is missing; its webhooks need {name} = \"…\" ({about})"));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let mut members = self.0.clone();
        // What is signed names things that a request has, and is filled in by itself.
        let text = members.remove("text");
        let key = Key::default();
        let filled = mistakes.note(fill(Value::Object(members), values, &[], &key)).flatten();
        let mut filled = match filled {
            Some(Value::Object(filled)) => filled,
            _ => Map::new(),
        };
        if let Some(text) = text {
            filled.extend(mistakes.note(signed(text, values)).map(|text| ("text".to_owned(), text)));
        }
        filled.retain(|name, table| {
            let had = |table: Option<&Value>| PLACES.iter().any(|place| table.and_then(|own| own.get(place)).is_some());
            !PLACED.contains(&name.as_str()) || had(Some(table)) || !had(self.0.get(name))
        });
        let webhook = read(&filled, &mut mistakes);
        match webhook {
            Some(webhook) => mistakes.or(webhook),
            None => Err(mistakes),
        }
    }
}

/// The text that is signed with settings in it; what a request has stays for later.
fn signed(text: Value, values: &BTreeMap<String, Value>) -> Result<Value, Mistake> {
    let Value::String(text) = text else { return Ok(text) };
    let mut filled = String::new();
    for segment in split(&text).map_err(|mistake| mistake.within("text"))? {
        match segment {
            Segment::Literal(literal) => filled.push_str(&literal),
            Segment::Expression(expression) => match expression.strip_prefix("config.") {
                Some(name) => filled.push_str(values.get(name).and_then(Value::as_str).unwrap_or_default()),
                None => filled.extend(["{{ ", &expression, " }}"]),
            },
        }
    }
    Ok(Value::String(filled))
}

/// In the schema of definitions, it is what it is filled to.
#[cfg(test)]
impl schemars::JsonSchema for WebhookSection {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Webhook::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Webhook::json_schema(generator)
    }
}
