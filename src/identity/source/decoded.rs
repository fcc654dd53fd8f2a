//! Reads identity from headers that must be decoded first, each as its source declares.
//!
//! A subject that cannot be decoded is refused. What is only shown to people, and groups, is dropped instead.

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::lines::{self, Lines};
use crate::identity::Refusal;
use crate::identity::claims::{Claims, Groups, PayloadForm, Validity, text_of};
use crate::identity::definition::{Decoding, HeaderNames, Issuer};
use crate::identity::request::encoding::{Encoding, Texts};
use crate::identity::user::profile::Profile;
use crate::identity::user::text::{self, Medium, SubjectFault};

/// Reads the identity that `lines` of `headers` tell.
pub(super) fn read(
    names: &HeaderNames,
    decoding: &Decoding,
    validity: &Validity,
    lines: &Lines<'_>,
    headers: &HeaderMap,
) -> Result<Profile, Refusal> {
    let claims = open(names, decoding, validity, lines)?.unwrap_or_default();
    let subject = subject(names, decoding, &claims, lines)?;
    lines::hold(&names.conditions, headers)?;
    let form = match decoding.payload.as_ref().map(|payload| payload.form) {
        Some(PayloadForm::Principal) => Groups::One,
        Some(PayloadForm::Claims) | None => Groups::Separated(names.group_separator),
    };
    let mut profile = decoding.claims.profile(&claims, subject, form);
    if let Some(name) = decode(decoding.name, lines.name) {
        profile.name = text::display_name(&name).map(Cow::into_owned);
    }
    if let Some(email) = decode(decoding.email, lines.email) {
        profile.email = text::email(email.as_bytes()).map(str::to_owned);
    }
    if let Some(avatar) = decode(decoding.avatar, lines.avatar) {
        profile.avatar = text::avatar(&avatar).map(str::to_owned);
    }
    if let Some(encoding) = decoding.groups.filter(|_| lines.groups.is_some()) {
        profile.groups = groups(names, encoding, headers);
    }
    Ok(profile)
}

/// The claims of the payload. One that cannot be read is a refusal where the user depends on it, and none elsewhere.
fn open(
    names: &HeaderNames,
    decoding: &Decoding,
    validity: &Validity,
    lines: &Lines<'_>,
) -> Result<Option<Claims>, Refusal> {
    let (Some(payload), Some(line)) = (&decoding.payload, lines.payload) else { return Ok(None) };
    let value = line.as_bytes().trim_ascii();
    if value.is_empty() {
        return Ok(None);
    }
    let text = payload.encoding.decode(value).ok();
    let Some(claims) = text.and_then(|text| payload.form.read(text.as_bytes())) else {
        let decides = names.depends_on_payload();
        let is_json = payload.encoding == Encoding::Utf8;
        return match undecoded(value) {
            Refusal::Template if is_json && decides => Err(Refusal::Encoding),
            refusal if decides => Err(lines.refusal_of(refusal)),
            _ => Ok(None),
        };
    };
    if let Issuer::Exactly(issuer) = &payload.issuer
        && text_of(&claims, "iss") != Some(issuer)
    {
        return Err(Refusal::Issuer);
    }
    validity.check(&claims, payload.expiry)?; // T-29: payload ends
    Ok(Some(claims))
}

impl Lines<'_> {
    /// The refusal of a payload that says nothing: no user, unless other headers name one.
    fn refusal_of(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::Absent => Lines { payload: None, ..*self }.refusal(SubjectFault::Absent),
            refusal => refusal,
        }
    }
}

/// What a value that cannot be decoded is. Proxies send words for no user, and templates that they did not fill in, without
/// encoding them.
fn undecoded(value: &[u8]) -> Refusal {
    match std::str::from_utf8(value.trim_ascii()).map(|text| text::subject(text, Medium::Value)) {
        Ok(Err(SubjectFault::Absent)) => Refusal::Absent,
        Ok(Err(SubjectFault::Template)) => Refusal::Template,
        _ => Refusal::Encoding,
    }
}

fn subject(names: &HeaderNames, decoding: &Decoding, claims: &Claims, lines: &Lines<'_>) -> Result<String, Refusal> {
    let text = match (decoding.subject, lines.subject) {
        (Some(encoding), Some(line)) => {
            encoding.decode(line.as_bytes()).map_err(|_| match undecoded(line.as_bytes()) {
                Refusal::Absent => lines.refusal(SubjectFault::Absent),
                refusal => refusal,
            })?
        }
        (Some(_), None) => Cow::Borrowed(""),
        (None, _) => match decoding.claims.subject(claims)? {
            Some(subject) => Cow::Borrowed(subject.as_str().ok_or(Refusal::Claim)?),
            None => Cow::Borrowed(""),
        },
    };
    let medium = names.subject_medium();
    let judge = |text: &str| {
        let subject = lines::subject(names, text, medium);
        subject.map(str::to_owned).map_err(|fault| lines.refusal(fault))
    };
    let subject = judge(&text)?;
    // Judged again in the form that is looked up and kept (R8), and before it because the Kelvin sign becomes a plain `k`.
    if decoding.lower_case { judge(&subject.to_lowercase()) } else { Ok(subject) }
}

/// A text that may be missing, in a header of its own.
fn decode(encoding: Option<Encoding>, line: Option<&HeaderValue>) -> Option<Cow<'_, str>> {
    encoding?.decode(line?.as_bytes()).ok()
}

/// The groups in every line of their header.
fn groups(names: &HeaderNames, encoding: Encoding, headers: &HeaderMap) -> Vec<String> {
    let repeated = names.repeats_groups();
    let lines = names.groups().into_iter().flat_map(|name: &HeaderName| headers.get_all(name));
    let mut groups: Vec<String> = Vec::new();
    for texts in lines.filter_map(|line| encoding.decode_texts(line.as_bytes()).ok()) {
        match texts {
            // A comma in the name of a group is part of it, where a list is one already.
            Texts::One(text) if repeated => groups.push(text.into_owned()),
            Texts::One(text) => {
                groups.extend(text::groups(text.as_bytes(), names.group_separator).map(str::to_owned));
            }
            Texts::List(list) => groups.extend(list.into_iter().map(Cow::into_owned)),
        }
    }
    groups.retain(|group| text::is_group(group));
    groups.truncate(text::MAX_GROUPS);
    groups
}
