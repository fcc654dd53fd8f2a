//! `[webhook]`: how the events that a provider posts are proven, word for word.

mod section;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Encoding, OneOrMany};
pub use super::{Hash, MacEncoding};
use crate::definition::{Count, DAY, HOUR, MILLI, Span};
pub use section::WebhookSection;

/// How far the clocks of a provider and of this service may lie apart.
type Window = Span<DAY, { 1000 * MILLI }>;
/// How long the events of a provider are remembered.
type Remember = Span<{ 30 * DAY }, { 1000 * MILLI }>;

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
    /// The header that names the origin, for `OPTIONS` (`CloudEvents`).
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
