//! Names in the tier: they tell nothing of what they name, and are the same in every replica of a fleet.
//!
//! Each is a keyed hash under the key of `names_file`, of another kind than all others (F-04); without the key, a weak secret
//! or a short user id cannot be guessed from them. What is cut short may collide, and is proven when it is opened (F-03).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use data_encoding::BASE64URL_NOPAD;

use crate::definition::Mistake;
use crate::secrets::{Secret, framed};

/// What is named; no name of one kind is one of another.
#[derive(Clone, Copy)]
enum Kind {
    User,
    Session,
    Account,
    Profile,
    Budget,
    Credential,
}

impl Kind {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::User => b"sidemint user 1",
            Self::Session => b"sidemint session 1",
            Self::Account => b"sidemint account 1",
            Self::Profile => b"sidemint profile 1",
            Self::Budget => b"sidemint budget 1",
            Self::Credential => b"sidemint credential 1",
        }
    }

    /// Bytes that are kept.
    const fn length(self) -> usize {
        match self {
            Self::User | Self::Credential => 16,
            Self::Session | Self::Profile => 12,
            Self::Account | Self::Budget => 9,
        }
    }
}

macro_rules! names {
    ($($(#[doc = $about:literal])+ $name:ident)+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// As it stands in the tier.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// What stands in the tier, where that can be such a name.
            pub fn parse(text: &[u8]) -> Option<Self> {
                let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                let fits = (1..=64).contains(&text.len()) && text.iter().all(plain);
                std::str::from_utf8(text).ok().filter(|_| fits).map(|text| Self(Arc::from(text)))
            }
        }

        /// Names are kept out of logs: they are the same for one user for ever (F-11).
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )+};
}

names! {
    /// `U`: a user of a team.
    UserName
    /// `K`: what is asked about a user.
    QuestionName
    /// `P`: an account at a provider, with its settings and credentials.
    AccountName
    /// What was sent of a user to a provider.
    ProfileName
    /// `A`: a provider of a team, whatever its settings: a new key gives no new budget.
    BudgetName
    /// What a lease is taken with, or what a replica is called: drawn at random.
    LeaseToken
}

impl LeaseToken {
    /// A new one; `None` where there is no randomness.
    pub fn draw() -> Option<Self> {
        let mut bytes = [0; 12];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(Arc::from(BASE64URL_NOPAD.encode(&bytes))))
    }
}

/// A session in the tier.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionName {
    /// Whose.
    pub user: UserName,
    /// Which.
    pub question: QuestionName,
}

/// Makes the names of one fleet.
pub struct Names {
    key: hmac::Key,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names(…)")
    }
}

impl Names {
    /// Names under the key in `secret`: 32 bytes as base64 or hex.
    pub fn new(secret: &Secret) -> Result<Self, Mistake> {
        let key = secret
            .decode_key()
            .ok_or("holds no key; write 32 bytes as base64 or hex, as sidemint keygen --shared makes them")?;
        Ok(Self { key: hmac::Key::new(HMAC_SHA256, key.expose()) })
    }

    fn name(&self, kind: Kind, parts: &[&[u8]]) -> Arc<str> {
        let mut context = hmac::Context::with_key(&self.key);
        framed([kind.label()].iter().chain(parts), |bytes| context.update(bytes));
        let digest = context.sign();
        let kept = digest.as_ref().get(..kind.length()).unwrap_or_default();
        Arc::from(BASE64URL_NOPAD.encode(kept))
    }

    /// `U`. `team` is empty where there are no teams.
    pub fn user(&self, team: &str, chat_subject: &str) -> UserName {
        UserName(self.name(Kind::User, &[team.as_bytes(), chat_subject.as_bytes()]))
    }

    /// `K`.
    pub fn question(&self, question: &[u8]) -> QuestionName {
        QuestionName(self.name(Kind::Session, &[question]))
    }

    /// `P`.
    pub fn account(&self, account: &[u8]) -> AccountName {
        AccountName(self.name(Kind::Account, &[account]))
    }

    /// `A`.
    pub fn budget(&self, team: &str, provider: &str) -> BudgetName {
        BudgetName(self.name(Kind::Budget, &[team.as_bytes(), provider.as_bytes()]))
    }

    /// What a profile is known by.
    pub fn profile(&self, profile: &[u8]) -> ProfileName {
        ProfileName(self.name(Kind::Profile, &[profile]))
    }

    /// What credentials are known by in an account: bytes that tell nothing of them.
    pub fn credential(&self, parts: &[&[u8]]) -> Arc<str> {
        self.name(Kind::Credential, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(byte: u8) -> Names {
        Names::new(&Secret::new(data_encoding::BASE64.encode(&[byte; 32]).into_bytes())).unwrap()
    }

    #[test]
    fn names_are_those_of_every_replica_and_of_no_other_fleet() {
        let (one, same, other) = (names(1), names(1), names(2));
        assert_eq!(one.user("", "ada"), same.user("", "ada"));
        assert_ne!(one.user("", "ada"), other.user("", "ada"));
        assert_ne!(one.user("shop", "ada"), one.user("", "ada"));
        assert_ne!(one.user("a", "da"), one.user("ad", "a"));
        assert_eq!(one.user("", "ada").as_str().len(), 22);
        assert_eq!(one.question(b"q").as_str().len(), 16);
        assert_eq!(one.account(b"a").as_str().len(), 12);
        assert_eq!(one.budget("", "sendsar").as_str().len(), 12);
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        let one = names(1);
        assert_ne!(one.account(b"x").as_str(), one.budget("", "x").as_str());
        assert_ne!(one.question(b"x").as_str(), one.profile(b"x").as_str());
    }

    #[test]
    fn what_cannot_be_a_name_is_none() {
        for bad in [&b""[..], b"a b", b"a}", b"\xff", &[b'a'; 65]] {
            assert_eq!(UserName::parse(bad), None);
        }
        assert!(UserName::parse(names(1).user("", "ada").as_str().as_bytes()).is_some());
        assert!(!format!("{:?}", names(1).user("", "ada")).contains(names(1).user("", "ada").as_str()));
    }
}
