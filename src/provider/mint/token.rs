//! How a token is made, compiled: signed here, put together here, or asked for.

use serde_json::Value;

use crate::provider::calls::auth::Mac;
use crate::provider::calls::sequence::Sequence;
use crate::provider::credentials::Credentials;
use crate::provider::template::Variables;
use crate::provider::template::json::{JsonTemplate, MissingValue};
use crate::provider::template::text::TextTemplate;

/// One of three ways.
#[derive(Debug)]
pub(in crate::provider) enum Mint {
    /// A JWT signed here.
    Jwt { claims: JsonTemplate, endless: bool },
    /// Text put together here.
    Render { token: TextTemplate, endless: bool },
    /// Asked for.
    Steps(Sequence),
}

impl Mint {
    /// Whether it needs no call.
    pub(in crate::provider) const fn is_local(&self) -> bool {
        !matches!(self, Self::Steps(_))
    }

    /// Whether its tokens have no end, as far as that is known before one is made.
    pub(in crate::provider) fn is_endless(&self) -> bool {
        use crate::provider::definition::ExpiryKind;
        match self {
            Self::Jwt { endless, .. } | Self::Render { endless, .. } => *endless,
            Self::Steps(sequence) => {
                let mut ends = sequence.steps.iter().filter(|step| step.token.is_some()).flat_map(|step| &step.expires);
                ends.any(|rule| {
                    rule.kind == ExpiryKind::None || rule.absent == Some(ExpiryKind::None) || rule.never.is_some()
                })
            }
        }
    }

    /// A token that needs no call.
    pub(in crate::provider) fn here(
        &self,
        credentials: &Credentials,
        variables: &Variables<'_>,
    ) -> Result<String, MissingValue> {
        match self {
            Self::Jwt { claims, .. } => {
                let signer = credentials.signer.as_ref().ok_or_else(|| MissingValue("a signing key".to_owned()))?;
                let mut text = Vec::with_capacity(claims.size_hint());
                claims.render(variables, &mut text)?;
                signer.sign(&text).map_err(|_error| MissingValue("a signature".to_owned()))
            }
            Self::Render { token, .. } => {
                token.render(variables)?.ok_or_else(|| MissingValue("token.render.token".to_owned()))
            }
            Self::Steps(_) => Err(MissingValue("an answer of the provider".to_owned())),
        }
    }
}

/// A value with a name, worked out once a mint.
#[derive(Debug)]
pub(in crate::provider) enum Let {
    /// A MAC over text.
    Mac(Mac),
    /// A JWT for another purpose than being the token.
    Jwt { signer: usize, claims: JsonTemplate },
    /// A template.
    Value(JsonTemplate),
}

impl Let {
    /// All of them, in order, for calls beside a mint: one whose values are not there, such as inputs, is null. Slots take
    /// null for absent, so what needs it fails then.
    pub(in crate::provider) fn work_out_known(
        lets: &[(String, Self)],
        credentials: &Credentials,
        variables: &Variables<'_>,
    ) -> Vec<Value> {
        let mut values = Vec::with_capacity(lets.len());
        for (_, own) in lets {
            let value = own.value(credentials, &Variables { lets: &values, ..*variables });
            values.push(value.unwrap_or(Value::Null));
        }
        values
    }

    /// All of them, in order; each sees those before it.
    pub(in crate::provider) fn work_out(
        lets: &[(String, Self)],
        credentials: &Credentials,
        variables: &Variables<'_>,
    ) -> Result<Vec<Value>, MissingValue> {
        let mut values = Vec::with_capacity(lets.len());
        for (_, own) in lets {
            let value = own.value(credentials, &Variables { lets: &values, ..*variables })?;
            values.push(value);
        }
        Ok(values)
    }

    /// The value, with those before it in `variables`.
    pub(in crate::provider) fn value(
        &self,
        credentials: &Credentials,
        variables: &Variables<'_>,
    ) -> Result<Value, MissingValue> {
        match self {
            Self::Mac(mac) => mac.value(credentials, variables).map(Value::String),
            Self::Jwt { signer, claims } => {
                let signer = credentials.signers.get(*signer).ok_or_else(|| MissingValue("a key".to_owned()))?;
                let mut text = Vec::with_capacity(claims.size_hint());
                claims.render(variables, &mut text)?;
                signer.sign(&text).map(Value::String).map_err(|_error| MissingValue("a signature".to_owned()))
            }
            Self::Value(template) => template.value(variables),
        }
    }
}
