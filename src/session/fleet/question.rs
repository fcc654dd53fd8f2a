//! The question as it means the same in every process: what another replica would have asked.
//!
//! A [`SessionKey`](crate::session::SessionKey) is the question of one process: it names routes, and credentials by what this
//! process has seen of them. Two routes that ask the same of one account are two keys, and one question here. Every field
//! carries its length, so different questions have different bytes.

use std::time::Duration;

use crate::provider::{Profile, ProfileUse};
use crate::secrets::Fingerprint;

/// Another layout has another number, so that an old replica never takes what it would read otherwise.
const FORMAT: &[u8] = b"1";
/// Length that stands for an absent value.
const ABSENT: u32 = u32::MAX;

/// What a session depends on.
#[derive(Clone, Copy)]
pub(in crate::session) struct Asked<'q> {
    /// Team that the route belongs to; empty without teams.
    pub(in crate::session) team: &'q str,
    /// Name of the account: the provider, its definition and settings, and the credentials that sessions end with.
    pub(in crate::session) account: Fingerprint,
    /// Lifetime that is asked for.
    pub(in crate::session) ttl: Duration,
    /// Parts of the profile that the definition uses.
    pub(in crate::session) uses: ProfileUse,
    /// Who asks.
    pub(in crate::session) profile: &'q Profile<'q>,
    /// What the request adds.
    pub(in crate::session) inputs: &'q [Option<&'q str>],
}

impl std::fmt::Debug for Asked<'_> {
    /// Questions hold personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}

impl Asked<'_> {
    /// The whole question. What is sealed under one does not open under another.
    pub(in crate::session) fn question(&self) -> Vec<u8> {
        let Self { profile, .. } = self;
        let mut bytes = Fields::of(FORMAT);
        bytes.put(Some(self.team.as_bytes()));
        bytes.put(Some(&self.account.0)); // F-02: account by its name
        bytes.put(Some(&self.ttl.as_secs().to_be_bytes()));
        bytes.text(Some(profile.source));
        bytes.text(profile.issuer);
        self.put_user(&mut bytes);
        bytes.0
    }

    /// What an upsert of this user sends: where another process has sent the same, it need not be sent again.
    pub(in crate::session) fn sent_profile(&self) -> Vec<u8> {
        let mut bytes = Fields::of(FORMAT);
        bytes.put(Some(self.team.as_bytes()));
        bytes.put(Some(&self.account.0));
        self.put_user(&mut bytes);
        bytes.0
    }

    fn put_user(&self, bytes: &mut Fields) {
        let Self { profile, uses, .. } = self;
        bytes.text(Some(profile.subject)); // F-01: subject in the question
        bytes.text(profile.qualified);
        bytes.text(profile.name.filter(|_| uses.name));
        bytes.text(profile.email.filter(|_| uses.email));
        bytes.text(profile.avatar.filter(|_| uses.avatar));
        bytes.list(self.inputs.iter().copied());
        bytes.list(profile.roles.iter().copied().filter(|_| uses.roles).map(Some));
        bytes.list(profile.groups.iter().copied().filter(|_| uses.groups).map(Some));
    }
}

/// Fields, each behind its length.
struct Fields(Vec<u8>);

impl Fields {
    fn of(format: &[u8]) -> Self {
        let mut own = Self(Vec::with_capacity(256));
        own.put(Some(format));
        own
    }

    fn put(&mut self, field: Option<&[u8]>) {
        let length = field.map_or(ABSENT, |field| u32::try_from(field.len()).unwrap_or(ABSENT - 1));
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(field.unwrap_or_default());
    }

    fn text(&mut self, text: Option<&str>) {
        self.put(text.map(str::as_bytes));
    }

