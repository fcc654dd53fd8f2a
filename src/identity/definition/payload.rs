//! A header that holds all claims as JSON, and is not signed: the table `headers.payload`.

use http::HeaderName;
use serde::Deserialize;

use super::names;
use crate::definition::{Key, Mistake};
use crate::identity::claims::{Expiry, PayloadForm};
use crate::identity::request::encoding::Encoding;

/// The table as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    header: String,
    encoding: Option<Encoding>,
    #[serde(default)]
    form: PayloadForm,
    expiry: Option<Expiry>,
    issuer: Option<String>,
}

/// The header with the claims, checked.
#[derive(Clone, Debug)]
pub(in crate::identity) struct Payload {
    pub(in crate::identity) header: HeaderName,
    pub(in crate::identity) encoding: Encoding,
    pub(in crate::identity) form: PayloadForm,
    pub(in crate::identity) expiry: Expiry,
    pub(in crate::identity) issuer: Issuer,
}

/// What is asked of the claim `iss`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Issuer {
    /// The definition does not say.
    Unsaid,
    /// Nothing, says the definition: the sender of the payload trusts one issuer only.
    Any,
    /// To be this, to the letter.
    Exactly(String),
}

/// Checks the table.
pub(super) fn check(raw: Raw) -> Result<Payload, Mistake> {
    let header = names::header_name(&raw.header).map_err(|mistake| mistake.within(Key::of("header")))?;
    let encoding = raw.encoding.unwrap_or(match raw.form {
        PayloadForm::Claims => Encoding::Base64Url,
        PayloadForm::Principal => Encoding::Base64,
    });
    if !matches!(encoding, Encoding::Utf8 | Encoding::Percent | Encoding::Base64 | Encoding::Base64Url) {
        let how = "`encoding` says how the header holds it: utf8, percent, base64 or base64url";
        return Err(format!("is JSON in any case; {how}").into());
    }
    let expiry = match raw.form {
        PayloadForm::Claims => raw.expiry.unwrap_or(Expiry::Required),
        // Azure keeps the claims of the sign-in for as long as its own session lasts.
        PayloadForm::Principal if raw.expiry.is_none() && raw.issuer.is_none() => Expiry::Ignored,
        PayloadForm::Principal => return Err("a principal has neither `expiry` nor `issuer`".into()),
    };
    let issuer = match raw.issuer {
        None => Issuer::Unsaid,
        Some(text) if text.is_empty() => Issuer::Any,
        Some(text) => Issuer::Exactly(text),
    };
    Ok(Payload { header, encoding, form: raw.form, expiry, issuer })
}
