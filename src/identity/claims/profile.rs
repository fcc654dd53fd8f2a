//! Which claim is what: from claims to a [`Profile`].

use std::borrow::Cow;

use serde_json::Value;

use super::{Claims, Path, text_of};
use crate::identity::Refusal;
use crate::identity::user::profile::Profile;
use crate::identity::user::text::{self, Medium, SubjectFault};

/// Which claim is what. Each list is in order of preference.
#[derive(Clone, Debug, Default)]
pub(in crate::identity) struct ClaimNames {
    pub(in crate::identity) subject: Vec<Path>,
    /// Put before the subject, which is unique only within them.
    pub(in crate::identity) subject_within: Vec<Path>,
    pub(in crate::identity) name: Vec<Path>,
    pub(in crate::identity) email: Vec<Path>,
    /// The claim that must say that the address is the user's.
    pub(in crate::identity) email_verified: Option<Path>,
    pub(in crate::identity) avatar: Vec<Path>,
    pub(in crate::identity) groups: Vec<Path>,
}

/// What a claim of groups is that holds one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Groups {
    /// One group: issuers write lists where there are several.
    One,
    /// Groups with this character between them.
    Separated(char),
}

impl ClaimNames {
    /// What claims tell of the user with this subject. What does not fit is left out.
    pub(in crate::identity) fn profile(&self, claims: &Claims, subject: String, groups: Groups) -> Profile {
        let issuer = text_of(claims, "iss").filter(|issuer| !issuer.trim().is_empty());
        let name = texts(&self.name, claims).find_map(text::display_name);
        let mut addresses = texts(&self.email, claims).filter(|_| self.is_vouched_for(claims));
        Profile {
            issuer: issuer.map(str::to_owned),
            subject,
            name: name.map(Cow::into_owned),
            email: addresses.find_map(|address| text::email(address.as_bytes())).map(str::to_owned),
            avatar: texts(&self.avatar, claims).find_map(text::avatar).map(str::to_owned),
            groups: self.groups(claims, groups),
        }
    }

    /// The first claim that says who the user is; a wrong one is not passed over.
    pub(in crate::identity) fn subject<'c>(&self, claims: &'c Claims) -> Result<Option<&'c Value>, Refusal> {
        let found = |path: &Path| path.find(claims).filter(|value| value.as_str().is_none_or(|text| !is_blank(text)));
        let Some((path, value)) = self.subject.iter().find_map(|path| Some((path, found(path)?))) else {
            return Ok(None);
        };
        // T-13: verified subject
        // An address that was not verified may belong to another person, who would then be this user.
        if self.email.contains(path) && !self.is_vouched_for(claims) {
            return Err(Refusal::Claim);
        }
        Ok(Some(value))
    }

    /// The subject that an issuer signed, exactly as it is; after what it is unique within, each with a colon that none of
    /// those may hold, so that two users never become one (T-15).
    pub(in crate::identity) fn signed_subject(&self, claims: &Claims) -> Result<String, Refusal> {
        let own = self.subject(claims)?.and_then(Value::as_str).ok_or(Refusal::Claim)?;
        let mut subject = String::with_capacity(own.len());
        for path in &self.subject_within {
            // T-15: separator
            let outer =
                path.find(claims).and_then(Value::as_str).filter(|outer| !outer.is_empty() && !outer.contains(':'));
            subject.push_str(outer.ok_or(Refusal::Claim)?);
            subject.push(':');
        }
        subject.push_str(signed(own)?);
        text::subject(&subject, Medium::Signed)?;
        Ok(subject)
    }

    /// Whether the address is the user's, as far as the issuer says. Some write the flag as text.
    fn is_vouched_for(&self, claims: &Claims) -> bool {
        self.email_verified.as_ref().is_none_or(|path| match path.find(claims) {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(verified)) => verified == "true", // T-13: verified e-mail
            _ => false,
        })
    }

    /// The first claim with groups. One that no group is called is left out.
    fn groups(&self, claims: &Claims, form: Groups) -> Vec<String> {
        let read = |value: &Value| -> Vec<String> {
            match (value, form) {
                (Value::String(group), Groups::One) if text::is_group(group) => vec![group.clone()],
                (Value::String(list), Groups::Separated(separator)) => {
                    text::groups(list.as_bytes(), separator).map(str::to_owned).collect()
                }
                (Value::Array(list), _) => {
                    let groups = list.iter().filter_map(Value::as_str).filter(|group| text::is_group(group));
                    groups.take(text::MAX_GROUPS).map(str::to_owned).collect()
                }
                _ => Vec::new(),
            }
        };
        let all = self.groups.iter().filter_map(|path| path.find(claims)).map(read);
        all.into_iter().find(|groups| !groups.is_empty()).unwrap_or_default()
    }
}

/// A subject that an issuer signed. One that means no user is wrong; it is not the absence of one.
pub(in crate::identity) fn signed(own: &str) -> Result<&str, Refusal> {
    text::subject(own, Medium::Signed).map_err(|fault| match fault {
        SubjectFault::Absent => Refusal::Claim,
        fault => fault.into(),
    })
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// The texts at `paths`, in order.
fn texts<'c>(paths: &[Path], claims: &'c Claims) -> impl Iterator<Item = &'c str> {
    paths.iter().filter_map(|path| path.find(claims)?.as_str())
}