    /// Behind their number, so that two lists are never read as one.
    fn list<'t>(&mut self, texts: impl Iterator<Item = Option<&'t str>>) {
        let texts: Vec<Option<&'t str>> = texts.collect();
        self.put(Some(&u32::try_from(texts.len()).unwrap_or(u32::MAX).to_be_bytes()));
        for text in texts {
            self.text(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::option::of as maybe;
    use proptest::prelude::*;

    use super::*;

    const ALL: ProfileUse = ProfileUse { name: true, email: true, avatar: true, groups: true, roles: true };

    type Optional = Option<String>;
    type Whole = (u8, u64, String, Optional, String, Optional, [Optional; 3], Vec<Optional>, Vec<String>, Vec<String>);

    fn text() -> &'static str {
        "[a-b\u{0}]{0,2}"
    }

    prop_compose! {
        fn whole()(
            account in 0_u8..2,
            ttl in 1_u64..3,
            source in text(),
            issuer in maybe(text()),
            subject in text(),
            qualified in maybe(text()),
            profile in [maybe(text()), maybe(text()), maybe(text())],
            inputs in proptest::collection::vec(maybe(text()), 0..3),
            roles in proptest::collection::vec(text(), 0..3),
            groups in proptest::collection::vec(text(), 0..3),
        ) -> Whole {
            (account, ttl, source, issuer, subject, qualified, profile, inputs, roles, groups)
        }
    }

    fn encoded(whole: &Whole, uses: ProfileUse) -> [Vec<u8>; 2] {
        let (account, ttl, source, issuer, subject, qualified, [name, email, avatar], inputs, roles, groups) = whole;
        let profile = Profile {
            source,
            issuer: issuer.as_deref(),
            subject,
            qualified: qualified.as_deref(),
            name: name.as_deref(),
            email: email.as_deref(),
            avatar: avatar.as_deref(),
            groups: groups.iter().map(String::as_str).collect(),
            roles: roles.iter().map(String::as_str).collect(),
        };
        let inputs: Vec<Option<&str>> = inputs.iter().map(Option::as_deref).collect();
        let (account, ttl) = (Fingerprint([*account; 8]), Duration::from_secs(*ttl));
        let asked = Asked { team: "", account, ttl, uses, profile: &profile, inputs: &inputs };
        [asked.question(), asked.sent_profile()]
    }

    /// A question that differs in one part at most: two that are drawn apart hardly ever do.
    fn with_part(one: &Whole, part: usize, other: Whole) -> Whole {
        let mut own = one.clone();
        match part {
            0 => own.0 = other.0,
            1 => own.1 = other.1,
            2 => own.2 = other.2,
            3 => own.3 = other.3,
            4 => own.4 = other.4,
            5 => own.5 = other.5,
            6 => own.6 = other.6,
            7 => own.7 = other.7,
            8 => own.8 = other.8,
            _ => own.9 = other.9,
        }
        own
    }

    proptest! {
        /// F-01, F-02: Two questions are the same bytes where every part is the same, and only there. So nothing of one user
        /// opens under the question of another.
        #[test]
        fn questions_are_injective(one in whole(), other in whole(), part in 0_usize..12) {
            let two = if part < 10 { with_part(&one, part, other) } else { other };
            let (own, other) = (encoded(&one, ALL), encoded(&two, ALL));
            prop_assert_eq!(own[0] == other[0], one == two);
            let upsert = |whole: &Whole| {
                let (account, _, _, _, subject, qualified, profile, inputs, roles, groups) = whole.clone();
                (account, subject, qualified, profile, inputs, roles, groups)
            };
            prop_assert_eq!(own[1] == other[1], upsert(&one) == upsert(&two));
            prop_assert_ne!(&own[0], &own[1]);
        }

        /// What the definition does not use makes no difference, for the session or for the upsert.
        #[test]
        fn unused_parts_do_not_matter(one in whole(), two in whole()) {
            let (_, _, _, _, _, _, profile, _, roles, groups) = two;
            let other = (one.0, one.1, one.2.clone(), one.3.clone(), one.4.clone(), one.5.clone(), profile, one.7.clone(), roles, groups);
            prop_assert_eq!(encoded(&one, ProfileUse::default()), encoded(&other, ProfileUse::default()));
        }
    }
}
