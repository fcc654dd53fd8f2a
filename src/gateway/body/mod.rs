//! Bodies: which types an operation takes, and what must, may or must not be in them.
//!
//! A body is read where a rule needs it, and then what is sent is written anew from what was read. Where no rule looks into
//! it, it passes as it comes.

pub(super) mod form;
pub(super) mod json;
mod kind;
pub(super) mod protobuf;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::gateway::refusal::Refusal;
use crate::provider::gateway::BodyType;
use form::FormRules;
use json::Tree;
use protobuf::FieldRules;

/// Rules on the body of one operation.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyRules {
    /// What it may be.
    pub(super) types: Vec<BodyType>,
    /// Rules on JSON.
    pub(super) json: Tree,
    /// Rules on forms.
    pub(super) form: FormRules,
    /// Rules on protobuf.
    pub(super) fields: FieldRules,
    /// Whether a member of a body says the user: then a body that could have it is looked into, or does not come.
    pub(super) says_user: bool,
}

/// A body that keeps the rules.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// What is sent.
    pub(super) body: Option<Bytes>,
    /// Its content type, where none was sent.
    pub(super) content_type: Option<HeaderValue>,
    /// Values of parameters in it.
    pub(super) values: Vec<(usize, String)>,
}

impl BodyRules {
    /// Whether a body of this type must be read to be judged.
    pub(super) fn look_inside(&self, kind: BodyType) -> bool {
        match kind {
            BodyType::Json => !self.json.is_empty(),
            BodyType::Form => !self.form.is_empty(),
            BodyType::Protobuf => !self.fields.is_empty(),
            BodyType::Any => false,
        }
    }

    /// The type of a body with these headers, if it may come. An encoded body is not looked into, so it does not.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<BodyType, Refusal> {
        // G-06: encoded body
        if headers.contains_key(CONTENT_ENCODING) {
            return Err(Refusal::TypeDenied);
        }
        let known = kind::of(headers.get(CONTENT_TYPE));
        let own = known.filter(|own| self.types.contains(own));
        let is_opaque = known.is_none() || !self.says_user; // G-10: user in a body of any type
        let any = (self.types.contains(&BodyType::Any) && is_opaque).then_some(BodyType::Any);
        own.or(any).ok_or(Refusal::TypeDenied) // G-06: type of a body
    }

    /// Judges a whole body of the type that was admitted, or that none came. `user` is whom the call is made for.
    pub(super) fn check(&self, sent: Option<(BodyType, Bytes)>, user: Option<&str>) -> Result<Checked, Refusal> {
        let Some((kind, body)) = sent else {
            let made = json::made(&self.json, user)?;
            let content_type = made.is_some().then(|| HeaderValue::from_static("application/json"));
            let made = made.map(|made| (made.text.into_bytes().into(), made.values));
            let (body, values) = made.unzip();
            return Ok(Checked { body, content_type, values: values.unwrap_or_default() });
        };
        let (body, values) = match kind {
            _ if !self.look_inside(kind) => (body, Vec::new()),
            BodyType::Json => {
                let written = json::rewrite(&self.json, &body, user)?;
                (written.text.into_bytes().into(), written.values) // G-05: body written anew
            }
            BodyType::Form => {
                let (text, values) = form::rewrite(&self.form, &body)?;
                (text.into_bytes().into(), values)
            }
            BodyType::Protobuf => {
                let values = protobuf::check(&self.fields, &body)?;
                (body, values)
            }
            BodyType::Any => (body, Vec::new()),
        };
        Ok(Checked { body: Some(body), content_type: None, values })
    }
}
