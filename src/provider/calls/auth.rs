//! How one call proves who is calling. The only place where a secret gets into a request.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;

use crate::outbound::Call;
use crate::provider::credentials::Credentials;
use crate::provider::keys::mac::Encode;
use crate::provider::template::json::{JsonTemplate, MissingValue};
use crate::provider::template::text::{TextTemplate, append_query};
use crate::provider::template::{RequestText, Variables};
use crate::secrets::Secret;

/// One proof. Numbers are positions in [`Credentials`].
#[derive(Debug)]
pub(in crate::provider) enum StepAuth {
    /// A finished header.
    Header { name: HeaderName, value: usize },
    /// A member of the body.
    Member { name: String, text: usize },
    /// A JWT made for this call.
    Jwt { signer: usize, claims: JsonTemplate, header: HeaderName, scheme: String },
    /// A MAC over the request.
    Signature { mac: Mac, carrier: Carrier, prefix: String },
}

/// What a call carries once a proof was added, for those who look for it in an answer.
pub(in crate::provider) enum Proof {
    /// Secrets as they are kept.
    Kept(Arc<[Secret]>),
    /// What was made for this call.
    Made(String),
}

/// A MAC over a template.
#[derive(Debug)]
pub(in crate::provider) struct Mac {
    /// Position in [`Credentials::macs`].
    pub(in crate::provider) key: usize,
    pub(in crate::provider) text: TextTemplate,
    pub(in crate::provider) encode: Encode,
}

/// What carries a signature.
#[derive(Debug)]
pub(in crate::provider) enum Carrier {
    Query(String),
    Header(HeaderName),
}

impl Mac {
    /// The MAC for one mint.
    pub(in crate::provider) fn value(
        &self,
        credentials: &Credentials,
        variables: &Variables<'_>,
    ) -> Result<String, MissingValue> {
        let text = self.text.render_signed(variables)?;
        let key = credentials.macs.get(self.key).ok_or_else(|| missing("a key"))?;
        Ok(self.encode.encode(&key.mac(text.as_bytes())))
    }
}

impl StepAuth {
    /// Adds the proof to a call that is otherwise finished, and says what it is.
    pub(in crate::provider) fn apply(
        &self,
        call: &mut Call,
        credentials: &Credentials,
        variables: &Variables<'_>,
    ) -> Result<Proof, MissingValue> {
        Ok(match self {
            Self::Header { name, value } => {
                let text = credentials.headers.get(*value).ok_or_else(|| missing("a secret"))?;
                call.headers.insert(name, text.value.clone());
                Proof::Kept(Arc::clone(&text.carries))
            }
            Self::Member { name, text } => {
                let secret = credentials.texts.get(*text).ok_or_else(|| missing("a secret"))?;
                put_member(call, name, secret.expose_text().ok_or_else(|| missing("a secret"))?)?;
                Proof::Kept(Arc::from([secret.clone()]))
            }
            Self::Jwt { signer, claims, header, scheme } => {
                let signer = credentials.signers.get(*signer).ok_or_else(|| missing("a key"))?;
                let mut text = Vec::with_capacity(claims.size_hint());
                claims.render(variables, &mut text)?;
                let token = signer.sign(&text).map_err(|_error| missing("a signature"))?;
                insert(call, header, &format!("{scheme}{token}"))?;
                Proof::Made(token)
            }
            Self::Signature { mac, carrier, prefix } => {
                let signature = signature(mac, call, credentials, variables)?;
                let text = format!("{prefix}{signature}");
                match carrier {
                    Carrier::Query(name) => append_query(&mut call.url, [(name.as_str(), text.as_str())]),
                    Carrier::Header(name) => insert(call, name, &text)?,
                }
                Proof::Made(signature)
            }
        })
    }
}

impl StepAuth {
    /// The query parameter that carries it.
    pub(in crate::provider) fn query_name(&self) -> Option<&str> {
        match self {
            Self::Signature { carrier: Carrier::Query(name), .. } => Some(name),
            _ => None,
        }
    }

    /// Shows where the proof would be, without it.
    pub(in crate::provider) fn mask(&self, call: &mut Call, variables: &Variables<'_>) -> Result<(), MissingValue> {
        match self {
            Self::Header { name, .. } | Self::Signature { carrier: Carrier::Header(name), .. } => {
                insert(call, name, MASK)
            }
            Self::Member { name, .. } => put_member(call, name, MASK),
            Self::Jwt { claims, header, scheme, .. } => {
                let claims = claims.value(variables)?;
                insert(call, header, &format!("{scheme}{MASK} (a JWT with {})", ascii(&claims)))
            }
            Self::Signature { carrier: Carrier::Query(name), .. } => {
                append_query(&mut call.url, [(name.as_str(), MASK)]);
                Ok(())
            }
        }
    }
}

/// Stands for a secret.
const MASK: &str = "***";

/// JSON that fits into a header.
fn ascii(value: &Value) -> String {
    value.to_string().chars().flat_map(|c| if c.is_ascii() { vec![c] } else { c.escape_unicode().collect() }).collect()
}

fn missing(what: &str) -> MissingValue {
    MissingValue(format!("auth: {what}"))
}

fn insert(call: &mut Call, name: &HeaderName, text: &str) -> Result<(), MissingValue> {
    let mut value = HeaderValue::try_from(text).map_err(|_error| missing("header text"))?;
    value.set_sensitive(true);
    call.headers.insert(name, value);
    Ok(())
}

fn put_member(call: &mut Call, name: &str, secret: &str) -> Result<(), MissingValue> {
    if call.body.is_none() {
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    call.body = Some(with_member(call.body.as_deref(), name, secret)?);
    Ok(())
}

/// The body with one more member in front: JSON, or a form.
fn with_member(body: Option<&[u8]>, name: &str, secret: &str) -> Result<Bytes, MissingValue> {
    let body = body.unwrap_or(b"{}");
    let mut out = Vec::with_capacity(body.len() + name.len() + secret.len() + 8);
    if let Some(rest) = body.strip_prefix(b"{") {
        let text = |text: &str| Value::from(text).to_string();
        out.extend_from_slice(format!("{{{}:{}", text(name), text(secret)).as_bytes());
        if rest != b"}" {
            out.push(b',');
        }
        out.extend_from_slice(rest);
        return Ok(Bytes::from(out));
    }
    let form = std::str::from_utf8(body).map_err(|_error| missing("a body that is text"))?;
    let member = url::form_urlencoded::Serializer::new(String::new()).append_pair(name, secret).finish();
    let between = if form.is_empty() { "" } else { "&" };
    Ok(Bytes::from(format!("{member}{between}{form}")))
}

fn signature(
    mac: &Mac,
    call: &Call,
    credentials: &Credentials,
    variables: &Variables<'_>,
) -> Result<String, MissingValue> {
    let request = RequestText::of(&call.method, &call.url, call.body.as_deref());
    mac.value(credentials, &Variables { request: Some(&request), ..*variables })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_member_is_escaped_and_stands_in_front() {
        let with = |body: Option<&[u8]>| {
            String::from_utf8(with_member(body, "key", "s\"e&t").expect("a body").to_vec()).expect("text")
        };
        assert_eq!(with(None), r#"{"key":"s\"e&t"}"#);
        assert_eq!(with(Some(br#"{"a":1}"#)), r#"{"key":"s\"e&t","a":1}"#);
        assert_eq!(with(Some(b"a=1")), "key=s%22e%26t&a=1");
    }
}
