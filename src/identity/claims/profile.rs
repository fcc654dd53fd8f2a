//! Which claim is what: from checked claims to a [`Profile`].

use super::reader::{Said, Slot, Values, Wanted};
use crate::identity::Refusal;
use crate::identity::definition::{Path, TokenRules};
use crate::identity::user::profile::Profile;
use crate::identity::user::text::{self, SubjectFault, Told};

/// Reads what claims tell of a user.
#[derive(Debug)]
pub(in crate::identity) struct ProfileReader {
    subject: Slot,
    within: Vec<Slot>,
    name: Vec<Slot>,
    email: Vec<Slot>,
    email_verified: Option<Slot>,
    avatar: Vec<Slot>,
    groups: Vec<Slot>,
}

impl ProfileReader {
    pub(in crate::identity) fn new(rules: &TokenRules, wanted: &mut Wanted) -> Self {
        let names = &rules.claims;
        let mut slot = |path: &Path| wanted.want(path);
        let mut slots = |paths: &[Path]| paths.iter().map(&mut slot).collect();
        Self {
            within: slots(&names.subject_within),
            name: slots(&names.name),
            email: slots(&names.email),
            avatar: slots(&names.avatar),
            groups: slots(&names.groups),
            subject: slot(&names.subject),
            email_verified: names.email_verified.as_ref().map(slot),
        }
    }

    /// The user. Only the subject can be wrong; what else does not fit is left out.
    pub(in crate::identity) fn read(&self, claims: &Values<'_>, issuer: Option<String>) -> Result<Profile, Refusal> {
        Ok(Profile {
            issuer,
            subject: self.subject(claims)?,
            name: texts(claims, &self.name).find_map(|name| text::display_name(name.as_bytes())).map(Into::into),
            email: self.email(claims).map(str::to_owned),
            avatar: texts(claims, &self.avatar).find_map(text::avatar).map(str::to_owned),
            groups: self.groups(claims),
        })
    }

    /// The subject exactly as it is; after what it is unique within, each with a colon that none of those may hold, so
    /// that two users never become one (T-15).
    fn subject(&self, claims: &Values<'_>) -> Result<String, Refusal> {
        let own = claims.text(self.subject).ok_or(Refusal::Claim)?;
        // An address that nobody looked at may be somebody else's, who would then be this user.
        if self.email.contains(&self.subject) && !self.is_vouched_for(claims) {
            return Err(Refusal::Claim);
        }
        let mut subject = String::with_capacity(own.len());
        for slot in &self.within {
            // T-15: separator
            let outer = claims.text(*slot).filter(|outer| !outer.is_empty() && !outer.contains(':'));
            subject.push_str(outer.ok_or(Refusal::Claim)?);
            subject.push(':');
        }
        // A signed token that names nobody is wrong; it is not the absence of one.
        text::subject(own.as_bytes(), Told::Signed).map_err(|fault| match fault {
            SubjectFault::Absent => Refusal::Claim,
            fault => fault.into(),
        })?;
        subject.push_str(own);
        text::subject(subject.as_bytes(), Told::Signed)?;
        Ok(subject)
    }

    /// Where the issuer says whether it looked, only what it found to be so.
    fn email<'t>(&self, claims: &'t Values<'_>) -> Option<&'t str> {
        let mut addresses = texts(claims, &self.email).filter(|_| self.is_vouched_for(claims));
        addresses.find_map(|address| text::email(address.as_bytes()))
    }

    /// Whether the address is the user's, as far as the issuer says. Some write the flag as text.
    fn is_vouched_for(&self, claims: &Values<'_>) -> bool {
        self.email_verified.is_none_or(|slot| match claims.at(slot) {
            Some(Said::Flag(verified)) => *verified,
            Some(Said::Text(verified)) => verified == "true", // T-13: verified e-mail
            _ => false,
        })
    }

    /// A list, or one group as text.
    fn groups(&self, claims: &Values<'_>) -> Vec<String> {
        let fits = |group: &&str| text::is_group(group);
        let one = |said: &Said<'_>| match said {
            Said::Text(group) => Some([&**group].into_iter().filter(fits).map(str::to_owned).collect()),
            Said::Texts(groups) => {
                let groups = groups.iter().map(|group| &**group).filter(fits).take(text::MAX_GROUPS);
                Some(groups.map(str::to_owned).collect())
            }
            _ => None,
        };
        self.groups.iter().filter_map(|slot| claims.at(*slot)).find_map(one).unwrap_or_default()
    }
}

/// The texts at `slots`, in order.
fn texts<'t>(claims: &'t Values<'_>, slots: &[Slot]) -> impl Iterator<Item = &'t str> {
    slots.iter().filter_map(|slot| claims.text(*slot))
}
