//! Compares an answer with that to an honest request, and says what it means.

use super::cases::{Trick, Who};
use super::probe::Seen;
use crate::identity::Worth;
use crate::inbound::Outcome;

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Answered like an honest request.
    KeptOut,
    /// The proxy refused it.
    RefusedBefore,
    /// It reached sidemint, which refused it.
    Reached,
    /// The proxy dropped what the login had said of the user.
    Lost,
    /// The proxy refused what would have shown whether it passes the header on.
    Hidden,
    /// It was believed.
    Believed,
    /// The answer says nothing about it.
    Unclear,
}

/// What a finding is to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// As it should be.
    Fine,
    /// No client becomes another user by it, but the proxy could do better.
    Note,
    /// Not known.
    Unclear,
    /// It got through.
    Through,
}

impl Finding {
    /// Judges the answer to a case.
    pub(super) fn of(who: Who, trick: Trick, seen: &Seen, baseline: &Seen) -> Self {
        if seen == baseline {
            return Self::KeptOut;
        }
        match seen {
            Seen::Session { user, .. } => match baseline {
                Seen::Session { user: honest, .. } if user == honest && trick == Trick::Listed => Self::Lost,
                _ => Self::Believed, // T-59: verdict
            },
            Seen::Refused(_, outcome) => Self::of_refusal(who, *outcome),
            Seen::Before(300..=499) => Self::RefusedBefore,
            // Many proxies end a connection over a line that is too long.
            Seen::Nothing(_) if trick == Trick::Oversized => Self::RefusedBefore,
            Seen::Before(_) | Seen::Nothing(_) => Self::Unclear,
        }
    }

    /// A refusal of ours, told apart by what had been decided before it.
    fn of_refusal(who: Who, outcome: Outcome) -> Self {
        match outcome {
            Outcome::Unauthorized | Outcome::PeerUntrusted => Self::Reached,
            // Only a known user can be denied, or not fit.
            Outcome::UserDenied | Outcome::UserIdInvalid => Self::Believed,
            // What comes after identity: a visitor never gets so far.
            Outcome::RateLimited
            | Outcome::InputInvalid
            | Outcome::InputRefused
            | Outcome::ProviderUnavailable
            | Outcome::ProviderRateLimited
            | Outcome::ProviderBadAnswer
            | Outcome::ProviderCredentials
                if who == Who::Visitor =>
            {
                Self::Believed
            }
            _ => Self::Unclear,
        }
    }

    /// How bad it is, for a header of this worth.
    pub(super) const fn level(self, trick: Trick, worth: Worth) -> Level {
        match self {
            Self::KeptOut | Self::RefusedBefore => Level::Fine,
            Self::Believed => Level::Through,
            Self::Unclear => Level::Unclear,
            Self::Lost | Self::Hidden => Level::Note,
            Self::Reached => match (trick, worth) {
                (Trick::Underscore | Trick::Dot | Trick::Mixed | Trick::Listed, _) => Level::Note,
                // Refused because it is not signed, or not the secret.
                (_, Worth::Proven) => Level::Fine,
                // Refused this time, for being two or too long. One of the right form would be believed, from users of
                // whom the login says less.
                (_, Worth::Asserted) => Level::Through,
            },
        }
    }

    /// In words.
    pub(super) const fn sentence(self, who: Who, trick: Trick) -> &'static str {
        match (self, trick, who) {
            (Self::KeptOut, Trick::Nothing, _) => "no session without signing in",
            (Self::KeptOut, ..) => "no effect",
            (Self::RefusedBefore, ..) => "the proxy refuses it",
            (Self::Reached, Trick::Underscore | Trick::Dot | Trick::Mixed, _) => {
                "the proxy passes it on; sidemint refuses it"
            }
            (Self::Reached, Trick::Listed, _) => "the client breaks what the proxy says; sidemint refuses it",
            (Self::Reached, ..) => "the client's own header reaches sidemint",
            (Self::Hidden, ..) => "cannot be seen through this proxy: read its configuration",
            (Self::Lost, ..) => "the proxy drops what the login said",
            (Self::Believed, Trick::Nothing, _) => "a session for a visitor who is not signed in",
            (Self::Believed, _, Who::Visitor) => "a session, or nearly, for a user whom the client made up",
            (Self::Believed, _, Who::User) => "the session is not that of the user who signed in",
            (Self::Unclear, ..) => "the answer tells nothing; see the proxy's log",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::SendError;

    fn session(user: &str, name: &str) -> Seen {
        Seen::Session { user: user.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn answers_are_judged_against_the_honest_one() {
        use {Finding as F, Trick as T, Who as W};
        let alice = session("alice", "Alice");
        let refused = |outcome: Outcome| Seen::Refused(outcome.row().status.as_u16(), outcome);
        for (who, trick, seen, baseline, finding) in [
            (W::User, T::Spoofed, alice.clone(), &alice, F::KeptOut),
            (W::User, T::Spoofed, session("sidemint-doctor", "Alice"), &alice, F::Believed),
            (W::User, T::Spoofed, session("alice", "sidemint-doctor"), &alice, F::Believed),
            (W::User, T::Listed, session("alice", "alice"), &alice, F::Lost),
            (W::User, T::Listed, session("bob", "Alice"), &alice, F::Believed),
            (W::User, T::Doubled, refused(Outcome::Unauthorized), &alice, F::Reached),
            (W::User, T::Spoofed, refused(Outcome::UserDenied), &alice, F::Believed),
            (W::User, T::Spoofed, refused(Outcome::ProviderUnavailable), &alice, F::Unclear),
            (W::User, T::Spoofed, Seen::Before(400), &alice, F::RefusedBefore),
            (W::User, T::Spoofed, Seen::Before(502), &alice, F::Unclear),
            (W::User, T::Spoofed, Seen::Before(200), &alice, F::Unclear),
            (W::User, T::Oversized, Seen::Nothing(SendError::Broken), &alice, F::RefusedBefore),
            (W::User, T::Spoofed, Seen::Nothing(SendError::Broken), &alice, F::Unclear),
            (W::Visitor, T::Spoofed, Seen::Before(302), &Seen::Before(302), F::KeptOut),
            (W::Visitor, T::Spoofed, alice.clone(), &Seen::Before(302), F::Believed),
            (W::Visitor, T::Spoofed, refused(Outcome::ProviderUnavailable), &Seen::Before(401), F::Believed),
            (W::Visitor, T::Spoofed, refused(Outcome::Unauthorized), &Seen::Before(401), F::Reached),
        ] {
            assert_eq!(Finding::of(who, trick, &seen, baseline), finding, "{who:?} {trick:?} {seen} {baseline}");
        }
    }

    #[test]
    fn what_reaches_us_is_bad_where_it_could_have_been_believed() {
        let level = |trick, worth| Finding::Reached.level(trick, worth);
        assert_eq!(level(Trick::Doubled, Worth::Asserted), Level::Through);
        assert_eq!(level(Trick::Spoofed, Worth::Asserted), Level::Through);
        assert_eq!(level(Trick::Spoofed, Worth::Proven), Level::Fine);
        assert_eq!(level(Trick::Dot, Worth::Asserted), Level::Note);
        assert_eq!(level(Trick::Listed, Worth::Asserted), Level::Note);
    }
}
