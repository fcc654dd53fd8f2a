//! Which header carries what: the table `headers`.

use std::collections::BTreeMap;

use http::HeaderName;
use serde::Deserialize;
use strum::{IntoStaticStr, VariantArray};

use super::field::{self, Field};
use super::names;
use super::payload::{self, Issuer, Payload};
use crate::definition::Mistake;
use crate::identity::claims::{ClaimNames, Expiry, PayloadForm};
use crate::identity::request::encoding::Encoding;
use crate::identity::user::text::Medium;

/// The table as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    subject: field::Raw,
    name: Option<field::Raw>,
    email: Option<field::Raw>,
    avatar: Option<field::Raw>,
    groups: Option<field::Raw>,
    payload: Option<payload::Raw>,
    #[serde(default = "comma")]
    group_separator: char,
    #[serde(default)]
    allow_comma_in_subject: bool,
    #[serde(default)]
    subject_case: Case,
    #[serde(default)]
    nobody: Vec<String>,
    #[serde(default)]
    require: BTreeMap<String, String>,
    #[serde(default)]
    refuse_if: BTreeMap<String, String>,
}

const fn comma() -> char {
    ','
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Case {
    /// Byte for byte.
    #[default]
    Keep,
    /// In lower case, before anything else is done with it.
    Lower,
}

/// What a configured header is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(in crate::identity) enum HeaderUse {
    Subject,
    Name,
    Email,
    Avatar,
    Groups,
    Payload,
    Condition,
}

/// A header whose value is asked for. `value` is `None` for any.
#[derive(Clone, Debug)]
pub(in crate::identity) struct Condition {
    pub(in crate::identity) header: HeaderName,
    pub(in crate::identity) value: Option<String>,
    /// Whether the value must be there, or must not.
    pub(in crate::identity) wanted: bool,
}

/// Which header carries what, checked.
#[derive(Clone, Debug)]
pub(in crate::identity) struct HeaderNames {
    /// Every header that is looked at, the subject's first.
    parts: Vec<(HeaderName, HeaderUse)>,
    pub(in crate::identity) group_separator: char,
    pub(in crate::identity) allow_comma_in_subject: bool,
    /// Words that mean no user, beside those that hold for every source.
    pub(in crate::identity) nobody: Vec<String>,
    pub(in crate::identity) conditions: Vec<Condition>,
    /// `None` where every header is plain text: such a source is read without a copy of anything.
    pub(in crate::identity) decoding: Option<Box<Decoding>>,
}

/// Where each field comes from, for sources that must be decoded: a header of its own, which has an encoding, or claims.
#[derive(Clone, Debug)]
pub(in crate::identity) struct Decoding {
    pub(in crate::identity) payload: Option<Payload>,
    pub(in crate::identity) claims: ClaimNames,
    pub(in crate::identity) subject: Option<Encoding>,
    pub(in crate::identity) lower_case: bool,
    pub(in crate::identity) name: Option<Encoding>,
    pub(in crate::identity) email: Option<Encoding>,
    pub(in crate::identity) avatar: Option<Encoding>,
    pub(in crate::identity) groups: Option<Encoding>,
    /// Whether each line of the header is one group.
    pub(in crate::identity) repeated_groups: bool,
}

impl HeaderNames {
    /// Every configured header, the subject first.
    pub(in crate::identity) fn all(&self) -> impl Iterator<Item = &HeaderName> {
        self.parts.iter().map(|(name, _)| name)
    }

    /// What a header is for.
    pub(in crate::identity) fn part(&self, name: &HeaderName) -> Option<HeaderUse> {
        self.parts.iter().find(|(own, _)| own == name).map(|(_, part)| *part)
    }

    /// Whether each line of the header of groups is one group.
    pub(in crate::identity) fn repeats_groups(&self) -> bool {
        self.decoding.as_ref().is_some_and(|decoding| decoding.repeated_groups)
    }

    /// How the subject comes in. No proxy joins claims with a comma.
    pub(in crate::identity) fn subject_medium(&self) -> Medium {
        let is_claim = self.decoding.as_ref().is_some_and(|decoding| decoding.subject.is_none());
        if is_claim || self.allow_comma_in_subject { Medium::Value } else { Medium::Line }
    }

    /// Whether the payload decides who the user is, or whether this request is one of theirs.
    pub(in crate::identity) fn depends_on_payload(&self) -> bool {
        let Some(decoding) = &self.decoding else { return false };
        decoding.payload.as_ref().is_some_and(|payload| {
            decoding.subject.is_none()
                || payload.expiry != Expiry::Ignored
                || matches!(payload.issuer, Issuer::Exactly(_))
        })
    }

    /// The header of groups.
    pub(in crate::identity) fn groups(&self) -> Option<&HeaderName> {
        self.parts.iter().find(|(_, part)| *part == HeaderUse::Groups).map(|(name, _)| name)
    }

    pub(super) fn check(raw: Raw) -> Result<Self, Mistake> {
        let payload = raw.payload.map(payload::check).transpose().map_err(|mistake| mistake.within("payload"))?;
        let mut parts: Vec<(HeaderName, HeaderUse)> = Vec::new();
        let mut read = |name: &str, part: HeaderUse, raw: Option<field::Raw>| {
            let field = raw.map(|raw| field::check(name, raw, payload.is_some())).transpose();
            let field = field.map_err(|mistake| mistake.within(name))?;
            if let Some((header, _)) = field.as_ref().and_then(|field| field.line.as_ref()) {
                parts.push((header.clone(), part));
            }
            Ok::<_, Mistake>(field.unwrap_or_default())
        };
        let subject = read("subject", HeaderUse::Subject, Some(raw.subject))?;
        let name = read("name", HeaderUse::Name, raw.name)?;
        let email = read("email", HeaderUse::Email, raw.email)?;
        let avatar = read("avatar", HeaderUse::Avatar, raw.avatar)?;
        let groups = read("groups", HeaderUse::Groups, raw.groups)?;
        let fields = [&subject, &name, &email, &avatar, &groups];
        if let Some(payload) = &payload {
            if fields.iter().all(|field| field.claims.is_empty()) {
                return Err(Mistake::new("payload", "no field reads a claim of it"));
            }
            let tells_the_user = payload.form == PayloadForm::Claims && subject.line.is_none();
            // T-30: issuer of a payload
            if tells_the_user && payload.issuer == Issuer::Unsaid {
                return Err(Mistake::new(
                    "payload.issuer",
                    "is missing, and equal subjects of two issuers could be two people; write what `iss` must be, or \"\" where \
                     the sender believes one issuer only",
                ));
            }
            parts.push((payload.header.clone(), HeaderUse::Payload));
        }
        let mut conditions = Vec::new();
        for (key, wanted, table) in [("require", true, raw.require), ("refuse_if", false, raw.refuse_if)] {
            for (header, value) in table {
                let header = names::header_name(&header).map_err(|mistake| mistake.within(key))?;
                let value = (value != "*").then_some(value);
                parts.push((header.clone(), HeaderUse::Condition));
                conditions.push(Condition { header, value, wanted });
            }
        }
        if raw.nobody.iter().any(|word| word.trim().is_empty()) {
            return Err(Mistake::new("nobody", "holds an empty word; an empty value is no user anyway"));
        }
        let mut seen: Vec<&HeaderName> = Vec::new();
        for (header, _) in &parts {
            if seen.contains(&header) {
                return Err(format!("\"{header}\" is named twice").into());
            }
            seen.push(header);
        }
        let repeated_groups = groups.repeated;
        let lower_case = raw.subject_case == Case::Lower;
        let plain = !lower_case && !repeated_groups && fields.iter().all(|field| field.is_plain());
        let decoding = (!plain).then(|| {
            let encoding = |field: &Field| field.line.as_ref().map(|(_, encoding)| *encoding);
            Box::new(Decoding {
                payload,
                subject: encoding(&subject),
                lower_case,
                name: encoding(&name),
                email: encoding(&email),
                avatar: encoding(&avatar),
                groups: encoding(&groups),
                repeated_groups,
                claims: ClaimNames {
                    subject: subject.claims,
                    name: name.claims,
                    email: email.claims,
                    email_verified: email.verified,
                    avatar: avatar.claims,
                    groups: groups.claims,
                    ..ClaimNames::default()
                },
            })
        });
        let (group_separator, allow_comma_in_subject) = (raw.group_separator, raw.allow_comma_in_subject);
        Ok(Self { parts, group_separator, allow_comma_in_subject, nobody: raw.nobody, conditions, decoding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    use crate::definition::{Mistakes, read};

    fn check(value: &Value) -> Result<HeaderNames, String> {
        let mut mistakes = Mistakes::default();
        let checked = read(value, &mut mistakes).map(HeaderNames::check);
        let told = || mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        if mistakes.is_empty() { checked.expect("read").map_err(|mistake| mistake.to_string()) } else { Err(told()) }
    }

    #[test]
    fn plain_sources_are_read_without_decoding() {
        for (value, plain) in [
            (json!({ "subject": "X-User" }), true),
            (json!({ "subject": { "header": "X-User" }, "avatar": { "header": "X-Pic", "encoding": "utf8" } }), true),
            (json!({ "subject": "X-User", "nobody": ["guest"], "require": { "X-Idp": "aad" } }), true),
            (json!({ "subject": "X-User", "subject_case": "lower" }), false),
            (json!({ "subject": "X-User", "name": { "header": "X-Name", "encoding": "rfc2047" } }), false),
            (json!({ "subject": "X-User", "groups": { "header": "X-Group", "repeated": true } }), false),
            (json!({ "subject": { "claim": "sub" }, "payload": { "header": "X-Jwt-Payload", "issuer": "i" } }), false),
            (json!({ "subject": { "claim": "sub" }, "payload": { "header": "X-Jwt-Payload", "issuer": "" } }), false),
            (json!({ "subject": "X", "name": { "claim": "n" }, "payload": { "header": "P" } }), false),
        ] {
            assert_eq!(check(&value).expect("fine").decoding.is_none(), plain, "{value}");
        }
    }

    /// T-30: subjects of two issuers are not the same people, unless the operator says that there is one issuer.
    #[test]
    fn a_payload_that_names_the_user_says_whose_users_they_are() {
        for form in ["{}", "{ \"expiry\": \"ignored\" }", "{ \"expiry\": \"if-present\" }"] {
            let mut payload: Value = serde_json::from_str(form).expect("a table");
            payload["header"] = json!("P");
            let error = check(&json!({ "subject": { "claim": "sub" }, "payload": payload })).expect_err("refused");
            assert!(error.starts_with("payload.issuer: is missing"), "{error}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_key() {
        for (value, told) in [
            (json!({ "subject": 1 }), "subject: is 1, write the name of a header, or a table"),
            (json!({ "subject": {} }), "subject: names neither header nor claim"),
            (
                json!({ "subject": { "header": "X", "claim": "sub" } }),
                "subject: names both header and claim; write one",
            ),
            (json!({ "subject": { "claim": "sub" } }), "subject: reads a claim, but there is no table `payload`"),
            (json!({ "subject": { "claim": [] }, "payload": { "header": "P" } }), "subject: names no claim"),
            (
                json!({ "subject": { "header": "X", "encoding": "utf16" } }),
                "subject.encoding: \"utf16\" is not one of utf8, latin1, rfc2047, percent, json, base64, base64url; did you mean utf8?",
            ),
            (
                json!({ "subject": { "header": "X", "colour": 1 } }),
                "subject.colour: unknown key; known here: header, encoding, claim, verified, repeated",
            ),
            (
                json!({ "subject": { "header": "X", "repeated": true } }),
                "subject: `repeated` is for groups in a header",
            ),
            (
                json!({ "subject": { "header": "X", "verified": "v" } }),
                "subject: `verified` is for an email in a claim",
            ),
            (
                json!({ "subject": { "claim": "sub", "encoding": "json" }, "payload": { "header": "P" } }),
                "subject: `encoding` belongs to a header; that of claims stands in `payload`",
            ),
            (json!({ "subject": "X", "payload": { "header": "P" } }), "payload: no field reads a claim of it"),
            (
                json!({ "subject": { "claim": "sub" }, "payload": { "header": "P", "encoding": "json" } }),
                "payload: is JSON in any case; `encoding` says how the header holds it: utf8, percent, base64 or base64url",
            ),
            (
                json!({ "subject": { "claim": "a" }, "payload": { "header": "P", "form": "principal", "expiry": "required" } }),
                "payload: a principal has neither `expiry` nor `issuer`",
            ),
            (
                json!({ "subject": "X", "nobody": [" "] }),
                "nobody: holds an empty word; an empty value is no user anyway",
            ),
            (json!({ "subject": "X", "require": { "x": "1" } }), "\"x\" is named twice"),
            (
                json!({ "subject": "X", "refuse_if": { "a_b": "1" } }),
                "refuse_if: \"a_b\" must not hold '_' or '.'; proxies treat those unlike '-'",
            ),
        ] {
            assert_eq!(check(&value).expect_err("refused"), told, "{value}");
        }
    }
}
